//! OPLOG-1, OPLOG-2, OPLOG-3: batches.

use crate::*;

#[test]
fn published_ops_travel_in_one_batch_per_flush() {
    let mut node = Node::new(origin(1, 1), config());
    for op in ops(3) {
        node.replica.publish(ms(0), op).unwrap();
    }
    let mut out = Vec::new();
    node.replica.flush(ms(0), &mut out);
    assert_eq!(out, [Output::Broadcast(batch(origin(1, 1), 1, &ops(3)))]);
    out.clear();
    node.replica.flush(ms(0), &mut out);
    assert_eq!(out, []);
}

#[test]
fn an_open_batch_travels_by_itself_after_its_delay() {
    let mut node = Node::new(
        origin(1, 1),
        Config {
            batch_delay: Duration::from_millis(3),
            ..config()
        },
    );
    node.replica.publish(ms(5), insert(0, 1)).unwrap();
    assert_eq!(node.replica.next_deadline(), Some(ms(8)));
    assert_eq!(node.tick(7), []);
    assert!(matches!(node.tick(8)[..], [Output::Broadcast(_)]));
}

#[test]
fn batches_are_cut_at_their_size_and_a_larger_op_travels_alone() {
    let mut node = Node::new(
        origin(1, 1),
        Config {
            batch_bytes_max: 100,
            ..config()
        },
    );
    for op in [insert(0, 5), insert(10, 5), insert(20, 40), insert(70, 5)] {
        node.replica.publish(ms(0), op).unwrap();
    }
    let mut out = Vec::new();
    node.replica.flush(ms(0), &mut out);
    let cut: Vec<_> = out
        .iter()
        .map(|o| {
            if let Output::Broadcast(b) = o {
                (b.first.0, b.count, b.ops.len() > 100)
            } else {
                panic!()
            }
        })
        .collect();
    assert_eq!(cut, [(1, 2, false), (3, 1, true), (4, 1, false)]);
}

#[test]
fn a_publisher_that_never_flushes_stays_bounded_and_peers_pull_what_was_not_broadcast() {
    let mut net = Net::new(
        2,
        Config {
            batch_bytes_max: 64,
            ..config()
        },
    );
    for page in 0..300 {
        net.publish(0, insert(page, 7));
    }
    net.flush(0);
    assert!(net.node(0).replica.counters().batches_unsent > 0);
    net.settle();
    assert_eq!(net.node(1).seq(0), 300);
}

#[test]
fn duplicate_batch_is_idempotent() {
    let mut node = receiver();
    let message = Message::Batch(batch(origin(1, 1), 1, &ops(3)));
    let out = node.handle(0, 1, message.clone());
    assert!(out.contains(&Output::Applied {
        origin: origin(1, 1),
        first: Seq(1),
        last: Seq(3)
    }));
    let digests = node.replica.digests(rank(1));
    assert_eq!(node.handle(0, 2, message), []);
    assert_eq!(node.replica.digests(rank(1)), digests);
    assert_eq!(node.replica.counters().ops_duplicate, 3);
}

#[test]
fn of_a_batch_that_overlaps_only_the_new_ops_are_applied() {
    let mut node = receiver();
    node.handle(0, 1, Message::Batch(batch(origin(1, 1), 1, &ops(3))));
    let out = node.handle(
        0,
        1,
        Message::Batch(batch(
            origin(1, 1),
            2,
            &[ops(4)[1].clone(), ops(4)[2].clone(), ops(4)[3].clone()],
        )),
    );
    assert_eq!(
        out,
        [Output::Applied {
            origin: origin(1, 1),
            first: Seq(4),
            last: Seq(4)
        }]
    );
    let mut whole = receiver();
    whole.handle(0, 1, Message::Batch(batch(origin(1, 1), 1, &ops(4))));
    assert_eq!(
        node.replica.digests(rank(1)),
        whole.replica.digests(rank(1)),
        "the chain does not see how batches are cut"
    );
}

#[test]
fn an_undecodable_batch_changes_nothing_and_is_told() {
    let good = batch(origin(1, 1), 1, &ops(2));
    let check = |change: &dyn Fn(&mut oplog::Batch), reason: BatchError| {
        let mut node = receiver();
        let before = node.replica.offer();
        let mut bad = good.clone();
        change(&mut bad);
        let out = node.handle(0, 3, Message::Batch(bad.clone()));
        assert_eq!(
            events(&out),
            [Event::Undecodable {
                origin: bad.origin,
                from: rank(3),
                reason
            }]
        );
        assert_eq!(
            node.replica.offer(),
            before,
            "not even the incarnation became known"
        );
    };
    let len = good.ops.len();
    check(&|b| b.count = 0, BatchError::Count { count: 0 });
    check(&|b| b.count = 70_000, BatchError::Count { count: 70_000 });
    check(&|b| b.count = 1, BatchError::Trailing { bytes: len / 2 });
    check(&|b| b.count = 3, BatchError::Malformed { index: 2 });
    check(
        &|b| b.ops = b.ops.slice(..len - 1),
        BatchError::Malformed { index: 1 },
    );
    check(
        &|b| b.ops = Bytes::from_static(&[9, 9, 9]),
        BatchError::Malformed { index: 0 },
    );
    check(&|b| b.first = Seq(0), BatchError::Seq { first: Seq(0) });
    check(
        &|b| b.first = Seq(u64::MAX),
        BatchError::Seq {
            first: Seq(u64::MAX),
        },
    );
    check(
        &|b| b.ops = vec![0; 1 << 20].into(),
        BatchError::TooLarge { bytes: 1 << 20 },
    );
    let empty = oplog::Batch::encode_ops(&[ops(1)[0].clone(), Op::Remove { copies: vec![] }]);
    check(
        &|b| b.ops = empty.clone(),
        BatchError::Op {
            index: 1,
            error: OpError::Empty,
        },
    );
}

#[test]
fn ops_outside_the_limits_are_not_published() {
    let mut node = Node::new(origin(1, 1), config());
    let mut refused = |op: Op| node.replica.publish(ms(0), op).unwrap_err();
    assert_eq!(refused(insert(0, 0)), PublishError::Op(OpError::Empty));
    assert_eq!(
        refused(insert(0, 16_385)),
        PublishError::Op(OpError::TooManyPages { pages: 16_385 })
    );
    assert_eq!(
        refused(remove(1, 0, 0)),
        PublishError::Op(OpError::Range {
            seq: Seq(1),
            idx: 0,
            len: 0
        })
    );
    assert_eq!(
        refused(remove(1, 16_000, 1_000)),
        PublishError::Op(OpError::Range {
            seq: Seq(1),
            idx: 16_000,
            len: 1_000
        })
    );
    assert_eq!(
        refused(Op::Checkpoint { chain: 0, set: 0 }),
        PublishError::Checkpoint
    );
    assert_eq!(node.seq(1), 0);
}

#[test]
fn an_op_without_effect_stands_in_the_log_everywhere_alike() {
    let mut net = Net::new(2, config());
    let orphan = Op::Insert(oplog::Insert {
        source: SourceId(0),
        tier: radix_core::id::Tier::Host,
        parent: oplog::Parent::Copy {
            seq: Seq(7),
            idx: 0,
        },
        pages: pages(&[1]),
    });
    let result = net.node(0).replica.publish(ms(0), orphan);
    assert!(matches!(
        result,
        Err(PublishError::WithoutEffect { seq: Seq(1), .. })
    ));
    net.publish(0, insert(0, 1));
    net.settle();
    assert_eq!(net.node(1).seq(0), 2);
    assert_eq!(net.node(1).replica.counters().ops_without_effect, 1);
    net.assert_equal();
}
