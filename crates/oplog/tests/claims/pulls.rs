//! OPLOG-3, OPLOG-7, OPLOG-8: gaps and pulls.

use crate::*;

#[test]
fn nothing_is_applied_past_a_gap_and_the_gap_is_pulled_from_who_sent_the_later_batch() {
    let mut node = receiver();
    let all = ops(4);
    let out = node.handle(0, 5, Message::Batch(batch(origin(1, 1), 3, &all[2..])));
    assert!(sent(&out).is_empty(), "it may still come by itself");
    assert_eq!((node.seq(1), node.copies(1)), (0, 0));
    let (at, out) = tick_until_sent(&mut node, 40);
    assert!(at >= 20);
    assert_eq!(pull(&out), [(5, 1)]);
    let out = node.handle(at, 5, Message::Batch(batch(origin(1, 1), 1, &all[..2])));
    assert!(out.contains(&Output::Applied {
        origin: origin(1, 1),
        first: Seq(1),
        last: Seq(4)
    }));
    assert_eq!(
        node.replica.next_deadline(),
        None,
        "nothing is lacking any more"
    );
}

#[test]
fn a_gap_that_fills_by_itself_is_not_pulled() {
    let mut node = receiver();
    node.handle(0, 5, Message::Batch(batch(origin(1, 1), 2, &ops(2)[1..])));
    node.handle(9, 5, Message::Batch(batch(origin(1, 1), 1, &ops(1))));
    assert_eq!((node.seq(1), node.replica.next_deadline()), (2, None));
    assert_eq!(node.replica.counters().pulls_sent, 0);
}

#[test]
fn a_log_that_moves_on_without_a_gap_is_not_pulled_however_far_it_lags() {
    let mut node = receiver();
    let all = ops(20);
    node.handle(0, 6, offer(1, 1, 20, 0));
    for place in 0..10 {
        let at = place as u64 * 15;
        let first = place as u64 + 1;
        node.handle(
            at,
            5,
            Message::Batch(batch(origin(1, 1), first, &all[place..=place])),
        );
        assert_eq!(pull(&node.tick(at)), [], "at {at} ms");
    }
    // The flow dries up: what it did not bring is pulled.
    let (_, out) = tick_until_sent(&mut node, 1_000);
    assert_eq!(pull(&out), [(6, 11)]);
}

#[test]
fn at_most_one_pull_per_log_is_under_way() {
    let mut node = receiver();
    for first in [3, 5, 9] {
        node.handle(0, 5, Message::Batch(batch(origin(1, 1), first, &ops(1))));
    }
    node.handle(0, 6, offer(1, 1, 20, 0));
    let (at, out) = tick_until_sent(&mut node, 40);
    assert_eq!(pull(&out), [(6, 1)]);
    node.handle(at, 7, offer(1, 1, 30, 0));
    assert_eq!(pull(&node.tick(at + 100)), []);
}

#[test]
fn a_silent_peer_is_replaced_by_another_that_is_ahead_then_by_the_origin() {
    let mut node = receiver();
    node.handle(0, 5, offer(1, 1, 4, 0));
    node.handle(0, 6, offer(1, 1, 4, 0));
    let mut asked = Vec::new();
    let mut times = Vec::new();
    for _ in 0..4 {
        let (at, out) = tick_until_sent(&mut node, 5_000);
        asked.push(pull(&out)[0].0);
        times.push(at);
    }
    assert_eq!(
        asked,
        [6, 5, 1, 6],
        "newest claim first, the origin last, then round again"
    );
    // And 10 us for each of the four ops that lack, in whole milliseconds.
    assert_eq!(times[1] - times[0], 250 + 1);
    assert!(
        times[3] - times[2] >= 250 + 250,
        "after a whole round it waits longer"
    );
}

#[test]
fn a_pull_that_nobody_can_answer_is_given_up_and_taken_up_again_on_a_new_claim() {
    let mut node = receiver();
    node.handle(0, 5, offer(1, 1, 4, 0));
    let mut last = 0;
    while let Some(at) = node.replica.next_deadline() {
        last = at.0.div_ceil(1_000_000);
        node.tick(last);
    }
    assert!((5_000..120_000).contains(&last), "{last} ms");
    assert_eq!(node.replica.counters().pulls_abandoned, 1);
    node.handle(last, 5, offer(1, 1, 4, 0));
    assert_eq!(pull(&tick_until_sent(&mut node, last + 40).1), [(5, 1)]);
}

#[test]
fn a_pull_at_a_peer_whose_link_broke_goes_elsewhere_at_the_next_tick() {
    let mut node = receiver();
    node.handle(0, 5, offer(1, 1, 4, 0));
    node.handle(0, 6, offer(1, 1, 4, 0));
    let (at, _) = tick_until_sent(&mut node, 40);
    node.replica.link_down(rank(6));
    assert!(node.replica.next_deadline().unwrap() <= ms(at));
    assert_eq!(pull(&node.tick(at)), [(5, 1)]);
}

#[test]
fn the_end_of_an_answer_without_progress_sends_the_pull_elsewhere_at_once() {
    let mut node = receiver();
    node.handle(0, 5, offer(1, 1, 4, 0));
    node.handle(0, 6, offer(1, 1, 4, 0));
    let (at, _) = tick_until_sent(&mut node, 40);
    let out = node.handle(
        at,
        6,
        Message::PullEnd {
            origin: origin(1, 1),
            last: Seq(0),
            have: Seq(0),
        },
    );
    assert_eq!(pull(&out), [(5, 1)]);
}

#[test]
fn the_puller_asks_on_while_it_makes_progress() {
    let mut net = Net::new(
        2,
        Config {
            batch_bytes_max: 64,
            pull_bytes_max: 200,
            ..config()
        },
    );
    for page in 0..100 {
        net.publish(0, insert(page, 4));
    }
    net.flush(0);
    net.wires.clear();
    net.offer(0, 1);
    let start = net.now;
    while net.node(1).seq(0) < 100 {
        net.advance(1);
        while !net.wires.is_empty() {
            net.deliver(0);
        }
        assert!(
            net.now < start + 60,
            "one wait at the beginning, none between answers"
        );
    }
    assert!(net.node(1).replica.counters().pulls_sent > 5);
    assert_eq!(net.node(1).replica.counters().snapshots_loaded, 0);
}

#[test]
fn reorder_buffer_overflow_is_counted_and_repaired_by_pull() {
    let mut net = Net::new(
        2,
        Config {
            reorder_ops_max: 3,
            ..config()
        },
    );
    for page in 0..8 {
        net.publish(0, insert(page, 1));
        net.flush(0);
    }
    net.wires.pop_front();
    while !net.wires.is_empty() {
        net.deliver(0);
    }
    assert_eq!(net.node(1).replica.counters().reorder_overflows, 4);
    assert_eq!(net.node(1).seq(0), 0);
    net.settle();
    assert_eq!(net.node(1).seq(0), 8);
    net.assert_equal();
}

#[test]
fn lost_last_op_is_found_via_observe() {
    let mut net = Net::new(2, config());
    net.publish(0, insert(0, 1));
    net.flush(0);
    net.wires.clear();
    let node = net.node(1);
    node.replica
        .observe(ms(1), rank(0), origin(0, 1), Seq(1), &mut node.out);
    net.advance(50);
    while !net.wires.is_empty() {
        net.deliver(0);
    }
    assert_eq!(net.node(1).seq(0), 1);
}

#[test]
fn an_offer_is_answered_once_and_only_with_more() {
    let mut net = Net::new(2, config());
    net.publish(0, insert(0, 1));
    let mine = net.node(0).replica.offer();
    let stranger = Message::Offer {
        vector: VersionVector::default(),
        reply: true,
    };
    assert_eq!(
        sent(&net.node(0).handle(0, 1, stranger)),
        [(
            1,
            Message::Offer {
                vector: mine.clone(),
                reply: false
            }
        )]
    );
    assert_eq!(
        sent(&net.node(0).handle(
            0,
            1,
            Message::Offer {
                vector: VersionVector::default(),
                reply: false
            }
        )),
        []
    );
    assert_eq!(
        sent(&net.node(0).handle(
            0,
            1,
            Message::Offer {
                vector: mine,
                reply: true
            }
        )),
        []
    );
}

#[test]
fn an_empty_own_log_is_in_the_offer() {
    let node = Node::new(origin(4, 7), config());
    assert_eq!(
        node.replica.offer().entry(rank(4)),
        Entry {
            inc: Incarnation(7),
            seq: Seq(0),
            floor: Incarnation(0)
        }
    );
    assert_eq!(node.replica.offer().0.len(), 1);
}

#[test]
fn a_round_in_vain_is_followed_by_another_within_the_longest_back_off() {
    let mut node = receiver();
    node.handle(0, 5, offer(1, 1, 4, 0));
    let (mut before, mut gaps) = (0, Vec::new());
    while let Some(at) = node.replica.next_deadline() {
        // Up to the next millisecond: a tick before the deadline would change nothing, for ever.
        let at = at.since(ms(0)).as_nanos().div_ceil(1_000_000) as u64;
        for (peer, _) in pull(&node.tick(at)) {
            gaps.push(at - before);
            before = at;
            let answer = Message::PullEnd {
                origin: origin(1, 1),
                last: Seq(0),
                have: Seq(0),
            };
            node.handle(at, peer, answer);
        }
    }
    let max = config().pull_backoff_max.as_millis() as u64;
    assert!(gaps.iter().all(|gap| *gap <= max + 1), "{gaps:?}");
}

#[test]
fn a_peer_that_did_not_answer_is_asked_after_the_others_for_every_log() {
    let mut node = receiver();
    let claim = |node: &mut Node, now, log| {
        node.handle(now, 5, offer(log, 1, 4, 0));
        node.handle(now, 6, offer(log, 1, 4, 0));
    };
    claim(&mut node, 0, 1);
    let (at, out) = tick_until_sent(&mut node, 40);
    assert_eq!(pull(&out), [(6, 1)], "the newest claim");
    let (at, out) = tick_until_sent(&mut node, at + 251);
    assert_eq!(pull(&out), [(5, 1)]);
    claim(&mut node, at, 2);
    let answer = |node: &mut Node, now, peer, log| {
        let (origin, last) = (origin(log, 1), Seq(4));
        node.handle(now, peer, Message::Batch(batch(origin, 1, &ops(4))));
        let have = last;
        node.handle(now, peer, Message::PullEnd { origin, last, have });
    };
    answer(&mut node, at, 5, 1);
    let (at, out) = tick_until_sent(&mut node, at + 50);
    assert_eq!(pull(&out), [(5, 1)], "6 did not answer for log 1");
    answer(&mut node, at, 5, 2);
    node.handle(at, 6, offer(3, 1, 4, 0));
    let (at, out) = tick_until_sent(&mut node, at + 50);
    assert_eq!(pull(&out), [(3, 1)], "even the origin comes first");
    let (at, out) = tick_until_sent(&mut node, at + 300);
    assert_eq!(pull(&out), [(6, 1)]);
    // An answer shows that it is there.
    answer(&mut node, at, 6, 3);
    claim(&mut node, at, 4);
    let (_, out) = tick_until_sent(&mut node, at + 100);
    assert_eq!(pull(&out), [(6, 1)]);
}

#[test]
fn who_is_busy_is_asked_again_after_the_same_short_wait() {
    let mut node = receiver();
    let origin = origin(1, 1);
    node.handle(0, 5, offer(1, 1, 4, 0));
    let mut asked = 0;
    for now in (0..10_000).step_by(5) {
        let mut pulls = pull(&node.tick(now));
        while let Some((to, _)) = pulls.pop() {
            asked += u32::from(to == 5);
            // The origin has nothing either.
            let have = if to == 5 { Seq(4) } else { Seq::ZERO };
            let last = Seq::ZERO;
            pulls.extend(pull(&node.handle(
                now,
                to,
                Message::PullEnd { origin, last, have },
            )));
        }
    }
    assert!((19..=40).contains(&asked), "{asked} times in 10 s");
    assert_eq!(node.replica.counters().pulls_abandoned, 0);
}
