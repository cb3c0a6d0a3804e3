//! What the rules of `docs/protocols/engine-events.md` claim, one test per claim.

use std::time::Duration;

use engines::event::encode::{Dialect, Say};
use engines::event::{Lora, decode_trt};
use engines::source::{
    Cause, Command, Input, Output, Source, SourceConfig, SourceSnapshot, Standing, namespace,
};
use radix_core::id::{Namespace, SourceId, Tier};
use radix_core::page::{Fingerprint, FingerprintKey};
use radix_core::time::Timestamp;

const KEY: FingerprintKey = FingerprintKey::new(11);
const SOURCE: SourceId = SourceId(2);

/// A source with pages of 2 tokens, and what came out since last looked at.
struct Stage {
    source: Source,
    out: Vec<Output>,
    now: Timestamp,
}

impl Stage {
    fn new(replay: bool) -> Self {
        Stage::of(Source::new(config(replay)))
    }

    fn of(source: Source) -> Self {
        Stage {
            source,
            out: Vec::new(),
            now: Timestamp(0),
        }
    }

    fn input(&mut self, input: Input<'_>) -> &mut Self {
        self.source.handle(self.now, input, &mut self.out);
        self
    }

    fn live(&mut self, seq: u64, says: &[Say]) -> &mut Self {
        let frames: [&[u8]; 3] = [b"t", &seq.to_be_bytes(), &payload(says)];
        self.input(Input::Live(&frames))
    }

    fn replayed(&mut self, ask: u32, seq: u64, says: &[Say]) -> &mut Self {
        let frames: [&[u8]; 3] = [b"", &seq.to_be_bytes(), &payload(says)];
        let frames = &frames;
        self.input(Input::Replayed { ask, frames })
    }

    fn end(&mut self, ask: u32) -> &mut Self {
        let frames: &[&[u8]] = &[b"", &[0xff; 8], b""];
        self.input(Input::Replayed { ask, frames })
    }

    fn later(&mut self, time: Duration) -> &mut Self {
        self.now = self.now.after(time);
        self.input(Input::Tick)
    }

    fn took(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.out)
    }
}

fn config(replay: bool) -> SourceConfig {
    SourceConfig {
        replay,
        ..SourceConfig::new(SOURCE, KEY, 2)
    }
}

fn payload(says: &[Say]) -> Vec<u8> {
    let mut payload = Vec::new();
    Dialect::VLLM_0_32.write(says, 0, &mut payload);
    payload
}

/// Block `n` holds the tokens `n, n`.
fn stored_in(medium: &'static str, hashes: &[u64], parent: Option<u64>) -> Say {
    Say::Stored {
        hashes: hashes.to_vec(),
        parent,
        tokens: tokens(hashes),
        block_size: 2,
        lora: None,
        salt: None,
        medium,
        group: (0, "full_attention"),
    }
}

fn tokens(blocks: &[u64]) -> Vec<u32> {
    let token = |&block: &u64| [u32::try_from(block).expect("small"); 2];
    blocks.iter().flat_map(token).collect()
}

fn stored(hashes: &[u64], parent: Option<u64>) -> Say {
    stored_in("GPU", hashes, parent)
}

fn removed_from(medium: &'static str, hashes: &[u64]) -> Say {
    Say::Removed {
        hashes: hashes.to_vec(),
        medium,
        group: 0,
    }
}

fn removed(hashes: &[u64]) -> Say {
    removed_from("GPU", hashes)
}

fn path(blocks: &[u64]) -> Vec<Fingerprint> {
    let mut pages = Vec::new();
    KEY.pages(&tokens(blocks), 2, &mut pages);
    pages
}

fn store_at(tier: Tier, blocks: &[u64], from: u32) -> Output {
    Output::Publish(Command::Store {
        source: SOURCE,
        namespace: Namespace::DEFAULT,
        tier,
        pages: path(blocks),
        from,
    })
}

fn store(blocks: &[u64], from: u32) -> Output {
    store_at(Tier::Device, blocks, from)
}

fn evict(blocks: &[u64], from: u32) -> Output {
    Output::Publish(Command::Evict {
        source: SOURCE,
        namespace: Namespace::DEFAULT,
        pages: path(blocks),
        from,
    })
}

fn reset() -> Output {
    Output::Publish(Command::Reset { source: SOURCE })
}

fn asked(ask: u32, from: u64) -> Output {
    Output::AskReplay {
        source: SOURCE,
        ask,
        from,
    }
}

fn standing(standing: Standing, cause: Cause) -> Output {
    Output::Standing {
        source: SOURCE,
        standing,
        cause,
    }
}

/// Exact, with 1 2 3 taken in by batch 0.
fn begun(replay: bool) -> Stage {
    let mut stage = Stage::new(replay);
    stage.live(0, &[stored(&[1, 2, 3], None)]);
    assert_eq!(
        stage.took(),
        [
            store(&[1, 2, 3], 0),
            standing(Standing::Exact, Cause::Began)
        ]
    );
    stage
}

#[test]
fn the_trace_of_the_document_is_what_happens() {
    let mut stage = Stage::new(true);
    stage.live(0, &[stored(&[1, 2], None)]).took();
    assert_eq!(stage.live(1, &[removed(&[1])]).took(), [evict(&[1], 0)]);
    let again = [stored(&[1], None)];
    assert_eq!(stage.live(2, &again).took(), [store(&[1], 0)]);
    assert_eq!(
        stage.live(4, &[stored(&[3], Some(2))]).took(),
        [asked(1, 2), standing(Standing::Syncing, Cause::Gap)]
    );
    stage.replayed(1, 2, &again).replayed(1, 3, &[]);
    assert_eq!(stage.took()[0], store(&[1, 2, 3], 2));
    stage.replayed(1, 4, &[stored(&[3], Some(2))]).end(1);
    assert_eq!(stage.source.standing(), Standing::Exact);
    stage.took();
    assert_eq!(
        stage.live(0, &[stored(&[9], None)]).took(),
        [reset(), store(&[9], 0)]
    );
}

#[test]
fn a_removal_takes_one_copy() {
    let mut stage = begun(false);
    assert_eq!(stage.live(1, &[stored(&[1, 2], None)]).took(), []);
    assert_eq!(stage.live(2, &[removed(&[2])]).took(), []);
    assert_eq!(stage.live(3, &[removed(&[2])]).took(), [evict(&[1, 2], 1)]);
    assert_eq!(stage.live(4, &[removed(&[2])]).took(), []);
    assert_eq!(stage.source.counters().unknown_removed, 1);
}

#[test]
fn removals_along_a_path_are_one_command_in_any_order() {
    for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1]] {
        let says: Vec<Say> = order.iter().map(|&block| removed(&[block])).collect();
        assert_eq!(begun(false).live(1, &says).took(), [evict(&[1, 2, 3], 0)]);
    }
    let swap = [removed(&[3]), stored(&[3], Some(2))];
    assert_eq!(
        begun(false).live(1, &swap).took(),
        [],
        "gone and back is nothing"
    );
}

#[test]
fn a_host_copy_outlives_the_device_copy() {
    let mut stage = begun(false);
    let tokenless = Say::Stored {
        hashes: vec![1, 2, 77],
        parent: None,
        tokens: vec![],
        block_size: 0,
        lora: None,
        salt: None,
        medium: "cpu",
        group: (0, "full_attention"),
    };
    assert_eq!(
        stage.live(1, &[tokenless]).took(),
        [store_at(Tier::Host, &[1, 2], 0)]
    );
    assert_eq!(stage.source.counters().unknown_stored, 1);
    assert_eq!(
        stage.live(2, &[removed(&[3, 2, 1])]).took(),
        [evict(&[1, 2, 3], 0), store_at(Tier::Host, &[1, 2], 0)]
    );
    assert_eq!(
        stage.live(3, &[removed_from("CPU", &[1, 2])]).took(),
        [evict(&[1, 2], 0)]
    );
    assert_eq!(stage.source.stats().blocks, 0, "nothing is left of it");
}

#[test]
fn what_lies_elsewhere_or_keeps_only_a_window_is_not_claimed() {
    let mut stage = begun(false);
    let group = |hashes: &[u64], group| match stored(hashes, None) {
        Say::Stored {
            hashes,
            parent,
            tokens,
            block_size,
            lora,
            salt,
            medium,
            ..
        } => Say::Stored {
            hashes,
            parent,
            tokens,
            block_size,
            lora,
            salt,
            medium,
            group,
        },
        other => other,
    };
    let says = [
        stored_in("EXTERNAL", &[8], None),
        group(&[9], (1, "sliding_window")),
        group(&[9], (0, "something_new")),
        Say::Removed {
            hashes: vec![1],
            medium: "GPU",
            group: 1,
        },
    ];
    assert_eq!(stage.live(1, &says).took(), []);
    let counters = stage.source.counters();
    assert_eq!((counters.elsewhere, counters.partial_attention), (1, 2));
}

#[test]
fn a_page_needs_every_full_group_that_reported_it() {
    let mut stage = begun(false);
    let second = Say::Stored {
        hashes: vec![1],
        parent: None,
        tokens: tokens(&[1]),
        block_size: 2,
        lora: None,
        salt: None,
        medium: "GPU",
        group: (2, "full_attention"),
    };
    let gone = Say::Removed {
        hashes: vec![1],
        medium: "GPU",
        group: 2,
    };
    assert_eq!(stage.live(1, std::slice::from_ref(&second)).took(), []);
    assert_eq!(stage.live(2, &[gone]).took(), [evict(&[1], 0)]);
    assert_eq!(stage.live(3, &[second]).took(), [store(&[1], 0)]);
}

#[test]
fn adapters_and_salts_are_namespaces() {
    for dialect in [
        Dialect::VLLM_0_22,
        Dialect::VLLM_0_32,
        Dialect::SGLANG_0_5_23,
    ] {
        let mut stage = Stage::new(false);
        let say = |hash, parent, lora: Option<&str>, salt: Option<&str>| Say::Stored {
            hashes: vec![hash],
            parent,
            tokens: tokens(&[1]),
            block_size: 2,
            lora: lora.map(str::to_owned),
            salt: salt.map(str::to_owned),
            medium: "GPU",
            group: (0, "full_attention"),
        };
        let says = [
            say(1, None, None, None),
            say(2, None, Some("sql"), None),
            say(3, None, None, Some("t")),
            say(4, None, Some("sql"), Some("t")),
            say(5, Some(4), Some("sql"), Some("t")),
        ];
        let mut payload = Vec::new();
        dialect.write(&says, 0, &mut payload);
        stage.input(Input::Live(&[b"", &[0; 8], &payload]));
        let sql = Lora::Name("sql".to_owned());
        let mut expected = Vec::new();
        for (lora, salt, pages) in [
            (None, None, 1),
            (Some(&sql), None, 1),
            (None, Some("t"), 1),
            (Some(&sql), Some("t"), 2),
        ] {
            expected.push((namespace(KEY, "", lora, salt), path(&[1, 1][..pages])));
        }
        let mut told: Vec<_> = stage
            .took()
            .into_iter()
            .filter_map(|output| match output {
                Output::Publish(Command::Store {
                    namespace, pages, ..
                }) => Some((namespace, pages)),
                _ => None,
            })
            .collect();
        told.sort();
        expected.sort();
        assert_eq!(told, expected, "{dialect:?}");
    }
}

#[test]
fn an_orphan_waits_for_its_parent_and_is_no_root() {
    let mut stage = begun(false);
    assert_eq!(
        stage
            .live(1, &[stored(&[6, 7], Some(5)), stored(&[8], Some(7))])
            .took(),
        []
    );
    assert_eq!(stage.source.stats().orphans, 3);
    assert_eq!(stage.live(2, &[removed(&[6])]).took(), []);
    assert_eq!(
        stage.live(3, &[stored(&[5], Some(3))]).took().len(),
        2,
        "5, and 7 8 behind a hole"
    );
    assert_eq!(stage.source.stats().orphans, 0);
    assert_eq!(
        stage.live(4, &[stored(&[6], Some(5))]).took(),
        [store(&[1, 2, 3, 5, 6], 4)]
    );
}

#[test]
fn a_gap_that_cannot_be_closed_drops_claims_and_keeps_names() {
    let mut stage = begun(true);
    stage.live(20, &[stored(&[4], Some(3))]);
    assert_eq!(
        stage.took(),
        [asked(1, 0), standing(Standing::Syncing, Cause::Gap)]
    );
    // The publisher begins with 18: too late.
    stage
        .replayed(1, 18, &[])
        .replayed(1, 19, &[])
        .replayed(1, 20, &[stored(&[4], Some(3))])
        .end(1);
    assert_eq!(
        stage.took(),
        [
            reset(),
            store(&[1, 2, 3, 4], 0),
            standing(Standing::Degraded, Cause::CaughtUp)
        ],
        "whoever continues 3 holds 1 2 3"
    );
    assert_eq!(stage.source.counters().inferred_blocks, 3);
    // A second report is no second copy while something may have gone unseen.
    assert_eq!(stage.live(21, &[stored(&[1, 2, 3, 4], None)]).took(), []);
    assert_eq!(
        stage.live(22, &[removed(&[4])]).took(),
        [evict(&[1, 2, 3, 4], 3)]
    );
    assert_eq!(
        stage.live(23, &[Say::Cleared]).took(),
        [reset(), standing(Standing::Exact, Cause::Cleared)]
    );
}

#[test]
fn without_a_replay_a_gap_degrades_at_once() {
    let mut stage = begun(false);
    assert_eq!(
        stage.live(2, &[stored(&[2], Some(1))]).took(),
        [
            reset(),
            store(&[1, 2], 0),
            standing(Standing::Degraded, Cause::Lost)
        ]
    );
    assert_eq!(stage.source.next_deadline(), None, "nothing is to be asked");
}

#[test]
fn the_last_batch_is_asked_for_when_it_is_quiet() {
    let mut stage = begun(true);
    assert_eq!(stage.later(Duration::from_millis(999)).took(), []);
    assert_eq!(stage.later(Duration::from_millis(1)).took(), [asked(1, 0)]);
    assert_eq!(
        stage.source.standing(),
        Standing::Exact,
        "a question is no doubt"
    );
    stage.replayed(1, 0, &[stored(&[1, 2, 3], None)]);
    stage.replayed(1, 1, &[removed(&[3])]).end(1);
    assert_eq!(
        stage.took(),
        [evict(&[1, 2, 3], 2)],
        "the last batch had got lost"
    );
    // Nothing new: the next questions come later and later.
    let mut waits = Vec::new();
    for ask in 2..8 {
        let due = stage.source.next_deadline().expect("polls go on");
        waits.push(due.since(stage.now).as_secs());
        let wait = due.since(stage.now);
        assert_eq!(stage.later(wait).took(), [asked(ask, 1)]);
        stage.replayed(ask, 1, &[removed(&[3])]).end(ask);
    }
    assert_eq!(waits, [1, 2, 4, 8, 15, 15]);
}

#[test]
fn another_life_shows_in_its_last_batch_or_in_its_absence() {
    let quiet = Duration::from_secs(1);
    let mut stage = begun(true);
    stage.later(quiet).took();
    stage.replayed(1, 0, &[stored(&[7], None)]);
    assert_eq!(
        stage.took(),
        [
            reset(),
            asked(2, 0),
            standing(Standing::Syncing, Cause::Restarted)
        ]
    );
    stage.replayed(2, 0, &[stored(&[7], None)]).end(2);
    assert_eq!(
        stage.took(),
        [store(&[7], 0), standing(Standing::Exact, Cause::CaughtUp)]
    );

    let mut stage = begun(true);
    stage.later(quiet).took();
    stage.end(1);
    assert_eq!(
        stage.took(),
        [
            reset(),
            asked(2, 0),
            standing(Standing::Syncing, Cause::Restarted)
        ]
    );
    stage.end(2);
    assert_eq!(stage.took(), [standing(Standing::Exact, Cause::CaughtUp)]);

    let mut stage = begun(true);
    assert_eq!(
        stage.live(0, &[stored(&[7], None)]).took(),
        [reset(), store(&[7], 0)],
        "number 0 again, and another"
    );
    assert_eq!(
        stage.live(0, &[stored(&[7], None)]).took(),
        [],
        "number 0 again, and the same"
    );
}

#[test]
fn after_a_reconnect_nothing_is_taken_in_before_the_publisher_is_known() {
    let mut stage = begun(true);
    stage.input(Input::Connected);
    assert_eq!(
        stage.took(),
        [asked(1, 0), standing(Standing::Syncing, Cause::Gap)]
    );
    assert_eq!(stage.live(1, &[stored(&[4], None)]).took(), []);
    stage.replayed(1, 0, &[stored(&[1, 2, 3], None)]);
    assert_eq!(stage.took(), [store(&[4], 0)]);
    stage.end(1);
    assert_eq!(stage.took(), [standing(Standing::Exact, Cause::CaughtUp)]);
}

#[test]
fn a_replay_that_never_answers_is_asked_for_again_and_then_given_up() {
    let mut stage = begun(true);
    stage.live(2, &[]);
    for ask in 1..=5 {
        assert_eq!(stage.took()[0], asked(ask, 0));
        stage.later(Duration::from_secs(2));
    }
    assert_eq!(
        stage.took(),
        [reset(), standing(Standing::Degraded, Cause::Lost)]
    );
    stage.end(5);
    assert_eq!(
        stage.source.counters().odd_messages,
        1,
        "an answer of the past"
    );
}

#[test]
fn a_snapshot_is_published_when_the_publisher_proved_to_be_the_same() {
    let mut stage = begun(true);
    stage.live(1, &[stored_in("CPU", &[1], None), removed(&[3])]);
    let bytes = postcard::to_allocvec(&stage.source.snapshot()).expect("memory");
    let snapshot: SourceSnapshot = postcard::from_bytes(&bytes).expect("was written");
    let restored = || Stage::of(Source::restore(config(true), &snapshot).expect("own"));
    let last = [stored_in("CPU", &[1], None), removed(&[3])];

    let mut same = restored();
    assert_eq!(same.later(Duration::ZERO).took(), [asked(1, 1)]);
    assert_eq!(same.live(2, &[stored(&[5], Some(2))]).took(), [], "not yet");
    same.replayed(1, 1, &last);
    assert_eq!(
        same.took(),
        [
            store(&[1, 2], 0),
            store_at(Tier::Host, &[1], 0),
            store(&[1, 2, 5], 2)
        ]
    );
    same.end(1);
    assert_eq!(same.took(), [standing(Standing::Exact, Cause::CaughtUp)]);

    let mut other = restored();
    other.later(Duration::ZERO).took();
    other.replayed(1, 1, &[]);
    assert_eq!(
        other.took(),
        [asked(2, 0)],
        "nothing was told, nothing is reset"
    );

    let mut late = restored();
    late.later(Duration::ZERO).took();
    late.replayed(1, 9, &[stored(&[5], Some(2))]).end(1);
    assert_eq!(
        late.took(),
        [
            store(&[1, 2, 5], 0),
            standing(Standing::Degraded, Cause::CaughtUp)
        ],
        "the names are what is left"
    );
    let foreign = SourceConfig {
        page_size: 4,
        ..config(true)
    };
    assert!(Source::restore(foreign, &snapshot).is_err());
}

#[test]
fn tensorrt_events_are_numbered_one_by_one_and_by_rank() {
    let mut stage = Stage::of(Source::new(SourceConfig {
        rank: Some(1),
        ..config(false)
    }));
    let mut drained = |json: &str| {
        let events = decode_trt(json.as_bytes()).expect("JSON");
        stage.input(Input::Drained(&events)).took()
    };
    let page = |n: u32| format!(r#"[{{"token_id":{n},"token_extra_id":0}},{{"token_id":{n}}}]"#);
    let (one, two) = (page(1), page(2));
    assert_eq!(
        drained(&format!(
            r#"[{{"event_id":0,"attention_dp_rank":1,"window_size":512,"data":{{"type":"created"}}}},
            {{"event_id":1,"attention_dp_rank":1,"window_size":512,"data":{{"type":"stored","parent_hash":null,"blocks":[
              {{"block_hash":1,"tokens":{one},"cache_level":0}},{{"block_hash":2,"tokens":{two},"cache_level":0}}]}}}},
            {{"event_id":1,"attention_dp_rank":0,"window_size":512,"data":{{"type":"removed","block_hashes":[1]}}}},
            {{"event_id":2,"attention_dp_rank":1,"window_size":64,"data":{{"type":"removed","block_hashes":[1]}}}}]"#
        )),
        [store(&[1, 2], 0), standing(Standing::Exact, Cause::Began)]
    );
    let down = r#"[{"event_id":3,"attention_dp_rank":1,"window_size":512,"data":{"type":"updated","block_hash":2,"cache_level":{"old_value":0,"new_value":1}}}]"#;
    assert_eq!(
        drained(down),
        [evict(&[1, 2], 1), store_at(Tier::Host, &[1, 2], 1)]
    );
    assert_eq!(drained(down), [], "drained twice");
    let gone = r#"[{"event_id":4,"attention_dp_rank":1,"window_size":512,"data":{"type":"removed","block_hashes":[2,1]}}]"#;
    assert_eq!(drained(gone), [evict(&[1, 2], 0)]);
    let gap = r#"[{"event_id":9,"attention_dp_rank":1,"data":{"type":"new_kind"}}]"#;
    assert_eq!(
        drained(gap),
        [reset(), standing(Standing::Degraded, Cause::Lost)]
    );
    let again = r#"[{"event_id":0,"attention_dp_rank":1,"data":{"type":"created"}}]"#;
    assert_eq!(
        drained(again),
        [standing(Standing::Exact, Cause::Restarted)]
    );
}

#[test]
fn pages_that_several_blocks_hold_go_with_the_last_of_them() {
    // Blocks of 4 tokens, pages of 2: two blocks that differ in their second half share a page.
    let mut stage = Stage::new(false);
    let say = |hash, blocks: &[u64]| Say::Stored {
        hashes: vec![hash],
        parent: None,
        tokens: tokens(blocks),
        block_size: 4,
        lora: None,
        salt: None,
        medium: "GPU",
        group: (0, "full_attention"),
    };
    stage.live(0, &[say(1, &[1, 2])]).took();
    assert_eq!(
        stage.live(1, &[say(2, &[1, 3])]).took(),
        [store(&[1, 3], 1)]
    );
    assert_eq!(stage.live(2, &[removed(&[1])]).took(), [evict(&[1, 2], 1)]);
    assert_eq!(stage.live(3, &[removed(&[2])]).took(), [evict(&[1, 3], 0)]);
}
