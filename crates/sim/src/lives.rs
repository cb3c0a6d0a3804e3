//! Who lives where: restarts, incarnations, second processes.

use std::time::Duration;

use node::{Boot, Node, NodeConfig};
use radix_core::IndexConfig;
use radix_core::id::{Incarnation, OriginId, Rank};
use topology::{Fanout, Record, Seed};

use crate::engine::Engines;
use crate::event::Event;
use crate::fault::{Fault, Rebirth};
use crate::membership::{address, role};
use crate::slot::{Life, Slot};
use crate::violation::Violation;
use crate::world::{Misdeed, Taint, World};

/// Room between two proper incarnations, for those that come between.
const STEP: u64 = 100_000;

impl World {
    /// A node dies and loses everything.
    pub(crate) fn kill(&mut self, node: usize) -> bool {
        self.count_life(node);
        let slot = &mut self.slots[node];
        if slot.life.take().is_none() {
            return false;
        }
        slot.held_up.clear();
        if slot.misery.is_none() {
            slot.paused_until = self.now;
        }
        slot.busy_until = self.now;
        for other in (0..self.slots.len()).filter(|other| *other != node) {
            if let Some(epoch) = self.links.break_up(node, other) {
                self.tell_lost(other, node, epoch);
            }
        }
        true
    }

    /// A node dies and comes back after a time; and again as often as it says.
    pub(crate) fn crash(&mut self, node: usize, for_ns: u64, rebirth: Rebirth, again: u32) {
        if !self.kill(node) {
            return;
        }
        self.reached.crashes += 1;
        self.queue.push(
            self.now.after(Duration::from_nanos(for_ns)),
            Event::Restart {
                node,
                rebirth,
                again,
            },
        );
    }

    pub(crate) fn restart(
        &mut self,
        node: usize,
        rebirth: Rebirth,
        again: u32,
    ) -> Result<(), Violation> {
        let slot = &self.slots[node];
        if slot.life.is_some() || slot.stays_away() {
            return Ok(());
        }
        let seeded = slot.seeded;
        let inc = self.incarnation(node, rebirth);
        if !seeded {
            self.introduce_soon(node, inc, self.now);
            return Ok(());
        }
        let me = OriginId {
            rank: self.slots[node].rank,
            inc,
        };
        self.begin_life(node, me, Vec::new())?;
        if again > 0 && self.calm_since.is_none() {
            let up = self.chance.u64(20_000_000..800_000_000);
            self.queue.push(
                self.now.after(Duration::from_nanos(up)),
                Event::Fault(Fault::Crash {
                    node: usize::from(me.rank.0),
                    for_ns: up / 2,
                    rebirth: Rebirth::Proper,
                    again: again - 1,
                }),
            );
        }
        Ok(())
    }

    /// A node begins to live, with the members that it was told of.
    pub(crate) fn begin_life(
        &mut self,
        node: usize,
        me: OriginId,
        table: Vec<Record>,
    ) -> Result<(), Violation> {
        if self.truth.knows(me) && self.misdeed != Some(Misdeed::ReuseIncarnation) {
            // A member that is cut off may let in another process of a rank that lives elsewhere, under the name that this one
            // takes just then.
            let lives = self.slots.iter().filter_map(|slot| slot.life.as_ref());
            let is_shared = lives.map(|life| life.origin).any(|origin| origin == me);
            let taint = if is_shared {
                Taint::Shared
            } else {
                Taint::Reused
            };
            self.taint(me, taint);
        }
        let introduced = !table.is_empty();
        let slot = &mut self.slots[node];
        slot.lives += 1;
        slot.left = false;
        slot.introduces_at = None;
        let mut life = self.boot(node, me, table);
        life.introduced = introduced;
        self.truth.begin(me);
        self.hash.words([7, node as u64, me.inc.0, self.now.0]);
        self.slots[node].life = Some(life);
        self.slots[node].note_view();
        self.arm(node);
        self.lonely_later(node);
        for other in (0..self.slots.len()).filter(|other| *other != node) {
            if self.slots[other].life.is_some() && self.apart.is_none() {
                self.connect_soon(node, other);
            }
        }
        Ok(())
    }

    /// Returns the incarnation that a host gives to the next life of a node.
    fn incarnation(&mut self, node: usize, rebirth: Rebirth) -> Incarnation {
        let slot = &mut self.slots[node];
        let rebirth = match self.misdeed {
            Some(Misdeed::ReuseIncarnation) => Rebirth::Same,
            None => rebirth,
        };
        if slot.lives == 0 && rebirth != Rebirth::Stale || slot.highest == Incarnation(0) {
            slot.highest = Incarnation(STEP);
            return slot.highest;
        }
        match rebirth {
            Rebirth::Proper => {
                slot.highest = Incarnation(slot.highest.0 + STEP);
                slot.highest
            }
            Rebirth::Same => {
                self.reached.same_restarts += 1;
                slot.forgetful = true;
                slot.highest
            }
            Rebirth::Stale => {
                self.reached.stale_restarts += 1;
                slot.forgetful = true;
                let rank = slot.rank;
                let mut inc = Incarnation(slot.highest.0.saturating_sub(u64::from(slot.lives) + 1));
                while self.truth.knows(OriginId { rank, inc }) && inc.0 > 1 {
                    inc = Incarnation(inc.0 - 1);
                }
                inc
            }
        }
    }

    fn boot(&mut self, host: usize, me: OriginId, table: Vec<Record>) -> Life {
        let seed = |rank: u16| {
            let rank = Rank(rank);
            let own = rank == me.rank;
            let at = if own { host } else { usize::from(rank.0) };
            Seed {
                rank,
                role: role(rank),
                address: address(at),
            }
        };
        // Whoever was introduced needs to know nobody beforehand. Two such, introduced by a member that was cut off and
        // is gone, would know nobody but each other: no island finds back to a mainland that it never heard of.
        let newcomers = self.profile.joiners + self.profile.replaces as usize;
        let knows_all = self.slots[host].seeded || newcomers > 1 || self.chance.bool();
        let seeds = (0..self.config.nodes).filter(|rank| knows_all && *rank != me.rank.0);
        let seeds = seeds.chain([me.rank.0]).map(seed).collect();
        let config = NodeConfig {
            topology: topology::Config {
                fanout: self.profile.fanout.map_or(Fanout::Auto, Fanout::Fixed),
                heartbeat: self.profile.heartbeat,
                forget_after: self.profile.forget_after,
                table,
                ..topology::Config::with_seeds(me.rank, seeds)
            },
            check: self.profile.check,
            cold_start: self.profile.cold_start,
            log: self.profile.log.clone(),
            index: IndexConfig {
                readers_max: 1,
                ..IndexConfig::default()
            },
        };
        let boot = Boot {
            inc: me.inc,
            seed: self.chance.u64(..),
        };
        let now = self.slots[host].clock.says(self.now);
        let node = Node::new(config, boot, now).expect("the configuration is valid");
        let reader = node.reader().expect("the first reader finds room");
        Life::new(node, reader, Engines::default(), me, self.ranks())
    }

    /// Sees to it that the node is woken when it wants to be.
    pub(crate) fn arm(&mut self, node: usize) {
        let slot = &mut self.slots[node];
        let Some(life) = &mut slot.life else { return };
        let Some(at) = life.node.next_deadline() else {
            return;
        };
        let at = slot.clock.when(at).max(self.now);
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

    /// A second process begins to live under the rank of `node`, somewhere else.
    pub(crate) fn double(
        &mut self,
        node: usize,
        for_ns: u64,
        stale: bool,
    ) -> Result<(), Violation> {
        let host = self.slots.len();
        self.slots.push(Slot {
            // The other host knows nothing of the first; its clock says something else.
            highest: Incarnation(self.slots[node].highest.0.saturating_add(7)),
            forgetful: true,
            clock: self.slots[node].clock,
            lives: 1,
            seeded: self.chance.bool(),
            ..Slot::new(self.slots[node].rank)
        });
        self.slots[node].forgetful = true;
        self.reached.doubles += 1;
        self.queue.push(
            self.now.after(Duration::from_nanos(for_ns)),
            Event::Single { node: host },
        );
        let rebirth = if stale {
            Rebirth::Stale
        } else {
            Rebirth::Proper
        };
        self.restart(host, rebirth, 0)
    }

    /// A node goes on under a new incarnation.
    pub(crate) fn reincarnated(&mut self, node: usize, origin: OriginId) -> Result<(), Violation> {
        let slot = &mut self.slots[node];
        let Some(life) = &mut slot.life else {
            return Ok(());
        };
        let before = std::mem::replace(&mut life.origin, origin);
        // The host keeps it in its file.
        slot.highest = slot.highest.max(origin.inc);
        let (rank, forgetful) = (slot.rank, slot.forgetful);
        let again = self.truth.knows(origin);
        let floor = life.node.replica().version_vector().entry(rank).floor;
        self.reached.forgotten_and_returned += u64::from(floor >= before.inc);
        if origin.inc <= before.inc || (again && !forgetful) {
            return Err(Violation::Alarm {
                at: rank,
                event: format!("{before} goes on as {origin}, which is not new"),
            });
        }
        // What was not sent under a name that is forgotten never is, but it stays in the state.
        let position = life.node.replica().digests(rank).map(|log| log.seq);
        let unsent = position != self.truth.last(before);
        self.truth.rename(before, origin);
        if again || unsent || self.tainted.get(&before) == Some(&Taint::Shared) {
            self.taint(origin, Taint::Shared);
        }
        Ok(())
    }
}
