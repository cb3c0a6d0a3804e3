//! Golden bytes of every frame, and what happens to bytes that are not one. A change here is a change of
//! the protocol: raise `wire::VERSION` and say so in `docs/protocols/wire.md`.

use bytes::Bytes;
use std::time::Duration;

use node::wire::{self, Answer, Frame, Introduction, VERSION, WireError};
use node::{Lane, Said};
use oplog::{Batch, Entry, Message, SnapshotChunk, SnapshotHead, VersionVector};
use proptest::prelude::*;
use radix_core::id::{Incarnation, OriginId, Rank, Seq};
use radix_core::time::Timestamp;
use topology::limits::{ADDRESS_BYTES_MAX, MEMBERS_MAX, RECORDS_PER_MESSAGE_MAX};
use topology::ring_round::{Around, RoundConfig, RoundOutput, Token};
use topology::{Heartbeat, IntroduceError, Record, RingRound, Role, Status, ViewId};

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

fn record(rank: u16, status: Status) -> Record {
    Record {
        rank: Rank(rank),
        role: Role::Decode,
        address: "h:1".to_owned(),
        inc: Incarnation(300),
        counter: 2,
        status,
    }
}

/// The token that rank 1 of (1, 2, 9) sends to rank 2 first.
fn token() -> Token<Said> {
    let mut round = RingRound::new(RoundConfig::default(), Timestamp(0));
    let around = Around {
        me: origin(1, 300),
        view: ViewId(130),
        members: &[Rank(1), Rank(2), Rank(9)],
        lowest: Rank(1),
        reachable: &|_| true,
    };
    let said = || Said {
        min: VersionVector(
            [(
                Rank(1),
                Entry {
                    inc: Incarnation(300),
                    seq: Seq(5),
                    floor: Incarnation(0),
                },
            )]
            .into(),
        ),
        wire: (1, 1),
        degraded: vec![(Rank(1), Rank(9))],
        lagging: vec![(6, Rank(1))],
    };
    let mut out = Vec::new();
    let now = Timestamp(0).after(Duration::from_secs(1));
    round.tick(now, &around, said, &mut out);
    match out.pop() {
        Some(RoundOutput::Send { token, .. }) => token,
        other => panic!("a round begins with a token, not with {other:?}"),
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
            "readiness",
            Frame::Readiness { ready: true },
            Lane::Control,
            "010501",
        ),
        (
            "heartbeat",
            Frame::Topology(topology::Message::Heartbeat(Heartbeat {
                ttl: 1,
                echo: true,
                inc: Incarnation(300),
                seq: Seq(7),
                nonce: 9,
            })),
            Lane::Control,
            "0106 00 01 01 ac02 07 09",
        ),
        (
            "probe for",
            Frame::Topology(topology::Message::ProbeFor {
                target: Rank(5),
                nonce: 9,
            }),
            Lane::Control,
            "0106 01 05 09",
        ),
        (
            "probe result",
            Frame::Topology(topology::Message::ProbeResult {
                target: Rank(5),
                nonce: 9,
                heard: true,
            }),
            Lane::Control,
            "0106 02 05 09 01",
        ),
        (
            "digest",
            Frame::Topology(topology::Message::Digest { table: 130 }),
            Lane::Control,
            "0106 03 8201",
        ),
        (
            "members",
            Frame::Topology(topology::Message::Members {
                records: vec![record(3, Status::Alive), record(4, Status::Left)],
                all_of: Some((Rank(0), Rank(300))),
            }),
            Lane::Control,
            "0106 04 02 03 01 03683a31 ac02 02 00 04 01 03683a31 ac02 02 03 01 00 ac02",
        ),
        (
            "check",
            Frame::Check(Box::new(token())),
            Lane::Control,
            "0107 01 ac02 01 8201 00 01 03 01 02 09 01 01 01 00 01 00 00 01 01 ac02 05 00 01 01 01 01 09 01 06 01",
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
    check(&[VERSION, 4, 1, 0, 1], WireError::Kind { kind: 4 });
    check(&[VERSION, 6, 5], WireError::Fields { kind: "topology" });
    check(&[VERSION, 7, 1, 1], WireError::Fields { kind: "check" });
    check(&[VERSION, 8, 0, 0], WireError::Kind { kind: 8 });
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

#[test]
fn an_introduction_and_its_answers_have_the_documented_bytes() {
    let introduction = Introduction {
        role: Role::Router,
        address: "h:1".to_owned(),
    };
    let bytes = wire::encode_introduction(&introduction);
    assert_eq!(hex(&bytes), "01080203683a31");
    assert_eq!(wire::decode_introduction(&bytes), Ok(introduction));

    let welcome = Answer::from(Ok(vec![record(3, Status::Alive)]));
    let bytes = wire::encode_answer(&welcome);
    assert_eq!(hex(&bytes), "01090001030103683a31ac020200");
    assert_eq!(wire::decode_answer(&bytes), Ok(welcome));

    let taken = Answer::from(Err(IntroduceError::RankTaken {
        rank: Rank(3),
        address: "h:1".to_owned(),
    }));
    let Answer::Refused { retry: true, why } = &taken else {
        panic!("{taken:?}");
    };
    assert_eq!(why, "rank 3 is taken by a living member at \"h:1\"");
    let bytes = wire::encode_answer(&taken);
    assert_eq!(hex(&bytes)[..10], *"010901012b");
    assert_eq!(wire::decode_answer(&bytes), Ok(taken));
    let final_one = Answer::from(Err(IntroduceError::NoAddress));
    assert!(matches!(final_one, Answer::Refused { retry: false, .. }));
}

// spec: WIRE-11
#[test]
fn lists_from_peers_are_no_longer_than_their_limits() {
    let members = |count: usize| {
        let records = vec![record(3, Status::Alive); count];
        let message = topology::Message::Members {
            records,
            all_of: None,
        };
        wire::decode(&wire::encode(&Frame::Topology(message)).1.to_bytes()).is_ok()
    };
    assert!(members(RECORDS_PER_MESSAGE_MAX) && !members(RECORDS_PER_MESSAGE_MAX + 1));
    let answer = |count: usize| {
        let welcome = Answer::Welcome(vec![record(3, Status::Alive); count]);
        wire::decode_answer(&wire::encode_answer(&welcome)).is_ok()
    };
    assert!(answer(MEMBERS_MAX) && !answer(MEMBERS_MAX + 1));
    // A count without the items: refused for the count alone, before there is room for them.
    let claims = |head: &[u8]| {
        let mut bytes = head.to_vec();
        bytes.extend([0xff, 0xff, 0xff, 0xff, 0x0f]);
        bytes
    };
    assert!(wire::decode(&claims(&[VERSION, 6, 4]).into()).is_err());
    assert!(wire::decode(&claims(&[VERSION, 7, 1, 1, 1, 1, 0, 1]).into()).is_err());
    assert!(wire::decode_answer(&claims(&[VERSION, 9, 0])).is_err());
    let introduction = |len: usize| {
        let address = "a".repeat(len);
        let role = Role::Router;
        wire::decode_introduction(&wire::encode_introduction(&Introduction { role, address }))
    };
    assert!(
        introduction(ADDRESS_BYTES_MAX).is_ok() && introduction(ADDRESS_BYTES_MAX + 1).is_err()
    );
    let why = "w".repeat(wire::WHY_BYTES_MAX + 1);
    let refused = wire::encode_answer(&Answer::Refused { retry: true, why });
    assert!(wire::decode_answer(&refused).is_err());
}

#[test]
fn bytes_that_are_no_introduction_are_named() {
    assert_eq!(
        wire::decode_introduction(&[1]),
        Err(WireError::Short { len: 1 })
    );
    assert_eq!(
        wire::decode_introduction(&[2, 8]),
        Err(WireError::Version { version: 2 })
    );
    assert_eq!(
        wire::decode_answer(&[VERSION, 8]),
        Err(WireError::Kind { kind: 8 })
    );
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (wire::decode_introduction(&bytes), wire::decode_answer(&bytes));
        let _ = wire::decode(&bytes.into());
    }

    #[test]
    fn cut_and_flipped_frames_never_panic(which in 0..15usize, cut in 0..40usize, at in 0..40usize, flip in any::<u8>()) {
        let mut bytes = wire::encode(&golden()[which].1).1.to_bytes().to_vec();
        bytes.truncate(bytes.len().saturating_sub(cut).max(1));
        let at = at % bytes.len();
        bytes[at] ^= flip;
        let _ = wire::decode(&bytes.into());
    }
}
