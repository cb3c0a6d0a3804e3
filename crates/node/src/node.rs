//! The dispatcher: one input in, effects out. It hands what one part says to the next and decides
//! nothing that a part could decide.

use bytes::Bytes;
use oplog::{Batch, Message, Output, Replica};
use radix_core::id::{OriginId, Rank, Seq};
use radix_core::mutation::{self, Mutation};
use radix_core::time::Timestamp;
use radix_core::{Index, Reader, TooManyReaders};
use topology::{Arc, Topology};

use crate::config::{Boot, NodeConfig};
use crate::effect::{Effect, Effects, Event, Lane};
use crate::input::{Input, Publish};
use crate::readiness::{Readiness, Surroundings};
use crate::status::{Counters, MemberView, Status};
use crate::wire::{self, Frame};

/// A whole node: logs, tree, topology. See the crate's documentation for the picture.
pub struct Node {
    replica: Replica<Index>,
    topology: Topology,
    readiness: Readiness,
    counters: Counters,
    log_out: Vec<Output>,
    topology_out: Vec<topology::Output>,
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
            readiness: Readiness::new(now, config.cold_start),
            counters: Counters::default(),
            log_out: Vec::new(),
            topology_out: Vec::new(),
            arcs: Vec::new(),
        };
        node.tell_position(now);
        Ok(node)
    }

    /// The only way in. Total: it accepts every input in every state and never blocks.
    pub fn handle(&mut self, now: Timestamp, input: Input, out: &mut Effects) {
        match input {
            Input::Tick => {
                self.topology
                    .handle(now, topology::Input::Tick, &mut self.topology_out);
                self.replica.tick(now, &mut self.log_out);
            }
            Input::Flush => self.replica.flush(now, &mut self.log_out),
            Input::LinkUp { peer, inc } => {
                self.topology.handle(
                    now,
                    topology::Input::LinkUp { peer, inc },
                    &mut self.topology_out,
                );
                let origin = OriginId { rank: peer, inc };
                self.replica
                    .observe(now, peer, origin, Seq::ZERO, &mut self.log_out);
                self.send(
                    peer,
                    &Frame::Readiness {
                        ready: self.readiness.is_ready(),
                    },
                    out,
                );
            }
            Input::LinkDown { peer } => {
                self.topology.handle(
                    now,
                    topology::Input::LinkDown { peer },
                    &mut self.topology_out,
                );
                self.replica.link_down(peer);
                self.readiness.peer_lost(peer);
            }
            Input::Outlived { inc } => {
                let rank = self.replica.me().rank;
                let origin = OriginId { rank, inc };
                self.replica
                    .observe(now, rank, origin, Seq::ZERO, &mut self.log_out);
            }
            Input::Frame { from, bytes } => self.frame(now, from, &bytes, out),
            Input::Publish(publish) => self.publish(now, &publish, out),
        }
        self.drain(now, out);
    }

    /// Returns when [`Input::Tick`] is due. It may change with every call of [`handle`](Self::handle).
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        [
            self.topology.next_deadline(),
            self.replica.next_deadline(),
            self.readiness.next_deadline(),
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

    /// Returns whether this node caught up.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.readiness.is_ready()
    }

    /// Returns what this node believes of every member, itself included, in rank order.
    #[must_use]
    pub fn members(&self) -> Vec<MemberView> {
        let me = self.replica.me();
        let vector = self.replica.version_vector();
        self.topology
            .members()
            .map(|member| {
                let own = member.rank == me.rank;
                let entry = vector.0.get(&member.rank).copied().unwrap_or_default();
                MemberView {
                    rank: member.rank,
                    role: member.role,
                    up: own || member.status == topology::Status::Up,
                    ready: if own {
                        self.is_ready()
                    } else {
                        self.readiness.is_peer_ready(member.rank)
                    },
                    inc: entry.inc,
                    seq: entry.seq,
                }
            })
            .collect()
    }

    /// Returns the node at a glance.
    #[must_use]
    pub fn status(&self) -> Status {
        let me = self.replica.me();
        Status {
            rank: me.rank,
            inc: me.inc,
            ready: self.is_ready(),
            members: self.members(),
            counters: self.counters,
            log: *self.replica.counters(),
            index: self.replica.state().stats(),
        }
    }

    fn frame(&mut self, now: Timestamp, from: Rank, bytes: &Bytes, out: &mut Effects) {
        self.counters.frames_in += 1;
        self.topology.handle(
            now,
            topology::Input::Heard { peer: from },
            &mut self.topology_out,
        );
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
                }
                self.replica.handle(now, from, message, &mut self.log_out);
            }
            Ok(Frame::Heartbeat(beat)) => {
                self.topology.handle(
                    now,
                    topology::Input::Heartbeat { from, beat },
                    &mut self.topology_out,
                );
                let origin = OriginId {
                    rank: from,
                    inc: beat.inc,
                };
                self.replica
                    .observe(now, from, origin, beat.seq, &mut self.log_out);
            }
            Ok(Frame::Readiness { ready }) => {
                if self.readiness.peer_says(from, ready) {
                    out.push(Effect::MembersChanged);
                }
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
    fn drain(&mut self, now: Timestamp, out: &mut Effects) {
        self.drain_topology(out);
        let mut outputs = std::mem::take(&mut self.log_out);
        for output in outputs.drain(..) {
            self.log_output(output, out);
        }
        self.log_out = outputs;
        self.tell_position(now);
        self.check_ready(now, out);
    }

    fn log_output(&mut self, output: Output, out: &mut Effects) {
        match output {
            Output::Broadcast(batch) => {
                out.push(Effect::Logged(batch.clone()));
                let me = self.replica.me().rank;
                self.delegate(me, self.topology.ttl_initial(), Some(&batch), out);
            }
            Output::Send { to, message } => self.send(to, &Frame::Log(message), out),
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
            Output::Event(event) => out.push(Effect::Event(Event::Log(event))),
        }
    }

    fn drain_topology(&mut self, out: &mut Effects) {
        let mut outputs = std::mem::take(&mut self.topology_out);
        for output in outputs.drain(..) {
            match output {
                topology::Output::SendHeartbeat { to, beat } => {
                    self.send(to, &Frame::Heartbeat(beat), out)
                }
                topology::Output::Exchange { with } => {
                    // Said again and again, for the one time it was lost; before the offer, which may be joined from.
                    self.send(
                        with,
                        &Frame::Readiness {
                            ready: self.readiness.is_ready(),
                        },
                        out,
                    );
                    let offer = Message::Offer {
                        vector: self.replica.offer(),
                        reply: true,
                    };
                    self.send(with, &Frame::Log(offer), out);
                }
                topology::Output::StatusChanged { .. } => out.push(Effect::MembersChanged),
                topology::Output::Event(event) => out.push(Effect::Event(Event::Topology(event))),
            }
        }
        self.topology_out = outputs;
    }

    fn check_ready(&mut self, now: Timestamp, out: &mut Effects) {
        if self.is_ready() {
            return;
        }
        let me = self.replica.me().rank;
        let others = || self.topology.members().filter(|member| member.rank != me);
        let around = Surroundings {
            me,
            applied: &self.replica.version_vector(),
            lowest_up: others()
                .filter(|member| member.status == topology::Status::Up)
                .map(|member| member.rank)
                .min(),
            others: others().count(),
        };
        if self.readiness.check(now, &around) {
            out.push(Effect::Event(Event::Ready));
            out.push(Effect::MembersChanged);
            let up: Vec<Rank> = others()
                .filter(|member| member.status == topology::Status::Up)
                .map(|member| member.rank)
                .collect();
            // What a Ready node has is the goal of those that join; they need not wait for the next exchange.
            let offer = Frame::Log(Message::Offer {
                vector: self.replica.offer(),
                reply: false,
            });
            for peer in up {
                self.send(peer, &Frame::Readiness { ready: true }, out);
                self.send(peer, &offer, out);
            }
        }
    }

    /// Heartbeats carry the own position: publishes, checkpoints and new incarnations move it.
    fn tell_position(&mut self, now: Timestamp) {
        let me = self.replica.me();
        let (_, seq) = self.replica.state().position(me.rank).unwrap_or_default();
        self.topology.handle(
            now,
            topology::Input::Position(me.inc, seq),
            &mut self.topology_out,
        );
    }

    fn send(&mut self, to: Rank, frame: &Frame, out: &mut Effects) {
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
