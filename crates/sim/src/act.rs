//! What a node is given, and what becomes of the effects.

use node::wire::{self, Encoded, Frame};
use node::{Effect, Input, Lane};
use oplog::{Batch, Event as LogEvent};
use radix_core::id::{OriginId, Rank, Seq};
use topology::Event as TopologyEvent;

use crate::event::{Cargo, Delivery};
use crate::limits;
use crate::meter::Class;
use crate::violation::Violation;
use crate::visits::Name;
use crate::world::{Taint, World};

/// Frames of at most that many bytes are looked into when they are sent: heartbeats and what nodes say of themselves.
const SMALL_BYTES: usize = 64;

impl World {
    /// Gives a living node one input, carries out its effects and checks what it reports afterwards.
    ///
    /// `doubled`: the broadcast that the input is a double of.
    pub(crate) fn feed(
        &mut self,
        node: usize,
        input: Input,
        doubled: Option<Name>,
    ) -> Result<(), Violation> {
        let slot = &mut self.slots[node];
        let local = slot.clock.says(self.now);
        let Some(life) = &mut slot.life else {
            return Ok(());
        };
        let mut effects = std::mem::take(&mut self.effects);
        self.touched.clear();
        let begun = self
            .meter
            .as_ref()
            .map(|meter| (class(&input, self.class), meter.watch()));
        life.node.handle(local, input, &mut effects);
        if let (Some(meter), Some((class, since))) = (&mut self.meter, begun) {
            meter.spent(class, since);
        }
        let max = limits::EFFECTS_PER_INPUT_MAX * self.slots.len();
        let count = effects.len() as u64;
        self.peaks.effects_of_one_input = self.peaks.effects_of_one_input.max(count);
        self.bound(node, "effects of one input", count, max as u64)?;
        let mut logged = false;
        for effect in effects.drain(..) {
            logged |= matches!(effect, Effect::Logged(_));
            self.carry_out(node, effect, doubled)?;
        }
        self.effects = effects;
        self.slots[node].note_view();
        self.check_farewells(node)?;
        if self.config.checks {
            self.check_positions(node, logged)?;
        }
        self.arm(node);
        Ok(())
    }

    fn carry_out(
        &mut self,
        node: usize,
        effect: Effect,
        doubled: Option<Name>,
    ) -> Result<(), Violation> {
        match effect {
            Effect::Send { to, lane, frame } => self.send(node, to, lane, &frame, doubled),
            Effect::Logged(batch) => self.logged(node, &batch),
            Effect::Applied {
                origin,
                first,
                last,
            } => {
                self.hash
                    .words([11, u64::from(origin.rank.0), first.0, last.0]);
                self.touched.push(origin.rank);
                if let Some(meter) = &mut self.meter {
                    meter.applied(origin, first, last, self.now);
                }
                self.check_applied(node, origin, first, last)
            }
            Effect::Published(result) => {
                self.hash.words([12, u64::from(result.is_ok())]);
                self.touched.push(self.slots[node].rank);
                self.published(node, result)
            }
            Effect::MembersChanged => {
                self.hash.words([13]);
                Ok(())
            }
            Effect::PeersChanged
            | Effect::Introduced(_)
            | Effect::ForgetAnswered(_)
            | Effect::Left => {
                self.hash.words([19]);
                self.member_effect(node, effect);
                Ok(())
            }
            Effect::Event(event) => self.event(node, &event),
        }
    }

    fn logged(&mut self, node: usize, batch: &Batch) -> Result<(), Violation> {
        self.hash.words([10, batch.first.0, u64::from(batch.count)]);
        self.hash.bytes(&batch.ops);
        self.touched.push(batch.origin.rank);
        self.reached.ops_written += u64::from(batch.count);
        if !self.config.checks {
            return Ok(());
        }
        if !self.is_linked_to_all(node) {
            self.reached.broadcasts_around_a_gap += 1;
        } else if self.profile.lossless && self.calm_since.is_none() && self.all_direct() {
            self.visits.owe(self.now, batch);
        }
        let written = self.truth.append(batch);
        if self.tainted.get(&batch.origin) == Some(&Taint::Shared) {
            return Ok(());
        }
        written
    }

    fn send(
        &mut self,
        from: usize,
        to: Rank,
        lane: Lane,
        frame: &Encoded,
        doubled: Option<Name>,
    ) -> Result<(), Violation> {
        let bytes = frame.to_bytes();
        let len = bytes.len() as u64;
        self.peaks.bytes_of_a_frame = self.peaks.bytes_of_a_frame.max(len);
        self.bound(
            from,
            "bytes of a frame",
            len,
            limits::FRAME_BYTES_MAX as u64,
        )?;
        self.hash.words([14, u64::from(to.0), lane as u64]);
        self.hash.bytes(&bytes);
        let rank = self.slots[from].rank;
        if usize::from(to.0) >= self.ranks() || to == rank {
            return Err(Violation::Alarm {
                at: rank,
                event: format!("a frame to rank {to}"),
            });
        }
        let cargo = match lane {
            Lane::Bulk => Cargo::Snapshot,
            Lane::Control if bytes.len() > SMALL_BYTES => Cargo::Other,
            Lane::Data | Lane::Control => match wire::decode(&bytes) {
                Ok(Frame::Broadcast { batch, .. }) => Cargo::Broadcast((batch.origin, batch.first)),
                Ok(Frame::Topology(topology::Message::Heartbeat(beat))) => {
                    self.check_heartbeat(from, &beat)?;
                    Cargo::Other
                }
                Ok(Frame::Log(oplog::Message::Batch(_))) => Cargo::Ops,
                Ok(
                    Frame::Log(_) | Frame::Readiness { .. } | Frame::Topology(_) | Frame::Check(_),
                ) => Cargo::Other,
                Err(error) => {
                    return Err(Violation::Alarm {
                        at: rank,
                        event: format!("a frame of its own does not decode: {error}"),
                    });
                }
            },
        };
        if let Some(meter) = &mut self.meter {
            meter.sent(Class::of(cargo), bytes.len());
        }
        if self.apart.is_some_and(|max| bytes.len() > max) {
            return Ok(());
        }
        let connection = self.slots[from]
            .life
            .as_ref()
            .and_then(|life| life.links[usize::from(to.0)]);
        let Some(connection) = connection else {
            self.reached.frames_unlinked += 1;
            return Ok(());
        };
        if !self
            .links
            .is_current(from, connection.peer, connection.epoch)
        {
            self.reached.frames_lost_with_link += 1;
            return Ok(());
        }
        let delivery = Delivery {
            from: from as u16,
            to: connection.peer as u16,
            epoch: connection.epoch,
            bytes,
            cargo,
            doubled: false,
        };
        let doubled = delivery.broadcast().is_some() && delivery.broadcast() == doubled;
        self.dispatch(
            lane,
            Delivery {
                doubled,
                ..delivery
            },
        );
        Ok(())
    }

    fn event(&mut self, node: usize, event: &node::Event) -> Result<(), Violation> {
        let at = self.slots[node].rank;
        let now = self.now;
        self.note(|| format!("  rank {at}: {event:?}"));
        let alarm = || {
            Err(Violation::Alarm {
                at,
                event: format!("{event:?}"),
            })
        };
        match event {
            node::Event::Log(event) => {
                self.hash.words([15]);
                if self.is_log_event_fine(event) {
                    Ok(())
                } else {
                    alarm()
                }
            }
            node::Event::Topology(event) => {
                self.hash.words([16]);
                if self.is_topology_event_fine(node, event) {
                    Ok(())
                } else {
                    alarm()
                }
            }
            node::Event::BadFrame { .. } => {
                self.reached.frames_bad += 1;
                if self.slots[node].hostile > 0 {
                    Ok(())
                } else {
                    alarm()
                }
            }
            node::Event::TtlExpired { .. } => alarm(),
            node::Event::Ready => {
                self.hash.words([17, now.0]);
                let slot = &self.slots[node];
                self.reached.restarts_rejoined += u64::from(slot.lives > 1);
                let introduced = slot.life.as_ref().is_some_and(|life| life.introduced);
                self.reached.joins_completed += u64::from(introduced);
                self.check_join(node)
            }
            node::Event::Draining { .. } => Ok(()),
            node::Event::CheckAgreed { .. } => {
                self.reached.checks_agreed += 1;
                Ok(())
            }
            node::Event::CheckDiffers { .. } => {
                self.reached.checks_differed += 1;
                Ok(())
            }
            node::Event::CheckLost { .. } => {
                self.reached.checks_lost += 1;
                Ok(())
            }
            node::Event::StableView { view } => {
                self.hash.words([21]);
                match view {
                    Some(view) => self.check_stable_view(node, *view),
                    None => Ok(()),
                }
            }
            node::Event::Reincarnated { origin } => {
                self.hash.words([18, origin.inc.0]);
                self.reached.reincarnated += 1;
                self.touched.push(origin.rank);
                self.reincarnated(node, *origin)
            }
        }
    }

    /// Returns whether an event of the logs may happen in this run at all.
    fn is_log_event_fine(&mut self, event: &LogEvent) -> bool {
        match event {
            LogEvent::WithoutEffect { at, .. } => {
                self.reached.ops_without_effect += 1;
                self.tainted.contains_key(&at.origin)
            }
            LogEvent::DigestMismatch { at, .. } => {
                self.touched.push(at.origin.rank);
                self.reached.digest_mismatches += 1;
                self.tainted.contains_key(&at.origin)
            }
            LogEvent::SnapshotRejected { origin, .. } => {
                self.touched.push(origin.rank);
                self.reached.snapshots_rejected += 1;
                self.tainted.contains_key(origin)
            }
            LogEvent::Undecodable { .. } => {
                self.reached.batches_undecodable += 1;
                self.reached.frames_hostile > 0
            }
            LogEvent::TooManyRanks { .. } | LogEvent::IncarnationExhausted { .. } => false,
            LogEvent::NewIncarnation { origin, .. } | LogEvent::SnapshotLoaded { origin, .. } => {
                self.touched.push(origin.rank);
                true
            }
            LogEvent::Forgotten { rank, .. } => {
                self.reached.ranks_forgotten += 1;
                self.touched.push(*rank);
                true
            }
            LogEvent::ReorderFull { .. }
            | LogEvent::PullAbandoned { .. }
            | LogEvent::SnapshotSent { .. } => true,
        }
    }

    /// Counts an event of the topology; returns whether it may happen in this run at all.
    fn is_topology_event_fine(&mut self, node: usize, event: &TopologyEvent) -> bool {
        let reached = &mut self.reached;
        let count = match event {
            TopologyEvent::Joined { rank, inc } => {
                let life = self.slots[node].life.as_mut();
                if let Some(join) = life.and_then(|life| life.join.as_mut()) {
                    join.reborn(*rank, *inc);
                }
                &mut reached.members_joined
            }
            TopologyEvent::Silent { .. } => &mut reached.members_silent,
            TopologyEvent::HeardAgain { .. } => &mut reached.members_heard_again,
            TopologyEvent::Mute { .. } => &mut reached.members_mute,
            TopologyEvent::LinkDegraded { .. } => &mut reached.links_degraded,
            TopologyEvent::LinkRestored { .. } => &mut reached.links_restored,
            TopologyEvent::Suspected { .. } => &mut reached.members_suspected,
            TopologyEvent::Refuted { .. } => &mut reached.suspicions_refuted,
            TopologyEvent::Died { .. } => &mut reached.members_died,
            TopologyEvent::Left { rank, inc } => {
                self.farewells.push((*rank, *inc));
                &mut reached.members_left
            }
            TopologyEvent::Slow { .. } => return true,
            TopologyEvent::CaughtUp { .. } => &mut reached.members_caught_up,
            TopologyEvent::Doubt { .. } => &mut reached.doubts,
            TopologyEvent::UnknownPeer { .. } => {
                reached.peers_unknown += 1;
                return self.profile.has_churn();
            }
            TopologyEvent::QuestionDropped { .. } => &mut reached.questions_dropped,
            TopologyEvent::SpentHeartbeat { .. } | TopologyEvent::BadRecords { .. } => {
                return self.slots[node].hostile > 0;
            }
            TopologyEvent::TableFull { .. } => return false,
        };
        *count += 1;
        true
    }

    /// A broadcast came to a node, by a frame that is not a double.
    pub(crate) fn visit(&mut self, node: usize, name: Name) -> Result<(), Violation> {
        let at = self.slots[node].rank;
        let (origin, first): (OriginId, Seq) = name;
        if self.tainted.contains_key(&origin) {
            return Ok(());
        }
        if origin.rank == at || !self.visits.visit(name, node) {
            return Err(Violation::VisitedTwice { at, origin, first });
        }
        Ok(())
    }
}

/// Returns what an input counts as; a frame is what it was sent as.
fn class(input: &Input, frame: Class) -> Class {
    match input {
        Input::Publish(_) | Input::Flush => Class::Publish,
        Input::Tick => Class::Tick,
        Input::Frame { .. } => frame,
        Input::LinkUp { .. }
        | Input::LinkDown { .. }
        | Input::LinkSlow { .. }
        | Input::LinkDrained { .. }
        | Input::Introduce { .. }
        | Input::Table(_)
        | Input::Leave { .. }
        | Input::Forget { .. }
        | Input::Outlived { .. } => Class::Link,
    }
}
