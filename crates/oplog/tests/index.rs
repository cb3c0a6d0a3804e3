//! The shipped state, [`radix_core::Index`], under the logs: by ops and by snapshot it becomes the same.

use std::time::Duration;

use oplog::{Config, Insert, Message, Op, Output, Pages, Parent, PublishError, Replica};
use proptest::prelude::*;
use radix_core::id::{
    CopyId, CopyRange, Incarnation, Namespace, OriginId, Rank, Seq, SourceId, Tier,
};
use radix_core::time::Timestamp;
use radix_core::{Fingerprint, Index, IndexConfig};

fn replica(rank: u16, tail_ops_max: usize) -> Replica<Index> {
    let me = OriginId {
        rank: Rank(rank),
        inc: Incarnation(1),
    };
    let config = Config {
        tail_ops_max,
        snapshot_chunk_bytes: 64,
        checkpoint_ops: 5,
        pull_delay: Duration::from_millis(1),
        ..Config::default()
    };
    Replica::new(
        me,
        config,
        u64::from(rank),
        Index::new(IndexConfig {
            readers_max: 1,
            run_pages_max: 8,
        }),
    )
}

#[derive(Clone, Debug)]
enum Act {
    Insert {
        source: u16,
        tier: usize,
        parent: u8,
        pick: usize,
        page: u64,
        count: u64,
    },
    Remove {
        pick: usize,
        len: u16,
    },
    ResetSource(u16),
    Rename,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (0u16..2, 0usize..3, any::<u8>(), any::<usize>(), 0u64..6, 1u64..12)
            .prop_map(|(source, tier, parent, pick, page, count)| Act::Insert { source, tier, parent, pick, page, count }),
        5 => (any::<usize>(), 1u16..6).prop_map(|(pick, len)| Act::Remove { pick, len }),
        1 => (0u16..2).prop_map(Act::ResetSource),
        1 => Just(Act::Rename),
    ]
}

/// Carries messages between writer and reader until nothing moves for a while.
fn settle(writer: &mut Replica<Index>, reader: &mut Replica<Index>, now: &mut u64) {
    let mut out = Vec::new();
    reader.observe(
        Timestamp(*now),
        Rank(0),
        writer.me(),
        writer.offer().entry(Rank(0)).seq,
        &mut out,
    );
    for _ in 0..200 {
        *now += 1_000_000;
        reader.tick(Timestamp(*now), &mut out);
        while !out.is_empty() {
            let mut answers = Vec::new();
            for output in out.drain(..) {
                if let Output::Send { message, .. } = output {
                    writer.handle(Timestamp(*now), reader.me().rank, message, &mut answers);
                }
            }
            for answer in answers {
                if let Output::Send { message, .. } = answer {
                    reader.handle(Timestamp(*now), Rank(0), message, &mut out);
                }
            }
        }
        if reader.digests(Rank(0)) == writer.digests(Rank(0)) {
            return;
        }
    }
    panic!(
        "writer {:?} reader {:?}",
        writer.digests(Rank(0)),
        reader.digests(Rank(0))
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ops_and_snapshot_build_the_same_index(acts in proptest::collection::vec(act(), 1..60)) {
        let mut writer = replica(0, 0);
        let mut by_ops = replica(1, 1_000);
        let mut live: Vec<(Seq, u16)> = Vec::new();
        let mut out = Vec::new();
        let mut now = 0;
        for act in acts {
            let picked = |pick: usize, live: &[(Seq, u16)]| live.get(pick % live.len().max(1)).copied();
            let op = match act {
                Act::Insert { source, tier, parent, pick, page, count } => {
                    let parent = match (parent % 4, picked(pick, &live)) {
                        (0 | 1, Some((seq, idx))) => Parent::Copy { seq, idx },
                        (2, _) => Parent::Path { namespace: Namespace(1), pages: Pages(vec![Fingerprint(page), Fingerprint(1)]) },
                        _ => Parent::Root(Namespace(1)),
                    };
                    let pages = Pages((page..page + count).map(Fingerprint).collect());
                    Op::Insert(Insert { source: SourceId(source), tier: Tier::ALL[tier], parent, pages })
                }
                Act::Remove { pick, len } => match picked(pick, &live) {
                    Some((seq, idx)) => Op::Remove { copies: vec![CopyRange { seq, idx, len }] },
                    None => continue,
                },
                Act::ResetSource(source) => Op::ResetSource { source: SourceId(source) },
                Act::Rename => {
                    let inc = writer.me().inc;
                    now += 2_000_000_000;
                    writer.forget(Timestamp(now), Rank(0), inc, &mut out);
                    out.clear();
                    continue;
                }
            };
            let pages = if let Op::Insert(insert) = &op { insert.pages.0.len() } else { 0 };
            match writer.publish(Timestamp(now), op) {
                Ok(seq) => live.extend((0..pages as u16).map(|idx| (seq, idx))),
                Err(PublishError::WithoutEffect { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            let origin = writer.me();
            live.retain(|(seq, idx)| writer.state().is_live(CopyId { origin, seq: *seq, idx: *idx }));
            writer.flush(Timestamp(now), &mut out);
            for output in out.drain(..) {
                if let Output::Broadcast(batch) = output {
                    by_ops.handle(Timestamp(now), Rank(0), Message::Batch(batch), &mut Vec::new());
                }
            }
        }
        settle(&mut writer, &mut by_ops, &mut now);
        let mut by_snapshot = replica(2, 0);
        settle(&mut writer, &mut by_snapshot, &mut now);
        let at = writer.offer().entry(Rank(0));
        for replica in [&writer, &by_ops, &by_snapshot] {
            replica.state().debug_check();
            prop_assert_eq!(replica.state().copies(Rank(0)), live.len() as u64);
            prop_assert_eq!(replica.state().position(Rank(0)), Some((at.inc, at.seq)));
            prop_assert_eq!(replica.counters().digest_mismatches + replica.counters().snapshots_rejected, 0);
            let origin = writer.me();
            let is_live = |(seq, idx): &(Seq, u16)| {
                replica.state().is_live(CopyId { origin, seq: *seq, idx: *idx })
            };
            prop_assert!(live.iter().all(is_live));
        }
        if at.seq > Seq::ZERO {
            prop_assert_eq!(by_snapshot.counters().snapshots_loaded, 1);
        }
    }
}

/// Bytes of ops and chunks that bring `reader` to where `writer` is.
fn bytes_to_settle(writer: &mut Replica<Index>, reader: &mut Replica<Index>, now: u64) -> usize {
    let (mut bytes, mut out) = (0, Vec::new());
    let have = writer.offer().entry(Rank(0)).seq;
    reader.observe(Timestamp(now), Rank(0), writer.me(), have, &mut out);
    reader.tick(Timestamp(now + 1_000_000_000), &mut out);
    while !out.is_empty() {
        let mut answers = Vec::new();
        for output in out.drain(..) {
            if let Output::Send { message, .. } = output {
                writer.handle(Timestamp(now), reader.me().rank, message, &mut answers);
            }
        }
        for answer in answers {
            if let Output::Send { message, .. } = answer {
                bytes += match &message {
                    Message::Batch(batch) => batch.ops.len(),
                    Message::Snapshot(chunk) => chunk.bytes.len(),
                    _ => 0,
                };
                reader.handle(Timestamp(now), Rank(0), message, &mut out);
            }
        }
    }
    assert_eq!(reader.digests(Rank(0)), writer.digests(Rank(0)));
    bytes
}

/// 10,000 ops of which one insert of twenty stays, missed by one that had the log before and by one that is new.
#[test]
fn a_churned_log_costs_what_it_comes_to() {
    let figures = [1 << 30, 64 << 10].map(|delta_bytes_min| {
        let config = || Config {
            delta_bytes_min,
            ..Config::default()
        };
        let index = || Index::new(IndexConfig::default());
        let me = |rank| OriginId {
            rank: Rank(rank),
            inc: Incarnation(1),
        };
        let mut writer = Replica::new(me(0), config(), 0, index());
        let mut was_away = Replica::new(me(1), config(), 1, index());
        let mut is_new = Replica::new(me(2), config(), 2, index());
        let (mut out, mut now, mut page) = (Vec::new(), 0, 0u64);
        let mut old = Vec::new();
        let mut store = |writer: &mut Replica<Index>, now| {
            let pages = Pages(
                (page..page + 16)
                    .map(|page| Fingerprint(page * 0x9e37))
                    .collect(),
            );
            page += 16;
            let parent = Parent::Root(Namespace(0));
            let insert = Insert {
                source: SourceId(0),
                tier: Tier::Device,
                parent,
                pages,
            };
            writer.publish(Timestamp(now), Op::Insert(insert)).unwrap()
        };
        for _ in 0..1_000 {
            old.push(store(&mut writer, now));
        }
        bytes_to_settle(&mut writer, &mut was_away, now);
        for step in 0..5_000 {
            now += 1_000_000;
            let born = store(&mut writer, now);
            // One insert of twenty stays, in place of an old one.
            let dead = if step % 20 == 0 { old[step / 20] } else { born };
            let copies = vec![CopyRange {
                seq: dead,
                idx: 0,
                len: 16,
            }];
            writer
                .publish(Timestamp(now), Op::Remove { copies })
                .unwrap();
            writer.flush(Timestamp(now), &mut out);
        }
        [&mut was_away, &mut is_new].map(|reader| bytes_to_settle(&mut writer, reader, now))
    });
    let [[away_before, new_before], [away, new]] = figures;
    assert!(
        away * 10 < away_before && new * 5 < new_before,
        "{figures:?}"
    );
}
