//! The dispatcher: one input in, effects out. It hands what one part says to the next and decides
//! nothing that a part could decide.

use bytes::Bytes;
use oplog::{Batch, Message, Output, Replica};
use radix_core::id::{Incarnation, OriginId, Rank, Seq};
use radix_core::mutation::{self, Mutation};
use radix_core::time::Timestamp;
use radix_core::{Index, Reader, TooManyReaders};
use topology::ring_round::RoundOutput;
use topology::{Arc, Topology, ViewId};

use crate::check::{Parts, RingCheck, Said};
use crate::config::{Boot, NodeConfig};
use crate::effect::{Effect, Effects, Event, Lane};
use crate::input::{Input, Publish};
use crate::lag::{self, Lags};
use crate::leave::Leave;
use crate::readiness::Readiness;
use crate::status::{CheckStatus, Counters, Status};
use crate::wire::{self, Frame};

/// A whole node: logs, tree, topology. See the crate's documentation for the picture.
pub struct Node {
    pub(crate) replica: Replica<Index>,
    pub(crate) topology: Topology,
    pub(crate) readiness: Readiness,
    pub(crate) leave: Leave,
    pub(crate) lags: Lags,
    /// The own position as the topology was last told.
    pub(crate) told: Option<(Incarnation, Seq)>,
    check: RingCheck,
    counters: Counters,
    pub(crate) log_out: Vec<Output>,
    pub(crate) topology_out: Vec<topology::Output>,
    check_out: Vec<RoundOutput<Said>>,
    arcs: Vec<Arc>,
}

impl Node {
    /// Builds a node that knows nothing yet and has no link.
    ///
    /// Errors: [`topology::ConfigError`]; nothing is built.
    pub fn new(
        config: NodeConfig,
        boot: Boot,
        now: Timestamp,
    ) -> Result<Self, topology::ConfigError> {
        let me = OriginId {
            rank: config.topology.me,
            inc: boot.inc,
        };
        let alive = |record: &topology::Record| record.rank != me.rank && record.status.in_view();
        let introduced = config.topology.table.iter().any(alive);
        let topology = Topology::new(
            topology::Config {
                seed: boot.seed,
                ..config.topology
            },
            now,
        )?;
        let mut node = Node {
            replica: Replica::new(
                me,
                config.log,
                boot.seed.rotate_left(32),
                Index::new(config.index),
            ),
            topology,
            readiness: Readiness::new(now, config.cold_start, introduced),
            leave: Leave::default(),
            lags: Lags::default(),
            told: None,
            check: RingCheck::new(config.check, now),
            counters: Counters::default(),
            log_out: Vec::new(),
            topology_out: Vec::new(),
            check_out: Vec::new(),
            arcs: Vec::new(),
        };
        node.tell_position(now);
        Ok(node)
    }

    /// The only way in. Total: it accepts every input in every state and never blocks.
    pub fn handle(&mut self, now: Timestamp, input: Input, out: &mut Effects) {
        if self.leave == Leave::Gone {
            return Node::refuse(&input, out);
        }
        match input {
            Input::Tick => {
                self.tell(now, topology::Input::Tick);
                self.replica.tick(now, &mut self.log_out);
            }
            Input::Flush => self.replica.flush(now, &mut self.log_out),
            Input::LinkUp { peer, inc } => self.link_up(now, peer, inc, out),
            Input::LinkDown { peer } => self.link_down(now, peer),
            Input::LinkSlow { peer } => self.tell(now, topology::Input::LinkSlow { peer }),
            Input::LinkDrained { peer } => self.tell(now, topology::Input::LinkDrained { peer }),
            Input::Introduce {
                rank,
                role,
                address,
                inc,
            } => self.tell(
                now,
                topology::Input::Introduce {
                    rank,
                    role,
                    address,
                    inc,
                },
            ),
            Input::Table(records) => self.tell(now, topology::Input::Table(records)),
            Input::Leave { drain } => self.begin_leave(now, drain, out),
            Input::Forget { rank } => self.tell(now, topology::Input::Forget { rank }),
            Input::Outlived { inc } => self.outlived(now, inc),
            Input::Frame { from, bytes } => self.frame(now, from, &bytes, out),
            Input::Publish(publish) => self.publish(now, &publish, out),
        }
        self.settle(now, out);
        self.check_ring(now, out);
        self.check_ready(now, out);
        self.end_leave(now, out);
    }

    /// Returns when [`Input::Tick`] is due. It may change with every call of [`handle`](Self::handle).
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.leave == Leave::Gone {
            return None;
        }
        [
            self.topology.next_deadline(),
            self.replica.next_deadline(),
            self.readiness.next_deadline(),
            self.leave.deadline(),
            Some(self.check.next_deadline()),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Returns a lock-free reader of the tree.
    ///
    /// Errors: [`TooManyReaders`].
    pub fn reader(&self) -> Result<Reader, TooManyReaders> {
        self.replica.state().reader()
    }

    /// Returns this node's log, digests and counters included.
    #[must_use]
    pub fn replica(&self) -> &Replica<Index> {
        &self.replica
    }

    /// Returns the name of the set of members that take part, as this node sees it.
    #[must_use]
    pub fn view_id(&self) -> ViewId {
        self.topology.view_id()
    }

    /// Returns the view that every member is known to have had at the last ring check, if this node has it
    /// still. What needs the word of all, such as garbage collection, begins only then.
    #[must_use]
    pub fn stable_view(&self) -> Option<ViewId> {
        self.check.stable_view()
    }

    /// Returns the node at a glance.
    #[must_use]
    pub fn status(&self) -> Status {
        let me = self.replica.me();
        Status {
            rank: me.rank,
            inc: me.inc,
            ready: self.is_ready(),
            not_ready: self.not_ready(),
            behind: lag::behind(&self.replica),
            view: self.topology.view_id(),
            health: self.topology.health(),
            members: self.member_statuses(),
            check: CheckStatus {
                stable_view: self.check.stable_view(),
                agreed_at: self.check.agreed_at(),
                last: self.check.report(),
            },
            counters: self.counters,
            log: *self.replica.counters(),
            index: self.replica.state().stats(),
        }
    }

    fn frame(&mut self, now: Timestamp, from: Rank, bytes: &Bytes, out: &mut Effects) {
        self.counters.frames_in += 1;
        self.tell(now, topology::Input::Heard { peer: from });
        match wire::decode(bytes) {
            Ok(Frame::Broadcast { end, ttl, batch }) => {
                if !mutation::is_on(Mutation::RelayOnlyNew) || self.is_new(&batch) {
                    self.relay(from, end, ttl, &batch, out);
                }
                self.replica
                    .handle(now, from, Message::Batch(batch), &mut self.log_out);
            }
            Ok(Frame::Log(message)) => {
                if let Message::Offer { vector, .. } = &message {
                    self.readiness.offered(from, vector);
                    self.lags
                        .offered(now, from, vector, &self.replica.version_vector());
                }
                self.replica.handle(now, from, message, &mut self.log_out);
            }
            Ok(Frame::Readiness { ready }) => {
                if self.readiness.peer_says(from, ready) {
                    out.push(Effect::MembersChanged);
                }
            }
            Ok(Frame::Topology(message)) => {
                if let topology::Message::Heartbeat(beat) = &message {
                    let origin = OriginId {
                        rank: from,
                        inc: beat.inc,
                    };
                    self.replica
                        .observe(now, from, origin, beat.seq, &mut self.log_out);
                }
                self.tell(now, topology::Input::Message { from, message });
            }
            Ok(Frame::Check(token)) => {
                let parts = Parts {
                    topology: &self.topology,
                    replica: &self.replica,
                };
                self.check.take(now, *token, parts, &mut self.check_out);
            }
            Err(reason) => {
                self.counters.frames_bad += 1;
                out.push(Effect::Event(Event::BadFrame { from, reason }));
            }
        }
    }

    fn publish(&mut self, now: Timestamp, publish: &Publish, out: &mut Effects) {
        let result = crate::publish::publish(&mut self.replica, now, publish);
        if let Ok(receipt) = &result {
            self.counters.pages_published += receipt
                .stored
                .iter()
                .map(|run| u64::from(run.len))
                .sum::<u64>();
            self.counters.copies_removed += receipt.removed;
        }
        out.push(Effect::Published(result));
    }

    /// Passes a batch on, new or not: the shrinking arc alone terminates. spec: WIRE-3
    fn relay(&mut self, from: Rank, end: Rank, ttl: u16, batch: &Batch, out: &mut Effects) {
        if end == self.replica.me().rank {
            return;
        }
        let end = if mutation::is_on(Mutation::RelayWholeRing) {
            self.replica.me().rank
        } else {
            end
        };
        match ttl.checked_sub(1) {
            None | Some(0) => {
                self.delegate(end, 0, None, out);
                if !self.arcs.is_empty() {
                    self.counters.ttl_expired += 1;
                    out.push(Effect::Event(Event::TtlExpired {
                        from,
                        origin: batch.origin,
                    }));
                }
            }
            Some(ttl) => self.delegate(end, ttl, Some(batch), out),
        }
    }

    /// Returns whether a batch brings more of its log than is here. For [`Mutation::RelayOnlyNew`] only.
    fn is_new(&self, batch: &Batch) -> bool {
        let known = self.replica.state().position(batch.origin.rank);
        known.is_none_or(|known| known < (batch.origin.inc, batch.first))
    }

    /// Splits the open arc (me, end) among its members and sends each its part.
    fn delegate(&mut self, end: Rank, ttl: u16, batch: Option<&Batch>, out: &mut Effects) {
        self.arcs.clear();
        self.topology.arcs(end, &mut self.arcs);
        let Some(batch) = batch else { return };
        for i in 0..self.arcs.len() {
            let Arc { to, end } = self.arcs[i];
            self.send(
                to,
                &Frame::Broadcast {
                    end,
                    ttl,
                    batch: batch.clone(),
                },
                out,
            );
        }
    }

    /// Carries out what the parts asked for, until none asks for more.
    pub(crate) fn settle(&mut self, now: Timestamp, out: &mut Effects) {
        self.tell_position(now);
        while !self.topology_out.is_empty() || !self.log_out.is_empty() {
            let mut outputs = std::mem::take(&mut self.topology_out);
            for output in outputs.drain(..) {
                self.topology_output(now, output, out);
            }
            outputs.append(&mut self.topology_out);
            self.topology_out = outputs;
            let mut outputs = std::mem::take(&mut self.log_out);
            for output in outputs.drain(..) {
                self.log_output(now, output, out);
            }
            outputs.append(&mut self.log_out);
            self.log_out = outputs;
            self.tell_position(now);
        }
    }

    fn log_output(&mut self, now: Timestamp, output: Output, out: &mut Effects) {
        match output {
            Output::Broadcast(batch) => {
                out.push(Effect::Logged(batch.clone()));
                let me = self.replica.me().rank;
                self.delegate(me, self.topology.ttl_initial(), Some(&batch), out);
            }
            Output::Send { to, message } => {
                let asks = matches!(message, Message::Pull { .. } | Message::SnapshotMore { .. });
                if asks && !self.topology.member(to).is_some_and(|member| member.linked) {
                    // Nobody is there to answer: the next peer is asked at once.
                    self.replica.link_down(to);
                } else {
                    self.send(to, &Frame::Log(message), out);
                }
            }
            Output::Applied {
                origin,
                first,
                last,
            } => out.push(Effect::Applied {
                origin,
                first,
                last,
            }),
            Output::Reincarnated { .. } => {
                out.push(Effect::Event(Event::Reincarnated {
                    origin: self.replica.me(),
                }));
                out.push(Effect::MembersChanged);
            }
            Output::Event(event) => {
                match event {
                    // Floors come with version vectors, too: what the logs forget the topology forgets.
                    oplog::Event::Forgotten { rank, floor } => {
                        self.tell(now, topology::Input::Floor { rank, floor });
                    }
                    oplog::Event::NewIncarnation { origin, .. } => self.prioritize(origin.rank),
                    oplog::Event::Undecodable { .. }
                    | oplog::Event::WithoutEffect { .. }
                    | oplog::Event::ReorderFull { .. }
                    | oplog::Event::PullAbandoned { .. }
                    | oplog::Event::SnapshotSent { .. }
                    | oplog::Event::SnapshotLoaded { .. }
                    | oplog::Event::SnapshotRejected { .. }
                    | oplog::Event::DigestMismatch { .. }
                    | oplog::Event::TooManyRanks { .. }
                    | oplog::Event::IncarnationExhausted { .. } => {}
                }
                out.push(Effect::Event(Event::Log(event)));
            }
        }
    }

    /// Does what the ring check wants done.
    fn check_ring(&mut self, now: Timestamp, out: &mut Effects) {
        let parts = Parts {
            topology: &self.topology,
            replica: &self.replica,
        };
        self.check.tick(now, parts, &mut self.check_out);
        let mut outputs = std::mem::take(&mut self.check_out);
        for output in outputs.drain(..) {
            match output {
                RoundOutput::Send { to, token } => {
                    self.send(to, &Frame::Check(Box::new(token)), out);
                }
                RoundOutput::Concluded(outcome) if outcome.agreed => {
                    self.counters.checks_agreed += 1;
                    self.replica.stable(&outcome.fold.min);
                    out.push(Effect::Event(Event::CheckAgreed {
                        round: outcome.round,
                        lap: outcome.lap,
                    }));
                }
                RoundOutput::Concluded(outcome) => {
                    self.counters.checks_differing += 1;
                    out.push(Effect::Event(Event::CheckDiffers {
                        round: outcome.round,
                        differs: outcome.differs,
                        missing: outcome.missing,
                    }));
                }
                RoundOutput::TimedOut { round } => {
                    self.counters.checks_lost += 1;
                    out.push(Effect::Event(Event::CheckLost { round }));
                }
                RoundOutput::Unsound { .. } => self.counters.frames_bad += 1,
            }
        }
        self.check_out = outputs;
        if let Some(view) = self.check.news() {
            out.push(Effect::Event(Event::StableView { view }));
        }
    }

    pub(crate) fn send(&mut self, to: Rank, frame: &Frame, out: &mut Effects) {
        let (lane, frame) = wire::encode(frame);
        let bytes = frame.len() as u64;
        self.counters.frames_out += 1;
        match lane {
            Lane::Control => self.counters.control_bytes_out += bytes,
            Lane::Data => self.counters.data_bytes_out += bytes,
            Lane::Bulk => self.counters.snapshot_bytes_out += bytes,
        }
        out.push(Effect::Send { to, lane, frame });
    }
}
