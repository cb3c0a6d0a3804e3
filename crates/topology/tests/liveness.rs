//! Links, heartbeats and silence, in virtual time: real topologies that exchange real heartbeats.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::time::Duration;

use radix_core::id::{Incarnation, Rank, Seq};
use radix_core::time::Timestamp;
use topology::{Config, Event, Heartbeat, Input, Output, Role, Status, Topology};

const INC: Incarnation = Incarnation(7);

fn config(me: u16, members: u16) -> Config {
    Config::new(
        Rank(me),
        (0..members)
            .map(|rank| (Rank(rank), Role::Decode))
            .collect(),
    )
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Nodes whose frames arrive at once. A stopped node neither ticks nor reads until it continues.
struct Cluster {
    now: Timestamp,
    nodes: BTreeMap<Rank, Topology>,
    stopped: BTreeMap<Rank, Vec<Input>>,
    log: Vec<(Timestamp, Rank, Output)>,
}

impl Cluster {
    fn new(members: u16) -> Cluster {
        let now = Timestamp(0);
        let node = |rank| {
            (
                Rank(rank),
                Topology::new(config(rank, members), now).unwrap(),
            )
        };
        let nodes = (0..members).map(node).collect();
        Cluster {
            now,
            nodes,
            stopped: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    fn linked(members: u16) -> Cluster {
        let mut cluster = Cluster::new(members);
        for a in 0..members {
            for b in 0..a {
                cluster.link(a, b);
            }
        }
        cluster
    }

    fn link(&mut self, a: u16, b: u16) {
        self.input(
            Rank(a),
            Input::LinkUp {
                peer: Rank(b),
                inc: INC,
            },
        );
        self.input(
            Rank(b),
            Input::LinkUp {
                peer: Rank(a),
                inc: INC,
            },
        );
    }

    fn unlink(&mut self, a: u16, b: u16) {
        self.input(Rank(a), Input::LinkDown { peer: Rank(b) });
        self.input(Rank(b), Input::LinkDown { peer: Rank(a) });
    }

    fn stop(&mut self, rank: u16) {
        self.stopped.insert(Rank(rank), Vec::new());
    }

    /// The clock of the continued node has gone on: it ticks before it reads what has piled up.
    fn go_on(&mut self, rank: u16) {
        let inbox = self.stopped.remove(&Rank(rank)).unwrap();
        self.input(Rank(rank), Input::Tick);
        inbox
            .into_iter()
            .for_each(|input| self.input(Rank(rank), input));
    }

    fn input(&mut self, rank: Rank, input: Input) {
        if let Some(inbox) = self.stopped.get_mut(&rank) {
            return inbox.push(input);
        }
        let mut out = Vec::new();
        self.nodes
            .get_mut(&rank)
            .unwrap()
            .handle(self.now, input, &mut out);
        for output in out {
            self.log.push((self.now, rank, output));
            if let Output::SendHeartbeat { to, beat } = output {
                self.input(to, Input::Heartbeat { from: rank, beat });
            }
        }
    }

    fn run(&mut self, duration: Duration) {
        let until = self.now.after(duration);
        loop {
            let running = self
                .nodes
                .iter()
                .filter(|(rank, _)| !self.stopped.contains_key(rank));
            let due = running
                .filter_map(|(&rank, node)| Some((node.next_deadline()?, rank)))
                .min();
            let Some((at, rank)) = due.filter(|(at, _)| *at <= until) else {
                break;
            };
            assert!(at >= self.now, "a deadline lies behind: {at:?}");
            self.now = at;
            self.input(rank, Input::Tick);
        }
        self.now = until;
    }

    fn status(&self, of: u16, at: u16) -> Status {
        self.nodes[&Rank(at)].member(Rank(of)).unwrap().status
    }

    fn changes_at(&self, at: u16) -> Vec<(Rank, Status)> {
        let of_node = self.log.iter().filter(|(_, rank, _)| *rank == Rank(at));
        of_node
            .filter_map(|(_, _, output)| match *output {
                Output::StatusChanged { rank, status } => Some((rank, status)),
                Output::SendHeartbeat { .. } | Output::Exchange { .. } | Output::Event(_) => None,
            })
            .collect()
    }

    fn count(&self, wanted: impl Fn(Rank, &Output) -> bool) -> usize {
        self.log
            .iter()
            .filter(|(_, rank, output)| wanted(*rank, output))
            .count()
    }
}

fn outputs(topology: &mut Topology, now: Timestamp, input: Input) -> Vec<Output> {
    let mut out = Vec::new();
    topology.handle(now, input, &mut out);
    out
}

// spec: TOPO-7
#[test]
fn a_member_is_up_exactly_while_linked_and_a_new_link_exchanges_at_once() {
    let mut node = Topology::new(config(0, 3), Timestamp(0)).unwrap();
    assert!(!node.is_up(Rank(1)) && node.is_up(Rank(0)));
    let up = outputs(
        &mut node,
        Timestamp(5),
        Input::LinkUp {
            peer: Rank(1),
            inc: INC,
        },
    );
    let changed = |status| Output::StatusChanged {
        rank: Rank(1),
        status,
    };
    assert_eq!(
        up,
        [changed(Status::Up), Output::Exchange { with: Rank(1) }]
    );
    assert_eq!(node.revision(), 1);
    assert_eq!(node.member(Rank(1)).unwrap().inc, INC);

    let again = outputs(
        &mut node,
        Timestamp(6),
        Input::LinkUp {
            peer: Rank(1),
            inc: INC,
        },
    );
    assert_eq!(again, [Output::Exchange { with: Rank(1) }]);
    assert_eq!(node.revision(), 1);

    let down = outputs(&mut node, Timestamp(7), Input::LinkDown { peer: Rank(1) });
    assert_eq!(down, [changed(Status::Down)]);
    assert_eq!(
        outputs(&mut node, Timestamp(7), Input::LinkDown { peer: Rank(1) }),
        []
    );
    assert_eq!(node.revision(), 2);
}

// spec: TOPO-8
#[test]
fn heartbeats_go_to_the_next_live_successor_and_carry_the_end_of_the_log() {
    let mut cluster = Cluster::linked(4);
    cluster.input(Rank(2), Input::Position(INC, Seq(41)));
    cluster.unlink(2, 3);
    cluster.log.clear();
    cluster.run(secs(10));
    let beats = cluster.count(|rank, output| {
        let beat = Heartbeat {
            ttl: 1,
            echo: false,
            inc: INC,
            seq: Seq(41),
        };
        rank == Rank(2) && *output == Output::SendHeartbeat { to: Rank(0), beat }
    });
    // One a second; and node 3, which takes 1 for its predecessor, asks 1 and not 2.
    assert_eq!(beats, 10);
    let seen = cluster.nodes[&Rank(0)].member(Rank(2)).unwrap();
    assert_eq!((seen.inc, seen.position), (INC, Seq(41)));
}

// spec: TOPO-10, TOPO-11
#[test]
fn a_hung_node_is_down_for_its_successor_after_four_heartbeats_until_it_is_heard() {
    let mut cluster = Cluster::linked(5);
    cluster.run(secs(20));
    cluster.stop(2);
    cluster.log.clear();
    cluster.run(secs(5));
    assert_eq!(cluster.changes_at(3), [(Rank(2), Status::Down)]);
    assert!(cluster.nodes[&Rank(3)].member(Rank(2)).unwrap().silent);
    assert_eq!(cluster.status(2, 1), Status::Up, "only the successor knows");
    let silent = cluster.count(|rank, output| {
        rank == Rank(3) && matches!(output, Output::Event(Event::Silent { rank: Rank(2), .. }))
    });
    assert_eq!(silent, 1);

    cluster.run(secs(60));
    cluster.log.clear();
    cluster.go_on(2);
    cluster.run(secs(2));
    assert_eq!(cluster.changes_at(3), [(Rank(2), Status::Up)]);
    let exchanged = cluster
        .count(|rank, output| rank == Rank(3) && *output == Output::Exchange { with: Rank(2) });
    assert!(exchanged >= 1, "what it missed is asked for");
}

#[test]
fn a_node_that_slept_condemns_nobody() {
    let mut cluster = Cluster::linked(5);
    cluster.run(secs(20));
    cluster.stop(2);
    cluster.run(secs(60));
    cluster.log.clear();
    cluster.go_on(2);
    cluster.run(secs(30));
    assert_eq!(cluster.changes_at(2), []);
}

// spec: TOPO-10
#[test]
fn disagreement_about_who_follows_whom_makes_nobody_silent() {
    let mut cluster = Cluster::linked(4);
    // 2 takes 0 for its predecessor, but 0 sends its heartbeats to 1, its own successor.
    cluster.unlink(1, 2);
    cluster.log.clear();
    cluster.run(secs(120));
    for node in 0..4 {
        assert_eq!(cluster.changes_at(node), [], "at node {node}");
    }
    let asked = cluster.count(|rank, output| {
        rank == Rank(2)
            && matches!(output, Output::SendHeartbeat { to: Rank(0), beat } if beat.echo)
    });
    assert!((30..=41).contains(&asked), "asked {asked} times in 120 s");
}

#[test]
fn a_quiet_healthy_cluster_stays_as_it_is() {
    let mut cluster = Cluster::linked(9);
    let revisions: Vec<u64> = cluster.nodes.values().map(Topology::revision).collect();
    cluster.run(secs(300));
    assert_eq!(
        cluster
            .nodes
            .values()
            .map(Topology::revision)
            .collect::<Vec<_>>(),
        revisions
    );
    assert_eq!(
        cluster.count(|_, output| matches!(output, Output::Event(_))),
        0
    );
}

// spec: TOPO-12
#[test]
fn exchanges_go_to_the_successor_and_to_every_other_in_time() {
    let mut cluster = Cluster::linked(8);
    cluster.log.clear();
    cluster.run(secs(100));
    let with = |peer| {
        cluster.count(|rank, output| {
            rank == Rank(3) && *output == Output::Exchange { with: Rank(peer) }
        })
    };
    assert!(
        (190..=210).contains(&with(4)),
        "{} with the successor",
        with(4)
    );
    assert_eq!(with(3), 0);
    for peer in [0, 1, 2, 5, 6, 7] {
        assert!(
            (15..=55).contains(&with(peer)),
            "{} with {peer}",
            with(peer)
        );
    }
}

#[test]
fn a_node_that_is_alone_has_nothing_to_do() {
    let node = Topology::new(config(0, 1), Timestamp(0)).unwrap();
    assert_eq!(node.next_deadline(), None);
    assert_eq!(
        (node.successor(), node.ttl_initial(), node.members().count()),
        (None, 9, 1)
    );
}

#[test]
fn members_are_listed_in_rank_order_with_this_node_in_its_place() {
    let mut node = Topology::new(config(1, 3), Timestamp(0)).unwrap();
    outputs(
        &mut node,
        Timestamp(0),
        Input::LinkUp {
            peer: Rank(2),
            inc: INC,
        },
    );
    let seen: Vec<(Rank, Status)> = node.members().map(|m| (m.rank, m.status)).collect();
    assert_eq!(
        seen,
        [
            (Rank(0), Status::Down),
            (Rank(1), Status::Up),
            (Rank(2), Status::Up)
        ]
    );
}

// spec: TOPO-9
#[test]
fn strange_inputs_are_counted_and_change_nothing() {
    let mut node = Topology::new(config(0, 3), Timestamp(0)).unwrap();
    outputs(
        &mut node,
        Timestamp(0),
        Input::LinkUp {
            peer: Rank(1),
            inc: INC,
        },
    );
    let beat = Heartbeat {
        ttl: 1,
        echo: true,
        inc: INC,
        seq: Seq(9),
    };
    for peer in [Rank(0), Rank(77)] {
        let inputs = [
            Input::LinkUp { peer, inc: INC },
            Input::LinkDown { peer },
            Input::Heard { peer },
            Input::Heartbeat { from: peer, beat },
        ];
        for input in inputs {
            let out = outputs(&mut node, Timestamp(1), input);
            assert_eq!(out, [Output::Event(Event::UnknownPeer { peer })]);
        }
    }
    let spent = Input::Heartbeat {
        from: Rank(1),
        beat: Heartbeat { ttl: 0, ..beat },
    };
    let expected = [Output::Event(Event::SpentHeartbeat { from: Rank(1) })];
    assert_eq!(outputs(&mut node, Timestamp(1), spent), expected);
    assert_eq!(node.member(Rank(1)).unwrap().position, Seq::ZERO);
    assert_eq!(node.revision(), 1);
}

#[test]
fn an_older_life_does_not_set_a_position_back() {
    let mut node = Topology::new(config(0, 2), Timestamp(0)).unwrap();
    let mut beat = |inc, seq| {
        let beat = Heartbeat {
            ttl: 1,
            echo: false,
            inc: Incarnation(inc),
            seq: Seq(seq),
        };
        outputs(
            &mut node,
            Timestamp(0),
            Input::Heartbeat {
                from: Rank(1),
                beat,
            },
        );
        let member = node.member(Rank(1)).unwrap();
        (member.inc.0, member.position.0)
    };
    assert_eq!(beat(5, 30), (5, 30));
    assert_eq!(beat(4, 90), (5, 30));
    assert_eq!(beat(5, 20), (5, 30));
    assert_eq!(beat(6, 1), (6, 1));
}

#[test]
fn late_and_repeated_ticks_are_harmless() {
    let mut node = Topology::new(config(0, 3), Timestamp(0)).unwrap();
    outputs(
        &mut node,
        Timestamp(0),
        Input::LinkUp {
            peer: Rank(1),
            inc: INC,
        },
    );
    outputs(
        &mut node,
        Timestamp(0),
        Input::LinkUp {
            peer: Rank(2),
            inc: INC,
        },
    );
    let late = Timestamp(0).after(secs(3600));
    let first = outputs(&mut node, late, Input::Tick);
    assert!(
        first.len() <= 4,
        "no burst for time that has passed: {first:?}"
    );
    assert_eq!(outputs(&mut node, late, Input::Tick), []);
    assert!(node.next_deadline().unwrap() > late);
}

#[test]
fn one_seed_gives_one_history() {
    let history = || {
        let mut cluster = Cluster::linked(6);
        cluster.run(secs(10));
        cluster.stop(4);
        cluster.run(secs(10));
        cluster.unlink(1, 2);
        cluster.go_on(4);
        cluster.run(secs(10));
        cluster.log
    };
    assert_eq!(history(), history());
}
