//! The bytes of every op and message, frozen. They are printed in `docs/protocols/oplog.md`; a change here breaks
//! every cluster that upgrades node by node.

use std::fmt::Write as _;

use bytes::Bytes;
use oplog::{
    Batch, Chain, Entry, Insert, Message, Op, Pages, Parent, SnapshotChunk, SnapshotHead,
    VersionVector,
};
use radix_core::Fingerprint;
use radix_core::id::{CopyRange, Incarnation, Namespace, OriginId, Rank, Seq, SourceId, Tier};

const ORIGIN: OriginId = OriginId {
    rank: Rank(3),
    inc: Incarnation(300),
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn pages(pages: &[u64]) -> Pages {
    Pages(pages.iter().copied().map(Fingerprint).collect())
}

fn ops() -> Vec<(&'static str, Op)> {
    let insert = |source, tier, parent, pages| {
        Op::Insert(Insert {
            source: SourceId(source),
            tier,
            parent,
            pages,
        })
    };
    let path = Parent::Path {
        namespace: Namespace(7),
        pages: pages(&[0x1122_3344_5566_7788]),
    };
    let copies = vec![
        CopyRange {
            seq: Seq(1),
            idx: 0,
            len: 2,
        },
        CopyRange {
            seq: Seq(500),
            idx: 200,
            len: 1,
        },
    ];
    vec![
        (
            "000000000010efcdab89674523010200000000000000",
            insert(
                0,
                Tier::Device,
                Parent::Root(Namespace(0)),
                pages(&[0x0123_4567_89ab_cdef, 2]),
            ),
        ),
        (
            "00010101f403c801080100000000000000",
            insert(
                1,
                Tier::Host,
                Parent::Copy {
                    seq: Seq(500),
                    idx: 200,
                },
                pages(&[1]),
            ),
        ),
        (
            "00ac02020207088877665544332211080200000000000000",
            insert(300, Tier::Disk, path, pages(&[2])),
        ),
        ("0102010002f403c80101", Op::Remove { copies }),
        (
            "02ac02",
            Op::ResetSource {
                source: SourceId(300),
            },
        ),
        (
            "0301ffffffffffffffffff01",
            Op::Checkpoint {
                chain: 1,
                set: u64::MAX,
            },
        ),
    ]
}

fn messages() -> Vec<(&'static str, Message)> {
    let ops = Batch::encode_ops(&[Op::ResetSource {
        source: SourceId(300),
    }]);
    let entry = |inc, seq, floor| Entry {
        inc: Incarnation(inc),
        seq: Seq(seq),
        floor: Incarnation(floor),
    };
    let vector = VersionVector([(Rank(3), entry(300, 5, 0)), (Rank(4), entry(0, 0, 9))].into());
    let head = SnapshotHead {
        origin: ORIGIN,
        seq: Seq(5),
        chain: 1,
        set: 2,
        copies: 1,
        bytes: 16,
        chunks: 2,
        base: Seq(4),
    };
    vec![
        (
            "0003ac0205010302ac02",
            Message::Batch(Batch {
                origin: ORIGIN,
                first: Seq(5),
                count: 1,
                ops,
            }),
        ),
        (
            "010203ac0205000400000901",
            Message::Offer {
                vector,
                reply: true,
            },
        ),
        (
            "0203ac0206",
            Message::Pull {
                origin: ORIGIN,
                from: Seq(6),
            },
        ),
        (
            "0303ac020809",
            Message::PullEnd {
                origin: ORIGIN,
                last: Seq(8),
                have: Seq(9),
            },
        ),
        (
            "044d03ac02050102011002040102aabb",
            Message::Snapshot(SnapshotChunk {
                session: 77,
                head,
                index: 1,
                bytes: Bytes::from_static(&[0xaa, 0xbb]),
            }),
        ),
        (
            "054d08",
            Message::SnapshotMore {
                session: 77,
                next: 8,
            },
        ),
        ("064d", Message::SnapshotGone { session: 77 }),
    ]
}

#[test]
fn ops_have_these_bytes() {
    for (bytes, op) in ops() {
        let encoded = Batch::encode_ops(std::slice::from_ref(&op));
        assert_eq!(hex(&encoded), bytes, "{op:?}");
        let batch = Batch {
            origin: ORIGIN,
            first: Seq(1),
            count: 1,
            ops: encoded,
        };
        let decoded: Vec<_> = batch.ops().collect();
        assert_eq!(decoded, [Ok((op, 0..batch.ops.len()))]);
    }
}

#[test]
fn messages_have_these_bytes() {
    for (bytes, message) in messages() {
        let encoded = postcard::to_stdvec(&message).unwrap();
        assert_eq!(hex(&encoded), bytes, "{message:?}");
        assert_eq!(postcard::from_bytes::<Message>(&encoded), Ok(message));
    }
}

#[test]
fn chain_digests_have_these_values() {
    let mut chain = Chain::start(ORIGIN);
    let mut digests = vec![chain.digest()];
    for (_, op) in ops() {
        chain.push(&Batch::encode_ops(&[op]));
        digests.push(chain.digest());
    }
    let expected = [
        0x8d7a_da3e_b942_f8a8,
        0x5ddb_1adc_9b8d_621d,
        0x0713_ffde_2f36_fa07,
        0x5944_edc0_f414_732c,
        0xcb3f_54c1_81fe_5d1a,
        0xe725_5292_cb35_bb65,
        0x3227_cdaa_bafd_ff18,
    ];
    assert_eq!(digests, expected);
}
