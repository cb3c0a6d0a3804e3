//! What tests do to a cache, and what a cache is tested as.

use proptest::prelude::*;
use radix_core::cache::{Policy, SlotsPer};

/// The cache under test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) policy: Policy,
    pub(crate) page_size: usize,
    pub(crate) slots: SlotsPer,
    /// Fingerprints with `i64` slots, or token ids with `u32` slots.
    pub(crate) fingerprints: bool,
    /// 0 turns events off.
    pub(crate) event_pages_max: usize,
}

/// A prompt: pages of a small alphabet, and units of a further page that is not whole.
#[derive(Clone, Debug)]
pub(crate) struct Prompt {
    pub(crate) namespace: u64,
    pub(crate) pages: Vec<u32>,
    pub(crate) left_over: usize,
}

/// One call. Numbers that choose among handles or receipts are taken modulo how many there are.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Match(Prompt),
    Peek(Prompt),
    /// `reuse` leading pages bring the slots that are cached, as a request does that matched them.
    Insert {
        prompt: Prompt,
        reuse: usize,
        priority: i32,
    },
    /// One slot more or less than there must be.
    InsertWrong {
        prompt: Prompt,
        more: bool,
    },
    Slots {
        handle: usize,
    },
    Lock {
        handle: usize,
    },
    Unlock {
        receipt: usize,
    },
    Evict {
        pages: usize,
    },
    TakeEvents,
    Foreign,
    Reset,
}

const POLICIES: [Policy; 7] = [
    Policy::Lru,
    Policy::Lfu,
    Policy::Fifo,
    Policy::Mru,
    Policy::Filo,
    Policy::Priority,
    Policy::Slru,
];
const PAGE_SIZES: [usize; 8] = [1, 2, 3, 4, 16, 64, 100, 512];
const EVENT_PAGES_MAX: [usize; 4] = [0, 3, 40, 1_000];

pub(crate) fn setups() -> impl Strategy<Value = Setup> {
    let page_sizes = prop_oneof![4 => prop::sample::select(&PAGE_SIZES[..]), 1 => 1usize..=512];
    (
        prop::sample::select(&POLICIES[..]),
        page_sizes,
        any::<bool>(),
        any::<bool>(),
        prop::sample::select(&EVENT_PAGES_MAX[..]),
    )
        .prop_map(
            |(policy, page_size, per_page, fingerprints, event_pages_max)| Setup {
                policy,
                page_size,
                slots: if per_page {
                    SlotsPer::Page
                } else {
                    SlotsPer::Token
                },
                fingerprints,
                event_pages_max,
            },
        )
}

fn prompts() -> impl Strategy<Value = Prompt> {
    (0u64..2, prop::collection::vec(0u32..3, 0..14), 0usize..8).prop_map(
        |(namespace, pages, left_over)| Prompt {
            namespace,
            pages,
            left_over,
        },
    )
}

pub(crate) fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => prompts().prop_map(Op::Match),
        1 => prompts().prop_map(Op::Peek),
        10 => (prompts(), 0usize..14, -2i32..3)
            .prop_map(|(prompt, reuse, priority)| Op::Insert { prompt, reuse, priority }),
        1 => (prompts(), any::<bool>()).prop_map(|(prompt, more)| Op::InsertWrong { prompt, more }),
        3 => any::<usize>().prop_map(|handle| Op::Slots { handle }),
        5 => any::<usize>().prop_map(|handle| Op::Lock { handle }),
        4 => any::<usize>().prop_map(|receipt| Op::Unlock { receipt }),
        5 => (0usize..24).prop_map(|pages| Op::Evict { pages }),
        2 => Just(Op::TakeEvents),
        1 => Just(Op::Foreign),
        1 => Just(Op::Reset),
    ]
}

/// Arbitrary bytes as calls.
struct Bytes<'a>(std::slice::Iter<'a, u8>);

impl Bytes<'_> {
    fn arg(&mut self) -> usize {
        self.0.next().map_or(0, |byte| usize::from(*byte))
    }

    fn prompt(&mut self) -> Prompt {
        let (shape, len) = (self.arg(), self.arg() % 14);
        Prompt {
            namespace: shape as u64 % 2,
            left_over: shape / 2 % 8,
            pages: (0..len).map(|_| self.arg() as u32 % 3).collect(),
        }
    }

    fn setup(&mut self) -> Setup {
        Setup {
            policy: POLICIES[self.arg() % 7],
            page_size: match self.arg() {
                at @ 0..128 => PAGE_SIZES[at % 8],
                at => (at * 3) % 512 + 1,
            },
            slots: [SlotsPer::Token, SlotsPer::Page][self.arg() % 2],
            fingerprints: self.arg() % 2 == 1,
            event_pages_max: EVENT_PAGES_MAX[self.arg() % 4],
        }
    }

    fn op(&mut self, kind: u8) -> Op {
        match kind % 16 {
            0..4 => Op::Match(self.prompt()),
            4..8 => Op::Insert {
                prompt: self.prompt(),
                reuse: self.arg() % 14,
                priority: i32::try_from(self.arg() % 5).expect("less than 5") - 2,
            },
            8 => Op::Slots { handle: self.arg() },
            9 | 10 => Op::Lock { handle: self.arg() },
            11 => Op::Unlock {
                receipt: self.arg(),
            },
            12 | 13 => Op::Evict {
                pages: self.arg() % 24,
            },
            14 => Op::TakeEvents,
            _ => match self.arg() % 8 {
                0 => Op::Reset,
                1 => Op::Foreign,
                at @ 2..5 => Op::InsertWrong {
                    prompt: self.prompt(),
                    more: at == 2,
                },
                _ => Op::Peek(self.prompt()),
            },
        }
    }
}

/// Turns arbitrary bytes into a setup and calls; whatever is missing is 0, and the end of the bytes ends the calls.
pub(crate) fn decode(bytes: &[u8]) -> (Setup, Vec<Op>) {
    let mut bytes = Bytes(bytes.iter());
    let setup = bytes.setup();
    let mut ops = Vec::new();
    while let Some(kind) = bytes.0.next() {
        ops.push(bytes.op(*kind));
    }
    (setup, ops)
}
