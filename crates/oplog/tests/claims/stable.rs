//! OPLOG-17: what every member has need not be kept.

use crate::*;

fn log_of(ops: u64) -> Net {
    let mut net = Net::new(
        2,
        Config {
            tail_stable_ops: 10,
            ..config()
        },
    );
    for page in 0..ops {
        net.publish(0, insert(page * 10, 2));
        net.flush(0);
    }
    net.settle();
    net
}

fn entry(inc: u64, seq: u64) -> VersionVector {
    let entry = Entry {
        inc: Incarnation(inc),
        seq: Seq(seq),
        floor: Incarnation(0),
    };
    VersionVector([(rank(0), entry)].into())
}

fn pull_from(node: &mut Node, from: u64) -> Vec<Output> {
    let pull = Message::Pull {
        origin: origin(0, 1),
        from: Seq(from),
    };
    node.handle(1_000, 7, pull)
}

/// The first op that each node still gives as an op.
fn tails(net: &mut Net) -> [u64; 2] {
    [0, 1].map(|node| {
        let node = net.node(node);
        (1..)
            .find(|from| chunks(&pull_from(node, *from)).is_empty())
            .expect("behind the last op there is no snapshot")
    })
}

#[test]
fn stable_ops_leave_own_and_other_tails_and_the_last_ones_stay() {
    let mut net = log_of(100);
    assert_eq!(tails(&mut net), [1, 1]);
    for (stable, first) in [(30, 31), (20, 31), (95, 91), (100, 91)] {
        for node in &mut net.nodes {
            node.replica.stable(&entry(1, stable));
        }
        assert_eq!(tails(&mut net), [first, first], "stable at {stable}");
    }
}

#[test]
fn a_minimum_of_another_life_or_of_an_unknown_rank_changes_nothing() {
    let mut net = log_of(100);
    for node in &mut net.nodes {
        node.replica.stable(&entry(2, 100));
        node.replica.stable(&entry(0, 100));
        node.replica.stable(&VersionVector(
            [(rank(77), entry(1, 9).entry(rank(0)))].into(),
        ));
    }
    assert_eq!(tails(&mut net), [1, 1]);
    assert_eq!(net.node(0).replica.offer().0.len(), 2);
}

#[test]
fn a_straggler_below_a_trimmed_tail_gets_a_snapshot_and_the_log_goes_on() {
    let mut net = log_of(100);
    for node in &mut net.nodes {
        node.replica.stable(&entry(1, 100));
    }
    let (config, history) = (net.config.clone(), net.history.clone());
    net.nodes
        .push(Node::sharing(origin(2, 1), config, &history));
    net.settle();
    assert_eq!(net.node(2).replica.counters().snapshots_loaded, 1);
    net.publish(0, remove(1, 0, 1));
    net.settle();
    assert_eq!(net.node(2).copies(0), 199);
    net.assert_equal();
}
