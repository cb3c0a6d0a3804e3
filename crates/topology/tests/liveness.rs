//! Heartbeats, exchanges and strange inputs, at single topologies and among a few.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod cluster;

use std::collections::BTreeMap;

use cluster::{Cluster, address, secs};
use radix_core::id::{Incarnation, Rank, Seq};
use radix_core::time::Timestamp;
use topology::{
    Config, Event, Heartbeat, Input, Message, Output, Reach, Record, Role, Status, Topology,
};

const INC: Incarnation = Incarnation(7);

fn node(me: u16, members: u16) -> Topology {
    let members = (0..members).map(|rank| (Rank(rank), Role::Decode));
    let mut node = Topology::new(Config::new(Rank(me), members.collect()), Timestamp(0)).unwrap();
    outputs(&mut node, 0, Input::Position(INC, Seq(0)));
    node
}

fn outputs(topology: &mut Topology, now: u64, input: Input) -> Vec<Output> {
    let mut out = Vec::new();
    topology.handle(Timestamp(now), input, &mut out);
    out
}

fn link_up(rank: u16) -> Input {
    let peer = Rank(rank);
    Input::LinkUp { peer, inc: INC }
}

fn record(rank: u16, inc: u64, status: Status) -> Record {
    Record {
        rank: Rank(rank),
        role: Role::Decode,
        address: address(rank),
        inc: Incarnation(inc),
        counter: 0,
        status,
    }
}

fn says(from: u16, records: Vec<Record>) -> Input {
    let message = Message::Members {
        records,
        all_of: None,
    };
    let from = Rank(from);
    Input::Message { from, message }
}

fn lives(rank: u16) -> Input {
    says(rank, vec![record(rank, INC.0, Status::Alive)])
}

fn changes(outputs: &[Output]) -> Vec<(u16, Status, Reach)> {
    let changes = outputs.iter().filter_map(|output| match *output {
        Output::StatusChanged {
            rank,
            status,
            reach,
        } => Some((rank.0, status, reach)),
        _ => None,
    });
    changes.collect()
}

fn exchanges(outputs: &[Output]) -> usize {
    let exchanges = outputs
        .iter()
        .filter(|output| matches!(output, Output::Exchange { .. }));
    exchanges.count()
}

// spec: TOPO-7, TOPO-13
#[test]
fn a_member_is_up_when_it_is_linked_and_says_that_it_lives() {
    let mut node = node(0, 3);
    let linked = outputs(&mut node, 5, link_up(1));
    assert_eq!(changes(&linked), [(1, Status::Down, Reach::Direct)]);
    assert_eq!(exchanges(&linked), 0);
    assert_eq!(node.successor(), None);

    let said = outputs(&mut node, 6, lives(1));
    assert_eq!(changes(&said), [(1, Status::Alive, Reach::Direct)]);
    assert_eq!(exchanges(&said), 1);
    assert_eq!(node.successor(), Some(Rank(1)));
    assert_eq!(node.member(Rank(1)).unwrap().inc, INC);
    assert_eq!(node.revision(), 2);

    let again = outputs(&mut node, 7, link_up(1));
    assert_eq!((changes(&again), exchanges(&again)), (vec![], 1));

    let down = outputs(&mut node, 8, Input::LinkDown { peer: Rank(1) });
    assert_eq!(
        changes(&down),
        [
            (1, Status::Alive, Reach::Unknown),
            (1, Status::Suspect, Reach::Unknown)
        ]
    );
    assert_eq!(node.successor(), None);
    let repeated = outputs(&mut node, 9, Input::LinkDown { peer: Rank(1) });
    assert_eq!(repeated, []);
}

// spec: TOPO-8
#[test]
fn heartbeats_go_to_the_next_three_and_rarely_to_other_delegates() {
    let mut cluster = Cluster::started(20);
    cluster.input(2, Input::Position(Incarnation(1), Seq(41)));
    cluster.log.clear();
    cluster.run(secs(30));
    let mut probes = BTreeMap::new();
    for (_, rank, output) in &cluster.log {
        if let Output::Send {
            to,
            message: Message::Heartbeat(beat),
        } = output
            && rank.0 == 2
            && beat.echo
        {
            *probes.entry(to.0).or_insert(0) += 1;
            assert_eq!((beat.inc, beat.seq), (Incarnation(1), Seq(41)));
        }
    }
    let expect = [
        (3, 30),
        (4, 30),
        (5, 30),
        (6, 10),
        (10, 10),
        (14, 10),
        (18, 10),
    ];
    assert_eq!(probes, BTreeMap::from(expect));
    let seen = cluster.seen(5, 2);
    assert_eq!(seen.position, (Incarnation(1), Seq(41)));
}

// spec: TOPO-12
#[test]
fn exchanges_go_to_the_successor_and_to_every_other_in_time() {
    let mut cluster = Cluster::started(8);
    cluster.run(secs(100));
    let with = |peer| {
        let exchanges = cluster.log.iter().filter(|(_, rank, output)| {
            rank.0 == 3 && *output == Output::Exchange { with: Rank(peer) }
        });
        exchanges.count()
    };
    assert!((190..=210).contains(&with(4)), "{}", with(4));
    assert_eq!(with(3), 0);
    for peer in [0, 1, 2, 5, 6, 7] {
        assert!(
            (15..=55).contains(&with(peer)),
            "{} with {peer}",
            with(peer)
        );
    }
}

// spec: TOPO-7
#[test]
fn a_member_whose_life_is_forgotten_hears_of_it_when_it_is_linked() {
    let mut node = node(0, 3);
    let floor = Input::Floor {
        rank: Rank(1),
        floor: INC,
    };
    outputs(&mut node, 0, floor);
    let linked = outputs(&mut node, 5, link_up(1));
    assert_eq!(exchanges(&linked), 1, "floors go with the version vector");
    assert_eq!(changes(&outputs(&mut node, 6, lives(1))), []);
    let next = says(1, vec![record(1, INC.0 + 1, Status::Alive)]);
    let next = outputs(&mut node, 7, next);
    assert_eq!(changes(&next), [(1, Status::Alive, Reach::Direct)]);
}

#[test]
fn a_node_that_is_alone_has_nothing_to_do_until_somebody_joins() {
    let mut alone = node(0, 1);
    assert_eq!(alone.next_deadline(), None);
    assert_eq!(
        (
            alone.successor(),
            alone.ttl_initial(),
            alone.members().count()
        ),
        (None, 9, 1)
    );
    let late = 3_600_000_000_000;
    let joins = Input::Introduce {
        rank: Rank(4),
        role: Role::Decode,
        address: address(4),
        inc: INC,
    };
    outputs(&mut alone, late, joins);
    assert!(alone.next_deadline().unwrap() > Timestamp(late));
    assert_eq!(alone.health(), 0, "nothing was due before");
}

#[test]
fn members_are_listed_in_rank_order_with_this_node_in_its_place() {
    let mut node = node(1, 3);
    outputs(&mut node, 0, link_up(2));
    outputs(&mut node, 0, lives(2));
    let seen: Vec<(u16, Status)> = node.members().map(|m| (m.rank.0, m.status)).collect();
    let expect = [(0, Status::Down), (1, Status::Alive), (2, Status::Alive)];
    assert_eq!(seen, expect);
    assert_eq!(node.direct().collect::<Vec<_>>(), [Rank(2)]);
    assert_eq!(
        node.peers().map(|(rank, _)| rank.0).collect::<Vec<_>>(),
        [0, 2]
    );
}

// spec: TOPO-9
#[test]
fn strange_inputs_are_counted_and_change_nothing() {
    let mut node = node(0, 3);
    outputs(&mut node, 0, link_up(1));
    outputs(&mut node, 0, lives(1));
    let revision = node.revision();
    let beat = Heartbeat {
        ttl: 1,
        echo: true,
        inc: INC,
        seq: Seq(9),
        nonce: 3,
    };
    for peer in [Rank(0), Rank(77)] {
        let message = Message::Heartbeat(beat);
        let inputs = [
            Input::LinkUp { peer, inc: INC },
            Input::LinkDown { peer },
            Input::LinkSlow { peer },
            Input::LinkDrained { peer },
            Input::Heard { peer },
            Input::Message {
                from: peer,
                message,
            },
        ];
        for input in inputs {
            let out = outputs(&mut node, 1, input);
            assert_eq!(out, [Output::Event(Event::UnknownPeer { peer })]);
        }
    }
    let from = Rank(1);
    let mut check = |message, expect: Event| {
        let out = outputs(&mut node, 1, Input::Message { from, message });
        assert_eq!(out, [Output::Event(expect)]);
    };
    let spent = Message::Heartbeat(Heartbeat { ttl: 0, ..beat });
    check(spent, Event::SpentHeartbeat { from });
    let members = |records, all_of| Message::Members { records, all_of };
    let bad = |count| Event::BadRecords { from, count };
    let turned = Some((Rank(2), Rank(1)));
    check(members(vec![record(2, 1, Status::Alive)], turned), bad(1));
    check(members(vec![record(2, 0, Status::Alive)], None), bad(1));
    let many = vec![record(2, 1, Status::Alive); 257];
    check(members(many, None), bad(257));
    let long = Record {
        address: "a".repeat(256),
        ..record(2, 1, Status::Alive)
    };
    check(members(vec![long.clone(), long], None), bad(2));
    let unasked = Message::ProbeResult {
        target: Rank(2),
        nonce: 0,
        heard: false,
    };
    assert_eq!(
        outputs(
            &mut node,
            1,
            Input::Message {
                from,
                message: unasked
            }
        ),
        []
    );
    assert_eq!(node.member(Rank(1)).unwrap().position.1, Seq::ZERO);
    assert_eq!(node.revision(), revision);
}

// spec: TOPO-9
#[test]
fn a_probe_is_answered_with_its_number_and_an_answer_is_not() {
    let mut node = node(0, 2);
    outputs(&mut node, 0, link_up(1));
    let beat = Heartbeat {
        ttl: 1,
        echo: true,
        inc: INC,
        seq: Seq(9),
        nonce: 33,
    };
    let mut hears = |beat| {
        let message = Message::Heartbeat(beat);
        let from = Rank(1);
        outputs(&mut node, 1, Input::Message { from, message })
    };
    let answer = Heartbeat {
        echo: false,
        seq: Seq(0),
        ..beat
    };
    let expect = Output::Send {
        to: Rank(1),
        message: Message::Heartbeat(answer),
    };
    assert_eq!(hears(beat), [expect]);
    assert_eq!(hears(answer), []);
}

#[test]
fn an_older_life_does_not_set_a_position_back() {
    let mut node = node(0, 2);
    outputs(&mut node, 0, link_up(1));
    let mut beat = |inc, seq| {
        let message = Message::Heartbeat(Heartbeat {
            ttl: 1,
            echo: false,
            inc: Incarnation(inc),
            seq: Seq(seq),
            nonce: 1,
        });
        let from = Rank(1);
        outputs(&mut node, 0, Input::Message { from, message });
        let (inc, seq) = node.member(from).unwrap().position;
        (inc.0, seq.0)
    };
    assert_eq!(beat(15, 30), (15, 30));
    assert_eq!(beat(14, 90), (15, 30));
    assert_eq!(beat(15, 20), (15, 30));
    assert_eq!(beat(16, 1), (16, 1));
}

// spec: TOPO-28
#[test]
fn a_question_about_another_is_answered_at_once_when_the_answer_is_known() {
    let mut node = node(0, 4);
    for rank in [1, 2] {
        outputs(&mut node, 0, link_up(rank));
        outputs(&mut node, 0, lives(rank));
    }
    let from = Rank(1);
    let mut ask = |target| {
        let target = Rank(target);
        let message = Message::ProbeFor { target, nonce: 5 };
        let out = outputs(&mut node, 1, Input::Message { from, message });
        let answers = out.iter().filter_map(|output| match *output {
            Output::Send {
                message: Message::ProbeResult { heard, .. },
                ..
            } => Some(heard),
            _ => None,
        });
        answers.collect::<Vec<bool>>()
    };
    assert_eq!(ask(3), [false], "no link to it");
    assert_eq!(ask(77), [false], "nobody knows it");
    assert_eq!(ask(0), [true], "this node itself");
    assert_eq!(ask(2), [] as [bool; 0], "it has to be probed first");
    let result = |heard| Output::Send {
        to: from,
        message: Message::ProbeResult {
            target: Rank(2),
            nonce: 5,
            heard,
        },
    };
    let heard = outputs(&mut node, 2, Input::Heard { peer: Rank(2) });
    assert_eq!(heard, [result(true)]);
    let asks = Message::ProbeFor {
        target: Rank(2),
        nonce: 5,
    };
    outputs(
        &mut node,
        3,
        Input::Message {
            from,
            message: asks,
        },
    );
    let silent = outputs(&mut node, 3 + 500_000_000, Input::Tick);
    assert!(silent.contains(&result(false)), "{silent:?}");
}

// spec: TOPO-20
#[test]
fn a_later_life_of_the_own_rank_is_reported_and_never_taken() {
    let mut node = node(0, 2);
    outputs(&mut node, 0, link_up(1));
    let out = outputs(&mut node, 1, says(1, vec![record(0, 9, Status::Alive)]));
    assert_eq!(
        out,
        [Output::Outlived {
            inc: Incarnation(9)
        }]
    );
    assert_eq!(node.member(Rank(0)).unwrap().inc, INC);
    outputs(&mut node, 2, Input::Position(Incarnation(10), Seq(0)));
    assert_eq!(node.member(Rank(0)).unwrap().inc, Incarnation(10));
}

// spec: TOPO-19
#[test]
fn a_new_life_is_told_to_everybody_linked_at_once() {
    let mut node = node(0, 4);
    for rank in [1, 2] {
        outputs(&mut node, 0, link_up(rank));
    }
    outputs(&mut node, 0, lives(1));
    assert_eq!(outputs(&mut node, 1, Input::Position(INC, Seq(5))), []);
    let out = outputs(&mut node, 2, Input::Position(Incarnation(8), Seq(5)));
    let to: Vec<u16> = out
        .iter()
        .filter_map(|output| match output {
            Output::Send { to, .. } => Some(to.0),
            _ => None,
        })
        .collect();
    assert_eq!(
        to,
        [1, 2],
        "2 is linked, and has not said yet that it lives"
    );
}

#[test]
fn late_and_repeated_ticks_are_harmless() {
    let mut node = node(0, 3);
    for rank in [1, 2] {
        outputs(&mut node, 0, link_up(rank));
        outputs(&mut node, 0, lives(rank));
    }
    let late = 3_600_000_000_000;
    let first = outputs(&mut node, late, Input::Tick);
    assert!(
        first.len() <= 8,
        "no burst for time that has passed: {first:?}"
    );
    assert_eq!(changes(&first), []);
    assert_eq!(outputs(&mut node, late, Input::Tick), []);
    assert!(node.next_deadline().unwrap() > Timestamp(late));
}
