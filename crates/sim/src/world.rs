//! The world: nodes, links, virtual time, and what happens next. What comes and goes is in `upheaval`, what a
//! node's effects lead to in `act`, the checks in `check`.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use node::{Effects, Input};
use radix_core::id::{OriginId, Rank, Seq};
use radix_core::time::Timestamp;
use rustc_hash::FxHashMap;

use crate::config::SimConfig;
use crate::event::{Delivery, Event, Goal};
use crate::fault;
use crate::hash::TraceHash;
use crate::limits;
use crate::links::Links;
use crate::profile::Profile;
use crate::queue::Queue;
use crate::report::{Reached, Report};
use crate::slot::Slot;
use crate::truth::Truth;
use crate::violation::{Failure, Violation};

/// A frame about to be delivered, for whoever wants to see or change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passing<'a> {
    /// The sender.
    pub from: Rank,
    /// The receiver.
    pub to: Rank,
    /// The frame.
    pub bytes: &'a Bytes,
}

/// What becomes of a frame that somebody tampered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It arrives as it was sent.
    Keep,
    /// Something else arrives.
    Replace(Bytes),
    /// It is lost.
    Lose,
}

/// Sees every frame before its receiver does, and decides what arrives.
pub type Tamper = Box<dyn FnMut(Passing<'_>) -> Passage>;

/// A cluster in virtual time.
pub struct World {
    pub(crate) config: SimConfig,
    pub(crate) profile: Profile,
    pub(crate) now: Timestamp,
    pub(crate) queue: Queue<Event>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) links: Links,
    pub(crate) truth: Truth,
    pub(crate) hash: TraceHash,
    pub(crate) reached: Reached,
    pub(crate) events: u64,
    pub(crate) effects: Effects,
    /// Which nodes each broadcast came to, one bit per node.
    pub(crate) visits: FxHashMap<(OriginId, Seq), u128>,
    /// The last events as text.
    pub(crate) trace: VecDeque<String>,
    /// When the faults ended.
    pub(crate) calm_since: Option<Timestamp>,
    pub(crate) checks: Rng,
    workload: Rng,
    pub(crate) chance: Rng,
    tamper: Option<Tamper>,
    published: u32,
}

impl World {
    /// Builds a world in which every node is about to start.
    ///
    /// Panics: when `config.nodes` is 0 or above [`limits::NODES_MAX`].
    #[must_use]
    pub fn new(config: SimConfig) -> World {
        let max = limits::NODES_MAX;
        assert!(
            (1..=max).contains(&config.nodes),
            "a world has 1 to {max} nodes"
        );
        // Streams of their own, so that more of one does not change the others.
        let stream = |number: u64| Rng::with_seed(config.seed.rotate_left(17) ^ number);
        let mut chance = stream(1);
        let profile = Profile::draw(&config, &mut chance);
        let nodes = usize::from(config.nodes);
        let mut world = World {
            now: Timestamp(0),
            queue: Queue::new(),
            slots: (0..config.nodes)
                .map(|rank| Slot::new(Rank(rank)))
                .collect(),
            links: Links::new(nodes, &profile, stream(2)),
            truth: Truth::default(),
            hash: TraceHash::default(),
            reached: Reached::default(),
            events: 0,
            effects: Effects::new(),
            visits: FxHashMap::default(),
            trace: VecDeque::new(),
            calm_since: None,
            checks: stream(3),
            workload: stream(4),
            chance,
            tamper: None,
            published: 0,
            profile,
            config,
        };
        world.plan(nodes);
        world
    }

    /// Lets `tamper` see and change every frame. For tests of the checkers.
    pub fn tamper(&mut self, tamper: Tamper) {
        self.tamper = Some(tamper);
    }

    /// Runs to the end.
    ///
    /// Errors: the first [`Failure`]; the world ends there.
    pub fn run(mut self) -> Result<Report, Box<Failure>> {
        match self.run_on() {
            Ok(convergence) => Ok(Report {
                seed: self.config.seed,
                hash: self.hash.value(),
                events: self.events,
                virtual_ns: self.now.0,
                convergence_ns: u64::try_from(convergence.as_nanos()).unwrap_or(u64::MAX),
                reached: self.reached,
            }),
            Err(violation) => Err(Box::new(Failure {
                seed: self.config.seed,
                at_ns: self.now.0,
                event: self.events,
                violation,
                reproduce: self.config.reproduce(),
                trace: self.trace.into(),
            })),
        }
    }

    fn plan(&mut self, nodes: usize) {
        let end = Timestamp(self.config.fault_ms * 1_000_000);
        for (at, fault) in fault::plan(nodes, &self.profile, end, &mut self.chance) {
            self.queue.push(at, Event::Fault(fault));
        }
        for node in 0..nodes {
            let at = Timestamp(self.chance.u64(0..50_000_000));
            self.queue.push(at, Event::Restart { node, stale: false });
        }
        self.queue.push(Timestamp(60_000_000), Event::Publish);
        self.queue.push(end, Event::Calm);
        let deadline = end.after(Duration::from_millis(self.config.converge_ms_max));
        self.queue.push(deadline, Event::Deadline(Goal::Logs));
        let patience =
            Duration::from_secs(limits::VIEW_SECONDS_PER_NODE * u64::from(self.config.nodes));
        self.queue
            .push(deadline.after(patience), Event::Deadline(Goal::Views));
    }

    /// Runs until all agree; returns how long that took.
    fn run_on(&mut self) -> Result<Duration, Violation> {
        let ms = self.config.fault_ms
            + self.config.converge_ms_max
            + 1_000 * limits::VIEW_SECONDS_PER_NODE;
        let events_max = limits::EVENTS_PER_NODE_SECOND_MAX
            .saturating_mul(u64::from(self.config.nodes))
            .saturating_mul(ms.div_ceil(1_000));
        let mut agreed = None;
        while let Some((at, event)) = self.queue.pop() {
            self.now = at;
            self.events += 1;
            self.bound(0, "events of one run", self.events, events_max)?;
            let waiting = self.queue.len() as u64;
            self.bound(
                0,
                "waiting events",
                waiting,
                limits::QUEUE_EVENTS_MAX as u64,
            )?;
            if let Event::Deadline(what) = event
                && agreed.is_none_or(|_| what == Goal::Views)
            {
                let after_ms = self
                    .now
                    .since(self.calm_since.unwrap_or(self.now))
                    .as_millis();
                let after_ms = u64::try_from(after_ms).unwrap_or(u64::MAX);
                return Err(Violation::NotConverged {
                    after_ms,
                    what: self.describe_difference(),
                });
            }
            self.happen(event)?;
            if self.events.is_multiple_of(limits::FULL_CHECK_PERIOD) {
                self.check_one_replica()?;
            }
            let Some(calm) = self.calm_since else {
                continue;
            };
            if agreed.is_none() && self.first_difference().is_none() {
                agreed = Some(self.now.since(calm));
            }
            if let Some(time) = agreed
                && self.first_hidden().is_none()
            {
                self.check_everything()?;
                return Ok(time);
            }
        }
        unreachable!("the queue holds the deadline")
    }

    pub(crate) fn happen(&mut self, event: Event) -> Result<(), Violation> {
        if let Some(node) = event.node()
            && self.slots[node].is_paused(self.now)
        {
            self.slots[node].held_up.push(event);
            return Ok(());
        }
        match &event {
            Event::Tick { .. } => {}
            Event::Deliver(delivery) => self.note(|| delivery.to_string()),
            event => self.note(|| format!("{event:?}")),
        }
        match event {
            Event::Deliver(delivery) => self.deliver(delivery),
            Event::Tick { node, life } => self.tick(node, life),
            Event::Publish => self.publish(),
            Event::Fault(fault) => self.go_wrong(fault),
            Event::Mend { a, b } => {
                if self.links.mend(a, b) {
                    self.connect_soon(a, b);
                }
                Ok(())
            }
            Event::Connect { a, b } => self.connect(a, b),
            Event::LinkLost {
                node,
                life,
                peer,
                epoch,
            } => self.link_lost(node, life, peer, epoch),
            Event::Resume { node } => self.resume(node),
            Event::Restart { node, stale } => self.restart(node, stale),
            Event::Calm => self.calm(),
            Event::Deadline(_) => Ok(()),
        }
    }

    fn deliver(&mut self, delivery: Delivery) -> Result<(), Violation> {
        let Delivery {
            from,
            to,
            epoch,
            bytes,
            broadcast,
            doubled,
        } = delivery;
        if !self.links.carries(from, to, epoch) {
            self.reached.frames_lost_with_link += 1;
            return Ok(());
        }
        self.reached.frames_delivered += 1;
        self.hash.words([1, from as u64, to as u64, self.now.0]);
        if !doubled && let Some(key) = broadcast {
            self.visit(to, key)?;
        }
        let from = Rank(from as u16);
        let passing = Passing {
            from,
            to: Rank(to as u16),
            bytes: &bytes,
        };
        let bytes = match self
            .tamper
            .as_mut()
            .map_or(Passage::Keep, |tamper| tamper(passing))
        {
            Passage::Keep => bytes,
            Passage::Replace(other) => other,
            Passage::Lose => return Ok(()),
        };
        self.feed(
            to,
            Input::Frame { from, bytes },
            broadcast.filter(|_| doubled),
        )
    }

    fn tick(&mut self, node: usize, life: u32) -> Result<(), Violation> {
        let (now, slot) = (self.now, &mut self.slots[node]);
        let Some(alive) = slot.life.as_mut().filter(|_| slot.lives == life) else {
            return Ok(());
        };
        if alive.tick_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        alive.tick_at = None;
        if alive.node.next_deadline().is_none_or(|at| at > now) {
            self.arm(node);
            return Ok(());
        }
        if alive.ticked_at != now {
            alive.ticked_at = now;
            alive.ticks = 0;
        }
        alive.ticks += 1;
        let ticks = u64::from(alive.ticks);
        self.bound(
            node,
            "ticks at one instant",
            ticks,
            u64::from(limits::TICKS_PER_INSTANT_MAX),
        )?;
        self.hash.words([2, node as u64, now.0]);
        self.note(|| format!("Tick {{ node: {node} }}"));
        self.feed(node, Input::Tick, None)
    }

    /// One engine says a few things at once; then the next burst is planned.
    fn publish(&mut self) -> Result<(), Violation> {
        let left = self.config.publishes.saturating_sub(self.published);
        if left == 0 || self.calm_since.is_some() {
            return Ok(());
        }
        let mean = u64::from(self.profile.workload.burst_max.div_ceil(2));
        // Spread over the time that is left, so that publishing ends when the faults end.
        let time_left = (self.config.fault_ms * 1_000_000).saturating_sub(self.now.0);
        let gap = time_left * mean / u64::from(left);
        let gap = self.workload.u64(0..=gap * 19 / 10);
        self.queue
            .push(self.now.after(Duration::from_nanos(gap)), Event::Publish);
        let burst = self
            .workload
            .u32(1..=self.profile.workload.burst_max)
            .min(left);
        let nodes = self.slots.len();
        let first = self.workload.usize(..nodes);
        let awake = |slot: &Slot| slot.life.is_some() && !slot.is_paused(self.now);
        let Some(node) = (first..first + nodes)
            .map(|node| node % nodes)
            .find(|node| awake(&self.slots[*node]))
        else {
            self.reached.bursts_lost += 1;
            return Ok(());
        };
        self.published += burst;
        for _ in 0..burst {
            let Some(life) = &mut self.slots[node].life else {
                return Ok(());
            };
            let publish = life
                .engines
                .next(&self.profile.workload, &mut self.workload);
            life.said = Some(publish.clone());
            self.hash.words([3, node as u64, self.now.0]);
            self.feed(node, Input::Publish(publish), None)?;
        }
        if self.workload.u64(0..64) >= self.profile.workload.unflushed_64 {
            self.feed(node, Input::Flush, None)?;
        }
        Ok(())
    }

    /// Keeps a line for the trace of a failure.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if !self.config.trace {
            return;
        }
        if self.trace.len() == limits::TRACE_EVENTS {
            self.trace.pop_front();
        }
        let (event, ms) = (self.events, self.now.0 as f64 / 1e6);
        self.trace
            .push_back(format!("{event:>8} {ms:>11.3} ms  {}", line()));
    }

    pub(crate) fn bound(
        &self,
        node: usize,
        what: &'static str,
        value: u64,
        max: u64,
    ) -> Result<(), Violation> {
        if value <= max {
            return Ok(());
        }
        Err(Violation::Bound {
            at: Rank(node as u16),
            what,
            value,
            max,
        })
    }
}
