//! The end of a run: nothing goes wrong with the core any more, and it has to agree, whatever stays wrong with
//! the nodes outside.

use std::time::Duration;

use radix_core::time::Timestamp;

use crate::event::{Event, Goal};
use crate::fault::Rebirth;
use crate::limits;
use crate::misery::Misery;
use crate::violation::Violation;
use crate::world::World;

impl World {
    /// Returns whether a rank belongs to those that must agree in the end.
    pub(crate) fn is_core(&self, node: usize) -> bool {
        let rank = usize::from(self.slots[node].rank.0);
        self.home[rank] == node && self.slots[node].misery.is_none()
    }

    /// The faults are over: links of the core mend, its dead come back, and nobody has anything new to say.
    pub(crate) fn calm(&mut self) -> Result<(), Violation> {
        self.calm_since = Some(self.now);
        self.hash.words([8, self.now.0]);
        self.draw_outsiders();
        let hosts = self.slots.len();
        for other in (0..hosts)
            .filter(|node| !self.home.contains(node))
            .collect::<Vec<_>>()
        {
            self.kill(other);
            self.slots[other].retired = true;
        }
        let homes = self.home.clone();
        let core: Vec<usize> = homes
            .iter()
            .copied()
            .filter(|node| self.is_core(*node))
            .collect();
        for &node in &core {
            self.links.calm_down(node);
        }
        for &a in &core {
            for &b in core.iter().filter(|b| **b != a) {
                self.links.heal(a, b);
                self.links.clear(a, b);
                self.widen(a, b)?;
            }
        }
        if let Some((from, to)) = self.one_way {
            // Where members move, whoever hears nobody does not learn where they are: no link, no core.
            let is_link = core.len() >= 3 && self.is_core(from) && self.is_core(to);
            if is_link && !self.profile.has_churn() {
                self.links.deafen(from, to);
            } else {
                self.one_way = None;
            }
        }
        for &node in &core {
            let slot = &mut self.slots[node];
            slot.paused_until = self.now;
            slot.busy_until = self.now;
            slot.each_ns = 0;
            self.wake_later(node);
            self.restart(node, Rebirth::Proper, 0)?;
        }
        for &node in &homes {
            self.begin_misery(node)?;
        }
        for (place, &a) in homes.iter().enumerate() {
            for &b in &homes[place + 1..] {
                if !self.links.is_up(a, b) {
                    self.connect_soon(a, b);
                }
            }
        }
        for ms in limits::AFTERMATH_MS {
            self.aftermath_until = self.now.after(Duration::from_millis(ms));
            self.queue.push(self.aftermath_until, Event::Aftermath);
        }
        self.set_deadlines();
        Ok(())
    }

    fn set_deadlines(&mut self) {
        let disturbance = self.disturbance;
        let logs = self
            .now
            .after(Duration::from_millis(self.config.converge_ms_max));
        let goal = Goal::Logs;
        self.queue.push(logs, Event::Deadline { goal, disturbance });
        let patience = limits::VIEW_SECONDS_PER_NODE * self.ranks() as u64;
        let views = logs.after(Duration::from_secs(patience));
        let goal = Goal::Views;
        self.queue
            .push(views, Event::Deadline { goal, disturbance });
    }

    /// Some nodes are left to their lot; at least two, where there are two, are not.
    fn draw_outsiders(&mut self) {
        let homes = self.home.clone();
        let mut left = self.profile.outsiders;
        // Who has not come yet need not come, and who left may stay away.
        for &node in &homes {
            let slot = &self.slots[node];
            let away = slot.left || (!slot.seeded && slot.life.is_none() && slot.lives == 0);
            if away && self.core_len() > 2 && self.chance.bool() {
                self.slots[node].misery = Some(Misery::Absent);
                self.reached.outsiders += 1;
            }
        }
        let mut tries = 8 * homes.len();
        while left > 0 && tries > 0 && self.core_len() > 2 {
            tries -= 1;
            let node = homes[self.chance.usize(..homes.len())];
            if self.slots[node].misery.is_none() && !self.is_last_ready(node) {
                self.slots[node].misery = Some(Misery::draw(&mut self.chance));
                self.reached.outsiders += 1;
                left -= 1;
            }
        }
    }

    /// Without a Ready node the core would have to wait for those outside.
    fn is_last_ready(&self, node: usize) -> bool {
        let ready = |node: &usize| {
            let life = self.slots[*node].life.as_ref();
            life.is_some_and(|life| life.node.is_ready())
        };
        let others = self.home.iter().filter(|home| **home != node);
        ready(&node) && !others.filter(|home| self.is_core(**home)).any(ready)
    }

    fn core_len(&self) -> usize {
        self.home.iter().filter(|node| self.is_core(**node)).count()
    }

    fn begin_misery(&mut self, node: usize) -> Result<(), Violation> {
        let Some(misery) = self.slots[node].misery else {
            return Ok(());
        };
        self.note(|| format!("node {node} stays {misery:?}"));
        match misery {
            Misery::Dead | Misery::Absent => {
                self.kill(node);
            }
            Misery::Stopped => {
                self.restart(node, Rebirth::Proper, 0)?;
                self.slots[node].paused_until = Timestamp(u64::MAX);
            }
            Misery::Unheard | Misery::Deaf => {
                self.restart(node, Rebirth::Proper, 0)?;
                for other in self.home.clone() {
                    if !self.is_core(other) || self.chance.u8(..4) == 0 {
                        continue;
                    }
                    match misery {
                        Misery::Unheard => self.links.deafen(node, other),
                        _ => self.links.deafen(other, node),
                    }
                }
            }
            Misery::Slow => {
                self.restart(node, Rebirth::Proper, 0)?;
                self.slots[node].each_ns = 2_000_000 << self.chance.u32(0..5);
            }
            Misery::Flapping | Misery::Crashing | Misery::Lossy => {
                self.restart(node, Rebirth::Proper, 0)?;
            }
        }
        self.strike_later(node);
        Ok(())
    }

    fn strike_later(&mut self, node: usize) {
        let misery = self.slots[node].misery;
        if let Some(ns) = misery.and_then(|misery| misery.period_ns(&mut self.chance)) {
            let at = self.now.after(Duration::from_nanos(ns));
            self.queue.push(at, Event::Misery { node });
        }
    }

    pub(crate) fn strike(&mut self, node: usize) -> Result<(), Violation> {
        let half = self.chance.u64(50_000_000..400_000_000);
        match self.slots[node].misery {
            Some(Misery::Flapping) => {
                let other = self.home[self.chance.usize(..self.ranks())];
                if other != node {
                    self.cut(node, other, half);
                }
            }
            Some(Misery::Crashing) => self.crash(node, half, Rebirth::Proper, 0),
            _ => {}
        }
        self.strike_later(node);
        Ok(())
    }

    /// Whoever wrote a log that was damaged says one more thing: without a new op there is no checkpoint.
    pub(crate) fn aftermath(&mut self) -> Result<(), Violation> {
        let mut disturbed = false;
        for node in self.home.clone() {
            let life = self.slots[node].life.as_ref();
            if life.is_some_and(|life| self.tainted.contains_key(&life.origin))
                && self.slots[node].free_at() <= self.now
            {
                self.say(node)?;
                self.feed(node, node::Input::Flush, None)?;
                disturbed = true;
            }
        }
        if disturbed {
            self.calm_since = Some(self.now);
            self.agreed = None;
            self.core_agreed = None;
            self.disturbance += 1;
            self.set_deadlines();
        }
        Ok(())
    }

    pub(crate) fn deadline(&mut self, goal: Goal, disturbance: u32) -> Result<(), Violation> {
        if disturbance != self.disturbance || (goal == Goal::Logs && self.agreed.is_some()) {
            return Ok(());
        }
        let after = self.now.since(self.calm_since.unwrap_or(self.now));
        Err(Violation::NotConverged {
            after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
            what: self.describe_difference(),
        })
    }

    /// Returns how long it took to agree, once everything that must be reached is.
    pub(crate) fn has_ended(&mut self) -> Result<Option<(Duration, Duration)>, Violation> {
        let calm = self.calm_since.unwrap_or(self.now);
        let period = (self.ranks() as u64 / 8).max(1);
        if self.core_agreed.is_none() && self.events.is_multiple_of(period) && !self.core_differs()
        {
            self.core_agreed = Some(self.now.since(calm));
        }
        if self.agreed.is_none() {
            if self.first_difference().is_some() {
                return Ok(None);
            }
            self.agreed = Some(self.now.since(calm));
            self.core_agreed.get_or_insert(self.now.since(calm));
        }
        let Some(time) = self.agreed else {
            return Ok(None);
        };
        if self.now < self.aftermath_until && self.has_tainted_core() {
            return Ok(None);
        }
        // To look at every view after every event of a large world would take all the time there is.
        if !self.events.is_multiple_of(period) || self.first_hidden().is_some() {
            return Ok(None);
        }
        self.check_everything()?;
        Ok(Some((time, self.now.since(calm))))
    }

    fn has_tainted_core(&self) -> bool {
        !self.tainted.is_empty()
            && self.home.iter().any(|node| {
                let life = self.slots[*node].life.as_ref();
                life.is_some_and(|life| self.tainted.contains_key(&life.origin))
            })
    }
}
