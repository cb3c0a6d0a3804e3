//! OPLOG-18 against its meaning: net changes come to what replay comes to, for any log and any base.

use proptest::prelude::*;
use radix_core::id::{
    CopyId, CopyRange, Incarnation, Namespace, OpId, OriginId, Rank, Seq, SourceId, Tier,
};
use radix_core::time::Timestamp;
use radix_core::{Fingerprint, Index, IndexConfig};

use crate::config::Config;
use crate::op::{Insert, Op, Pages, Parent};
use crate::publish::PublishError;
use crate::replica::Replica;
use crate::state::State;
use crate::stream;

const ME: OriginId = OriginId {
    rank: Rank(3),
    inc: Incarnation(1),
};

fn index(run_pages_max: usize) -> Index {
    Index::new(IndexConfig {
        readers_max: 1,
        run_pages_max,
    })
}

/// What an op is made of: its kind, what it hangs behind or ends, and how long it is.
type Shape = (u8, usize, u16, u64);

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let shape = (any::<u8>(), any::<usize>(), 1u16..9, 0u64..4);
    prop::collection::vec(shape, 1..40)
}

/// An op that means something to a log with these live copies.
fn op((kind, pick, len, page): Shape, live: &[(Seq, u16)]) -> Op {
    let picked = live.get(pick % live.len().max(1)).copied();
    let parent = match (kind % 4, picked) {
        (0 | 1, Some((seq, idx))) => Parent::Copy { seq, idx },
        (2, _) => Parent::Path {
            namespace: Namespace(1),
            pages: Pages(vec![Fingerprint(page), Fingerprint(1)]),
        },
        _ => Parent::Root(Namespace(page % 2)),
    };
    match (kind % 16, picked) {
        (0..5, Some((seq, idx))) => Op::Remove {
            copies: vec![
                CopyRange { seq, idx, len },
                CopyRange {
                    seq: live[pick / 2 % live.len()].0,
                    idx: 0,
                    len: 2,
                },
            ],
        },
        (5, _) if pick.is_multiple_of(2) => Op::ResetSource {
            source: SourceId(len % 3),
        },
        (6, _) if pick.is_multiple_of(2) => Op::Insert(Insert {
            source: SourceId(0),
            tier: Tier::Device,
            parent: Parent::Copy {
                seq: Seq(9_999),
                idx: 0,
            },
            pages: Pages(vec![Fingerprint(page)]),
        }),
        _ => Op::Insert(Insert {
            source: SourceId(len % 3),
            tier: Tier::ALL[pick % 3],
            parent,
            pages: Pages((page..page + u64::from(len)).map(Fingerprint).collect()),
        }),
    }
}

/// A replica that wrote such a log, and the log.
fn written(shapes: Vec<Shape>) -> (Replica<Index>, Vec<Op>) {
    let config = Config {
        checkpoint_ops: 7,
        batch_bytes_max: 100,
        ..Config::default()
    };
    let mut replica = Replica::new(ME, config, 1, index(8));
    let mut live: Vec<(Seq, u16)> = Vec::new();
    for shape in shapes {
        let op = op(shape, &live);
        let pages = match &op {
            Op::Insert(insert) => insert.pages.0.len() as u16,
            Op::Remove { .. } | Op::ResetSource { .. } | Op::Checkpoint { .. } => 0,
        };
        match replica.publish(Timestamp(0), op) {
            Ok(seq) => live.extend((0..pages).map(|idx| (seq, idx))),
            Err(PublishError::WithoutEffect { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        live.retain(|(seq, idx)| {
            replica.state().is_live(CopyId {
                origin: ME,
                seq: *seq,
                idx: *idx,
            })
        });
    }
    replica.flush(Timestamp(0), &mut Vec::new());
    let batches = replica.own.tail.since(Seq(1)).unwrap();
    let ops = batches.flat_map(|(_, batch)| batch.ops().map(|op| op.unwrap().0));
    let ops = ops.collect();
    (replica, ops)
}

/// The fold of the ops up to `place`.
fn folded(ops: &[Op], place: usize, run_pages_max: usize) -> Index {
    let mut index = index(run_pages_max);
    for (seq, op) in (1..).map(Seq).zip(&ops[..place]) {
        let _ = State::apply(&mut index, OpId { origin: ME, seq }, op);
    }
    index
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    // spec: OPLOG-18
    #[test]
    fn net_changes_from_any_base_at_any_place_behind_it_come_to_what_replay_comes_to(
        shapes in shapes(),
        step in 1usize..7,
    ) {
        let (mut replica, ops) = written(shapes);
        let last = Seq(ops.len() as u64);
        prop_assert_eq!(replica.own.seq, last);
        for base in (0..ops.len()).step_by(step) {
            let snapshot = replica.take(ME.rank, Seq(base as u64)).unwrap();
            let head = *snapshot.head();
            prop_assert_eq!((head.base, head.seq), (Seq(base as u64), last));
            let chunks: Vec<_> = snapshot.window(0).map(|chunk| chunk.bytes).collect();
            let Some((delta, copies)) = stream::decode(&chunks.concat(), head.base, head.seq) else {
                return Err(TestCaseError::fail("what was sent is not understood"));
            };
            prop_assert_eq!(copies, head.copies);
            for place in [base, (base + ops.len()) / 2, ops.len() - 1] {
                let mut index = folded(&ops, place, 5);
                prop_assert_eq!(State::load(&mut index, ME, last, delta.clone()), Ok(()));
                index.debug_check();
                prop_assert_eq!(State::digest(&index, ME.rank), head.set);
                let all = |index: &Index| State::snapshot(index, ME.rank, Seq::ZERO);
                prop_assert_eq!(all(&index), all(replica.state()));
                prop_assert_eq!(index.position(ME.rank), Some((ME.inc, last)));
            }
        }
    }
}
