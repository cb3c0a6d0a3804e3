//! A few nodes, instant links and a clock that only moves when told.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use node::wire::{self, Answer, Introduction};
use node::{
    Boot, Effect, Effects, Event, Input, Lane, MemberView, Node, NodeConfig, Publish, PublishError,
    Receipt,
};
use radix_core::Matches;
use radix_core::id::{Holder, Incarnation, Namespace, Rank, SourceId, Tier};
use radix_core::page::{Fingerprint, FingerprintKey};
use radix_core::time::Timestamp;
use topology::{ForgetError, IntroduceError, Record, Role, Seed};

pub(crate) struct Rig {
    pub(crate) nodes: BTreeMap<Rank, Node>,
    /// Open links, lower rank first.
    pub(crate) links: BTreeSet<(u16, u16)>,
    /// Links over which nothing arrives, though both ends believe them open: (from, to).
    pub(crate) mute: BTreeSet<(u16, u16)>,
    pub(crate) now: Timestamp,
    pub(crate) data_bytes: usize,
    /// Broadcasts and pulled ops that went to a rank.
    pub(crate) data_frames_to: BTreeMap<u16, u32>,
    pub(crate) events: Vec<(Rank, Event)>,
    /// Who said that its peers changed since this was last looked at.
    pub(crate) peers_changed: BTreeSet<Rank>,
    pub(crate) left: BTreeSet<Rank>,
}

/// What came back to who handed an input over.
#[derive(Default)]
pub(crate) struct Answers {
    pub(crate) published: Option<Result<Receipt, PublishError>>,
    pub(crate) introduced: Option<Result<Vec<Record>, IntroduceError>>,
    pub(crate) forgotten: Option<Result<Incarnation, ForgetError>>,
}

impl Rig {
    /// Configured members that are not linked.
    pub(crate) fn new(count: u16) -> Rig {
        let mut rig = Rig {
            nodes: BTreeMap::new(),
            links: BTreeSet::new(),
            mute: BTreeSet::new(),
            now: Timestamp(1),
            data_bytes: 0,
            data_frames_to: BTreeMap::new(),
            events: Vec::new(),
            peers_changed: BTreeSet::new(),
            left: BTreeSet::new(),
        };
        for rank in 0..count {
            rig.nodes.insert(Rank(rank), start(rank, count, 1, rig.now));
        }
        rig
    }

    /// Configured members, all linked.
    pub(crate) fn linked(count: u16) -> Rig {
        let mut rig = Rig::new(count);
        for a in 0..count {
            for b in a + 1..count {
                rig.link(a, b);
            }
        }
        rig
    }

    pub(crate) fn link(&mut self, a: u16, b: u16) {
        self.links.insert((a.min(b), a.max(b)));
        let up = |(me, peer)| {
            let peer = Rank(peer);
            let inc = self.nodes[&peer].replica().me().inc;
            (Rank(me), Input::LinkUp { peer, inc })
        };
        // Both ends know of a link before anything arrives over it.
        let queue = [(a, b), (b, a)].map(up).into();
        self.run(queue);
    }

    pub(crate) fn unlink(&mut self, a: u16, b: u16) {
        if !self.links.remove(&(a.min(b), a.max(b))) {
            return;
        }
        for (me, peer) in [(a, b), (b, a)] {
            if self.nodes.contains_key(&Rank(me)) {
                self.handle(Rank(me), Input::LinkDown { peer: Rank(peer) });
            }
        }
    }

    /// Links everybody who wants to be linked, as the drivers do when the peers change.
    pub(crate) fn link_peers(&mut self) {
        for rank in std::mem::take(&mut self.peers_changed) {
            let Some(node) = self.nodes.get(&rank) else {
                continue;
            };
            let peers: Vec<u16> = node.peers().map(|(peer, _)| peer.0).collect();
            for peer in peers {
                let both = (rank.0.min(peer), rank.0.max(peer));
                if self.nodes.contains_key(&Rank(peer)) && !self.links.contains(&both) {
                    self.link(rank.0, peer);
                }
            }
        }
    }

    /// Links all who want each other, but for the pairs in `cut`, and parts those who do not any more.
    pub(crate) fn mesh(&mut self, cut: &BTreeSet<(u16, u16)>) {
        let wants = |rig: &Rig, a: u16, b: u16| {
            rig.nodes
                .get(&Rank(a))
                .is_some_and(|node| node.peers().any(|(peer, _)| peer.0 == b))
        };
        let ranks: Vec<u16> = self.nodes.keys().map(|rank| rank.0).collect();
        for (i, a) in ranks.iter().enumerate() {
            for b in &ranks[i + 1..] {
                let wanted = wants(self, *a, *b) && wants(self, *b, *a) && !cut.contains(&(*a, *b));
                match (wanted, self.links.contains(&(*a, *b))) {
                    (true, false) => self.link(*a, *b),
                    (false, true) => self.unlink(*a, *b),
                    (true, true) | (false, false) => {}
                }
            }
        }
        self.peers_changed.clear();
    }

    /// Introduces a running node again to those who do not know it any more, as drivers do that miss a link.
    pub(crate) fn introduce_again(&mut self, cut: &BTreeSet<(u16, u16)>) {
        let ranks: Vec<Rank> = self.nodes.keys().copied().collect();
        for me in &ranks {
            for at in &ranks {
                let both = (me.min(at).0, me.max(at).0);
                let wants = |a, b| self.nodes[&a].peers().any(|(peer, _)| peer == b);
                if me == at || cut.contains(&both) || !wants(*me, *at) || wants(*at, *me) {
                    continue;
                }
                let members = self.nodes[me].status().members;
                let own = members.into_iter().find(|member| member.view.rank == *me);
                let own = own.expect("a node is its own member");
                let introduce = Input::Introduce {
                    rank: *me,
                    role: own.view.role,
                    address: own.address,
                    inc: own.view.life,
                };
                if let Some(Ok(records)) = self.handle(*at, introduce).introduced {
                    self.handle(*me, Input::Table(records));
                }
            }
        }
    }

    /// Ends a node without a word; its links break.
    pub(crate) fn kill(&mut self, rank: u16) {
        self.nodes.remove(&Rank(rank));
        let broken: Vec<(u16, u16)> = self
            .links
            .iter()
            .filter(|(a, b)| *a == rank || *b == rank)
            .copied()
            .collect();
        for (a, b) in broken {
            self.unlink(a, b);
        }
    }

    /// Starts a node that knows nobody but itself.
    pub(crate) fn join_empty(&mut self, rank: u16) {
        let boot = Boot {
            inc: Incarnation(1),
            seed: u64::from(rank) + 1,
        };
        let config = NodeConfig::new(Rank(rank), vec![(Rank(rank), Role::Decode)]);
        let node = Node::new(config, boot, self.now).expect("valid");
        self.nodes.insert(Rank(rank), node);
    }

    /// Introduces a new node through a member and starts it with the answer; it is not linked yet.
    pub(crate) fn join(&mut self, rank: u16, inc: u64, through: u16) -> Result<(), String> {
        let address = format!("host-{rank}:1");
        let said = wire::encode_introduction(&Introduction {
            role: Role::Decode,
            address: address.clone(),
        });
        let heard = wire::decode_introduction(&said).expect("as encoded");
        let result = self
            .handle(
                Rank(through),
                Input::Introduce {
                    rank: Rank(rank),
                    role: heard.role,
                    address: heard.address,
                    inc: Incarnation(inc),
                },
            )
            .introduced
            .expect("answered at once");
        let answer = wire::encode_answer(&Answer::from(result));
        let table = match wire::decode_answer(&answer).expect("as encoded") {
            Answer::Welcome(table) => table,
            Answer::Refused { why, .. } => return Err(why),
        };
        let own = table.iter().find(|record| record.rank == Rank(rank));
        let boot = Boot {
            inc: own.expect("the joiner is in the answer").inc,
            seed: u64::from(rank) + 1,
        };
        let seed = Seed {
            rank: Rank(rank),
            role: Role::Decode,
            address,
        };
        let mut config = NodeConfig::new(Rank(rank), Vec::new());
        config.topology = topology::Config::with_seeds(Rank(rank), vec![seed]);
        config.topology.table = table;
        let node = Node::new(config, boot, self.now).expect("valid");
        self.nodes.insert(Rank(rank), node);
        self.peers_changed.insert(Rank(rank));
        Ok(())
    }

    /// Hands one input over and everything that follows from it.
    pub(crate) fn handle(&mut self, rank: Rank, input: Input) -> Answers {
        self.run([(rank, input)].into())
    }

    fn run(&mut self, mut queue: VecDeque<(Rank, Input)>) -> Answers {
        let mut answers = Answers::default();
        while let Some((rank, input)) = queue.pop_front() {
            let Some(node) = self.nodes.get_mut(&rank) else {
                continue;
            };
            let mut out = Effects::new();
            node.handle(self.now, input, &mut out);
            for effect in out {
                match effect {
                    Effect::Send { to, lane, frame } => {
                        if lane == Lane::Data {
                            self.data_bytes += frame.len();
                            *self.data_frames_to.entry(to.0).or_default() += 1;
                        }
                        let both = (rank.0.min(to.0), rank.0.max(to.0));
                        if self.links.contains(&both) && !self.mute.contains(&(rank.0, to.0)) {
                            let bytes = frame.to_bytes();
                            queue.push_back((to, Input::Frame { from: rank, bytes }));
                        }
                    }
                    Effect::Published(result) => answers.published = Some(result),
                    Effect::Introduced(result) => answers.introduced = Some(result),
                    Effect::ForgetAnswered(result) => answers.forgotten = Some(result),
                    Effect::Event(event) => self.events.push((rank, event)),
                    Effect::PeersChanged => drop(self.peers_changed.insert(rank)),
                    Effect::Left => drop(self.left.insert(rank)),
                    Effect::Logged(_) | Effect::Applied { .. } | Effect::MembersChanged => {}
                }
            }
        }
        answers
    }

    pub(crate) fn publish(&mut self, rank: u16, publish: Publish) -> Receipt {
        let answers = self.handle(Rank(rank), Input::Publish(publish));
        self.handle(Rank(rank), Input::Flush);
        answers
            .published
            .expect("answered at once")
            .expect("accepted")
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now.after(time);
        loop {
            let due = self
                .nodes
                .iter()
                .filter_map(|(rank, node)| Some((node.next_deadline()?, *rank)))
                .min();
            match due {
                Some((at, rank)) if at <= end => {
                    self.now = self.now.max(at);
                    self.handle(rank, Input::Tick);
                }
                _ => break,
            }
        }
        self.now = end;
    }

    pub(crate) fn node(&self, rank: u16) -> &Node {
        &self.nodes[&Rank(rank)]
    }

    /// What `at` believes of `of`.
    pub(crate) fn view(&self, at: u16, of: u16) -> Option<MemberView> {
        let members = self.node(at).members();
        members.into_iter().find(|member| member.rank == Rank(of))
    }

    pub(crate) fn depth(&self, at: u16, holder: (u16, u16), pages: &[Fingerprint]) -> u32 {
        let mut matches = Matches::new();
        self.node(at)
            .replica()
            .state()
            .matches(Namespace::DEFAULT, pages, &mut matches);
        matches.pages(Holder {
            rank: Rank(holder.0),
            source: SourceId(holder.1),
        })
    }

    pub(crate) fn assert_equal(&self) {
        let digests = |node: &Node| {
            let ranks = self.nodes.keys();
            ranks
                .map(|rank| {
                    node.replica()
                        .digests(*rank)
                        .map(|d| (d.inc, d.seq, d.chain, d.set))
                })
                .collect::<Vec<_>>()
        };
        let mut all = self.nodes.values().map(digests);
        let first = all.next().expect("there are nodes");
        assert!(all.all(|other| other == first), "nodes differ");
    }
}

/// A configured member of a cluster of `count`.
pub(crate) fn start(rank: u16, count: u16, inc: u64, now: Timestamp) -> Node {
    let members = (0..count).map(|rank| (Rank(rank), Role::Prefill)).collect();
    let boot = Boot {
        inc: Incarnation(inc),
        seed: u64::from(rank) + 1,
    };
    Node::new(NodeConfig::new(Rank(rank), members), boot, now).expect("valid")
}

pub(crate) fn pages(numbers: std::ops::Range<u32>) -> Vec<Fingerprint> {
    let key = FingerprintKey::new(3);
    numbers.map(|number| key.page(&[number])).collect()
}

pub(crate) fn store(pages: &[Fingerprint], from: u32) -> Publish {
    Publish::Store {
        source: SourceId(0),
        namespace: Namespace::DEFAULT,
        tier: Tier::Device,
        pages: pages.to_vec(),
        from,
        renew: false,
    }
}
