//! One log of one rank, folded op by op in the plainest way. Copies are never taken out: each knows
//! when it was born and when it died, so the state after *any* op can be asked for.

use oplog::{Batch, Insert, Op, Parent};
use radix_core::id::{CopyId, OriginId, Seq, SourceId, Tier};
use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::trie::{PlaceId, Resident, Trie};
use crate::violation::Violation;

/// What a replica must report after an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digests {
    pub(crate) chain: u64,
    pub(crate) set: u64,
    /// Live copies.
    pub(crate) copies: u64,
}

impl Digests {
    fn empty(origin: OriginId) -> Digests {
        Digests {
            chain: chain_start(origin),
            set: 0,
            copies: 0,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Copy {
    /// Its name inside the log; after a new incarnation older than the log's first op.
    pub(crate) seq: Seq,
    pub(crate) idx: u16,
    pub(crate) source: SourceId,
    pub(crate) tier: Tier,
    pub(crate) place: PlaceId,
    /// The op after which it is there.
    born: Seq,
    /// The op after which it is not there any more.
    died: Option<Seq>,
}

impl Copy {
    pub(crate) fn is_live_after(&self, seq: Seq) -> bool {
        self.born <= seq && self.died.is_none_or(|died| seq < died)
    }
}

/// A copy that died within so many ops is always looked at.
const LATELY_OPS: u64 = 64;

/// A log as its origin wrote it.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) origin: OriginId,
    /// Number of this life among those of its rank.
    number: u32,
    /// The position at which the log begins: 0, or where the incarnation before was given up.
    base: Seq,
    /// After `base`, `base + 1`, ..
    digests: Vec<Digests>,
    /// Hashes of the ops' bytes: that of op `base + 1` first.
    ops: Vec<u64>,
    copies: Vec<Copy>,
    names: FxHashMap<(Seq, u16), u32>,
}

impl Life {
    /// The empty log of a new life.
    pub(crate) fn new(origin: OriginId, number: u32) -> Life {
        Life {
            origin,
            number,
            base: Seq::ZERO,
            digests: vec![Digests::empty(origin)],
            ops: Vec::new(),
            copies: Vec::new(),
            names: FxHashMap::default(),
        }
    }

    /// The same copies and position under a new incarnation.
    pub(crate) fn renamed(&self, origin: OriginId, number: u32, trie: &mut Trie) -> Life {
        let base = self.last();
        let mut life = Life::new(origin, number);
        life.base = base;
        let head = self.digests.last().expect("a log has a digest at its base");
        life.digests[0] = Digests {
            chain: chain_start(origin),
            ..*head
        };
        for copy in self.copies.iter().filter(|copy| copy.is_live_after(base)) {
            life.add(
                Copy {
                    born: base,
                    ..*copy
                },
                trie,
            );
        }
        life
    }

    pub(crate) fn last(&self) -> Seq {
        Seq(self.base.0 + self.ops.len() as u64)
    }

    /// Returns what a replica must report after op `seq`, if the origin ever wrote it. At 0 it knows nothing yet.
    pub(crate) fn after(&self, seq: Seq) -> Option<Digests> {
        if seq == Seq::ZERO {
            return Some(Digests::empty(self.origin));
        }
        let index = seq.0.checked_sub(self.base.0)?;
        self.digests.get(usize::try_from(index).ok()?).copied()
    }

    pub(crate) fn copy(&self, number: u32) -> &Copy {
        &self.copies[number as usize]
    }

    /// Returns copies with their names, and whether they are live after `seq`: all that are or died lately, and of
    /// those long dead each eighth, beginning at the `phase`-th.
    pub(crate) fn copies_after(
        &self,
        seq: Seq,
        phase: usize,
    ) -> impl Iterator<Item = (CopyId, bool)> + '_ {
        let lately = seq.0.saturating_sub(LATELY_OPS);
        let looked_at = move |(number, copy): &(usize, &Copy)| {
            let long_dead = copy.died.is_some_and(|died| died.0 < lately);
            !long_dead || (number + phase).is_multiple_of(8)
        };
        let copies = self.copies.iter().enumerate().filter(looked_at);
        copies.map(move |(_, copy)| {
            let name = CopyId {
                origin: self.origin,
                seq: copy.seq,
                idx: copy.idx,
            };
            (name, copy.is_live_after(seq))
        })
    }

    /// Takes what the origin wrote; ops it already wrote must be the same.
    pub(crate) fn append(&mut self, batch: &Batch, trie: &mut Trie) -> Result<(), Violation> {
        let mut seq = batch.first;
        for op in batch.ops() {
            let (op, range) = op.map_err(|error| Violation::BadLog {
                origin: self.origin,
                seq,
                reason: error.to_string(),
            })?;
            let bytes = &batch.ops[range];
            if seq <= self.last() {
                self.check_again(seq, bytes)?;
            } else if seq == self.last().next() {
                self.fold(seq, &op, bytes, trie);
            } else {
                return Err(Violation::LogGap {
                    origin: self.origin,
                    last: self.last(),
                    next: seq,
                });
            }
            seq = seq.next();
        }
        Ok(())
    }

    fn check_again(&self, seq: Seq, bytes: &[u8]) -> Result<(), Violation> {
        let known = seq
            .0
            .checked_sub(self.base.0 + 1)
            .and_then(|index| self.ops.get(usize::try_from(index).ok()?));
        if known == Some(&xxh3_64(bytes)) {
            Ok(())
        } else {
            Err(Violation::Equivocation {
                origin: self.origin,
                seq,
            })
        }
    }

    fn fold(&mut self, seq: Seq, op: &Op, bytes: &[u8], trie: &mut Trie) {
        let before = *self.digests.last().expect("a log has a digest at its base");
        self.digests.push(Digests {
            chain: xxh3_64_with_seed(bytes, before.chain),
            ..before
        });
        self.ops.push(xxh3_64(bytes));
        match op {
            Op::Insert(insert) => self.insert(seq, insert, trie),
            Op::Remove { copies } => {
                for range in copies {
                    for idx in range.idx..range.idx.saturating_add(range.len) {
                        if let Some(&number) = self.names.get(&(range.seq, idx)) {
                            self.kill(number, seq, trie);
                        }
                    }
                }
            }
            Op::ResetSource { source } => {
                for number in 0..self.copies.len() {
                    if self.copies[number].source == *source {
                        self.kill(number as u32, seq, trie);
                    }
                }
            }
            Op::Checkpoint { .. } => {}
        }
    }

    fn insert(&mut self, seq: Seq, insert: &Insert, trie: &mut Trie) {
        let (namespace, mut parent) = match &insert.parent {
            Parent::Root(namespace) => (*namespace, None),
            Parent::Copy { seq: named, idx } => {
                let live = self
                    .names
                    .get(&(*named, *idx))
                    .map(|&number| self.copy(number));
                let Some(copy) = live.filter(|copy| copy.died.is_none()) else {
                    return;
                };
                (trie.namespace(copy.place), Some(copy.place))
            }
            Parent::Path { namespace, pages } => {
                let mut place = None;
                for &page in &pages.0 {
                    place = Some(trie.enter(*namespace, place, page));
                }
                (*namespace, place)
            }
        };
        for (idx, &page) in (0..).zip(&insert.pages.0) {
            let place = trie.enter(namespace, parent, page);
            parent = Some(place);
            let copy = Copy {
                seq,
                idx,
                source: insert.source,
                tier: insert.tier,
                place,
                born: seq,
                died: None,
            };
            self.add(copy, trie);
            let head = self.digests.last_mut().expect("pushed by fold");
            head.set = head.set.wrapping_add(copy_digest(&copy, trie));
            head.copies += 1;
        }
    }

    fn add(&mut self, copy: Copy, trie: &mut Trie) {
        let number = u32::try_from(self.copies.len()).expect("a run stores far fewer copies");
        self.names.insert((copy.seq, copy.idx), number);
        trie.settle(
            copy.place,
            Resident {
                rank: self.origin.rank.0,
                life: self.number,
                copy: number,
            },
        );
        self.copies.push(copy);
    }

    fn kill(&mut self, number: u32, seq: Seq, trie: &Trie) {
        let copy = &mut self.copies[number as usize];
        if copy.died.is_none() {
            copy.died = Some(seq);
            let digest = copy_digest(copy, trie);
            let head = self.digests.last_mut().expect("pushed by fold");
            head.set = head.set.wrapping_sub(digest);
            head.copies -= 1;
        }
    }
}

/// spec: OPLOG-12, written from the text.
fn chain_start(origin: OriginId) -> u64 {
    let mut bytes = [0; 10];
    bytes[..2].copy_from_slice(&origin.rank.0.to_le_bytes());
    bytes[2..].copy_from_slice(&origin.inc.0.to_le_bytes());
    xxh3_64(&bytes)
}

/// What one live copy adds to the set digest, written once more from the description in `radix-core`.
fn copy_digest(copy: &Copy, trie: &Trie) -> u64 {
    let place = u64::from(copy.source.0) << 8 | copy.tier as u64;
    let name = fold(copy.seq.0 ^ PI[0], place ^ PI[1]);
    let name = fold(name ^ PI[2], trie.namespace(copy.place).0 ^ PI[3]);
    let at = u64::from(copy.idx) << 32 | u64::from(trie.depth(copy.place));
    let page = fold(trie.fingerprint(copy.place).0 ^ name, at ^ PI[4]);
    fold(page ^ PI[5], name ^ at)
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// The fraction of pi, 64 bits at a time.
const PI: [u64; 6] = [
    0x243f_6a88_85a3_08d3,
    0x1319_8a2e_0370_7344,
    0xa409_3822_299f_31d0,
    0x082e_fa98_ec4e_6c89,
    0x4528_21e6_38d0_1377,
    0xbe54_66cf_34e9_0c6c,
];
