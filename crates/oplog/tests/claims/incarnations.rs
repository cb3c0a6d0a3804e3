//! OPLOG-4, OPLOG-5: incarnations and floors.

use crate::*;

#[test]
fn a_new_incarnation_makes_the_old_inventory_vanish_at_once() {
    for news in [
        Message::Batch(batch(origin(1, 2), 5, &ops(1))),
        offer(1, 2, 0, 0),
        Message::PullEnd {
            origin: origin(1, 2),
            last: Seq(0),
            have: Seq(0),
        },
    ] {
        let mut node = receiver();
        node.handle(0, 1, Message::Batch(batch(origin(1, 1), 1, &ops(3))));
        assert_eq!(node.copies(1), 6);
        let out = node.handle(1, 1, news);
        let event = Event::NewIncarnation {
            origin: origin(1, 2),
            before: Some(Incarnation(1)),
        };
        assert!(events(&out).contains(&event));
        assert_eq!((node.copies(1), node.seq(1)), (0, 0));
    }
}

#[test]
fn late_op_is_ignored_after_a_reset() {
    let mut node = receiver();
    node.handle(0, 1, Message::Batch(batch(origin(1, 2), 1, &ops(1))));
    let before = node.replica.digests(rank(1));
    assert_eq!(
        node.handle(0, 1, Message::Batch(batch(origin(1, 1), 1, &ops(9)))),
        []
    );
    assert_eq!(node.handle(0, 1, offer(1, 1, 90, 0)), []);
    assert_eq!(node.replica.digests(rank(1)), before);
    assert_eq!(node.replica.counters().stale, 2);
}

#[test]
fn what_is_not_above_the_floor_never_comes_back() {
    let mut node = receiver();
    node.handle(0, 1, Message::Batch(batch(origin(1, 3), 1, &ops(3))));
    let out = node.handle(0, 2, offer(1, 0, 0, 3));
    assert_eq!(
        events(&out),
        [Event::Forgotten {
            rank: rank(1),
            floor: Incarnation(3)
        }]
    );
    assert_eq!(node.copies(1), 0);
    assert_eq!(
        node.handle(0, 1, Message::Batch(batch(origin(1, 3), 1, &ops(3)))),
        []
    );
    assert_eq!(node.handle(0, 2, offer(1, 2, 9, 3)), []);
    assert_eq!(node.replica.digests(rank(1)), None);
    let floor = Entry {
        floor: Incarnation(3),
        ..Entry::default()
    };
    assert_eq!(
        node.replica.offer().entry(rank(1)),
        floor,
        "the floor travels on"
    );
    node.handle(0, 1, Message::Batch(batch(origin(1, 4), 1, &ops(3))));
    assert_eq!(node.copies(1), 6);
}

#[test]
fn a_floor_below_the_living_incarnation_leaves_it_alone() {
    let mut node = receiver();
    node.handle(0, 1, Message::Batch(batch(origin(1, 3), 1, &ops(3))));
    node.replica
        .forget(ms(0), rank(1), Incarnation(2), &mut node.out);
    assert_eq!(node.copies(1), 6);
}

#[test]
fn ranks_beyond_the_limit_are_refused_and_told() {
    let mut node = Node::new(
        origin(9, 1),
        Config {
            ranks_max: 2,
            ..config()
        },
    );
    for other in 1..4 {
        node.out
            .extend(node.replica.digests(rank(other)).map(|_| unreachable!()));
        let out = node.handle(0, 1, Message::Batch(batch(origin(other, 1), 1, &ops(1))));
        assert_eq!(
            events(&out).contains(&Event::TooManyRanks { rank: rank(other) }),
            other == 3
        );
    }
    assert_eq!(node.replica.offer().0.len(), 3);
}
