//! What goes wrong, as it was planned.

use std::time::Duration;

use crate::event::Event;
use crate::fault::{Fault, Rebirth};
use crate::narrow::Narrow;
use crate::violation::Violation;
use crate::world::World;

impl World {
    pub(crate) fn go_wrong(&mut self, fault: Fault) -> Result<(), Violation> {
        if self.calm_since.is_some() {
            return Ok(());
        }
        self.hash.words([4, self.now.0]);
        let now = self.now;
        let at_home = |rank: usize| self.home.get(rank).copied().unwrap_or(rank);
        let fault = fault.at(at_home);
        let until = |for_ns: u64| now.after(Duration::from_nanos(for_ns));
        match fault {
            Fault::Cut { a, b, for_ns } => {
                self.reached.cuts += 1;
                self.cut(a, b, for_ns);
            }
            Fault::Flap {
                a,
                b,
                period_ns,
                times,
            } => {
                self.reached.flaps += 1;
                for time in 0..u64::from(times) {
                    let for_ns = period_ns / 2;
                    let cut = Event::Fault(Fault::Cut { a, b, for_ns });
                    self.queue.push(until(period_ns * time), cut);
                }
            }
            Fault::Isolate { node, for_ns } => {
                self.reached.isolations += 1;
                for other in (0..self.slots.len()).filter(|other| *other != node) {
                    self.cut(node, other, for_ns);
                }
            }
            Fault::OneWay { from, to, for_ns } => {
                self.links.deafen(from, to);
                match for_ns {
                    Some(for_ns) => {
                        self.reached.one_way_losses += 1;
                        self.queue.push(until(for_ns), Event::Hear { from, to });
                    }
                    None => {
                        self.reached.one_way_for_ever += 1;
                        self.one_way = Some((from, to));
                    }
                }
            }
            Fault::Clog { node, for_ns } => {
                self.reached.clogs += 1;
                self.links.clog(node, until(for_ns));
            }
            Fault::Narrow {
                from,
                to,
                for_ns,
                bytes_per_s,
                bytes_max,
            } => {
                let narrow = self.links.narrow(from, to);
                if narrow.is_none() {
                    *narrow = Some(Box::new(Narrow::new(bytes_per_s, bytes_max)));
                    self.reached.narrows += 1;
                    self.queue.push(until(for_ns), Event::Widen { from, to });
                }
            }
            Fault::Pause { node, for_ns } => {
                self.reached.pauses += 1;
                let slot = &mut self.slots[node];
                slot.paused_until = slot.paused_until.max(until(for_ns));
            }
            Fault::Slow {
                node,
                for_ns,
                each_ns,
            } => {
                self.reached.slows += 1;
                self.slots[node].each_ns = each_ns;
                self.queue.push(until(for_ns), Event::Hurry { node });
            }
            Fault::Jump { node, by_ns } => {
                self.reached.clock_jumps += 1;
                self.slots[node].clock.jump(now, by_ns);
                self.arm(node);
            }
            Fault::Crash {
                node,
                for_ns,
                rebirth,
                again,
            } => {
                self.reached.crash_loops += u64::from(again > 0);
                self.crash(node, for_ns, rebirth, again);
            }
            Fault::ResponderDies { for_ns } => self.responder_trap = Some(for_ns),
            Fault::Damage { node } => self.slots[node].damage_next = true,
            Fault::Double {
                node,
                for_ns,
                stale,
            } => self.double(node, for_ns, stale)?,
            Fault::Join { node } => {
                self.reached.joins_asked += 1;
                self.restart(node, Rebirth::Proper, 0)?;
            }
            Fault::Leave {
                node,
                drain_ns,
                back_ns,
            } => self.leave(node, drain_ns, back_ns)?,
            Fault::Replace { node, for_ns } => self.replace(node, for_ns),
            Fault::Forget { at, node } => self.forget(at, node)?,
            Fault::Accuse { at, node } => self.accuse(at, node)?,
        }
        Ok(())
    }

    pub(crate) fn cut(&mut self, a: usize, b: usize, for_ns: u64) {
        if let Some(epoch) = self.links.cut(a, b) {
            self.tell_lost(a, b, epoch);
            self.tell_lost(b, a, epoch);
        }
        let mend = self.now.after(Duration::from_nanos(for_ns));
        self.queue.push(mend, Event::Mend { a, b });
    }
}
