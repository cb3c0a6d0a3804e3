//! The state machine: one input in, outputs out. What follows from an input is decided in the modules
//! that are named after it; here the parts are held together.

use std::collections::BTreeMap;

use radix_core::id::{Incarnation, Rank, Seq};
use radix_core::time::Timestamp;

use crate::config::{Config, ConfigError};
use crate::forget::ForgetError;
use crate::health::Health;
use crate::input::Input;
use crate::introduce::IntroduceError;
use crate::limits;
use crate::link::{Link, behind};
use crate::member::{MemberView, Reach};
use crate::message::Message;
use crate::output::{Event, Output};
use crate::questions::Questions;
use crate::record::{Record, Status};
use crate::ring::{Arc, Ring};
use crate::round::Round;
use crate::spread::News;
use crate::table::{Table, ViewId};
use crate::timers::{Timer, Timers};
use crate::watch::Watches;

/// One node's view of the ring.
#[derive(Clone, Debug)]
pub struct Topology {
    pub(crate) config: Config,
    /// End of our own log, for heartbeats.
    pub(crate) position: (Incarnation, Seq),
    /// What the cluster says of each member, this node included.
    pub(crate) table: Table,
    /// How this node reaches each other member; one for each record but its own.
    pub(crate) links: BTreeMap<Rank, Link>,
    /// The ranks of `links` in ring order; up exactly when broadcasts are delegated to the member.
    pub(crate) ring: Ring,
    pub(crate) watches: Watches,
    /// Members about which others are being asked.
    pub(crate) rounds: BTreeMap<Rank, Round>,
    /// What others ask of this node.
    pub(crate) questions: Questions,
    pub(crate) health: Health,
    pub(crate) timers: Timers,
    /// Records that changed in this call and are to be passed on.
    pub(crate) news: News,
    pub(crate) random: fastrand::Rng,
    nonce: u32,
    pub(crate) beats: u64,
    revision: u64,
    pub(crate) peers_changed: bool,
    pub(crate) left: bool,
}

impl Topology {
    /// Builds the view of a node that has no link yet: seeds were never seen, and whoever stands in
    /// [`Config::table`] has a while to be linked.
    ///
    /// Errors: [`ConfigError`]; nothing was built.
    pub fn new(mut config: Config, now: Timestamp) -> Result<Topology, ConfigError> {
        config.check()?;
        let known = std::mem::take(&mut config.table);
        let mut topology = Topology {
            position: (Incarnation::default(), Seq::ZERO),
            table: Table::default(),
            links: BTreeMap::new(),
            ring: Ring::new(config.me, []),
            watches: Watches::default(),
            rounds: BTreeMap::new(),
            questions: Questions::default(),
            health: Health::default(),
            timers: Timers::default(),
            news: News::default(),
            random: fastrand::Rng::with_seed(config.seed),
            nonce: 0,
            beats: 0,
            revision: 0,
            peers_changed: false,
            left: false,
            config,
        };
        for seed in topology.config.seeds.clone() {
            topology.put_never_seen(now, seed.rank, seed.role, seed.address);
        }
        let me = topology.config.me;
        for record in known.iter().filter(|record| record.rank != me) {
            topology.learn(now, None, record, &mut Vec::new());
        }
        topology.news = News::default();
        topology.peers_changed = false;
        topology.revision = 0;
        Ok(topology)
    }

    /// Takes one input; appends what follows from it to `out`. Total, never blocks.
    ///
    /// Cost: O(log members) for a frame, O(members) for a heartbeat that is due, a change of a member or a table.
    pub fn handle(&mut self, now: Timestamp, input: Input, out: &mut Vec<Output>) {
        if self.left {
            return decline(&input, out);
        }
        match input {
            Input::Tick => self.tick(now, out),
            Input::LinkUp { peer, inc } => self.link_up(now, peer, inc, out),
            Input::LinkDown { peer } => self.link_down(now, peer, out),
            Input::LinkSlow { peer } => self.link_slow(peer, out),
            Input::LinkDrained { peer } => self.link_drained(now, peer, out),
            Input::Heard { peer } => self.heard(now, peer, out),
            Input::Message { from, message } => self.message(now, from, message, out),
            Input::Position(inc, seq) => self.moved(inc, seq),
            Input::Table(records) => self.learn_all(now, self.config.me, &records, out),
            Input::Introduce {
                rank,
                role,
                address,
                inc,
            } => self.introduce(now, rank, role, address, inc, out),
            Input::Leave => self.leave(out),
            Input::Forget { rank } => self.forget_at_word(rank, out),
            Input::Floor { rank, floor } => self.floor_rose(rank, floor, out),
        }
        self.spread_news(out);
        if std::mem::take(&mut self.peers_changed) {
            out.push(Output::PeersChanged);
        }
    }

    /// Returns when [`Input::Tick`] is due; `None` for a node that is alone or has left.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.links.is_empty() {
            return None;
        }
        self.timers.next()
    }

    /// Replaces `out` by the delegates of the open arc from this node to `end`; `end == me` is the whole ring.
    ///
    /// The whole ring is for a node's own broadcasts. A *received* frame never names its receiver as
    /// `end` (TOPO-6): drop the arc of one that does.
    /// Cost: O(log members + delegates + members that are out of the arcs), no allocation once `out` is warm.
    pub fn arcs(&self, end: Rank, out: &mut Vec<Arc>) {
        self.ring.arcs(self.arms(), end, out);
    }

    /// Returns the hops that a fresh broadcast may travel. Arcs end it long before; this is defence only.
    // spec: TOPO-6
    #[must_use]
    pub fn ttl_initial(&self) -> u16 {
        let members = u16::try_from(self.table.len()).unwrap_or(u16::MAX);
        members.saturating_add(limits::TTL_SLACK)
    }

    /// Returns this node's rank.
    #[must_use]
    pub fn me(&self) -> Rank {
        self.config.me
    }

    /// Returns the settings this view was built from, but for the first table.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns a number that grows by one with every [`Output::StatusChanged`].
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns the name of the set of members that take part. Only joining, leaving and being down change it.
    #[must_use]
    pub fn view_id(&self) -> ViewId {
        self.table.view_id()
    }

    /// Returns how many members take part (alive or suspected), this node included.
    #[must_use]
    pub fn members_in_view(&self) -> usize {
        self.table.in_view()
    }

    /// Returns a hash of everything that this node knows of members and tells others.
    #[must_use]
    pub fn table_hash(&self) -> u64 {
        self.table.hash()
    }

    /// Returns how far this node doubts itself: 0 is healthy, verdicts take `1 + health` times as long.
    #[must_use]
    pub fn health(&self) -> u32 {
        self.health.level()
    }

    /// Returns whether this node has said goodbye.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.left
    }

    /// Returns every record that is told to others, in rank order.
    pub fn records(&self) -> impl Iterator<Item = &Record> + '_ {
        self.table.seen(Rank(0), Rank(u16::MAX))
    }

    /// Returns all members in rank order, this node and seeds that were never seen included.
    pub fn members(&self) -> impl Iterator<Item = MemberView<'_>> + '_ {
        self.table.records().map(|record| self.view(record))
    }

    /// Returns one member, this node included.
    #[must_use]
    pub fn member(&self, rank: Rank) -> Option<MemberView<'_>> {
        self.table.get(rank).map(|record| self.view(record))
    }

    /// Returns who is to be linked, and where: every member but this one, in rank order.
    pub fn peers(&self) -> impl Iterator<Item = (Rank, &str)> + '_ {
        let others = self
            .table
            .records()
            .filter(|record| record.rank != self.config.me && record.status != Status::Left);
        others.map(|record| (record.rank, record.address.as_str()))
    }

    /// Returns the members that this node can exchange frames with now, in ring order behind it.
    pub fn direct(&self) -> impl Iterator<Item = Rank> + '_ {
        behind(&self.links, self.config.me)
            .filter(|(_, link)| link.shown.is_direct())
            .map(|(rank, _)| rank)
    }

    /// Returns the living members that others reach and this node does not, in rank order.
    pub fn degraded_links(&self) -> impl Iterator<Item = Rank> + '_ {
        let degraded = self.links.iter().filter(|(_, link)| {
            link.shown.status == Status::Alive && link.shown.reach == Reach::Degraded
        });
        degraded.map(|(&rank, _)| rank)
    }

    /// Returns the next member behind this node that broadcasts are delegated to.
    #[must_use]
    pub fn successor(&self) -> Option<Rank> {
        self.ring.successor()
    }

    fn view<'a>(&self, record: &'a Record) -> MemberView<'a> {
        match self.links.get(&record.rank) {
            Some(link) => link.view(record),
            None => MemberView {
                rank: record.rank,
                role: record.role,
                address: &record.address,
                status: record.status,
                inc: record.inc,
                counter: record.counter,
                reach: Reach::Direct,
                linked: true,
                slow: false,
                position: self.position,
                last_heard: None,
            },
        }
    }

    /// Arms of this node's broadcast tree.
    pub(crate) fn arms(&self) -> u16 {
        self.config.fanout.arms(self.table.in_view())
    }

    pub(crate) fn next_nonce(&mut self) -> u32 {
        self.nonce = self.nonce.wrapping_add(1);
        self.nonce
    }

    /// Sends a message where the link is open.
    pub(crate) fn send(&self, to: Rank, message: Message, out: &mut Vec<Output>) {
        if self.links.get(&to).is_some_and(Link::is_open) {
            out.push(Output::Send { to, message });
        }
    }

    /// Carries a member over to the ring as it looks now, and tells what follows from a change.
    ///
    /// Returns whether version vectors were exchanged with it.
    // spec: TOPO-7, TOPO-13
    pub(crate) fn settle(&mut self, rank: Rank, out: &mut Vec<Output>) -> bool {
        let (Some(record), Some(link)) = (self.table.get(rank), self.links.get_mut(&rank)) else {
            return false;
        };
        let shown = link.show(record.status);
        let before = std::mem::replace(&mut link.shown, shown);
        if before == shown {
            return false;
        }
        self.ring.set_up(rank, shown.in_arcs());
        self.told(rank, shown.status, shown.reach, out);
        match shown.reach {
            Reach::Degraded if shown.status == Status::Alive && before.reach != shown.reach => {
                out.push(Output::Event(Event::LinkDegraded { rank }));
            }
            Reach::Direct if before.reach == Reach::Degraded => {
                out.push(Output::Event(Event::LinkRestored { rank }));
            }
            Reach::Direct | Reach::Degraded | Reach::Unknown => {}
        }
        let up = shown.is_direct() && !before.is_direct();
        if up {
            self.exchange_with(rank, out);
        }
        up
    }

    pub(crate) fn told(&mut self, rank: Rank, status: Status, reach: Reach, out: &mut Vec<Output>) {
        self.revision += 1;
        out.push(Output::StatusChanged {
            rank,
            status,
            reach,
        });
    }

    fn tick(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let Some(due) = self.timers.next().filter(|&due| due <= now) else {
            return;
        };
        let slept = self.doubt_late_tick(now, due, out);
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::Heartbeat => self.beat(now, slept, out),
                Timer::Exchange => self.exchange(now, out),
                Timer::Questions => self.answer_due_questions(now, out),
                Timer::Ask(rank) => self.ask(now, rank, out),
                Timer::Verdict(rank) => self.verdict(now, rank, out),
                Timer::Suspicion(rank) => self.claim(now, rank, Status::Down, out),
                Timer::Forget(rank) => self.forget_after_long(rank, out),
                Timer::CaughtUp(rank) => self.caught_up(rank, out),
            }
        }
    }

    fn message(&mut self, now: Timestamp, from: Rank, message: Message, out: &mut Vec<Output>) {
        if !self.links.contains_key(&from) {
            return out.push(Output::Event(Event::UnknownPeer { peer: from }));
        }
        self.heard(now, from, out);
        match message {
            Message::Heartbeat(beat) => self.heartbeat(now, from, beat, out),
            Message::ProbeFor { target, nonce } => self.asked(now, from, target, nonce, out),
            Message::ProbeResult {
                target,
                nonce,
                heard,
            } => self.told_by_relay(now, from, target, nonce, heard, out),
            Message::Digest { table } => self.compare(from, table, out),
            Message::Members { records, all_of } => {
                self.members_came(now, from, &records, all_of, out);
            }
        }
    }
}

/// What a node still says that has left.
fn decline(input: &Input, out: &mut Vec<Output>) {
    match input {
        Input::Introduce { .. } => {
            out.push(Output::Introduced(Err(IntroduceError::Leaving)));
        }
        Input::Forget { .. } => out.push(Output::Forgotten(Err(ForgetError::Leaving))),
        Input::Tick
        | Input::LinkUp { .. }
        | Input::LinkDown { .. }
        | Input::LinkSlow { .. }
        | Input::LinkDrained { .. }
        | Input::Heard { .. }
        | Input::Message { .. }
        | Input::Position(..)
        | Input::Table(_)
        | Input::Leave
        | Input::Floor { .. } => {}
    }
}
