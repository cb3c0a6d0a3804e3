//! A batch of 64 ops as a busy node would send it, to bytes and back.

use std::hint::black_box;

use radixmesh::oplog::{Batch, Insert, Op, Pages, Parent};
use radixmesh::radix_core::id::{CopyRange, Namespace, Seq, SourceId, Tier};

use crate::data::{origin, pages};
use crate::{Call, Operation};

const OPS: u32 = 64;

pub(crate) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "oplog::encode/ops=64",
        calls: 100,
        prepare: |_| encode(),
    },
    Operation {
        name: "oplog::decode/ops=64",
        calls: 100,
        prepare: |_| decode(),
    },
];

/// Prompts, pages of decoding, and evictions, as 2 : 1 : 1.
fn ops() -> Vec<Op> {
    let mut random = fastrand::Rng::with_seed(21);
    let mut op = |number: u32| {
        let seq = Seq(random.u64(1..100_000));
        let (parent, count) = match number % 4 {
            0 => (Parent::Root(Namespace::DEFAULT), random.usize(1..100)),
            1 => (Parent::Copy { seq, idx: 7 }, random.usize(1..100)),
            2 => (Parent::Copy { seq, idx: 0 }, 1),
            _ => {
                let range = |_| CopyRange {
                    seq: Seq(random.u64(1..100_000)),
                    idx: random.u16(..50),
                    len: random.u16(1..50),
                };
                let copies = (0..8).map(range).collect();
                return Op::Remove { copies };
            }
        };
        Op::Insert(Insert {
            source: SourceId(0),
            tier: Tier::Device,
            parent,
            pages: Pages(pages(&mut random, count)),
        })
    };
    (0..OPS).map(&mut op).collect()
}

fn encode() -> Call {
    let ops = ops();
    Box::new(move |_| {
        black_box(Batch::encode_ops(black_box(&ops)));
    })
}

fn decode() -> Call {
    let batch = Batch {
        origin: origin(0),
        first: Seq(1),
        count: OPS,
        ops: Batch::encode_ops(&ops()),
    };
    Box::new(move |_| {
        for op in black_box(&batch).ops() {
            black_box(op.expect("an op of ours"));
        }
    })
}
