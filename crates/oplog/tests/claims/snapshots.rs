//! OPLOG-9, OPLOG-10, OPLOG-11: snapshots.

use crate::*;

/// A network of two in which rank 0 has more than its tail can tell, and small chunks.
fn long_log(ops: u64) -> Net {
    let mut net = Net::new(
        2,
        Config {
            tail_ops_max: 2,
            snapshot_chunk_bytes: 16,
            ..config()
        },
    );
    for page in 0..ops {
        net.publish(0, insert(page * 10, 2));
        net.flush(0);
    }
    net.publish(0, remove(1, 1, 1));
    net.flush(0);
    net.wires.clear();
    net
}

#[test]
fn tail_too_short_means_a_snapshot_and_the_names_of_copies_survive() {
    let mut net = long_log(40);
    net.settle();
    assert_eq!(net.node(1).replica.counters().snapshots_loaded, 1);
    assert_eq!((net.node(1).seq(0), net.node(1).copies(0)), (41, 79));
    net.publish(0, remove(40, 1, 1));
    net.settle();
    assert_eq!(
        net.node(1).copies(0),
        78,
        "a copy of the snapshot is removed by its name"
    );
    net.assert_equal();
}

#[test]
fn snapshot_equals_replay() {
    let mut net = long_log(40);
    net.settle();
    assert_eq!(net.node(1).replica.counters().snapshots_loaded, 1);
    net.nodes
        .push(Node::sharing(origin(2, 1), config(), &net.history));
    let log: Vec<Op> = (0..40)
        .map(|page| insert(page * 10, 2))
        .chain([remove(1, 1, 1)])
        .collect();
    net.node(2)
        .handle(0, 0, Message::Batch(batch(origin(0, 1), 1, &log)));
    assert_eq!(
        net.node(2).replica.digests(rank(0)),
        net.node(1).replica.digests(rank(0))
    );
    net.settle();
    net.assert_equal();
}

#[test]
fn a_lost_chunk_is_asked_for_again() {
    let mut net = long_log(20);
    net.offer(0, 1);
    let mut lost = 0;
    while net.node(1).seq(0) == 0 {
        assert!(net.now < 5_000);
        net.advance(5);
        while let Some((_, _, message)) = net.wires.front() {
            if matches!(message, Message::Snapshot(chunk) if chunk.index % 5 == 3) && lost < 4 {
                lost += 1;
                net.wires.pop_front();
            } else {
                net.deliver(0);
            }
        }
    }
    assert_eq!(
        (lost, net.node(0).replica.counters().snapshots_sent),
        (4, 1)
    );
}

#[test]
fn a_chunk_that_later_ones_show_to_be_lost_is_asked_for_at_once() {
    let mut net = long_log(20);
    net.offer(0, 1);
    net.deliver(0);
    net.advance(41);
    let asked = net.now;
    let mut lost = false;
    while let Some((_, _, message)) = net.wires.front() {
        let is_third = matches!(message, Message::Snapshot(chunk) if chunk.index == 3);
        if is_third && !std::mem::replace(&mut lost, true) {
            net.wires.pop_front();
        } else {
            net.deliver(0);
        }
    }
    assert!(lost);
    assert_eq!((net.node(1).seq(0), net.now), (21, asked));
}

/// Ranks 0 and 1 have a long log and claim so to rank 2, which has nothing; rank 1 does last.
fn two_holders() -> Net {
    let mut net = long_log(40);
    let (config, history) = (net.config.clone(), net.history.clone());
    net.nodes
        .push(Node::sharing(origin(2, 1), config, &history));
    net.settle();
    net.restart(2);
    net.offer(0, 2);
    net.offer(1, 2);
    net
}

#[test]
fn pull_responder_dies_mid_snapshot_and_another_peer_is_asked() {
    // Rank 1 sends a window and is dead.
    let mut net = two_holders();
    let mut windows = 0;
    while net.node(2).seq(0) == 0 {
        assert!(net.now < 20_000);
        net.advance(10);
        while let Some((from, to, _)) = net.wires.front().cloned() {
            if to == 1 && windows > 0 {
                net.wires.pop_front();
            } else {
                windows += u32::from(from == 2 && to == 1);
                net.deliver(0);
            }
        }
    }
    assert_eq!(windows, 1);
    assert_eq!(net.node(2).seq(0), 41);
    assert!(net.node(2).replica.counters().pulls_timed_out > 0);
}

/// Rank 1 loses all but the first chunk of everything it sends.
fn behind_a_lossy_responder(other_answers: bool) -> (Net, u64) {
    let mut net = two_holders();
    let mut windows = 0;
    while net.node(2).seq(0) == 0 {
        assert!(net.now < 60_000);
        net.advance(10);
        let mut first = true;
        while let Some((from, to, message)) = net.wires.front().cloned() {
            let chunk = matches!(message, Message::Snapshot(_));
            windows += u64::from(from == 2 && to == 1);
            let lost = from == 1 && chunk && !std::mem::take(&mut first);
            if lost || (from == 0 && chunk && !other_answers) {
                net.wires.pop_front();
            } else {
                net.deliver(0);
            }
        }
    }
    (net, windows)
}

#[test]
fn whoever_sends_a_snapshot_haltingly_is_left_for_a_peer_that_has_it_too() {
    let (net, windows) = behind_a_lossy_responder(true);
    assert!(windows < 6, "{windows}");
    assert!(net.now < 2_000, "{} ms", net.now);
    let (net, windows) = behind_a_lossy_responder(false);
    assert!(windows > 10, "the only one that answers is kept: {windows}");
    assert_eq!(net.nodes[2].replica.counters().snapshots_loaded, 1);
}

#[test]
fn a_responder_that_let_the_snapshot_go_is_asked_anew() {
    let mut net = long_log(40);
    net.config.session_idle = Duration::from_millis(10);
    let mut asked = 0;
    net.offer(0, 1);
    while net.node(1).seq(0) == 0 {
        assert!(net.now < 20_000);
        net.advance(10);
        while let Some((_, to, message)) = net.wires.front().cloned() {
            if let (0, Message::SnapshotMore { session, .. }) = (to, &message) {
                asked += 1;
                if asked == 1 {
                    net.wires.pop_front();
                    net.wires
                        .push_back((0, 1, Message::SnapshotGone { session: *session }));
                    continue;
                }
            }
            net.deliver(0);
        }
    }
    assert!(asked > 1);
}

#[test]
fn an_unknown_session_is_answered_with_gone() {
    let mut node = receiver();
    let out = node.handle(
        0,
        1,
        Message::SnapshotMore {
            session: 77,
            next: 3,
        },
    );
    assert_eq!(sent(&out), [(1, Message::SnapshotGone { session: 77 })]);
}

/// The messages of a whole snapshot of 20 ops, taken at rank 0, and a receiver of rank 1 that asked for it.
fn asked_for_snapshot() -> (Vec<SnapshotChunk>, Node) {
    let mut net = Net::new(
        2,
        Config {
            tail_ops_max: 0,
            ..config()
        },
    );
    for op in ops(20) {
        net.publish(0, op);
    }
    net.flush(0);
    let out = net.node(0).handle(
        0,
        1,
        Message::Pull {
            origin: origin(0, 1),
            from: Seq(1),
        },
    );
    let mut node = Node::new(origin(1, 1), config());
    node.handle(0, 0, offer(0, 1, 20, 0));
    node.handle(0, 5, offer(0, 1, 20, 0));
    node.handle(0, 0, offer(0, 1, 20, 0));
    assert_eq!(pull(&tick_until_sent(&mut node, 40).1), [(0, 1)]);
    (chunks(&out), node)
}

#[test]
fn wrong_snapshot_is_rejected_and_another_peer_is_asked() {
    let check = |change: &dyn Fn(&mut SnapshotChunk), reason: SnapshotFault| {
        let (mut chunks, mut node) = asked_for_snapshot();
        assert_eq!(chunks.len(), 1);
        change(&mut chunks[0]);
        let seq = chunks[0].head.seq;
        let out = node.handle(50, 0, Message::Snapshot(chunks.remove(0)));
        let event = Event::SnapshotRejected {
            origin: origin(0, 1),
            seq,
            peer: rank(0),
            reason,
        };
        assert_eq!(events(&out), [event]);
        assert_eq!(pull(&out), [(5, 1)], "another peer");
        assert_eq!(
            (
                node.seq(0),
                node.copies(0),
                node.replica.counters().snapshots_rejected
            ),
            (0, 0, 1)
        );
    };
    check(&|chunk| chunk.head.set ^= 1, SnapshotFault::Digest);
    check(&|chunk| chunk.head.copies += 1, SnapshotFault::Count);
    check(&|chunk| chunk.head.bytes += 1, SnapshotFault::Malformed);
    check(&|chunk| chunk.head.bytes -= 1, SnapshotFault::Malformed);
    check(&|chunk| chunk.head.bytes = 1 << 40, SnapshotFault::TooLarge);
    check(&|chunk| chunk.head.chunks = 0, SnapshotFault::Malformed);
    check(
        &|chunk| chunk.head.chunks = 1 << 30,
        SnapshotFault::Malformed,
    );
    check(&|chunk| chunk.head.seq = Seq(3), SnapshotFault::Malformed);
    check(
        &|chunk| chunk.head.seq = Seq(u64::MAX),
        SnapshotFault::Malformed,
    );
    check(&|chunk| chunk.index = 1, SnapshotFault::Malformed);
    check(
        &|chunk| chunk.bytes = vec![0xff; chunk.bytes.len()].into(),
        SnapshotFault::Malformed,
    );
}

#[test]
fn a_snapshot_that_nobody_asked_for_is_ignored() {
    let (chunks, _) = asked_for_snapshot();
    let mut node = Node::new(origin(1, 1), config());
    node.handle(0, 0, offer(0, 1, 20, 0));
    assert_eq!(node.handle(0, 0, Message::Snapshot(chunks[0].clone())), []);
    assert_eq!(node.seq(0), 0);
}

#[test]
fn a_snapshot_older_than_what_is_here_is_dropped() {
    let (chunks, mut node) = asked_for_snapshot();
    node.handle(50, 7, Message::Batch(batch(origin(0, 1), 1, &ops(21))));
    node.handle(50, 0, offer(0, 1, 30, 0));
    assert_eq!(pull(&tick_until_sent(&mut node, 500).1), [(0, 22)]);
    let before = node.replica.digests(rank(0));
    assert_eq!(
        node.handle(100, 0, Message::Snapshot(chunks[0].clone())),
        []
    );
    assert_eq!(node.replica.digests(rank(0)), before);
}

#[test]
fn an_empty_log_of_many_ops_has_a_snapshot_too() {
    let mut net = Net::new(
        2,
        Config {
            tail_ops_max: 1,
            ..config()
        },
    );
    net.publish(0, insert(0, 3));
    net.flush(0);
    net.publish(0, remove(1, 0, 3));
    net.settle();
    assert_eq!((net.node(1).seq(0), net.node(1).copies(0)), (2, 0));
    net.publish(0, insert(0, 3));
    net.settle();
    net.assert_equal();
}

/// OPLOG-16: who asks without end is told to wait, others are not.
#[test]
fn a_peer_that_has_had_its_share_waits_and_others_do_not() {
    let mut net = long_log(2_000);
    net.nodes[0].replica = {
        let mut node = Node::new(
            origin(0, 1),
            Config {
                tail_ops_max: 2,
                serve_bytes_per_s: 64 << 10,
                serve_burst_bytes: 1 << 20,
                ..config()
            },
        );
        for page in 0..2_000 {
            node.publish(0, insert(page * 10, 2));
        }
        node.replica
    };
    let node = &mut net.nodes[0];
    let pull = || Message::Pull {
        origin: origin(0, 1),
        from: Seq(1),
    };
    let session = chunks(&node.handle(0, 7, pull()))[0].session;
    let mut served = 1;
    while !chunks(&node.handle(0, 7, pull())).is_empty() {
        served += 1;
        assert!(served < 10_000, "no bound");
    }
    let out = node.handle(0, 7, pull());
    assert!(matches!(
        sent(&out)[..],
        [(7, Message::PullEnd { last: Seq(0), .. })]
    ));
    let more = || Message::SnapshotMore { session, next: 0 };
    assert_eq!(sent(&node.handle(0, 7, more())), []);
    assert_eq!(node.replica.counters().pulls_limited, 3);
    assert_eq!(chunks(&node.handle(0, 8, pull())).len(), 1, "another peer");
    assert_eq!(chunks(&node.handle(3_000, 7, pull())).len(), 1, "later");
}

#[test]
fn a_responder_keeps_few_snapshots_and_says_when_it_is_busy() {
    let mut net = long_log(40);
    let mut node = std::mem::replace(&mut net.nodes[0], Node::new(origin(3, 1), config()));
    let ask = |node: &mut Node, at, from| {
        node.handle(
            at,
            7,
            Message::Pull {
                origin: origin(0, 1),
                from: Seq(from),
            },
        )
    };
    let first = chunks(&ask(&mut node, 0, 1));
    assert_eq!(
        (first.len(), first[0].session),
        (8, chunks(&ask(&mut node, 0, 1))[0].session),
        "one snapshot serves all who ask"
    );
    for round in 1..4 {
        for page in 0..3 {
            node.publish(0, insert(5_000 + round * 10 + page, 1));
        }
        assert_eq!(chunks(&ask(&mut node, 0, 1)).len(), 8);
    }
    for page in 0..3 {
        node.publish(0, insert(6_000 + page, 1));
    }
    let out = ask(&mut node, 400, 1);
    assert!(
        matches!(sent(&out)[..], [(7, Message::PullEnd { last: Seq(0), .. })]),
        "all four are in use"
    );
    assert_eq!(
        chunks(&ask(&mut node, 500, 1)).len(),
        8,
        "the idle one makes room"
    );
    assert!(node.replica.next_deadline() <= Some(ms(10_000)));
    node.tick(10_600);
    assert_eq!(
        node.replica.next_deadline(),
        Some(ms(600_000)),
        "all are let go; the checkpoint is left"
    );
}
