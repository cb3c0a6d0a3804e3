//! OPLOG-14: the own rank.

use crate::*;

#[test]
fn word_of_a_life_of_mine_that_i_do_not_know_makes_me_take_a_higher_one_with_the_same_copies() {
    let cases = [
        (offer(1, 9, 0, 0), 10),
        (offer(1, 5, 4, 0), 6),
        (offer(1, 0, 0, 5), 6),
        (offer(1, 0, 0, 8), 9),
        (Message::Batch(batch(origin(1, 9), 1, &ops(1))), 10),
        (Message::Batch(batch(origin(1, 5), 4, &ops(1))), 6),
        (
            Message::Pull {
                origin: origin(1, 7),
                from: Seq(1),
            },
            8,
        ),
        (
            Message::PullEnd {
                origin: origin(1, 7),
                last: Seq(0),
                have: Seq(0),
            },
            8,
        ),
    ];
    for (message, inc) in cases {
        let mut node = Node::new(origin(1, 5), config());
        for op in ops(3) {
            node.publish(0, op);
        }
        let set = node.replica.digests(rank(1)).unwrap().set;
        let out = node.handle(1, 2, message);
        assert!(
            out.contains(&Output::Reincarnated {
                inc: Incarnation(inc)
            }),
            "{out:?}"
        );
        let after = node.replica.digests(rank(1)).unwrap();
        assert_eq!(
            (after.inc, after.seq, after.set),
            (Incarnation(inc), Seq(3), set)
        );
        assert_eq!(node.replica.me(), origin(1, inc));
    }
}

#[test]
fn my_own_echo_and_old_lives_do_not_move_me() {
    let mut node = Node::new(origin(1, 5), config());
    for op in ops(3) {
        node.publish(0, op);
    }
    for message in [
        Message::Batch(batch(origin(1, 5), 1, &ops(3))),
        offer(1, 5, 3, 0),
        offer(1, 4, 99, 0),
        Message::Batch(batch(origin(1, 4), 70, &ops(1))),
    ] {
        assert_eq!(node.handle(1, 2, message), []);
    }
    assert_eq!(node.replica.me(), origin(1, 5));
}

#[test]
fn after_an_own_new_incarnation_everybody_takes_a_snapshot_and_goes_on_behind_it() {
    let mut net = Net::new(3, config());
    for op in ops(5) {
        net.publish(0, op);
    }
    net.settle();
    let node = net.node(0);
    node.replica
        .forget(ms(1), rank(0), Incarnation(1), &mut node.out);
    net.publish(0, remove(1, 0, 1));
    net.settle();
    assert_eq!(net.node(1).copies(0), 9);
    let digests = net.node(2).replica.digests(rank(0)).unwrap();
    assert_eq!((digests.inc, digests.seq), (Incarnation(2), Seq(6)));
    assert!(net.node(1).replica.counters().snapshots_loaded >= 1);
    net.assert_equal();
}

#[test]
fn a_process_that_lost_its_state_and_kept_its_incarnation_repairs_itself() {
    let mut net = Net::new(2, config());
    for op in ops(5) {
        net.publish(0, op);
    }
    net.settle();
    // The same life again, empty: what must never happen. It has its own history, for it may equivocate.
    net.nodes[0] = Node::new(origin(0, 1), config());
    net.publish(0, insert(500, 1));
    net.flush(0);
    net.settle();
    let digests = net.node(1).replica.digests(rank(0)).unwrap();
    assert_eq!(
        (digests.inc, digests.seq, net.node(1).copies(0)),
        (Incarnation(2), Seq(1), 1)
    );
    net.assert_equal();
}

#[test]
fn a_rank_restarted_twice_alone_under_a_stale_incarnation_repairs_itself_when_it_meets_a_peer() {
    let mut net = Net::new(3, config());
    for op in ops(5) {
        net.publish(0, op);
    }
    net.settle();
    for life in 1..=2 {
        net.nodes[0] = Node::new(origin(0, 1), config());
        for place in 0..=life {
            net.publish(0, insert(1_000 * life + place * 10, 1));
        }
        net.flush(0);
        net.wires.clear();
        net.advance(2_000);
    }
    net.settle();
    let digests = net.node(1).replica.digests(rank(0)).unwrap();
    assert_eq!(
        (digests.inc, digests.seq, net.node(2).copies(0)),
        (Incarnation(2), Seq(3), 3)
    );
    assert_eq!(net.node(0).replica.counters().reincarnations, 1);
    net.assert_equal();
}

/// Nobody knows of a place beyond its last, so nothing challenges it; its own next checkpoint does.
#[test]
fn a_stale_life_that_wrote_more_than_the_one_before_is_found_by_its_next_checkpoint() {
    let config = Config {
        checkpoint_ops: 8,
        ..config()
    };
    let mut net = Net::new(3, config.clone());
    for node in &mut net.nodes {
        node.replica.state_mut().unchecked = true;
    }
    for op in ops(5) {
        net.publish(0, op);
    }
    net.settle();
    net.nodes[0] = Node::new(origin(0, 1), config);
    for place in 0..12 {
        net.publish(0, insert(1_000 + place * 10, 1));
    }
    net.flush(0);
    net.wires.clear();
    net.settle();
    while (1..3).any(|node| net.node(node).replica.counters().digest_mismatches == 0) {
        assert!(net.now < 60_000, "a mismatch is found");
        net.publish(0, insert(net.now * 10, 1));
        net.flush(0);
        net.settle();
    }
    net.settle();
    net.assert_equal();
    assert_eq!(net.node(1).replica.me().inc, Incarnation(1));
}

#[test]
fn two_processes_with_one_rank_do_not_outbid_each_other_faster_than_the_interval() {
    let mut node = Node::new(origin(1, 1), config());
    assert!(
        node.handle(0, 2, offer(1, 5, 0, 0))
            .contains(&Output::Reincarnated {
                inc: Incarnation(6)
            })
    );
    for at in 1..100 {
        assert_eq!(node.handle(at, 2, offer(1, 6 + at, 0, 0)), []);
    }
    assert_eq!(node.replica.next_deadline(), Some(ms(1_000)));
    assert_eq!(
        node.tick(1_000),
        [Output::Reincarnated {
            inc: Incarnation(106)
        }]
    );
}

#[test]
fn the_last_incarnation_cannot_be_outbid_and_that_is_told() {
    let mut node = Node::new(origin(1, 1), config());
    let out = node.handle(0, 2, offer(1, u64::MAX, 0, 0));
    assert_eq!(
        events(&out),
        [Event::IncarnationExhausted {
            inc: Incarnation(u64::MAX)
        }]
    );
    assert_eq!(node.replica.me(), origin(1, 1));
}

#[test]
fn what_was_not_sent_yet_is_sent_under_the_old_name_before_the_new_one_is_taken() {
    let mut node = Node::new(origin(1, 5), config());
    for op in ops(3) {
        node.replica.publish(ms(0), op).unwrap();
    }
    let out = node.handle(0, 2, offer(1, 9, 0, 0));
    let [Output::Broadcast(unsent), Output::Reincarnated { inc }] = &out[..] else {
        panic!("{out:?}");
    };
    assert_eq!(
        (unsent.origin, unsent.first, unsent.count),
        (origin(1, 5), Seq(1), 3)
    );
    assert_eq!(*inc, Incarnation(10));
}

#[test]
fn what_was_not_sent_yet_is_not_sent_under_a_name_that_another_life_uses() {
    let mut node = Node::new(origin(1, 5), config());
    for op in ops(3) {
        node.replica.publish(ms(0), op).unwrap();
    }
    let out = node.handle(0, 2, offer(1, 5, 4, 0));
    assert_eq!(
        out,
        [Output::Reincarnated {
            inc: Incarnation(6)
        }]
    );
}
