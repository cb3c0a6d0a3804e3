//! The state machine: members, timers, and what follows from links, frames and silence.

use std::collections::BTreeMap;

use radix_core::id::{Incarnation, Rank, Seq};
use radix_core::time::Timestamp;

use crate::config::{Config, ConfigError};
use crate::heartbeat::Heartbeat;
use crate::input::Input;
use crate::limits;
use crate::member::{Member, MemberView, Role, Status};
use crate::output::{Event, Output};
use crate::ring::{Arc, Ring};
use crate::watch::{Finding, Watch};

/// One node's view of the ring.
#[derive(Clone, Debug)]
pub struct Topology {
    config: Config,
    role: Role,
    /// End of our own log, for heartbeats.
    position: (Incarnation, Seq),
    /// Everybody else.
    members: BTreeMap<Rank, Member>,
    /// The same ranks in ring order; up exactly when the member's status is.
    ring: Ring,
    watch: Option<Watch>,
    heartbeat_at: Timestamp,
    exchange_at: Timestamp,
    random: fastrand::Rng,
    revision: u64,
}

impl Topology {
    /// Builds the view of a node that has no link yet: everybody else is down.
    ///
    /// Errors: [`ConfigError`]; nothing was built.
    pub fn new(config: Config, now: Timestamp) -> Result<Topology, ConfigError> {
        config.check()?;
        let mut members: BTreeMap<Rank, Member> = config
            .members
            .iter()
            .map(|&(rank, role)| (rank, Member::new(role)))
            .collect();
        let role = members
            .remove(&config.me)
            .expect("check found this node among the members")
            .role;
        let ring = Ring::new(config.me, members.keys().copied());
        let mut topology = Topology {
            role,
            position: (Incarnation::default(), Seq::ZERO),
            members,
            ring,
            watch: None,
            heartbeat_at: now.after(config.heartbeat),
            exchange_at: now,
            random: fastrand::Rng::with_seed(config.seed),
            revision: 0,
            config,
        };
        topology.arm_exchange(now);
        Ok(topology)
    }

    /// Takes one input; appends what follows from it to `out`. Total, never blocks.
    ///
    /// Cost: O(log members), for a tick that is due O(members).
    pub fn handle(&mut self, now: Timestamp, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Tick => self.tick(now, out),
            Input::LinkUp { peer, inc } => self.link_up(now, peer, inc, out),
            Input::LinkDown { peer } => self.link_down(now, peer, out),
            Input::Heard { peer } => self.heard(now, peer, out),
            Input::Heartbeat { from, beat } => self.heartbeat(now, from, beat, out),
            Input::Position(inc, seq) => self.position = (inc, seq),
        }
    }

    /// Returns when [`Input::Tick`] is due; `None` for a node that is alone.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.ring.is_empty() {
            return None;
        }
        let timers = self.heartbeat_at.min(self.exchange_at);
        Some(
            self.watch
                .map_or(timers, |watch| timers.min(watch.deadline())),
        )
    }

    /// Replaces `out` by the delegates of the open arc from this node to `end`; `end == me` is the whole ring.
    ///
    /// The whole ring is for a node's own broadcasts. A *received* frame never names its receiver as
    /// `end` (TOPO-6): drop the arc of one that does.
    /// Cost: O(log members + delegates + members that are down), no allocation once `out` is warm.
    pub fn arcs(&self, end: Rank, out: &mut Vec<Arc>) {
        self.ring.arcs(self.config.fanout, end, out);
    }

    /// Returns the hops that a fresh broadcast may travel. Arcs end it long before; this is defence only.
    // spec: TOPO-6
    #[must_use]
    pub fn ttl_initial(&self) -> u16 {
        let members = u16::try_from(self.members.len() + 1).unwrap_or(u16::MAX);
        members.saturating_add(limits::TTL_SLACK)
    }

    /// Returns this node's rank.
    #[must_use]
    pub fn me(&self) -> Rank {
        self.config.me
    }

    /// Returns the settings this view was built from.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns a number that grows by one with every change of a member's status.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns all members in rank order, this node included.
    pub fn members(&self) -> impl Iterator<Item = MemberView> + '_ {
        let before = self.members.range(..self.config.me);
        let behind = self.members.range(self.config.me..);
        let view = |(&rank, member): (&Rank, &Member)| member.view(rank);
        before
            .map(view)
            .chain(std::iter::once(self.my_view()))
            .chain(behind.map(view))
    }

    /// Returns one member, this node included.
    #[must_use]
    pub fn member(&self, rank: Rank) -> Option<MemberView> {
        if rank == self.config.me {
            return Some(self.my_view());
        }
        self.members.get(&rank).map(|member| member.view(rank))
    }

    /// Returns whether a member is up; this node always is.
    #[must_use]
    pub fn is_up(&self, rank: Rank) -> bool {
        self.member(rank)
            .is_some_and(|member| member.status == Status::Up)
    }

    /// Returns the next member behind this node that is up: the one that gets our heartbeats.
    #[must_use]
    pub fn successor(&self) -> Option<Rank> {
        self.ring.successor()
    }

    fn my_view(&self) -> MemberView {
        MemberView {
            rank: self.config.me,
            role: self.role,
            status: Status::Up,
            linked: true,
            silent: false,
            inc: self.position.0,
            position: self.position.1,
            last_heard: None,
        }
    }

    // spec: TOPO-7
    fn link_up(&mut self, now: Timestamp, peer: Rank, inc: Incarnation, out: &mut Vec<Output>) {
        let Some(member) = self.members.get_mut(&peer) else {
            return out.push(Output::Event(Event::UnknownPeer { peer }));
        };
        let was_up = member.status() == Status::Up;
        member.linked = true;
        member.silent = false;
        member.last_heard = Some(now);
        member.position = member.position.max((inc, Seq::ZERO));
        self.settle(now, peer, out);
        if was_up {
            // The link was replaced: what was under way on the old one may be lost.
            out.push(Output::Exchange { with: peer });
        }
    }

    fn link_down(&mut self, now: Timestamp, peer: Rank, out: &mut Vec<Output>) {
        let Some(member) = self.members.get_mut(&peer) else {
            return out.push(Output::Event(Event::UnknownPeer { peer }));
        };
        member.linked = false;
        member.silent = false;
        self.settle(now, peer, out);
    }

    // spec: TOPO-11
    fn heard(&mut self, now: Timestamp, peer: Rank, out: &mut Vec<Output>) {
        let Some(member) = self.members.get_mut(&peer) else {
            return out.push(Output::Event(Event::UnknownPeer { peer }));
        };
        member.last_heard = Some(now);
        if member.silent {
            member.silent = false;
            out.push(Output::Event(Event::HeardAgain { rank: peer }));
            self.settle(now, peer, out);
        }
        if let Some(watch) = self.watch.as_mut().filter(|watch| watch.peer() == peer) {
            watch.heard(now);
        }
    }

    // spec: TOPO-8, TOPO-9
    fn heartbeat(&mut self, now: Timestamp, from: Rank, beat: Heartbeat, out: &mut Vec<Output>) {
        self.heard(now, from, out);
        let Some(member) = self.members.get_mut(&from) else {
            return;
        };
        if beat.ttl == 0 {
            return out.push(Output::Event(Event::SpentHeartbeat { from }));
        }
        member.position = member.position.max((beat.inc, beat.seq));
        if beat.echo && member.linked {
            out.push(Output::SendHeartbeat {
                to: from,
                beat: Heartbeat::new(false, self.position),
            });
        }
    }

    /// Carries a member's status over to the ring, and tells what follows from a change.
    // spec: TOPO-7, TOPO-13
    fn settle(&mut self, now: Timestamp, rank: Rank, out: &mut Vec<Output>) {
        let Some(status) = self.members.get(&rank).map(Member::status) else {
            return;
        };
        if !self.ring.set_up(rank, status == Status::Up) {
            return;
        }
        self.revision += 1;
        out.push(Output::StatusChanged { rank, status });
        if status == Status::Up {
            out.push(Output::Exchange { with: rank });
        }
        let predecessor = self.ring.predecessor();
        if self.watch.map(|watch| watch.peer()) != predecessor {
            let Config {
                heartbeat, misses, ..
            } = self.config;
            self.watch = predecessor.map(|peer| Watch::new(peer, heartbeat, misses, now));
        }
    }

    fn tick(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if now >= self.heartbeat_at {
            self.heartbeat_at = now.after(self.config.heartbeat);
            self.send_heartbeats(out);
        }
        if now >= self.exchange_at {
            self.arm_exchange(now);
            self.exchange(out);
        }
        self.look(now, out);
    }

    // spec: TOPO-8, TOPO-11
    fn send_heartbeats(&self, out: &mut Vec<Output>) {
        if let Some(to) = self.ring.successor() {
            out.push(Output::SendHeartbeat {
                to,
                beat: Heartbeat::new(false, self.position),
            });
        }
        for (&to, _) in self.members.iter().filter(|(_, member)| member.silent) {
            out.push(Output::SendHeartbeat {
                to,
                beat: Heartbeat::new(true, self.position),
            });
        }
    }

    // spec: TOPO-12
    fn exchange(&mut self, out: &mut Vec<Output>) {
        let mut up = self.ring.up();
        let Some(successor) = up.next() else { return };
        out.push(Output::Exchange { with: successor });
        let others = up.count();
        if others > 0 {
            let with = self.ring.up().nth(1 + self.random.usize(..others));
            out.push(Output::Exchange {
                with: with.expect("drawn below the count of those up"),
            });
        }
    }

    fn arm_exchange(&mut self, now: Timestamp) {
        let jitter = u64::try_from(self.config.jitter.as_nanos()).unwrap_or(u64::MAX / 2);
        let shift = self.random.u64(0..=jitter.saturating_mul(2));
        let earliest = now.after(self.config.exchange.saturating_sub(self.config.jitter));
        self.exchange_at = Timestamp(earliest.0.saturating_add(shift));
    }

    // spec: TOPO-10
    fn look(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let Some(watch) = &mut self.watch else { return };
        let rank = watch.peer();
        match watch.look(now) {
            Finding::Fine => {}
            Finding::Ask => {
                let beat = Heartbeat::new(true, self.position);
                out.push(Output::SendHeartbeat { to: rank, beat });
            }
            Finding::Silent(silence) => {
                if let Some(member) = self.members.get_mut(&rank) {
                    member.silent = true;
                }
                out.push(Output::Event(Event::Silent { rank, silence }));
                self.settle(now, rank, out);
            }
        }
    }
}
