//! OPLOG-12, OPLOG-13: checkpoints.

use crate::*;

#[test]
fn checkpoints_follow_new_ops_only_by_number_and_by_time() {
    let mut node = Node::new(
        origin(1, 1),
        Config {
            checkpoint_ops: 3,
            ..Config::default()
        },
    );
    for op in ops(2) {
        node.publish(0, op);
    }
    assert_eq!(node.seq(1), 2);
    node.publish(0, insert(0, 1));
    assert_eq!(node.seq(1), 4, "the third op brings one");
    assert_eq!(node.replica.next_deadline(), None);
    node.publish(10, insert(0, 1));
    assert_eq!(node.replica.next_deadline(), Some(ms(1_010)));
    assert!(matches!(node.tick(1_010)[..], [Output::Broadcast(_)]));
    assert_eq!((node.seq(1), node.replica.next_deadline()), (6, None));
}

#[test]
fn a_digest_mismatch_drops_that_one_log_and_fetches_it_from_its_origin() {
    let mut net = Net::new(
        3,
        Config {
            checkpoint_ops: 4,
            ..config()
        },
    );
    for page in 0..3 {
        net.publish(0, insert(page, 1));
        net.publish(2, insert(page, 1));
    }
    net.settle();
    // A copy gets lost in rank 1's memory.
    let state = net.node(1).replica.state_mut();
    state.unchecked = true;
    state.logs.get_mut(&rank(0)).unwrap().copies.pop_last();
    net.publish(0, insert(9, 1));
    net.flush(0);
    let (_, _, message) = net
        .wires
        .iter()
        .find(|(_, to, _)| *to == 1)
        .cloned()
        .unwrap();
    let at = net.now;
    let out = net.node(1).handle(at, 2, message);
    let [
        Event::DigestMismatch {
            at: found,
            chain: false,
            set: true,
            repaired: true,
        },
    ] = events(&out)[..]
    else {
        panic!("{out:?}");
    };
    assert_eq!((found.origin, found.seq), (origin(0, 1), Seq(5)));
    assert_eq!(
        (net.node(1).copies(0), net.node(1).copies(2)),
        (0, 3),
        "only that log"
    );
    let (_, out) = tick_until_sent(net.node(1), at + 50);
    assert_eq!(pull(&out), [(0, 1)]);
    net.settle();
    net.assert_equal();
}

#[test]
fn repairs_of_one_log_keep_their_distance() {
    let log = |chain| vec![insert(0, 1), Op::Checkpoint { chain, set: 0 }];
    let mut node = receiver();
    let wrong = Message::Batch(batch(origin(1, 1), 1, &log(1)));
    let repaired = |out: &[Output]| {
        events(out)
            .iter()
            .filter_map(|e| {
                if let Event::DigestMismatch { repaired, .. } = e {
                    Some(*repaired)
                } else {
                    None
                }
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(repaired(&node.handle(0, 1, wrong.clone())), [true]);
    assert_eq!(node.seq(1), 0);
    assert_eq!(repaired(&node.handle(9_999, 1, wrong)), [false]);
    assert_eq!(
        node.seq(1),
        2,
        "it goes on, for to be without the log would be worse"
    );
    let again = Message::Batch(batch(origin(1, 1), 3, &log(1)));
    assert_eq!(repaired(&node.handle(10_000, 1, again)), [true]);
    assert_eq!(node.replica.counters().digest_mismatches, 3);
}
