//! Golden bytes of every frame, and what happens to bytes that are not one. A change here is a change of
//! the protocol: raise `wire::VERSION` and say so in `docs/protocols/wire.md`.

use bytes::Bytes;
use node::Lane;
use node::wire::{self, Frame, VERSION, WireError};
use oplog::{Batch, Entry, Message, SnapshotChunk, SnapshotHead, VersionVector};
use proptest::prelude::*;
use radix_core::id::{Incarnation, OriginId, Rank, Seq};
use topology::Heartbeat;

fn origin(rank: u16, inc: u64) -> OriginId {
    OriginId {
        rank: Rank(rank),
        inc: Incarnation(inc),
    }
}

fn batch() -> Batch {
    Batch {
        origin: origin(2, 300),
        first: Seq(7),
        count: 2,
        ops: Bytes::from_static(&[0xaa, 0xbb, 0xcc]),
    }
}

fn vector() -> VersionVector {
    let entry = |inc, seq, floor| Entry {
        inc: Incarnation(inc),
        seq: Seq(seq),
        floor: Incarnation(floor),
    };
    VersionVector([(Rank(0), entry(300, 5, 0)), (Rank(1), entry(301, 129, 299))].into())
}

fn chunk() -> SnapshotChunk {
    let head = SnapshotHead {
        origin: origin(2, 300),
        seq: Seq(9),
        chain: 1,
        set: 2,
        copies: 3,
        bytes: 2,
        chunks: 1,
        base: Seq(8),
    };
    SnapshotChunk {
        session: 4,
        head,
        index: 0,
        bytes: Bytes::from_static(&[0xdd, 0xee]),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn golden() -> Vec<(&'static str, Frame, Lane, &'static str)> {
    let log = Frame::Log;
    vec![
        (
            "broadcast",
            Frame::Broadcast {
                end: Rank(5),
                ttl: 9,
                batch: batch(),
            },
            Lane::Data,
            "0101050902ac020702aabbcc",
        ),
        (
            "batch",
            log(Message::Batch(batch())),
            Lane::Data,
            "010202ac020702aabbcc",
        ),
        (
            "offer",
            log(Message::Offer {
                vector: vector(),
                reply: true,
            }),
            Lane::Control,
            "010301020 0ac02050001ad028101ab0201",
        ),
        (
            "pull",
            log(Message::Pull {
                origin: origin(2, 300),
                from: Seq(7),
            }),
            Lane::Control,
            "01030202ac0207",
        ),
        (
            "pull end",
            log(Message::PullEnd {
                origin: origin(2, 300),
                last: Seq(7),
                have: Seq(9),
            }),
            Lane::Control,
            "01030302ac020709",
        ),
        (
            "snapshot",
            log(Message::Snapshot(chunk())),
            Lane::Bulk,
            "0103040402ac0209010203020108 0002ddee",
        ),
        (
            "snapshot more",
            log(Message::SnapshotMore {
                session: 4,
                next: 8,
            }),
            Lane::Control,
            "0103050408",
        ),
        (
            "snapshot gone",
            log(Message::SnapshotGone { session: 4 }),
            Lane::Control,
            "01030604",
        ),
        (
            "heartbeat",
            Frame::Heartbeat(Heartbeat {
                ttl: 1,
                echo: false,
                inc: Incarnation(300),
                seq: Seq(7),
            }),
            Lane::Control,
            "01040100ac0207",
        ),
        (
            "readiness",
            Frame::Readiness { ready: true },
            Lane::Control,
            "010501",
        ),
    ]
}

#[test]
fn every_frame_has_the_documented_bytes_and_lane() {
    for (name, frame, lane, expected) in golden() {
        let (chosen, encoded) = wire::encode(&frame);
        assert_eq!(
            hex(&encoded.to_bytes()),
            expected.replace(' ', ""),
            "{name}"
        );
        assert_eq!(chosen, lane, "{name}");
        let mut written = vec![0; encoded.len()];
        encoded.write_to(&mut written);
        assert_eq!(written, encoded.to_bytes(), "{name}");
        assert_eq!(wire::decode(&encoded.to_bytes()), Ok(frame), "{name}");
    }
}

#[test]
fn a_relay_changes_the_head_and_no_byte_of_the_ops() {
    let relayed = |end, ttl| {
        wire::encode(&Frame::Broadcast {
            end: Rank(end),
            ttl,
            batch: batch(),
        })
        .1
        .to_bytes()
    };
    let (near, far) = (relayed(5, 9), relayed(1, 8));
    assert_ne!(near, far);
    assert!(near.ends_with(&batch().ops) && far.ends_with(&batch().ops));
}

#[test]
fn bytes_that_are_no_frame_are_named() {
    let check = |bytes: &'static [u8], error| {
        assert_eq!(wire::decode(&Bytes::from_static(bytes)), Err(error))
    };
    check(&[], WireError::Short { len: 0 });
    check(&[1], WireError::Short { len: 1 });
    check(&[2, 1], WireError::Version { version: 2 });
    check(&[VERSION, 0], WireError::Kind { kind: 0 });
    check(&[VERSION, 99], WireError::Kind { kind: 99 });
    check(&[VERSION, 1, 5], WireError::Fields { kind: "broadcast" });
    check(&[VERSION, 2], WireError::Fields { kind: "batch" });
    check(&[VERSION, 3, 77], WireError::Fields { kind: "log" });
    check(
        &[VERSION, 4, 1, 0, 1],
        WireError::Fields { kind: "heartbeat" },
    );
    check(
        &[VERSION, 5, 1, 0],
        WireError::Trailing {
            kind: "readiness",
            len: 1,
        },
    );
}

#[test]
fn a_batch_has_one_encoding_only() {
    // The log's own form of a batch, inside a log frame, is refused.
    let bytes = postcard::to_extend(&Message::Batch(batch()), vec![VERSION, 3]).unwrap();
    assert_eq!(
        wire::decode(&bytes.into()),
        Err(WireError::Fields { kind: "log" })
    );
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = wire::decode(&bytes.into());
    }

    #[test]
    fn cut_and_flipped_frames_never_panic(which in 0..10usize, cut in 0..40usize, at in 0..40usize, flip in any::<u8>()) {
        let mut bytes = wire::encode(&golden()[which].1).1.to_bytes().to_vec();
        bytes.truncate(bytes.len().saturating_sub(cut).max(1));
        let at = at % bytes.len();
        bytes[at] ^= flip;
        let _ = wire::decode(&bytes.into());
    }
}
