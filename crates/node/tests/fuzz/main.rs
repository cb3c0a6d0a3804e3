//! Arbitrary bytes as frames, as introductions, and as what a network does to three nodes.
//!
//! `cargo xtask fuzz frame introduction node` runs these for as long as one likes.

mod frames;
#[path = "../../../oplog/tests/fuzz/heap.rs"]
mod heap;
mod network;

use bytes::Bytes;
use frames::{Input, forged, kinds, whole};
use network::{Network, Reached};
use node::wire;

/// What decoding may hold for each byte, and besides: a list's claimed length is not believed.
const HELD_PER_BYTE_MAX: usize = 64;
const HELD_MAX: usize = 4 << 10;
/// Inputs of a script, in bytes.
const SCRIPT_BYTES_MAX: usize = 1_500;

fn check_frame(bytes: &Bytes) {
    let (frame, held) = heap::measured(|| wire::decode(bytes));
    let len = bytes.len();
    assert!(
        held <= HELD_MAX + HELD_PER_BYTE_MAX * len,
        "{held} bytes held for {len}"
    );
    let Ok(frame) = frame else { return };
    // Numbers may be written longer than needed, and lists out of order; what a node writes has one form.
    let once = wire::encode(&frame).1.to_bytes();
    assert!(once.len() <= len);
    let again = wire::decode(&once).expect("what was encoded decodes");
    assert_eq!(again, frame);
    assert_eq!(wire::encode(&again).1.to_bytes(), once);
}

/// The same for the words that travel in a handshake.
fn check_words<T: PartialEq + std::fmt::Debug, E: std::fmt::Debug>(
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, E>,
    encode: impl Fn(&T) -> Bytes,
) {
    let (words, held) = heap::measured(|| decode(bytes));
    let len = bytes.len();
    assert!(
        held <= HELD_MAX + HELD_PER_BYTE_MAX * len,
        "{held} bytes held for {len}"
    );
    if let Ok(words) = words {
        let once = encode(&words);
        assert!(once.len() <= len);
        assert_eq!(decode(&once).expect("what was encoded decodes"), words);
    }
}

// spec: WIRE-1, WIRE-6
#[test]
fn any_bytes_are_a_frame_that_reads_back_or_a_named_error() {
    let kinds = kinds();
    bolero::check!(name = "frame")
        .with_iterations(2_000)
        .with_max_len(300)
        .for_each(|bytes: &[u8]| {
            check_frame(&Bytes::copy_from_slice(bytes));
            check_frame(&whole(bytes.to_vec()));
            check_frame(&forged(&kinds, &mut Input(bytes), 300));
        });
}

#[test]
fn any_bytes_are_an_introduction_or_its_answer_or_a_named_error() {
    bolero::check!(name = "introduction")
        .with_iterations(2_000)
        .with_max_len(300)
        .for_each(|bytes: &[u8]| {
            for kind in [None, Some([wire::VERSION, 8]), Some([wire::VERSION, 9])] {
                let bytes = [kind.as_ref().map_or(&[][..], |kind| kind), bytes].concat();
                // The shortest prefix that is one is looked at, too.
                for end in (0..bytes.len().min(40)).chain([bytes.len()]) {
                    let bytes = &bytes[..end];
                    check_words(bytes, wire::decode_introduction, wire::encode_introduction);
                    check_words(bytes, wire::decode_answer, wire::encode_answer);
                }
            }
        });
}

// spec: OPLOG-15
#[test]
fn no_network_makes_a_node_panic_or_grow() {
    let kinds = kinds();
    bolero::check!(name = "node")
        .with_iterations(200)
        .with_max_len(SCRIPT_BYTES_MAX)
        .for_each(|bytes: &[u8]| {
            play(&kinds, bytes);
        });
}

fn play(kinds: &[u8], bytes: &[u8]) -> Reached {
    let mut script = Input(bytes);
    let mut network = Network::new(script.byte(), kinds.to_vec());
    while !script.0.is_empty() {
        network.step(&mut script);
    }
    network.reached()
}

/// The kept scripts go where random ones seldom come.
#[test]
fn the_kept_scripts_come_to_ops_snapshots_and_bad_frames() {
    let kinds = kinds();
    let snapshots = play(&kinds, include_bytes!("__fuzz__/node/corpus/snapshots"));
    assert!(snapshots.snapshots > 0, "{snapshots:?}");
    let bent = play(&kinds, include_bytes!("__fuzz__/node/corpus/bent-frames"));
    assert!(bent.ops > 0 && bent.bad_frames > 0, "{bent:?}");
}
