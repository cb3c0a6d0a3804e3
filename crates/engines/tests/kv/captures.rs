//! Streams that real servers sent, taken in by sources with pages of several sizes, against bookkeeping by hand.

use std::collections::BTreeMap;

use engines::source::{Input, Output, Source, SourceConfig, Standing};
use radix_core::id::SourceId;
use radix_core::page::FingerprintKey;
use radix_core::time::Timestamp;

use crate::by_hand::ByHand;
use crate::golden::from_hex;
use crate::mesh::{Held, Mesh};

const KEY: FingerprintKey = FingerprintKey::new(7);

/// The bookkeeping is compared with after so many batches: it is slow for blocks of one token.
const EVERY: usize = 16;

type Batches = Vec<(u64, Vec<u8>)>;

fn parse(text: &str) -> Batches {
    let line = |line: &str| {
        let (seq, payload) = line.split_once(' ').expect("two words");
        (seq.parse().expect("a number"), from_hex(payload))
    };
    text.lines().map(line).collect()
}

/// Plays a capture and compares after every batch that is a multiple of `every`.
fn play(batches: &Batches, page_size: u16, every: usize) -> (Source, Held) {
    let mut config = SourceConfig::new(SourceId(0), KEY, page_size);
    config.namespace = "m".to_owned();
    let mut source = Source::new(config);
    let (mut mesh, mut by_hand, mut out) = (Mesh::default(), ByHand::default(), Vec::new());
    for (at, (seq, payload)) in batches.iter().enumerate() {
        let frames: [&[u8]; 3] = [b"kv-events", &seq.to_be_bytes(), payload];
        source.handle(Timestamp(0), Input::Live(&frames), &mut out);
        by_hand.batch(payload);
        mesh.apply(&out);
        out.clear();
        if at % every == 0 || at + 1 == batches.len() {
            let expected = by_hand.pages(KEY, "m", page_size.into());
            assert!(mesh.held == expected, "page size {page_size}, batch {seq}");
        }
    }
    assert_eq!(source.standing(), Standing::Exact);
    let counters = source.counters();
    assert_eq!(
        (
            counters.malformed_events,
            counters.unknown_events,
            counters.unknown_fields
        ),
        (0, 0, 0)
    );
    assert_eq!((counters.unknown_stored, counters.unknown_removed), (0, 0));
    assert_eq!((counters.odd_stored, counters.renamed_blocks), (0, 0));
    (source, mesh.held)
}

#[test]
fn captures_of_vllm_are_what_a_hand_would_write() {
    for text in [
        include_str!("../data/vllm-0.32.0-u64.txt"),
        include_str!("../data/vllm-0.32.0-bytes.txt"),
    ] {
        let batches = parse(text);
        assert!(batches.len() >= 36 && batches[0].0 == 0);
        for page_size in [32, 16, 64, 48, 20] {
            play(&batches, page_size, EVERY / 2);
        }
    }
}

#[test]
fn a_capture_of_sglang_with_blocks_of_one_token_is_what_a_hand_would_write() {
    let batches = parse(include_str!("../data/sglang-0.5.23-page1.txt"));
    assert_eq!(batches[0].0, 0);
    for page_size in [16, 7] {
        play(&batches, page_size, EVERY);
    }
}

#[test]
fn a_late_subscriber_with_a_replay_knows_what_an_early_one_knows() {
    let batches = parse(include_str!("../data/vllm-0.32.0-u64.txt"));
    let (_, expected) = play(&batches, 32, 8);
    let mut config = SourceConfig::new(SourceId(0), KEY, 32);
    config.namespace = "m".to_owned();
    let (mut source, mut mesh, mut out) = (Source::new(config), Mesh::default(), Vec::new());
    let (seq, payload) = batches.last().expect("batches");
    let frames: [&[u8]; 3] = [b"kv-events", &seq.to_be_bytes(), payload];
    source.handle(Timestamp(0), Input::Live(&frames), &mut out);
    let Some(&Output::AskReplay { ask, from: 0, .. }) = out.first() else {
        panic!("{out:?}");
    };
    for (seq, payload) in &batches {
        let frames: [&[u8]; 4] = [b"", b"kv-events", &seq.to_be_bytes(), payload];
        source.handle(
            Timestamp(0),
            Input::Replayed {
                ask,
                frames: &frames,
            },
            &mut out,
        );
    }
    let end: [&[u8]; 4] = [b"", b"", &[0xff; 8], b""];
    source.handle(
        Timestamp(0),
        Input::Replayed { ask, frames: &end },
        &mut out,
    );
    mesh.apply(&out);
    assert!(mesh.held == expected);
    assert_eq!(source.standing(), Standing::Exact);
}

/// Needs the captures beside the project, which are too large to be part of it.
#[test]
fn whole_captures_are_what_a_hand_would_write() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/data/kv-events"
    );
    let folder = std::env::var("RADIXMESH_KV_CAPTURES").unwrap_or_else(|_| folder.to_owned());
    let captures = [
        ("vllm-0.32.0-tiny-llama", 32),
        ("vllm-0.32.0-smollm2-bytes-sha256cbor", 32),
        ("vllm-0.32.0-three-servers-round-robin", 32),
        ("vllm-0.32.0-two-servers-external-kv-connector", 32),
        ("sglang-0.5.23-tiny-llama-page1", 16),
    ];
    for (name, page_size) in captures {
        let Ok(files) = std::fs::read_dir(format!("{folder}/{name}")) else {
            println!(
                "skipped: {name} is not in {folder}; set RADIXMESH_KV_CAPTURES to where it is"
            );
            continue;
        };
        // One stream per file where a folder holds several servers, else one stream in all.
        let mut streams: BTreeMap<String, BTreeMap<u64, Vec<u8>>> = BTreeMap::new();
        for file in files {
            let file = file.expect("an entry").path();
            let stem = file
                .file_stem()
                .and_then(|stem| stem.to_str())
                .expect("text");
            let stream = if stem.starts_with("events-") {
                stem
            } else {
                ""
            };
            if file.extension().is_none_or(|ext| ext != "jsonl") || stem == "requests" {
                continue;
            }
            let text = std::fs::read_to_string(&file).expect("a file");
            for line in text.lines() {
                let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
                let kind = line["kind"].as_str().unwrap_or("event");
                let frames: Vec<&str> = line["frames_hex"]
                    .as_array()
                    .map(|frames| frames.iter().filter_map(|frame| frame.as_str()).collect())
                    .unwrap_or_default();
                let (seq, payload) = match (kind, &frames[..]) {
                    ("event", [_, seq, payload]) => (seq, payload),
                    ("replay_message", [_, _, seq, payload]) if !payload.is_empty() => {
                        (seq, payload)
                    }
                    _ => continue,
                };
                let seq = u64::from_str_radix(seq, 16).expect("a sequence");
                streams
                    .entry(stream.to_owned())
                    .or_default()
                    .insert(seq, from_hex(payload));
            }
        }
        for (stream, batches) in streams {
            let batches: Batches = batches.into_iter().collect();
            let whole = (0..).zip(&batches).all(|(at, (seq, _))| at == *seq);
            if whole {
                play(&batches, page_size, EVERY);
            }
            println!(
                "{name} {stream}: {} batches, from the first: {whole}",
                batches.len()
            );
        }
    }
}
