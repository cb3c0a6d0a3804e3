//! Batches as 28 releases of vLLM and SGLang encode them, made with each release's own structs.

use engines::event::{Attention, Batch, EngineHash, Event, Lora, Place, peek_rank};
use radix_core::id::Tier;
use serde_json::Value;

const A: u64 = 8_200_623_688_606_961_211;
const B: u64 = 12_863_832_026_961_330_805;

pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("ASCII");
        u8::from_str_radix(pair, 16).expect("hexadecimal")
    };
    digits.map(byte).collect()
}

fn vectors() -> Vec<(String, String, Vec<u8>)> {
    let releases: Value =
        serde_json::from_str(include_str!("../data/kv_events_vectors.json")).expect("JSON");
    let mut vectors = Vec::new();
    for (release, batches) in releases.as_object().expect("releases") {
        for (name, batch) in batches.as_object().expect("batches") {
            let hex = batch["hex"].as_str().expect("bytes");
            vectors.push((release.clone(), name.clone(), from_hex(hex)));
        }
    }
    vectors
}

/// What every release says with the same words, whatever it calls them.
fn expect(release: &str, name: &str, event: &Event) {
    let (vllm, minor) = match release.split_once('-') {
        Some(("vllm", version)) => (true, version.split('.').nth(1).expect("0.x").parse()),
        _ => (false, Ok(0)),
    };
    let minor: u32 = minor.expect("a number");
    let int = EngineHash::int;
    match (name, event) {
        ("cleared", Event::Cleared) => {}
        ("removed", Event::Removed(removed)) => {
            assert_eq!(removed.hashes, [int(A)]);
            assert_eq!(removed.place, Place::In(Tier::Device));
            assert_eq!(removed.group.index, 0);
        }
        (_, Event::Stored(stored)) => {
            assert_eq!(
                (stored.block_size, stored.place),
                (4, Place::In(Tier::Device))
            );
            assert_eq!((stored.group.index, &stored.salt), (0, &None));
            assert!(
                stored.extra.is_empty(),
                "an adapter's name is no key of a block"
            );
            let attention = if vllm && minor >= 22 {
                Attention::Full
            } else {
                Attention::Unsaid
            };
            assert_eq!(stored.group.attention, attention);
            match name {
                "stored_root_int" => {
                    assert_eq!(
                        (&stored.hashes[..], stored.parent),
                        (&[int(A), int(B)][..], None)
                    );
                    assert_eq!(stored.tokens, (1000..1008).collect::<Vec<u32>>());
                    assert_eq!(stored.lora, None);
                }
                "stored_child_int_lora" => {
                    assert_eq!(stored.hashes, [int(B)]);
                    assert_eq!(stored.parent, Some(int(A)));
                    assert_eq!(stored.tokens, [5, 6, 7, 70_000]);
                    let named = vllm && minor >= 14 || release == "sglang-0.5.22";
                    let lora = if named {
                        Lora::Name("sql".to_owned())
                    } else {
                        Lora::Id(3)
                    };
                    assert_eq!(stored.lora, Some(lora));
                }
                "stored_root_bytes" => {
                    let digest = from_hex(
                        "33112ee14ee469c3eb52fe90322ec81dd404a0093d565a6d71ce77cbc8124e3b",
                    );
                    assert_eq!(stored.hashes, [EngineHash::bytes(&digest)]);
                    assert_eq!(stored.tokens, [1, 2, 3, 4]);
                }
                other => panic!("a vector named {other}"),
            }
        }
        (name, event) => panic!("{name} decoded as {event:?}"),
    }
}

#[test]
fn every_releases_batches_say_the_same() {
    let vectors = vectors();
    for (release, name, payload) in &vectors {
        let mut batch = Batch::open(payload).expect("a batch");
        let events: Vec<_> = batch.by_ref().collect();
        let [Ok(event)] = &events[..] else {
            panic!("{release} {name}: {events:?}");
        };
        expect(release, name, event);
        assert_eq!(
            batch.skipped(),
            Default::default(),
            "{release} {name}: all is known"
        );
        let rank = (release != "vllm-0.9.0").then_some(0);
        assert_eq!(peek_rank(payload), rank, "{release} {name}");
    }
    assert_eq!(vectors.len(), 18 * 5 + 10 * 4, "no vector is passed over");
}

#[test]
fn every_cut_and_every_changed_byte_is_an_answer() {
    for (_, _, payload) in vectors() {
        for cut in 0..payload.len() {
            read(&payload[..cut]);
        }
        for at in 0..payload.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut changed = payload.clone();
                changed[at] ^= change;
                read(&changed);
            }
        }
    }
}

fn read(payload: &[u8]) {
    let _ = peek_rank(payload);
    if let Ok(batch) = Batch::open(payload) {
        let events = batch.count();
        assert!(events <= payload.len());
    }
}
