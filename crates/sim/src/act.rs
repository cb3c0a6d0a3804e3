//! What a node is given, and what becomes of the effects.

use node::wire::{self, Encoded, Frame};
use node::{Effect, Input, Lane, Publish, PublishError, Receipt};
use radix_core::id::{OriginId, Rank, Seq};
use topology::Event as TopologyEvent;

use crate::event::{Delivery, Event};
use crate::limits;
use crate::violation::Violation;
use crate::world::World;

impl World {
    /// Gives a living node one input, carries out its effects and checks what it reports afterwards.
    ///
    /// `doubled`: the broadcast that the input is a double of.
    pub(crate) fn feed(
        &mut self,
        node: usize,
        input: Input,
        doubled: Option<(OriginId, Seq)>,
    ) -> Result<(), Violation> {
        let Some(life) = &mut self.slots[node].life else {
            return Ok(());
        };
        let mut effects = std::mem::take(&mut self.effects);
        life.node.handle(self.now, input, &mut effects);
        let max = limits::EFFECTS_PER_INPUT_MAX * self.slots.len();
        self.bound(
            node,
            "effects of one input",
            effects.len() as u64,
            max as u64,
        )?;
        let mut logged = false;
        for effect in effects.drain(..) {
            logged |= matches!(effect, Effect::Logged(_));
            self.carry_out(node, effect, doubled)?;
        }
        self.effects = effects;
        self.check_positions(node, logged)?;
        self.arm(node);
        Ok(())
    }

    /// Sees to it that the node is woken when it wants to be.
    pub(crate) fn arm(&mut self, node: usize) {
        let slot = &mut self.slots[node];
        let Some(life) = &mut slot.life else { return };
        let Some(at) = life.node.next_deadline() else {
            return;
        };
        let at = at.max(self.now);
        if life.tick_at.is_none_or(|armed| at < armed) {
            life.tick_at = Some(at);
            self.queue.push(
                at,
                Event::Tick {
                    node,
                    life: slot.lives,
                },
            );
        }
    }

    fn carry_out(
        &mut self,
        node: usize,
        effect: Effect,
        doubled: Option<(OriginId, Seq)>,
    ) -> Result<(), Violation> {
        match effect {
            Effect::Send { to, lane, frame } => self.send(node, to, lane, &frame, doubled),
            Effect::Logged(batch) => {
                self.hash.words([10, batch.first.0, u64::from(batch.count)]);
                self.hash.bytes(&batch.ops);
                self.reached.ops_written += u64::from(batch.count);
                if (0..self.slots.len())
                    .any(|peer| peer != node && self.links.believed(node, peer).is_none())
                {
                    self.reached.broadcasts_around_a_gap += 1;
                }
                self.truth.append(&batch)
            }
            Effect::Applied {
                origin,
                first,
                last,
            } => {
                self.hash
                    .words([11, u64::from(origin.rank.0), first.0, last.0]);
                self.check_applied(node, origin, first, last)
            }
            Effect::Published(result) => {
                self.hash.words([12, u64::from(result.is_ok())]);
                self.published(node, result)
            }
            Effect::MembersChanged => {
                self.hash.words([13]);
                Ok(())
            }
            Effect::Event(event) => self.event(node, &event),
        }
    }

    fn send(
        &mut self,
        from: usize,
        to: Rank,
        lane: Lane,
        frame: &Encoded,
        doubled: Option<(OriginId, Seq)>,
    ) -> Result<(), Violation> {
        let bytes = frame.to_bytes();
        self.bound(
            from,
            "bytes of a frame",
            bytes.len() as u64,
            limits::FRAME_BYTES_MAX as u64,
        )?;
        self.hash.words([14, u64::from(to.0), lane as u64]);
        self.hash.bytes(&bytes);
        let to = usize::from(to.0);
        if to >= self.slots.len() || to == from {
            return Err(Violation::Alarm {
                at: Rank(from as u16),
                event: format!("a frame to rank {to}"),
            });
        }
        let broadcast = match lane {
            Lane::Data | Lane::Control => match wire::decode(&bytes) {
                Ok(Frame::Broadcast { batch, .. }) => Some((batch.origin, batch.first)),
                Ok(Frame::Heartbeat(beat)) => {
                    self.check_heartbeat(from, &beat)?;
                    None
                }
                Ok(Frame::Log(_) | Frame::Readiness { .. }) => None,
                Err(error) => {
                    return Err(Violation::Alarm {
                        at: Rank(from as u16),
                        event: format!("a frame of its own does not decode: {error}"),
                    });
                }
            },
            Lane::Bulk => None,
        };
        let fate = self
            .links
            .send(self.now, from, to, &self.profile, &mut self.reached);
        let doubled = broadcast.is_some() && broadcast == doubled;
        let delivery = Delivery {
            from,
            to,
            epoch: fate.epoch,
            bytes,
            broadcast,
            doubled,
        };
        if let Some(at) = fate.doubled {
            let double = Delivery {
                doubled: true,
                ..delivery.clone()
            };
            self.queue.push(at, Event::Deliver(double));
        }
        if let Some(at) = fate.arrives {
            self.queue.push(at, Event::Deliver(delivery));
        }
        Ok(())
    }

    fn published(
        &mut self,
        node: usize,
        result: Result<Receipt, PublishError>,
    ) -> Result<(), Violation> {
        let Some(life) = &mut self.slots[node].life else {
            return Ok(());
        };
        let Some(said) = life.said.take() else {
            return Ok(());
        };
        let at = Rank(node as u16);
        match result {
            Ok(receipt) => {
                self.reached.publishes += 1;
                life.engines
                    .accepted(&said, &receipt)
                    .map_err(|page| Violation::Alarm {
                        at,
                        event: format!("page {page} of an accepted store got no copy: {said:?}"),
                    })
            }
            Err(PublishError::EmptyPath | PublishError::FromBeyondPath { .. })
                if matches!(said, Publish::Store { .. }) =>
            {
                self.reached.publishes_refused += 1;
                Ok(())
            }
            Err(error) => Err(Violation::Alarm {
                at,
                event: format!("{error} for {said:?}"),
            }),
        }
    }

    fn event(&mut self, node: usize, event: &node::Event) -> Result<(), Violation> {
        let at = Rank(node as u16);
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
                match event {
                    oplog::Event::Undecodable { .. }
                    | oplog::Event::WithoutEffect { .. }
                    | oplog::Event::DigestMismatch { .. }
                    | oplog::Event::TooManyRanks { .. }
                    | oplog::Event::SnapshotRejected { .. }
                    | oplog::Event::IncarnationExhausted { .. } => alarm(),
                    oplog::Event::NewIncarnation { .. }
                    | oplog::Event::Forgotten { .. }
                    | oplog::Event::ReorderFull { .. }
                    | oplog::Event::PullAbandoned { .. }
                    | oplog::Event::SnapshotSent { .. }
                    | oplog::Event::SnapshotLoaded { .. } => Ok(()),
                }
            }
            node::Event::Topology(event) => {
                self.hash.words([16]);
                match event {
                    TopologyEvent::Silent { .. } => {
                        self.reached.members_silent += 1;
                        Ok(())
                    }
                    TopologyEvent::HeardAgain { .. } => Ok(()),
                    TopologyEvent::UnknownPeer { .. } | TopologyEvent::SpentHeartbeat { .. } => {
                        alarm()
                    }
                }
            }
            node::Event::BadFrame { .. } | node::Event::TtlExpired { .. } => alarm(),
            node::Event::Ready => {
                self.hash.words([17, now.0]);
                self.reached.restarts_rejoined += u64::from(self.slots[node].lives > 1);
                Ok(())
            }
            node::Event::Reincarnated { origin } => {
                self.hash.words([18, origin.inc.0]);
                self.reached.reincarnated += 1;
                self.reincarnated(node, *origin)
            }
        }
    }

    /// A node goes on under a new incarnation.
    fn reincarnated(&mut self, node: usize, origin: OriginId) -> Result<(), Violation> {
        let slot = &mut self.slots[node];
        let Some(life) = &mut slot.life else {
            return Ok(());
        };
        let before = std::mem::replace(&mut life.origin, origin);
        slot.highest = slot.highest.max(origin.inc);
        slot.reincarnated = true;
        if origin.inc <= before.inc || self.truth.knows(origin) {
            return Err(Violation::Alarm {
                at: slot.rank,
                event: format!("{before} goes on as {origin}, which is not new"),
            });
        }
        self.truth.rename(before, origin);
        Ok(())
    }

    /// A broadcast came to a node, by a frame that is not a double.
    pub(crate) fn visit(&mut self, node: usize, key: (OriginId, Seq)) -> Result<(), Violation> {
        let visited = self.visits.entry(key).or_default();
        let bit = 1u128 << node;
        if *visited & bit != 0 || usize::from(key.0.rank.0) == node {
            return Err(Violation::VisitedTwice {
                at: Rank(node as u16),
                origin: key.0,
                first: key.1,
            });
        }
        *visited |= bit;
        Ok(())
    }
}
