//! What no engine sends: bounds hold, and every input has an answer.

use std::time::Duration;

use engines::event::encode::{Dialect, Say};
use engines::event::{Batch, Live, Replayed, decode_trt, peek_rank};
use engines::limits::{ORPHANS_MAX, PENDING_BATCHES_MAX, PENDING_BYTES_MAX};
use engines::source::{Input, Output, Source, SourceConfig, SourceSnapshot, Standing};
use fastrand::Rng;
use radix_core::id::SourceId;
use radix_core::page::FingerprintKey;
use radix_core::time::Timestamp;

const KEY: FingerprintKey = FingerprintKey::new(3);

fn source(blocks_max: usize, replay: bool) -> Source {
    Source::new(SourceConfig {
        blocks_max,
        replay,
        ..SourceConfig::new(SourceId(1), KEY, 4)
    })
}

fn live(source: &mut Source, seq: u64, says: &[Say]) -> Vec<Output> {
    let mut payload = Vec::new();
    Dialect::VLLM_0_32.write(says, 0, &mut payload);
    let (mut out, seq) = (Vec::new(), seq.to_be_bytes());
    source.handle(Timestamp(0), Input::Live(&[b"", &seq, &payload]), &mut out);
    out
}

fn stored(hash: u64, parent: Option<u64>, blocks: u64, medium: &'static str) -> Say {
    Say::Stored {
        hashes: (hash..hash + blocks).collect(),
        parent,
        tokens: (0..4 * blocks)
            .map(|token| u32::try_from(hash % 1_000_000 + token).expect("small"))
            .collect(),
        block_size: 4,
        lora: None,
        salt: None,
        medium,
        group: (0, "full_attention"),
    }
}

#[test]
fn orphans_without_end_are_forgotten_from_the_oldest_on() {
    let mut source = source(1 << 20, false);
    for seq in 0..300u64 {
        let says: Vec<Say> = (0..10)
            .map(|nth| stored((seq * 10 + nth) << 20, Some(u64::MAX - seq), 40, "GPU"))
            .collect();
        assert_eq!(
            live(&mut source, seq, &says)[..]
                .iter()
                .filter(|o| matches!(o, Output::Publish(_)))
                .count(),
            0
        );
        assert!(source.stats().orphans <= ORPHANS_MAX);
        assert_eq!(source.stats().blocks, source.stats().orphans);
    }
    let forgotten = source.counters().forgotten_orphans;
    assert_eq!(forgotten as usize + source.stats().orphans, 300 * 10 * 40);
    assert!(forgotten > 0);
    // The newest are still there and find their parent.
    let out = live(&mut source, 300, &[stored(u64::MAX - 299, None, 1, "GPU")]);
    assert!(out.len() >= 10, "all that waited are told: {}", out.len());
    assert_eq!(source.counters().adopted_blocks, 400);
}

#[test]
fn orphans_that_continue_each_other_in_a_ring_are_no_path() {
    for last in [1, 2, 3] {
        let mut source = source(1000, false);
        live(&mut source, 0, &[stored(1, Some(99), 1, "GPU")]);
        live(
            &mut source,
            1,
            &[stored(2, Some(1), 1, "GPU"), stored(3, Some(2), 1, "GPU")],
        );
        live(
            &mut source,
            2,
            &[
                stored(99, Some(3), 1, "GPU"),
                stored(1, Some(last), 1, "GPU"),
            ],
        );
        live(
            &mut source,
            3,
            &[stored(1, None, 1, "GPU"), stored(2, Some(1), 1, "GPU")],
        );
        live(
            &mut source,
            4,
            &[Say::Removed {
                hashes: vec![1, 2, 3, 99],
                medium: "GPU",
                group: 0,
            }],
        );
        assert!(source.stats().blocks <= 4);
    }
}

#[test]
fn orphans_that_came_before_their_orphaned_parents_are_adopted_with_them() {
    let mut source = source(1000, false);
    live(&mut source, 0, &[stored(30, Some(20), 1, "GPU")]);
    live(&mut source, 1, &[stored(20, Some(10), 1, "GPU")]);
    assert_eq!(source.stats().orphans, 2);
    let out = live(&mut source, 2, &[stored(10, None, 1, "GPU")]);
    assert_eq!(out.len(), 1, "one path: {out:?}");
    assert_eq!((source.stats().orphans, source.stats().blocks), (0, 3));
}

#[test]
fn blocks_beyond_the_limit_are_refused_and_the_source_says_so() {
    let mut source = source(1000, false);
    for seq in 0..50 {
        live(&mut source, seq, &[stored(seq << 20, None, 64, "GPU")]);
        assert!(source.stats().blocks <= 1000);
    }
    assert_eq!(source.standing(), Standing::Degraded);
    assert!(source.counters().refused_blocks > 0);
    let removed = Say::Removed {
        hashes: (0..64).collect(),
        medium: "GPU",
        group: 0,
    };
    live(&mut source, 50, &[removed]);
    let before = source.counters().refused_blocks;
    live(&mut source, 51, &[stored(99 << 20, None, 64, "GPU")]);
    assert_eq!(
        source.counters().refused_blocks,
        before,
        "there is room again"
    );
}

#[test]
fn names_that_nobody_holds_make_room_for_new_ones() {
    let mut source = source(1000, false);
    live(&mut source, 0, &[stored(1 << 20, None, 900, "GPU")]);
    // A gap: all 900 are names now.
    live(&mut source, 5, &[]);
    assert_eq!(source.stats().blocks, 900);
    live(&mut source, 6, &[stored(2 << 20, None, 400, "GPU")]);
    assert_eq!(source.counters().refused_blocks, 0);
    assert!(source.stats().blocks <= 1000);
}

#[test]
fn a_gap_keeps_no_more_than_its_bounds() {
    let mut source = source(1 << 20, true);
    live(&mut source, 0, &[]);
    for seq in 0..PENDING_BATCHES_MAX as u64 + 10 {
        live(&mut source, 2 + seq, &[]);
        assert!(source.stats().pending_batches <= PENDING_BATCHES_MAX);
    }
    assert_eq!(
        source.counters().gaps_lost,
        1,
        "what is missing is given up"
    );
    assert_eq!(source.standing(), Standing::Degraded);
    let payload = vec![0; 16 << 20];
    let mut out = Vec::new();
    for seq in 0..8u64 {
        let seq = (1 << 40) + seq;
        source.handle(
            Timestamp(0),
            Input::Live(&[b"", &seq.to_be_bytes(), &payload]),
            &mut out,
        );
        assert!(source.stats().pending_bytes <= PENDING_BYTES_MAX);
    }
}

#[test]
fn a_block_that_ends_inside_a_page_has_a_bounded_number_of_next_ones() {
    let one = |hash: u64, parent, token: u32| Say::Stored {
        hashes: vec![hash],
        parent,
        tokens: vec![token],
        block_size: 1,
        lora: None,
        salt: None,
        medium: "GPU",
        group: (0, "full_attention"),
    };
    let mut source = source(1 << 20, false);
    live(&mut source, 0, &[one(1, None, 1)]);
    let says: Vec<Say> = (0..5000)
        .map(|nth| one(10 + nth, Some(1), 10 + nth as u32))
        .collect();
    live(&mut source, 1, &says);
    assert_eq!(source.stats().blocks, 1 + 4096);
    assert_eq!(source.standing(), Standing::Degraded);
}

#[test]
fn a_snapshot_that_was_changed_is_refused_or_read_but_never_breaks() {
    let mut source = source(1 << 20, true);
    live(
        &mut source,
        0,
        &[stored(1, None, 8, "GPU"), stored(100, Some(3), 4, "CPU")],
    );
    let config = source.config().clone();
    let bytes = postcard::to_allocvec(&source.snapshot()).expect("memory");
    let mut read = 0;
    for at in 0..bytes.len() {
        for change in [1, 0x7f, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            let Ok(snapshot) = postcard::from_bytes::<SourceSnapshot>(&changed) else {
                continue;
            };
            if let Ok(mut source) = Source::restore(config.clone(), &snapshot) {
                read += 1;
                let mut out = Vec::new();
                source.handle(Timestamp(1), Input::Tick, &mut out);
                live(&mut source, 1, &[stored(200, Some(4), 2, "GPU")]);
            }
        }
    }
    assert!(read > 0, "names may be changed without a contradiction");
}

#[test]
fn random_bytes_in_every_place_are_answered() {
    let mut rng = Rng::with_seed(5);
    let mut source = source(500, true);
    let (mut out, mut now) = (Vec::new(), Timestamp(0));
    for _ in 0..20_000 {
        now = now.after(Duration::from_millis(rng.u64(..700)));
        let hash = rng.u64(..30);
        let mut payload = Vec::new();
        let parent = rng.bool().then(|| rng.u64(..30));
        let mut say = stored(hash, parent, rng.u64(1..4), "GPU");
        if let Say::Stored {
            block_size, tokens, ..
        } = &mut say
        {
            *block_size = rng.u32(..6);
            tokens.truncate(rng.usize(..14));
        }
        let removed = Say::Removed {
            hashes: vec![rng.u64(..30)],
            medium: "GPU",
            group: rng.u32(..40),
        };
        let dialect = [Dialect::VLLM_0_32, Dialect::VLLM_0_22][rng.usize(..2)];
        dialect.write(&[say, removed], 0, &mut payload);
        if rng.u8(..4) == 0 && !payload.is_empty() {
            let at = rng.usize(..payload.len());
            payload[at] = rng.u8(..);
        }
        let seq = rng.u64(..40).to_be_bytes();
        let frames: [&[u8]; 3] = [b"t", &seq, &payload];
        let ask = rng.u32(..8) + source.counters().replays as u32;
        let input = match rng.u8(..12) {
            0 => Input::Tick,
            1 => Input::Connected,
            2 => Input::ReplayFailed { ask },
            3 => Input::Replayed {
                ask: ask.saturating_sub(4),
                frames: &[b"", &[0xff; 8], b""],
            },
            4..7 => Input::Replayed {
                ask: ask.saturating_sub(4),
                frames: &frames,
            },
            7 => Input::Live(&frames[..rng.usize(..3)]),
            _ => Input::Live(&frames),
        };
        source.handle(now, input, &mut out);
        assert!(source.stats().blocks <= 500);
        out.clear();
    }
}

#[test]
fn fuzzed_bytes_are_read_or_refused() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let _ = peek_rank(bytes);
        if let Ok(batch) = Batch::open(bytes) {
            assert!(batch.count() <= bytes.len());
        }
        let _ = decode_trt(bytes);
        let half = bytes.split_at(bytes.len() / 2);
        let _ = Live::parse(&[half.0, half.1, bytes]);
        let _ = Replayed::parse(&[half.0, half.1]);
        // Behind a head that is right, more of the decoder is reached.
        let mut batch = b"\x92\xc0\x91\x8b\xa4type\xabBlockStored\xacblock_hashes".to_vec();
        batch.extend(bytes);
        if let Ok(batch) = Batch::open(&batch) {
            assert!(batch.count() <= 1);
        }
    });
}
