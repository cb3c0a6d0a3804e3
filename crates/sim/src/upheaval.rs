//! What comes and goes: faults, links and lives.

use std::time::Duration;

use node::{Boot, Input, Node, NodeConfig};
use radix_core::id::{Incarnation, OriginId, Rank};
use radix_core::time::Timestamp;
use radix_core::{IndexConfig, Matches};
use topology::Role;

use crate::engine::Engines;
use crate::event::Event;
use crate::fault::Fault;
use crate::slot::{Life, Slot};
use crate::violation::Violation;
use crate::world::World;

impl World {
    pub(crate) fn go_wrong(&mut self, fault: Fault) -> Result<(), Violation> {
        if self.calm_since.is_some() {
            return Ok(());
        }
        self.hash.words([4, self.now.0]);
        let until = |for_ns: u64| self.now.after(Duration::from_nanos(for_ns));
        match fault {
            Fault::Cut { a, b, for_ns } => {
                let mend = until(for_ns);
                self.reached.cuts += 1;
                self.cut(a, b, mend);
            }
            Fault::Isolate { node, for_ns } => {
                let mend = until(for_ns);
                self.reached.isolations += 1;
                for other in (0..self.slots.len()).filter(|other| *other != node) {
                    self.cut(node, other, mend);
                }
            }
            Fault::OneWay { from, to, for_ns } => {
                self.reached.one_way_losses += 1;
                self.links.deafen(from, to, until(for_ns));
            }
            Fault::Pause { node, for_ns } => {
                let end = until(for_ns);
                self.reached.pauses += 1;
                let slot = &mut self.slots[node];
                slot.paused_until = slot.paused_until.max(end);
                self.queue.push(end, Event::Resume { node });
            }
            Fault::Crash {
                node,
                for_ns,
                stale,
            } => {
                if self.slots[node].life.take().is_some() {
                    self.reached.crashes += 1;
                    self.slots[node].held_up.clear();
                    self.slots[node].paused_until = self.now;
                    self.queue.push(
                        self.now.after(Duration::from_nanos(for_ns)),
                        Event::Restart { node, stale },
                    );
                    for other in (0..self.slots.len()).filter(|other| *other != node) {
                        self.links.believe(node, other, None);
                        if let Some(epoch) = self.links.break_up(node, other) {
                            self.tell_lost(other, node, epoch);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn cut(&mut self, a: usize, b: usize, mend: Timestamp) {
        if let Some(epoch) = self.links.cut(a, b) {
            self.tell_lost(a, b, epoch);
            self.tell_lost(b, a, epoch);
        }
        self.queue.push(mend, Event::Mend { a, b });
    }

    /// A node will notice that a connection is gone, some time.
    fn tell_lost(&mut self, node: usize, peer: usize, epoch: u32) {
        let slot = &self.slots[node];
        if slot.life.is_some() {
            let life = slot.lives;
            let delay = self.chance.u64(0..=self.profile.detection_ns_max);
            self.queue.push(
                self.now.after(Duration::from_nanos(delay)),
                Event::LinkLost {
                    node,
                    life,
                    peer,
                    epoch,
                },
            );
        }
    }

    pub(crate) fn link_lost(
        &mut self,
        node: usize,
        life: u32,
        peer: usize,
        epoch: u32,
    ) -> Result<(), Violation> {
        let slot = &self.slots[node];
        if slot.life.is_none()
            || slot.lives != life
            || self.links.believed(node, peer) != Some(epoch)
        {
            return Ok(());
        }
        self.links.believe(node, peer, None);
        self.hash.words([5, node as u64, peer as u64, self.now.0]);
        let peer = Rank(peer as u16);
        self.feed(node, Input::LinkDown { peer }, None)
    }

    pub(crate) fn connect_soon(&mut self, a: usize, b: usize) {
        let delay = self.chance.u64(1_000_000..=80_000_000);
        self.queue.push(
            self.now.after(Duration::from_nanos(delay)),
            Event::Connect { a, b },
        );
    }

    pub(crate) fn connect(&mut self, a: usize, b: usize) -> Result<(), Violation> {
        let (one, two) = (&self.slots[a], &self.slots[b]);
        if one.life.is_none() || two.life.is_none() {
            return Ok(());
        }
        let awake = one.paused_until.max(two.paused_until);
        if awake > self.now {
            self.queue.push(
                awake.after(Duration::from_millis(1)),
                Event::Connect { a, b },
            );
            return Ok(());
        }
        let Some(epoch) = self.links.connect(a, b) else {
            return Ok(());
        };
        self.hash.words([6, a as u64, b as u64, self.now.0]);
        // A host reports a link as gone before it reports it as new; a replaced one it need not.
        for (node, peer) in [(a, b), (b, a)] {
            if self.links.believed(node, peer).is_some() && self.chance.bool() {
                self.links.believe(node, peer, None);
                self.feed(
                    node,
                    Input::LinkDown {
                        peer: Rank(peer as u16),
                    },
                    None,
                )?;
            }
        }
        for (node, peer) in [(a, b), (b, a)] {
            self.links.believe(node, peer, Some(epoch));
        }
        let incarnation = |slot: &Slot| slot.life.as_ref().map(|life| life.origin.inc);
        let incs = [b, a].map(|peer| incarnation(&self.slots[peer]).unwrap_or_default());
        for ((node, peer), inc) in [(a, b), (b, a)].into_iter().zip(incs) {
            self.feed(
                node,
                Input::LinkUp {
                    peer: Rank(peer as u16),
                    inc,
                },
                None,
            )?;
        }
        Ok(())
    }

    pub(crate) fn resume(&mut self, node: usize) -> Result<(), Violation> {
        if self.slots[node].is_paused(self.now) {
            return Ok(());
        }
        for event in std::mem::take(&mut self.slots[node].held_up) {
            self.happen(event)?;
        }
        Ok(())
    }

    pub(crate) fn restart(&mut self, node: usize, stale: bool) -> Result<(), Violation> {
        let slot = &mut self.slots[node];
        if slot.life.is_some() {
            return Ok(());
        }
        slot.lives += 1;
        // Incarnations have room between them: a stale one is lower than one in use, but new.
        let step = u64::from(self.config.nodes) + 10;
        // One that a life took by itself, the host of the next one has kept: it is not used again.
        let stale = stale && slot.lives > 1 && !slot.reincarnated;
        let inc = if stale {
            self.reached.stale_restarts += 1;
            Incarnation(slot.highest.0 - u64::from(slot.lives))
        } else {
            slot.highest = Incarnation(slot.highest.0 + step * 100);
            slot.highest
        };
        let mut me = OriginId {
            rank: slot.rank,
            inc,
        };
        while self.truth.knows(me) {
            me.inc = Incarnation(me.inc.0 - 1);
        }
        let life = self.boot(me);
        self.truth.begin(me);
        self.hash.words([7, node as u64, me.inc.0, self.now.0]);
        self.slots[node].life = Some(life);
        self.arm(node);
        for other in (0..self.slots.len()).filter(|other| *other != node) {
            if self.slots[other].life.is_some() {
                self.connect_soon(node, other);
            }
        }
        Ok(())
    }

    fn boot(&mut self, me: OriginId) -> Life {
        let members = (0..self.config.nodes).map(|rank| {
            let role = [Role::Prefill, Role::Decode, Role::Router][usize::from(rank % 3)];
            (Rank(rank), role)
        });
        let config = NodeConfig {
            topology: topology::Config {
                fanout: self.profile.fanout,
                heartbeat: self.profile.heartbeat,
                ..topology::Config::new(me.rank, members.collect())
            },
            log: self.profile.log.clone(),
            index: IndexConfig {
                readers_max: 1,
                ..IndexConfig::default()
            },
            ..NodeConfig::new(me.rank, Vec::new())
        };
        let boot = Boot {
            inc: me.inc,
            seed: self.chance.u64(..),
        };
        let node = Node::new(config, boot, self.now).expect("the configuration is valid");
        let reader = node.reader().expect("the first reader finds room");
        Life::new(
            node,
            reader,
            Matches::new(),
            Engines::default(),
            me,
            self.slots.len(),
        )
    }

    /// The faults are over: links mend, the dead come back, and nobody has anything new to say.
    pub(crate) fn calm(&mut self) -> Result<(), Violation> {
        self.calm_since = Some(self.now);
        self.links.calm_down();
        self.hash.words([8, self.now.0]);
        for node in 0..self.slots.len() {
            self.slots[node].paused_until = self.now;
            self.resume(node)?;
            self.restart(node, false)?;
        }
        for a in 0..self.slots.len() {
            for b in a + 1..self.slots.len() {
                if !self.links.is_up(a, b) {
                    self.connect_soon(a, b);
                }
            }
        }
        Ok(())
    }
}
