//! OPLOG-18: net changes instead of history.

use crate::*;

/// Every history is long enough.
fn eager() -> Config {
    Config {
        delta_bytes_min: 0,
        checkpoint_ops: 1 << 20,
        ..config()
    }
}

fn flushed(net: &mut Net, op: Op) {
    net.publish(0, op);
    net.flush(0);
}

/// Inserts four pages and removes all but the first, `times`.
fn churn(net: &mut Net, times: u64) {
    for time in 0..times {
        flushed(net, insert(time * 10, 4));
        let seq = net.node(0).seq(0);
        flushed(net, remove(seq, 1, 3));
    }
}

/// A network of two whose rank 1 has the first 10 ops of rank 0, and missed 200 more that come to 100 copies,
/// less one of the first 10.
fn away(config: Config) -> Net {
    let mut net = Net::new(2, config);
    for op in ops(10) {
        flushed(&mut net, op);
    }
    net.settle();
    churn(&mut net, 100);
    flushed(&mut net, remove(4, 1, 1));
    net.wires.clear();
    net
}

/// Bytes of the answers to one pull and all that follows, until rank 1 has all.
fn settled_bytes(net: &mut Net) -> usize {
    let mut bytes = 0;
    net.offer(0, 1);
    for _ in 0..1_000 {
        while let Some((_, to, message)) = net.wires.front() {
            bytes += match (to, message) {
                (1, Message::Batch(batch)) => batch.ops.len(),
                (1, Message::Snapshot(chunk)) => chunk.bytes.len(),
                _ => 0,
            };
            net.deliver(0);
        }
        if net.node(1).seq(0) == net.node(0).seq(0) {
            return bytes;
        }
        net.advance(5);
    }
    panic!("never settled");
}

#[test]
fn who_was_away_gets_what_the_history_came_to_and_the_log_goes_on() {
    let mut net = away(Config {
        delta_bytes_min: 1 << 30,
        ..eager()
    });
    let by_ops = settled_bytes(&mut net);
    assert_eq!(net.node(1).replica.counters().snapshots_loaded, 0);
    let mut net = away(eager());
    let by_delta = settled_bytes(&mut net);
    assert_eq!(net.node(1).replica.counters().deltas_loaded, 1);
    assert_eq!(net.node(0).replica.counters().deltas_sent, 1);
    assert!(by_delta * 2 <= by_ops, "{by_delta} of {by_ops}");
    assert_eq!(net.node(1).copies(0), 10 * 2 + 100 - 1);
    net.assert_equal();
    // A copy of before and one of the changes die by their names.
    flushed(&mut net, remove(1, 0, 1));
    flushed(&mut net, remove(11, 0, 1));
    net.settle();
    assert_eq!(net.node(1).copies(0), 10 * 2 + 100 - 3);
    assert_eq!(net.node(1).replica.counters().snapshots_loaded, 1);
    net.assert_equal();
}

#[test]
fn who_is_new_gets_a_snapshot_where_the_history_is_longer_though_the_tail_has_it() {
    let mut net = away(eager());
    let (config, history) = (net.config.clone(), net.history.clone());
    net.nodes[1] = Node::sharing(origin(1, 2), config, &history);
    settled_bytes(&mut net);
    let counters = net.node(1).replica.counters();
    assert_eq!((counters.snapshots_loaded, counters.deltas_loaded), (1, 0));
    net.assert_equal();
}

#[test]
fn a_short_history_and_one_that_does_not_shrink_are_sent_as_they_are() {
    let mut net = away(Config {
        delta_bytes_min: 64 << 10,
        ..eager()
    });
    settled_bytes(&mut net);
    let mut growing = Net::new(2, eager());
    for op in ops(100) {
        flushed(&mut growing, op);
    }
    // As many die as are born, but others: nothing cancels out.
    let mut moving = Net::new(2, eager());
    for op in ops(100) {
        flushed(&mut moving, op);
    }
    moving.settle();
    for place in 0..100 {
        flushed(&mut moving, insert(5_000 + place * 10, 2));
        flushed(&mut moving, remove(place + 1, 0, 2));
    }
    for mut net in [net, growing, moving] {
        net.wires.clear();
        settled_bytes(&mut net);
        assert_eq!(net.node(1).replica.counters().snapshots_loaded, 0);
        net.assert_equal();
    }
}

#[test]
fn resets_children_of_removed_parents_and_born_and_dead_all_come_to_what_replay_comes_to() {
    let mut net = Net::new(2, eager());
    let at = |source, parent, page: u64, count: u64| {
        let pages = pages(&(page..page + count).collect::<Vec<_>>());
        Op::Insert(oplog::Insert {
            source: SourceId(source),
            tier: radix_core::id::Tier::Device,
            parent,
            pages,
        })
    };
    let root = || oplog::Parent::Root(radix_core::id::Namespace(0));
    let copy = |seq, idx| oplog::Parent::Copy { seq: Seq(seq), idx };
    flushed(&mut net, at(0, root(), 1, 4));
    flushed(&mut net, at(1, copy(1, 3), 5, 4));
    flushed(&mut net, at(2, copy(2, 3), 9, 4));
    net.settle();
    churn(&mut net, 50);
    let missed = [
        // Source 1 loses its old copies, and gets new ones at the same place.
        Op::ResetSource {
            source: SourceId(1),
        },
        at(1, copy(1, 3), 5, 4),
        // Behind an old copy, whose own parents are gone: it stays.
        at(0, copy(3, 3), 13, 2),
        // Behind a new copy that then dies: its child keeps its path.
        at(0, copy(106, 1), 40, 1),
        remove(106, 0, 2),
        // Behind a copy that never was.
        at(0, copy(99, 200), 1, 1),
        // Source 2 loses old and new.
        at(2, root(), 70, 2),
        Op::ResetSource {
            source: SourceId(2),
        },
    ];
    for op in missed {
        flushed(&mut net, op);
    }
    net.wires.clear();
    settled_bytes(&mut net);
    assert_eq!(net.node(1).replica.counters().deltas_loaded, 1);
    net.assert_equal();
}

#[test]
fn ops_that_came_by_themselves_meanwhile_do_no_harm() {
    let mut net = away(eager());
    net.offer(0, 1);
    let mut chunk = None;
    while chunk.is_none() {
        net.advance(5);
        while let Some((_, to, message)) = net.wires.front() {
            if let (1, Message::Snapshot(_)) = (to, message) {
                chunk = net.wires.pop_front();
            } else {
                net.deliver(0);
            }
        }
    }
    // Late batches of the stretch overtake it.
    let history: Vec<Op> = (0..20)
        .flat_map(|time| [insert(time * 10, 4), remove(11 + time * 2, 1, 3)])
        .collect();
    let now = net.now;
    net.node(1)
        .handle(now, 0, Message::Batch(batch(origin(0, 1), 11, &history)));
    assert_eq!(net.node(1).seq(0), 50);
    net.wires.extend(chunk);
    net.deliver(0);
    assert_eq!(net.node(1).seq(0), net.node(0).seq(0));
    net.assert_equal();
}

#[test]
fn changes_of_many_chunks_are_kept_for_all_who_have_what_they_build_on() {
    let mut net = away(Config {
        snapshot_chunk_bytes: 16,
        ..eager()
    });
    let pull = |from| Message::Pull {
        origin: origin(0, 1),
        from: Seq(from),
    };
    let node = net.node(0);
    let first = chunks(&node.handle(1_000, 5, pull(11)));
    assert_eq!((first.len(), first[0].head.base), (8, Seq(10)));
    let other = chunks(&node.handle(1_000, 6, pull(30)));
    assert_eq!(other[0].session, first[0].session, "10 lies before 29");
    let older = chunks(&node.handle(1_000, 7, pull(10)));
    assert_ne!(
        older[0].session, first[0].session,
        "10 does not lie before 9"
    );
    settled_bytes(&mut net);
    assert_eq!(net.node(1).replica.counters().deltas_loaded, 1);
    net.assert_equal();
}

#[test]
fn without_room_for_another_snapshot_the_ops_are_sent() {
    let mut net = away(Config {
        snapshot_chunk_bytes: 16,
        sessions_max: 1,
        ..eager()
    });
    let pull = |from| Message::Pull {
        origin: origin(0, 1),
        from: Seq(from),
    };
    let node = net.node(0);
    assert_eq!(chunks(&node.handle(1_000, 5, pull(11))).len(), 8);
    let out = node.handle(1_000, 6, pull(10));
    assert!(matches!(sent(&out)[0], (6, Message::Batch(_))));
    assert_eq!(node.replica.counters().pulls_busy, 0);
}

/// The one chunk of the changes that rank 1 lacks, and rank 1, which asked for it and knows of another peer.
fn asked_for_changes() -> (SnapshotChunk, Node) {
    let mut net = away(eager());
    let question = Message::Pull {
        origin: origin(0, 1),
        from: Seq(11),
    };
    let now = net.now;
    let mut all = chunks(&net.node(0).handle(now, 1, question));
    assert_eq!(all.len(), 1);
    let mut node = Node::new(origin(1, 1), eager());
    node.handle(0, 0, Message::Batch(batch(origin(0, 1), 1, &ops(10))));
    node.handle(0, 5, offer(0, 1, 211, 0));
    node.handle(0, 0, offer(0, 1, 211, 0));
    assert_eq!(pull(&tick_until_sent(&mut node, 300).1), [(0, 11)]);
    (all.remove(0), node)
}

#[test]
fn changes_that_are_none_are_rejected_before_they_change_anything() {
    let check = |change: &dyn Fn(&mut SnapshotChunk), reason: SnapshotFault| {
        let (mut chunk, mut node) = asked_for_changes();
        let before = node.replica.digests(rank(0));
        change(&mut chunk);
        let (base, seq) = (chunk.head.base, chunk.head.seq);
        let out = node.handle(400, 0, Message::Snapshot(chunk));
        let event = Event::SnapshotRejected {
            origin: origin(0, 1),
            seq,
            peer: rank(0),
            reason,
        };
        assert_eq!(events(&out), [event]);
        assert_eq!(pull(&out), [(5, 11)], "another peer, from the same place");
        assert_eq!(node.replica.digests(rank(0)), before);
        let rejected = node.replica.counters().deltas_rejected;
        assert_eq!(rejected, u64::from(base > Seq::ZERO));
    };
    let put = |chunk: &mut SnapshotChunk, bytes: Vec<u8>| {
        chunk.head.bytes = bytes.len() as u64;
        chunk.bytes = bytes.into();
    };
    check(&|chunk| chunk.head.base = Seq(3), SnapshotFault::Malformed);
    check(&|chunk| chunk.head.base = Seq(0), SnapshotFault::Malformed);
    check(&|chunk| chunk.head.copies -= 1, SnapshotFault::Count);
    check(&|chunk| chunk.head.bytes = 1 << 40, SnapshotFault::TooLarge);
    check(&|chunk| chunk.head.seq = Seq(13), SnapshotFault::Malformed);
    check(
        &|chunk| put(chunk, vec![0xff; 20]),
        SnapshotFault::Malformed,
    );
    check(&|chunk| put(chunk, vec![0]), SnapshotFault::Malformed);
    // No sources, and 2^32 - 1 ranges that are not there.
    let many = vec![0, 0xff, 0xff, 0xff, 0xff, 0x0f];
    check(&|chunk| put(chunk, many.clone()), SnapshotFault::Malformed);
    // Nothing at all died or was born.
    check(&|chunk| put(chunk, vec![0, 0]), SnapshotFault::Count);
}

/// They may be late: asked for before a restart of this rank, or before the log was emptied.
#[test]
fn changes_behind_a_place_that_is_not_here_are_ignored() {
    for base in [11, 211, u64::MAX] {
        let (mut chunk, mut node) = asked_for_changes();
        let before = node.replica.digests(rank(0));
        chunk.head.base = Seq(base);
        assert_eq!(node.handle(200, 0, Message::Snapshot(chunk.clone())), []);
        assert_eq!(node.replica.digests(rank(0)), before);
        assert_eq!(pull(&tick_until_sent(&mut node, 500).1), [(5, 11)]);
        chunk.head.base = Seq(10);
        assert_eq!(
            node.handle(500, 0, Message::Snapshot(chunk.clone())),
            [],
            "not asked"
        );
        let out = node.handle(500, 5, Message::Snapshot(chunk));
        assert_eq!(events(&out).len(), 1, "whoever is asked may say it");
        assert_eq!(node.seq(0), 211);
    }
}

#[test]
fn changes_with_another_digest_empty_the_log_and_everything_is_fetched() {
    let (mut chunk, mut node) = asked_for_changes();
    chunk.head.set ^= 1;
    let out = node.handle(400, 0, Message::Snapshot(chunk));
    assert!(matches!(
        events(&out)[..],
        [Event::SnapshotRejected {
            reason: SnapshotFault::Digest,
            ..
        }]
    ));
    assert_eq!((node.seq(0), node.copies(0)), (0, 0));
    assert_eq!(
        pull(&out),
        [(5, 1)],
        "from the start: no changes can be the answer"
    );
    assert_eq!(node.replica.counters().deltas_rejected, 1);
}

#[test]
fn changes_are_not_put_onto_a_log_that_was_emptied_meanwhile() {
    let mut net = Net::new(
        2,
        Config {
            snapshot_chunk_bytes: 64,
            ..eager()
        },
    );
    for op in ops(10) {
        flushed(&mut net, op);
    }
    net.settle();
    churn(&mut net, 100);
    net.wires.clear();
    let now = net.now;
    let question = Message::Pull {
        origin: origin(0, 1),
        from: Seq(11),
    };
    let window = chunks(&net.node(0).handle(now, 1, question));
    let mut node = Node::new(origin(1, 1), eager());
    node.handle(0, 0, Message::Batch(batch(origin(0, 1), 1, &ops(10))));
    node.handle(0, 0, offer(0, 1, 210, 0));
    tick_until_sent(&mut node, 300);
    assert_eq!(
        node.handle(300, 0, Message::Snapshot(window[0].clone())),
        []
    );
    let wrong = Op::Checkpoint { chain: 1, set: 1 };
    node.handle(300, 0, Message::Batch(batch(origin(0, 1), 11, &[wrong])));
    assert_eq!((node.seq(0), node.copies(0)), (0, 0), "repair");
    assert_eq!(
        node.handle(301, 0, Message::Snapshot(window[1].clone())),
        []
    );
    assert_eq!((node.seq(0), node.copies(0)), (0, 0));
    assert_eq!(pull(&tick_until_sent(&mut node, 350).1), [(0, 1)]);
}

/// OPLOG-16: however often a pull is doubled, what it brings and what it costs is bounded.
#[test]
fn doubled_pulls_get_no_more_than_the_budget() {
    let kinds = [(1, 0, 1 << 30), (65_536, 11, 1 << 30), (65_536, 11, 0)];
    for (tail_ops_max, from, delta_bytes_min) in kinds {
        let mut net = away(Config {
            tail_ops_max,
            delta_bytes_min,
            serve_bytes_per_s: 64 << 10,
            serve_burst_bytes: 1 << 20,
            ..eager()
        });
        let (mut bytes, mut answers) = (0, 0);
        for _ in 0..5_000 {
            let pull = Message::Pull {
                origin: origin(0, 1),
                from: Seq(from.max(1)),
            };
            for (_, message) in sent(&net.node(0).handle(10_000, 7, pull)) {
                bytes += match message {
                    Message::Batch(batch) => batch.ops.len(),
                    Message::Snapshot(chunk) => chunk.bytes.len(),
                    _ => 0,
                };
                answers += 1;
            }
        }
        let counters = net.node(0).replica.counters();
        assert!(counters.pulls_limited > 3_500, "{counters:?}");
        assert!(bytes <= (1 << 20) + 8 * 192 * 1024, "{bytes}");
        assert!(answers < 5_000 + 250 * 1_024, "{answers}");
    }
}
