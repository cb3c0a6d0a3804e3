//! Several topologies in virtual time, with links that open, close, lose, double and delay frames.
//!
//! It stands in for what is around a topology: a transport that links whoever wants each other, and logs
//! that carry floors with their version vectors and take a new life when theirs is forgotten.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use radix_core::id::{Incarnation, Rank, Seq};
use radix_core::time::Timestamp;
use topology::{
    Config, Event, Input, MemberView, Message, Output, Reach, Record, Role, Seed, Status, Topology,
    ViewId,
};

pub(crate) const LATENCY: Duration = Duration::from_micros(200);
const DIAL: Duration = Duration::from_millis(50);

/// One process.
struct Node {
    topology: Topology,
    inc: Incarnation,
    floors: BTreeMap<Rank, Incarnation>,
    /// What came while it does not run.
    inbox: Option<Vec<Delivery>>,
}

#[derive(Clone, Debug)]
enum Delivery {
    Input(Input),
    Message {
        from: Rank,
        epoch: u64,
        payload: Payload,
    },
}

#[derive(Clone, Debug)]
enum Payload {
    Message(Message),
    Floors(BTreeMap<Rank, Incarnation>),
}

/// What the wires do to frames. Percentages.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) loss: u8,
    pub(crate) doubles: u8,
    /// Frames take up to this longer; they overtake each other.
    pub(crate) delay: Duration,
}

pub(crate) struct Cluster {
    pub(crate) now: Timestamp,
    nodes: BTreeMap<Rank, Node>,
    /// Open links by (lower, higher) rank, with a number of their own.
    links: BTreeMap<(Rank, Rank), u64>,
    /// Frames from .0 to .1 vanish.
    cut: BTreeSet<(Rank, Rank)>,
    /// Pairs that cannot connect, (lower, higher).
    apart: BTreeSet<(Rank, Rank)>,
    wire: BTreeMap<(Timestamp, u64), (Rank, Delivery)>,
    dial_at: Timestamp,
    count: u64,
    random: fastrand::Rng,
    pub(crate) weather: Weather,
    pub(crate) log: Vec<(Timestamp, Rank, Output)>,
    adjust: fn(&mut Config),
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn address(rank: u16) -> String {
    format!("node-{rank}:7400")
}

pub(crate) fn seed(rank: u16) -> Seed {
    Seed {
        rank: Rank(rank),
        role: Role::Decode,
        address: address(rank),
    }
}

fn pair(a: Rank, b: Rank) -> (Rank, Rank) {
    (a.min(b), a.max(b))
}

impl Cluster {
    /// A cluster whose members all know each other from their configuration, and are linked.
    pub(crate) fn started(members: u16) -> Cluster {
        Cluster::with(members, |_| {})
    }

    pub(crate) fn with(members: u16, adjust: fn(&mut Config)) -> Cluster {
        let mut cluster = Cluster::empty(adjust);
        let seeds: Vec<Seed> = (0..members).map(seed).collect();
        for rank in 0..members {
            cluster.boot(rank, 1, seeds.clone(), Vec::new());
        }
        cluster.run(secs(3));
        cluster.log.clear();
        cluster
    }

    pub(crate) fn empty(adjust: fn(&mut Config)) -> Cluster {
        Cluster {
            now: Timestamp(0),
            nodes: BTreeMap::new(),
            links: BTreeMap::new(),
            cut: BTreeSet::new(),
            apart: BTreeSet::new(),
            wire: BTreeMap::new(),
            dial_at: Timestamp(0),
            count: 0,
            random: fastrand::Rng::with_seed(7),
            weather: Weather::default(),
            log: Vec::new(),
            adjust,
        }
    }

    pub(crate) fn seeded(mut self, seed: u64) -> Cluster {
        self.random = fastrand::Rng::with_seed(seed);
        self
    }

    pub(crate) fn boot(&mut self, rank: u16, inc: u64, seeds: Vec<Seed>, table: Vec<Record>) {
        let mut config = Config {
            table,
            ..Config::with_seeds(Rank(rank), seeds)
        };
        (self.adjust)(&mut config);
        let node = Node {
            topology: Topology::new(config, self.now).unwrap(),
            inc: Incarnation(inc),
            floors: BTreeMap::new(),
            inbox: None,
        };
        self.nodes.insert(Rank(rank), node);
        self.input(rank, Input::Position(Incarnation(inc), Seq(0)));
    }

    /// A node joins through another one and starts with the answer as its table.
    pub(crate) fn join(&mut self, rank: u16, inc: u64, through: u16) {
        let introduce = Input::Introduce {
            rank: Rank(rank),
            role: Role::Decode,
            address: address(rank),
            inc: Incarnation(inc),
        };
        let outputs = self.input(through, introduce);
        let answer = outputs.iter().find_map(|output| match output {
            Output::Introduced(result) => Some(result.clone()),
            _ => None,
        });
        let records = answer.unwrap().unwrap();
        let own = records.iter().find(|record| record.rank == Rank(rank));
        let inc = own.unwrap().inc.0;
        self.boot(rank, inc, vec![seed(rank)], records);
    }

    /// A node that nobody knows (any more) introduces itself again.
    pub(crate) fn join_again(&mut self, rank: u16, through: u16) {
        let introduce = Input::Introduce {
            rank: Rank(rank),
            role: Role::Decode,
            address: address(rank),
            inc: self.nodes[&Rank(rank)].inc,
        };
        for output in self.input(through, introduce) {
            if let Output::Introduced(Ok(records)) = output {
                self.input(rank, Input::Table(records));
            }
        }
    }

    /// The process dies; its host closes its connections.
    pub(crate) fn crash(&mut self, rank: u16) {
        self.nodes.remove(&Rank(rank)).unwrap();
        let links: Vec<(Rank, Rank)> = self.links.keys().copied().collect();
        for (a, b) in links {
            if a == Rank(rank) || b == Rank(rank) {
                let other = if a == Rank(rank) { b } else { a };
                self.links.remove(&(a, b));
                let peer = Rank(rank);
                self.schedule(LATENCY, other, Delivery::Input(Input::LinkDown { peer }));
            }
        }
    }

    pub(crate) fn leave(&mut self, rank: u16) {
        self.input(rank, Input::Leave);
        self.run(millis(5));
        self.crash(rank);
    }

    /// The logs of a node know from elsewhere that a life is forgotten.
    pub(crate) fn forget_in_logs(&mut self, at: u16, rank: u16, floor: u64) {
        let node = self.nodes.get_mut(&Rank(at)).unwrap();
        node.floors.insert(Rank(rank), Incarnation(floor));
    }

    /// It neither ticks nor reads from now on.
    pub(crate) fn stop(&mut self, rank: u16) {
        self.nodes.get_mut(&Rank(rank)).unwrap().inbox = Some(Vec::new());
    }

    /// The clock of the continued node has gone on: it ticks before it reads what has piled up.
    pub(crate) fn go_on(&mut self, rank: u16) {
        let inbox = self.nodes.get_mut(&Rank(rank)).unwrap().inbox.take();
        self.input(rank, Input::Tick);
        for delivery in inbox.unwrap() {
            self.deliver(Rank(rank), delivery);
        }
    }

    /// Closes the link of two nodes and lets them open no other.
    pub(crate) fn part(&mut self, a: u16, b: u16) {
        let both = pair(Rank(a), Rank(b));
        self.apart.insert(both);
        self.disconnect(both);
    }

    pub(crate) fn mend(&mut self, a: u16, b: u16) {
        self.apart.remove(&pair(Rank(a), Rank(b)));
    }

    /// Parts each of one side from each of the other.
    pub(crate) fn partition(&mut self, side: &[u16]) {
        let others: Vec<u16> = self.running().filter(|rank| !side.contains(rank)).collect();
        for &a in side {
            for &b in &others {
                self.part(a, b);
            }
        }
    }

    pub(crate) fn heal(&mut self) {
        self.apart.clear();
        self.cut.clear();
    }

    /// Frames from `a` to `b` vanish; the link stays.
    pub(crate) fn swallow(&mut self, a: u16, b: u16) {
        self.cut.insert((Rank(a), Rank(b)));
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = u16> + '_ {
        self.nodes.keys().map(|rank| rank.0)
    }

    pub(crate) fn node(&self, rank: u16) -> &Topology {
        &self.nodes[&Rank(rank)].topology
    }

    pub(crate) fn seen(&self, at: u16, of: u16) -> MemberView<'_> {
        self.node(at).member(Rank(of)).unwrap()
    }

    /// What every running node but `of` itself believes of it.
    pub(crate) fn status_everywhere(&self, of: u16) -> BTreeSet<Option<Status>> {
        let others = self.nodes.iter().filter(|(rank, _)| rank.0 != of);
        others
            .map(|(_, node)| node.topology.member(Rank(of)).map(|member| member.status))
            .collect()
    }

    #[track_caller]
    pub(crate) fn assert_everywhere(&self, of: u16, status: Status) {
        let expect = BTreeSet::from([Some(status)]);
        assert_eq!(self.status_everywhere(of), expect, "of {of}");
    }

    pub(crate) fn views(&self) -> BTreeSet<ViewId> {
        let nodes = self.nodes.values();
        nodes.map(|node| node.topology.view_id()).collect()
    }

    pub(crate) fn view(&self) -> ViewId {
        let views = self.views();
        assert_eq!(views.len(), 1, "the views differ");
        *views.first().unwrap()
    }

    /// Asserts that all tables and views are equal, and that everybody reaches everybody.
    #[track_caller]
    pub(crate) fn assert_whole(&self) {
        let tables: BTreeSet<u64> = self
            .nodes
            .values()
            .map(|node| node.topology.table_hash())
            .collect();
        assert_eq!(tables.len(), 1, "the tables differ");
        assert_eq!(self.views().len(), 1, "the views differ");
        for (rank, node) in &self.nodes {
            for &of in self.nodes.keys() {
                let member = node.topology.member(of).unwrap();
                assert!(member.is_direct(), "{of} at {rank}: {member:?}");
            }
            assert_eq!(node.topology.members_in_view(), self.nodes.len());
        }
        assert_eq!(
            self.assert_broadcasts(),
            self.nodes.len(),
            "all are reached"
        );
    }

    /// Asserts that a broadcast of any node visits nobody twice, whatever the tables; returns how few it reached.
    #[track_caller]
    pub(crate) fn assert_broadcasts(&self) -> usize {
        let mut reached_min = self.nodes.len();
        let mut arcs = Vec::new();
        for &origin in self.nodes.keys() {
            let mut visited = BTreeSet::from([origin]);
            let mut under_way = vec![(origin, origin)];
            let mut sends = 0;
            while let Some((to, end)) = under_way.pop() {
                let Some(node) = self.nodes.get(&to) else {
                    continue;
                };
                node.topology.arcs(end, &mut arcs);
                for arc in &arcs {
                    assert!(visited.insert(arc.to), "{} twice from {origin}", arc.to);
                    assert_ne!(arc.to, arc.end);
                    under_way.push((arc.to, arc.end));
                    sends += 1;
                }
            }
            let known = self
                .nodes
                .values()
                .map(|node| node.topology.members().count());
            assert!(sends < known.sum::<usize>().max(1));
            reached_min = reached_min.min(visited.len());
        }
        reached_min
    }

    pub(crate) fn events(&self, wanted: impl Fn(u16, &Event) -> bool) -> usize {
        let events = self.log.iter().filter(
            |(_, rank, output)| matches!(output, Output::Event(event) if wanted(rank.0, event)),
        );
        events.count()
    }

    /// What was told of a member at a node, in order.
    pub(crate) fn told(&self, at: u16, of: u16) -> Vec<(Status, Reach)> {
        let changes = self.log.iter().filter(|(_, rank, _)| rank.0 == at);
        changes
            .filter_map(|(_, _, output)| match *output {
                Output::StatusChanged {
                    rank,
                    status,
                    reach,
                } if rank.0 == of => Some((status, reach)),
                _ => None,
            })
            .collect()
    }

    /// Who ever believed what of a member, on any node.
    pub(crate) fn ever(&self, of: u16, status: Status) -> bool {
        self.log.iter().any(|(_, _, output)| {
            matches!(output, Output::StatusChanged { rank, status: told, .. }
                if rank.0 == of && *told == status)
        })
    }

    /// Hands one input to a running node, and sees to what follows.
    pub(crate) fn input(&mut self, rank: u16, input: Input) -> Vec<Output> {
        let node = self.nodes.get_mut(&Rank(rank)).unwrap();
        let mut out = Vec::new();
        node.topology.handle(self.now, input, &mut out);
        for output in &out {
            self.log.push((self.now, Rank(rank), output.clone()));
            self.act(Rank(rank), output);
        }
        out
    }

    fn act(&mut self, me: Rank, output: &Output) {
        match output {
            Output::Send { to, message } => {
                self.transmit(me, *to, &Payload::Message(message.clone()));
            }
            Output::Exchange { with } => {
                let floors = self.nodes[&me].floors.clone();
                self.transmit(me, *with, &Payload::Floors(floors));
            }
            Output::Forget { rank, floor } => {
                self.nodes
                    .get_mut(&me)
                    .unwrap()
                    .floors
                    .insert(*rank, *floor);
            }
            Output::Outlived { inc } => self.live_beyond(me, *inc),
            Output::PeersChanged => self.dial_at = self.dial_at.min(self.now.after(DIAL)),
            Output::StatusChanged { .. }
            | Output::Introduced(_)
            | Output::Forgotten(_)
            | Output::Event(_) => {}
        }
    }

    fn live_beyond(&mut self, me: Rank, inc: Incarnation) {
        let node = self.nodes.get_mut(&me).unwrap();
        if inc >= node.inc {
            node.inc = Incarnation(inc.0 + 1);
            let inc = node.inc;
            self.input(me.0, Input::Position(inc, Seq(0)));
        }
    }

    fn transmit(&mut self, from: Rank, to: Rank, payload: &Payload) {
        let Some(&epoch) = self.links.get(&pair(from, to)) else {
            return;
        };
        let Weather {
            loss,
            doubles,
            delay,
        } = self.weather;
        let copies = 1 + u8::from(self.random.u8(0..100) < doubles);
        for _ in 0..copies {
            if self.cut.contains(&(from, to)) || self.random.u8(0..100) < loss {
                continue;
            }
            let nanos = u64::try_from(delay.as_nanos()).unwrap();
            let latency = LATENCY + Duration::from_nanos(self.random.u64(0..=nanos));
            let payload = payload.clone();
            let delivery = Delivery::Message {
                from,
                epoch,
                payload,
            };
            self.schedule(latency, to, delivery);
        }
    }

    fn schedule(&mut self, after: Duration, to: Rank, delivery: Delivery) {
        self.count += 1;
        self.wire
            .insert((self.now.after(after), self.count), (to, delivery));
    }

    fn deliver(&mut self, to: Rank, delivery: Delivery) {
        let Some(node) = self.nodes.get_mut(&to) else {
            return;
        };
        if let Some(inbox) = &mut node.inbox {
            return inbox.push(delivery);
        }
        match delivery {
            Delivery::Input(input) => _ = self.input(to.0, input),
            Delivery::Message {
                from,
                epoch,
                payload,
            } => {
                if self.links.get(&pair(from, to)) != Some(&epoch) {
                    return;
                }
                self.input(to.0, Input::Heard { peer: from });
                match payload {
                    Payload::Message(message) => {
                        self.input(to.0, Input::Message { from, message });
                    }
                    Payload::Floors(floors) => self.floors_came(to, &floors),
                }
            }
        }
    }

    fn floors_came(&mut self, to: Rank, floors: &BTreeMap<Rank, Incarnation>) {
        for (&rank, &floor) in floors {
            let known = self.nodes.get_mut(&to).unwrap();
            let known = known.floors.entry(rank).or_default();
            *known = (*known).max(floor);
            if rank == to {
                self.live_beyond(to, floor);
            } else {
                self.input(to.0, Input::Floor { rank, floor });
            }
        }
    }

    fn disconnect(&mut self, (a, b): (Rank, Rank)) {
        if self.links.remove(&(a, b)).is_some() {
            self.deliver(a, Delivery::Input(Input::LinkDown { peer: b }));
            self.deliver(b, Delivery::Input(Input::LinkDown { peer: a }));
        }
    }

    /// What the transports do: link who wants each other, close what one no longer wants.
    fn dial(&mut self) {
        let wants: BTreeMap<Rank, BTreeSet<Rank>> = self
            .nodes
            .iter()
            .map(|(&rank, node)| (rank, node.topology.peers().map(|(peer, _)| peer).collect()))
            .collect();
        let unwanted: Vec<(Rank, Rank)> = self
            .links
            .keys()
            .copied()
            .filter(|(a, b)| !wants[a].contains(b) || !wants[b].contains(a))
            .collect();
        for both in unwanted {
            self.disconnect(both);
        }
        let runs = |rank: &Rank| self.nodes[rank].inbox.is_none();
        let ranks: Vec<Rank> = wants.keys().copied().filter(runs).collect();
        for &a in &ranks {
            for &b in ranks.iter().filter(|&&b| b > a) {
                let wanted = wants[&a].contains(&b) && wants[&b].contains(&a);
                let open = self.links.contains_key(&(a, b)) || self.apart.contains(&(a, b));
                if wanted && !open {
                    self.count += 1;
                    self.links.insert((a, b), self.count);
                    let inc = |rank: &Rank| self.nodes[rank].inc;
                    let (of_a, of_b) = (inc(&a), inc(&b));
                    self.input(a.0, Input::LinkUp { peer: b, inc: of_b });
                    self.input(b.0, Input::LinkUp { peer: a, inc: of_a });
                }
            }
        }
    }

    pub(crate) fn run(&mut self, duration: Duration) {
        let until = self.now.after(duration);
        loop {
            let ticks = self.nodes.iter().filter(|(_, node)| node.inbox.is_none());
            let tick = ticks
                .filter_map(|(&rank, node)| Some((node.topology.next_deadline()?, rank)))
                .min();
            let frame = self.wire.first_key_value().map(|(&(at, _), _)| at);
            let at = [tick.map(|(at, _)| at), frame, Some(self.dial_at)]
                .into_iter()
                .flatten()
                .min()
                .unwrap();
            if at > until {
                break;
            }
            self.now = self.now.max(at);
            if frame == Some(at) {
                let (_, (to, delivery)) = self.wire.pop_first().unwrap();
                self.deliver(to, delivery);
            } else if self.dial_at == at {
                self.dial_at = self.now.after(DIAL);
                self.dial();
            } else if let Some((_, rank)) = tick {
                self.input(rank.0, Input::Tick);
            }
        }
        self.now = until;
    }
}
