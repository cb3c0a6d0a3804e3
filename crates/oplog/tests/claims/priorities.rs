//! OPLOG-19: which log is pulled first.

use oplog::Priority;

use crate::*;

/// A receiver that may pull one log at a time.
fn one_at_a_time() -> Node {
    Node::new(
        origin(9, 1),
        Config {
            pulls_max: 1,
            ..config()
        },
    )
}

/// The logs asked for, by rank.
fn asked(out: &[Output]) -> Vec<u16> {
    let pulls = sent(out).into_iter();
    pulls
        .filter_map(|(_, m)| {
            if let Message::Pull { origin, .. } = m {
                Some(origin.rank.0)
            } else {
                None
            }
        })
        .collect()
}

/// Claims of rank 30: it has `seqs` of the logs of ranks 1, 2, ..
fn claims(node: &mut Node, seqs: &[u64]) {
    for (rank, seq) in (1..).zip(seqs) {
        node.handle(0, 30, offer(rank, 1, *seq, 0));
    }
}

/// Answers a pull of `rank` with the next op; more are left.
fn answer(node: &mut Node, rank: u16) -> Vec<Output> {
    let next = node.seq(rank) + 1;
    let op = insert(next * 10, 1);
    let mut out = node.handle(50, 30, Message::Batch(batch(origin(rank, 1), next, &[op])));
    let end = Message::PullEnd {
        origin: origin(rank, 1),
        last: Seq(next),
        have: Seq(1_000),
    };
    out.extend(node.handle(50, 30, end));
    out
}

/// Answers `count` pulls one by one; returns whose they were.
fn pulled(node: &mut Node, count: usize) -> Vec<u16> {
    let mut pulled = asked(&node.tick(50));
    while pulled.len() < count {
        let last = pulled[pulled.len() - 1];
        let out = answer(node, last);
        assert_eq!(asked(&out).len(), 1, "one ends, one starts");
        pulled.extend(asked(&out));
    }
    pulled
}

#[test]
fn the_log_that_is_farthest_behind_is_pulled_first() {
    let mut node = one_at_a_time();
    claims(&mut node, &[500, 700, 600]);
    assert_eq!(pulled(&mut node, 1), [2]);
}

#[test]
fn a_log_of_higher_priority_goes_before_one_that_is_farther_behind() {
    let mut node = one_at_a_time();
    node.replica.prioritize(rank(1), Priority::First);
    node.replica.prioritize(rank(2), Priority::Last);
    claims(&mut node, &[500, 900, 600, 700]);
    assert_eq!(pulled(&mut node, 3), [1, 1, 1], "until it has all");
    node.replica.prioritize(rank(1), Priority::Normal);
    node.replica.prioritize(rank(3), Priority::First);
    let oldest = asked(&answer(&mut node, 1))[0];
    assert_eq!(asked(&answer(&mut node, oldest)), [3]);
}

#[test]
fn no_log_starves_however_much_the_others_lack() {
    let mut node = one_at_a_time();
    node.replica.prioritize(rank(1), Priority::First);
    node.replica.prioritize(rank(7), Priority::Last);
    claims(&mut node, &[1_000, 900, 900, 900, 900, 900, 10]);
    let order = pulled(&mut node, 4 * 7);
    for rank in 1..=7 {
        assert!(order.contains(&rank), "rank {rank} in {order:?}");
    }
    assert!(
        order.iter().filter(|rank| **rank == 1).count() >= 4 * 7 * 3 / 4 - 1,
        "priority has three of four: {order:?}"
    );
}

#[test]
fn a_log_alone_keeps_its_peer_and_its_turn() {
    let mut node = one_at_a_time();
    claims(&mut node, &[500]);
    assert_eq!(pulled(&mut node, 10), [1; 10]);
}

#[test]
fn logs_in_the_queue_are_started_when_a_link_breaks_or_a_rank_is_forgotten() {
    let mut node = one_at_a_time();
    claims(&mut node, &[500, 400]);
    assert_eq!(pulled(&mut node, 1), [1]);
    let node_out = &mut node;
    node_out
        .replica
        .forget(ms(51), rank(1), Incarnation(1), &mut node_out.out);
    assert_eq!(node.replica.next_deadline(), Some(ms(0)));
    assert_eq!(asked(&node.tick(51)), [2]);
    let out = node.handle(52, 30, offer(3, 1, 800, 0));
    assert_eq!(asked(&out), []);
    node.tick(100);
    node.replica.link_down(rank(30));
    assert_eq!(
        asked(&node.tick(101)),
        [3],
        "asked of the origin; 2 waits its turn"
    );
}
