//! What the topology wants done, and what the rest of the node tells it: who is there, who comes, who goes.

use std::time::Duration;

use oplog::{Message, Priority};
use radix_core::id::{Incarnation, OriginId, Rank, Seq};
use radix_core::time::Timestamp;
use topology::{ForgetError, IntroduceError, Output, Status};

use crate::effect::{Effect, Effects, Event};
use crate::input::{Input, PublishError};
use crate::leave::Leave;
use crate::node::Node;
use crate::readiness::{Other, Surroundings};
use crate::status::{MemberStatus, MemberView, NotReady};
use crate::wire::Frame;

impl Node {
    pub(crate) fn link_up(
        &mut self,
        now: Timestamp,
        peer: Rank,
        inc: Incarnation,
        out: &mut Effects,
    ) {
        self.readiness.peer_linked(peer, inc);
        self.tell(now, topology::Input::LinkUp { peer, inc });
        let origin = OriginId { rank: peer, inc };
        self.replica
            .observe(now, peer, origin, Seq::ZERO, &mut self.log_out);
        self.send(peer, &self.readiness_frame(), out);
    }

    pub(crate) fn link_down(&mut self, now: Timestamp, peer: Rank) {
        self.tell(now, topology::Input::LinkDown { peer });
        self.replica.link_down(peer);
        self.readiness.peer_lost(peer);
    }

    /// A later life of this rank was known somewhere: this one goes on under a still later name.
    pub(crate) fn outlived(&mut self, now: Timestamp, inc: Incarnation) {
        let rank = self.replica.me().rank;
        let origin = OriginId { rank, inc };
        self.replica
            .observe(now, rank, origin, Seq::ZERO, &mut self.log_out);
    }

    pub(crate) fn tell(&mut self, now: Timestamp, input: topology::Input) {
        self.topology.handle(now, input, &mut self.topology_out);
    }

    /// Heartbeats and records carry the own position: publishes, checkpoints and new incarnations move it.
    pub(crate) fn tell_position(&mut self, now: Timestamp) {
        let me = self.replica.me();
        let (_, seq) = self.replica.state().position(me.rank).unwrap_or_default();
        if self.told.replace((me.inc, seq)) != Some((me.inc, seq)) {
            self.tell(now, topology::Input::Position(me.inc, seq));
        }
    }

    pub(crate) fn topology_output(&mut self, now: Timestamp, output: Output, out: &mut Effects) {
        match output {
            Output::Send { to, message } => {
                // With whom nothing is exchanged, that is told with each probe: it may hear though it is not heard.
                let is_probe = matches!(&message, topology::Message::Heartbeat(beat) if beat.echo);
                let is_direct = |member: topology::MemberView<'_>| member.is_direct();
                if is_probe && !self.topology.member(to).is_some_and(is_direct) {
                    self.send(to, &self.readiness_frame(), out);
                }
                self.send(to, &Frame::Topology(message), out);
            }
            Output::Exchange { with } => {
                // Said again and again, for the one time it was lost; before the offer, which may be joined from.
                self.send(with, &self.readiness_frame(), out);
                let offer = Message::Offer {
                    vector: self.replica.offer(),
                    reply: true,
                };
                self.send(with, &Frame::Log(offer), out);
            }
            Output::StatusChanged { rank, status, .. } => {
                if !status.in_view() {
                    self.readiness.peer_down(rank);
                }
                let lives = |member: topology::MemberView<'_>| {
                    member.inc != Incarnation(0) && member.status != Status::Left
                };
                if !self.topology.member(rank).is_some_and(lives) {
                    self.readiness.life_over(rank);
                    self.lags.forget(rank);
                }
                self.prioritize(rank);
                out.push(Effect::MembersChanged);
            }
            Output::PeersChanged => out.push(Effect::PeersChanged),
            Output::Forget { rank, floor } => {
                self.replica.forget(now, rank, floor, &mut self.log_out);
            }
            Output::Outlived { inc } => self.outlived(now, inc),
            Output::Introduced(result) => out.push(Effect::Introduced(result)),
            Output::Forgotten(result) => out.push(Effect::ForgetAnswered(result)),
            Output::Event(event) => {
                if let topology::Event::Joined { rank, inc } = event {
                    self.readiness.life_begun(rank, inc);
                }
                out.push(Effect::Event(Event::Topology(event)));
            }
        }
    }

    /// Nobody is sent to copies of who is gone, so theirs are the logs that can wait.
    // spec: WIRE-10
    pub(crate) fn prioritize(&mut self, rank: Rank) {
        let member = self.topology.member(rank);
        let priority = if member.is_some_and(|member| !member.status.in_view()) {
            Priority::Last
        } else {
            Priority::Normal
        };
        self.replica.prioritize(rank, priority);
    }

    /// Begins to leave: nobody shall send work here any more. Broadcasts are passed on to the end.
    // spec: WIRE-12
    pub(crate) fn begin_leave(&mut self, now: Timestamp, drain: Duration, out: &mut Effects) {
        if !self.leave.begin(now, drain) {
            return;
        }
        out.push(Effect::Event(Event::Draining { drain }));
        out.push(Effect::MembersChanged);
        self.say_readiness(out);
    }

    /// Says goodbye when it is time: what is in the log goes first.
    // spec: WIRE-12
    pub(crate) fn end_leave(&mut self, now: Timestamp, out: &mut Effects) {
        if !self.leave.end(now) {
            return;
        }
        self.replica.flush(now, &mut self.log_out);
        self.settle(now, out);
        self.tell(now, topology::Input::Leave);
        self.settle(now, out);
        out.push(Effect::Left);
    }

    /// Answers who asks a node that said goodbye.
    pub(crate) fn refuse(input: &Input, out: &mut Effects) {
        match input {
            Input::Publish(_) => out.push(Effect::Published(Err(PublishError::Left))),
            Input::Introduce { .. } => {
                out.push(Effect::Introduced(Err(IntroduceError::Leaving)));
            }
            Input::Forget { .. } => {
                out.push(Effect::ForgetAnswered(Err(ForgetError::Leaving)));
            }
            Input::Tick
            | Input::Flush
            | Input::LinkUp { .. }
            | Input::LinkDown { .. }
            | Input::LinkSlow { .. }
            | Input::LinkDrained { .. }
            | Input::Table(_)
            | Input::Leave { .. }
            | Input::Outlived { .. }
            | Input::Frame { .. } => {}
        }
    }

    /// Takes note when this node has become Ready, and tells everybody.
    // spec: WIRE-7, WIRE-9
    pub(crate) fn check_ready(&mut self, now: Timestamp, out: &mut Effects) {
        if self.readiness.is_ready() {
            return;
        }
        // Once there is a goal nothing else counts; while it catches up a node gets the most frames.
        let others = if self.readiness.has_goal() {
            Vec::new()
        } else {
            self.others()
        };
        let around = Surroundings {
            me: self.replica.me().rank,
            applied: &self.replica.version_vector(),
            others: &others,
        };
        if !self.readiness.check(now, &around) || !self.is_ready() {
            return;
        }
        out.push(Effect::Event(Event::Ready));
        out.push(Effect::MembersChanged);
        self.say_readiness(out);
        // What a Ready node has is the goal of those that join; they need not wait for the next exchange.
        let offer = Frame::Log(Message::Offer {
            vector: self.replica.offer(),
            reply: false,
        });
        for peer in self.linked() {
            self.send(peer, &offer, out);
        }
    }

    /// Tells everybody linked whether this node is Ready.
    fn say_readiness(&mut self, out: &mut Effects) {
        let frame = self.readiness_frame();
        for peer in self.linked() {
            self.send(peer, &frame, out);
        }
    }

    fn readiness_frame(&self) -> Frame {
        Frame::Readiness {
            ready: self.is_ready(),
        }
    }

    fn linked(&self) -> Vec<Rank> {
        let me = self.replica.me().rank;
        let linked = self.topology.members().filter(|member| member.linked);
        linked
            .map(|member| member.rank)
            .filter(|rank| *rank != me)
            .collect()
    }

    fn others(&self) -> Vec<Other> {
        let me = self.replica.me().rank;
        let others = self.topology.members().filter(|member| member.rank != me);
        others
            .map(|member| Other {
                rank: member.rank,
                status: member.status,
                never_seen: member.inc == Incarnation(0),
            })
            .collect()
    }

    /// Returns whether this node caught up and stays.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.readiness.is_ready() && self.leave == Leave::Staying
    }

    /// Returns why this node is not Ready; none when it is.
    #[must_use]
    pub fn not_ready(&self) -> Option<NotReady> {
        match self.leave {
            Leave::Gone => Some(NotReady::Left),
            Leave::Draining { until } => Some(NotReady::Draining { until }),
            Leave::Staying if self.readiness.is_ready() => None,
            Leave::Staying => Some(self.readiness.reason(&Surroundings {
                me: self.replica.me().rank,
                applied: &self.replica.version_vector(),
                others: &self.others(),
            })),
        }
    }

    /// Returns who is to be linked, and where, in rank order.
    pub fn peers(&self) -> impl Iterator<Item = (Rank, &str)> + '_ {
        self.topology.peers()
    }

    /// Returns what this node believes of every member, itself included, in rank order.
    #[must_use]
    pub fn members(&self) -> Vec<MemberView> {
        let vector = self.replica.version_vector();
        self.topology
            .members()
            .map(|member| self.view_of(&member, vector.entry(member.rank)))
            .collect()
    }

    pub(crate) fn member_statuses(&self) -> Vec<MemberStatus> {
        let vector = self.replica.version_vector();
        self.topology
            .members()
            .map(|member| MemberStatus {
                view: self.view_of(&member, vector.entry(member.rank)),
                address: member.address.to_owned(),
                last_heard: member.last_heard,
                lag: self.lags.of(member.rank),
            })
            .collect()
    }

    fn view_of(&self, member: &topology::MemberView<'_>, entry: oplog::Entry) -> MemberView {
        let own = member.rank == self.replica.me().rank;
        MemberView {
            rank: member.rank,
            role: member.role,
            status: if own && self.leave == Leave::Gone {
                Status::Left
            } else {
                member.status
            },
            reach: member.reach,
            linked: member.linked,
            slow: member.slow,
            ready: if own {
                self.is_ready()
            } else {
                self.readiness.is_peer_ready(member.rank)
            },
            life: member.inc,
            inc: entry.inc,
            seq: entry.seq,
        }
    }
}
