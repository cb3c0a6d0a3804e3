//! The world: nodes, links, virtual time, and what happens next. What goes wrong is in `upheaval`, who lives in
//! `lives`, who is connected in `wiring`, what a node's effects lead to in `act`, the end in `calm` and `agree`, the checks in `check`.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use node::{Effects, Input, NodeConfig};
use radix_core::id::{Incarnation, OriginId, Rank};
use radix_core::time::Timestamp;
use rustc_hash::FxHashMap;
use topology::{IntroduceError, Record};

use crate::config::SimConfig;
use crate::event::Event;
use crate::fault::{self, Rebirth};
use crate::hash::TraceHash;
use crate::limits;
use crate::links::Links;
use crate::meter::{Class, Meter};
use crate::peaks::Peaks;
use crate::profile::Profile;
use crate::queue::Queue;
use crate::report::{Reached, Report};
use crate::slot::Slot;
use crate::truth::Truth;
use crate::violation::{Failure, Violation};
use crate::visits::Visits;

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

/// Why the account of a log is no measure for what nodes hold of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taint {
    /// A later life writes under the name of an earlier one.
    Reused,
    /// Two processes may write under it at the same time.
    Shared,
    /// Some of its ops were changed on the way.
    Damaged,
}

/// A cluster in virtual time.
pub struct World {
    pub(crate) config: SimConfig,
    pub(crate) profile: Profile,
    pub(crate) now: Timestamp,
    pub(crate) queue: Queue<Event>,
    /// One for each rank, and behind them those for second processes and for ranks that moved.
    pub(crate) slots: Vec<Slot>,
    /// Where each rank lives, or should.
    pub(crate) home: Vec<usize>,
    /// What the introduction at hand was answered with.
    pub(crate) introduced: Option<Result<Vec<Record>, IntroduceError>>,
    pub(crate) links: Links,
    pub(crate) truth: Truth,
    pub(crate) tainted: FxHashMap<OriginId, Taint>,
    pub(crate) hash: TraceHash,
    pub(crate) reached: Reached,
    pub(crate) peaks: Peaks,
    pub(crate) events: u64,
    pub(crate) effects: Effects,
    /// Ranks that the effects of the input at hand name.
    pub(crate) touched: Vec<Rank>,
    pub(crate) visits: Visits,
    /// Goodbyes that the node at hand took note of: they must be forgotten at once.
    pub(crate) farewells: Vec<(Rank, Incarnation)>,
    /// The last events as text.
    pub(crate) trace: VecDeque<String>,
    /// When the faults ended.
    pub(crate) calm_since: Option<Timestamp>,
    /// How often something came in between after that.
    pub(crate) disturbance: u32,
    /// Until when whoever has something to say about damage will have said it.
    pub(crate) aftermath_until: Timestamp,
    /// How long after that the core agreed about its own logs.
    pub(crate) core_agreed: Option<Duration>,
    /// How long after that all agreed.
    pub(crate) agreed: Option<Duration>,
    /// What differed when it was last looked at.
    pub(crate) hint: (usize, usize),
    /// The direction that stays deaf for good.
    pub(crate) one_way: Option<(usize, usize)>,
    /// How long whoever sends a piece of a snapshot next will be dead.
    pub(crate) responder_trap: Option<u64>,
    pub(crate) checks: Rng,
    pub(crate) workload: Rng,
    pub(crate) chance: Rng,
    pub(crate) misdeed: Option<Misdeed>,
    /// What was measured, and what the input at hand counts as.
    pub(crate) meter: Option<Meter>,
    pub(crate) class: Class,
    /// Nobody is connected by itself: who measures does it, and until it is done larger frames are lost.
    pub(crate) apart: Option<usize>,
    tamper: Option<Tamper>,
    pub(crate) published: u32,
}

/// What the hosts of a world may do wrong, for tests of the checkers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misdeed {
    /// A restarted node comes back with the incarnation of the life before, and nobody makes allowance for it.
    ReuseIncarnation,
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
        let ranks = usize::from(config.nodes) + profile.joiners;
        let hosts = ranks + (profile.doubles + profile.replaces) as usize;
        let mut world = World {
            now: Timestamp(0),
            queue: Queue::new(),
            slots: (0..ranks)
                .map(|rank| Slot {
                    seeded: rank < usize::from(config.nodes),
                    ..Slot::new(Rank(rank as u16))
                })
                .collect(),
            home: (0..ranks).collect(),
            introduced: None,
            links: Links::new(hosts, config.hop, &profile, stream(2)),
            truth: Truth::default(),
            tainted: FxHashMap::default(),
            hash: TraceHash::default(),
            reached: Reached::default(),
            peaks: Peaks::default(),
            events: 0,
            effects: Effects::new(),
            touched: Vec::new(),
            farewells: Vec::new(),
            visits: Visits::new(hosts),
            trace: VecDeque::new(),
            calm_since: None,
            disturbance: 0,
            aftermath_until: Timestamp(0),
            core_agreed: None,
            agreed: None,
            hint: (0, 0),
            one_way: None,
            responder_trap: None,
            checks: stream(3),
            workload: stream(4),
            chance,
            misdeed: None,
            meter: None,
            class: Class::Link,
            apart: None,
            tamper: None,
            published: 0,
            profile,
            config,
        };
        world.plan();
        world
    }

    /// Builds a world whose nodes are measured, with the settings that ship.
    pub(crate) fn measured(config: SimConfig, stopwatch: fn() -> u64) -> World {
        let mut world = World::new(config);
        let defaults = NodeConfig::new(Rank(0), Vec::new());
        world.profile.log = defaults.log;
        world.profile.check = defaults.check;
        world.profile.heartbeat = defaults.topology.heartbeat;
        world.profile.forget_after = defaults.topology.forget_after;
        world.meter = Some(Meter::new(stopwatch));
        world
    }

    /// Lets `tamper` see and change every frame. For tests of the checkers.
    pub fn tamper(&mut self, tamper: Tamper) {
        self.tamper = Some(tamper);
    }

    /// Lets the hosts do something wrong. For tests of the checkers.
    pub fn misbehave(&mut self, misdeed: Misdeed) {
        self.misdeed = Some(misdeed);
    }

    /// Runs to the end.
    ///
    /// Errors: the first [`Failure`]; the world ends there.
    pub fn run(mut self) -> Result<Report, Box<Failure>> {
        match self.run_on() {
            Ok((convergence, views)) => Ok(Report {
                seed: self.config.seed,
                hash: self.hash.value(),
                events: self.events,
                virtual_ns: self.now.0,
                core_ns: self
                    .core_agreed
                    .map_or(0, |core| u64::try_from(core.as_nanos()).unwrap_or(u64::MAX)),
                convergence_ns: u64::try_from(convergence.as_nanos()).unwrap_or(u64::MAX),
                views_ns: u64::try_from(views.as_nanos()).unwrap_or(u64::MAX),
                reached: self.reached,
                peaks: self.peaks,
            }),
            Err(violation) => Err(Box::new(self.failure(violation))),
        }
    }

    pub(crate) fn failure(&mut self, violation: Violation) -> Failure {
        Failure {
            seed: self.config.seed,
            at_ns: self.now.0,
            event: self.events,
            violation,
            reproduce: self.config.reproduce(),
            trace: std::mem::take(&mut self.trace).into(),
        }
    }

    /// Lets everything happen up to a time. For measured worlds, which have no end of their own.
    pub(crate) fn run_until(&mut self, time: Timestamp) -> Result<(), Violation> {
        while self.queue.next_at().is_some_and(|at| at <= time) {
            if let Some((at, event)) = self.queue.pop() {
                self.now = at;
                self.events += 1;
                self.happen(event)?;
            }
        }
        self.now = time;
        Ok(())
    }

    /// How many ranks there are, those that join some time included.
    pub(crate) fn ranks(&self) -> usize {
        self.home.len()
    }

    fn plan(&mut self) {
        let nodes = usize::from(self.config.nodes);
        let end = Timestamp(self.config.fault_ms * 1_000_000);
        for (at, fault) in fault::plan(nodes, &self.profile, end, &mut self.chance) {
            self.queue.push(at, Event::Fault(fault));
        }
        let skew = self.profile.skew_ppm_max;
        for node in 0..nodes {
            let at = Timestamp(self.chance.u64(0..50_000_000));
            self.queue.push(
                at,
                Event::Restart {
                    node,
                    rebirth: Rebirth::Proper,
                    again: 0,
                },
            );
            let clock = &mut self.slots[node].clock;
            // Clocks of different machines began at different times.
            clock.jump(Timestamp(0), self.chance.u64(0..1 << 44));
            if skew > 0 {
                clock.run(Timestamp(0), self.chance.i64(-skew..=skew));
                self.reached.clocks_skewed += 1;
            }
        }
        self.queue.push(Timestamp(60_000_000), Event::Publish);
        self.queue.push(end, Event::Calm);
    }

    /// Runs until all agree; returns how long that took, of the logs and of the views.
    fn run_on(&mut self) -> Result<(Duration, Duration), Violation> {
        let ms = self.config.fault_ms
            + self.config.converge_ms_max
            + 1_000 * limits::VIEW_SECONDS_PER_NODE;
        let nodes = self.ranks();
        let events_max = limits::EVENTS_PER_NODE_SECOND_MAX
            .saturating_mul(nodes as u64)
            .saturating_mul(ms.div_ceil(1_000));
        let waiting_max =
            limits::QUEUE_EVENTS_MAX.max(limits::QUEUE_EVENTS_PER_PAIR_MAX * nodes * nodes) as u64;
        while let Some((at, event)) = self.queue.pop() {
            self.now = at;
            self.events += 1;
            self.bound(0, "events of one run", self.events, events_max)?;
            let waiting = self.queue.len() as u64;
            self.peaks.events_waiting = self.peaks.events_waiting.max(waiting);
            self.bound(0, "waiting events", waiting, waiting_max)?;
            self.happen(event)?;
            if self.events.is_multiple_of(limits::FULL_CHECK_PERIOD) && self.config.checks {
                self.check_one_replica()?;
            }
            if self.calm_since.is_some()
                && let Some(time) = self.has_ended()?
            {
                return Ok(time);
            }
        }
        unreachable!("the queue holds the deadline")
    }

    pub(crate) fn happen(&mut self, event: Event) -> Result<(), Violation> {
        if let Some(node) = event.node() {
            let slot = &self.slots[node];
            if slot.free_at() > self.now || !slot.held_up.is_empty() {
                self.hold_up(node, event);
                return Ok(());
            }
            if slot.each_ns > 0 {
                let busy = self.now.after(Duration::from_nanos(slot.each_ns));
                self.slots[node].busy_until = busy;
            }
        }
        self.do_now(event)
    }

    fn do_now(&mut self, event: Event) -> Result<(), Violation> {
        match &event {
            Event::Tick { .. } | Event::Wake { .. } | Event::Written { .. } => {}
            Event::Deliver(delivery) => self.note(|| delivery.to_string()),
            event => self.note(|| format!("{event:?}")),
        }
        match event {
            Event::Deliver(delivery) => self.deliver(delivery),
            Event::Written { from, to, turn } => self.written(from, to, turn),
            Event::Tick { node, life } => self.tick(node, life),
            Event::Publish => self.publish(),
            Event::Fault(fault) => self.go_wrong(fault),
            Event::Mend { a, b } => {
                if self.links.mend(a, b) {
                    self.connect_soon(a, b);
                }
                Ok(())
            }
            Event::Hear { from, to } => {
                let stays = self.calm_since.is_some() && self.one_way == Some((from, to));
                if !stays {
                    self.links.hear(from, to);
                }
                Ok(())
            }
            Event::Widen { from, to } => self.widen(from, to),
            Event::Connect { a, b } => self.connect(a, b),
            Event::LinkLost {
                node,
                life,
                peer,
                epoch,
            } => self.link_lost(node, life, peer, epoch),
            Event::Wake { node } => self.wake(node),
            Event::Hurry { node } => {
                if self.slots[node].misery.is_none() {
                    self.slots[node].each_ns = 0;
                }
                Ok(())
            }
            Event::Restart {
                node,
                rebirth,
                again,
            } => self.restart(node, rebirth, again),
            Event::Single { node } => {
                self.end(node);
                Ok(())
            }
            Event::Introduce {
                node,
                life,
                inc,
                since,
            } => self.introduce(node, life, inc, since),
            Event::Lonely { node, life } => {
                self.lonely(node, life);
                Ok(())
            }
            Event::Lane {
                node,
                life,
                peer,
                full,
            } => self.lane(node, life, peer, full),
            Event::Calm => self.calm(),
            Event::Misery { node } => self.strike(node),
            Event::Aftermath => self.aftermath(),
            Event::Deadline { goal, disturbance } => self.deadline(goal, disturbance),
        }
    }

    /// Lets an event wait until its node can do something.
    fn hold_up(&mut self, node: usize, event: Event) {
        let slot = &mut self.slots[node];
        let frames_max = limits::BACKLOG_FRAMES_MAX;
        if slot.held_up.len() >= frames_max && matches!(event, Event::Deliver(_)) {
            self.reached.frames_lost_to_backlog += 1;
            return;
        }
        slot.held_up.push_back(event);
        let waiting = slot.held_up.len() as u64;
        self.peaks.frames_waiting_for_a_node = self.peaks.frames_waiting_for_a_node.max(waiting);
        self.wake_later(node);
    }

    /// Plans the next look at what waits for a node.
    pub(crate) fn wake_later(&mut self, node: usize) {
        let slot = &mut self.slots[node];
        let at = slot.free_at().max(self.now);
        if slot.wake_at.is_none_or(|planned| at < planned) {
            slot.wake_at = Some(at);
            self.queue.push(at, Event::Wake { node });
        }
    }

    fn wake(&mut self, node: usize) -> Result<(), Violation> {
        let slot = &mut self.slots[node];
        if slot.wake_at == Some(self.now) {
            slot.wake_at = None;
        }
        while self.slots[node].free_at() <= self.now {
            let slot = &mut self.slots[node];
            let Some(event) = slot.held_up.pop_front() else {
                return Ok(());
            };
            if slot.each_ns > 0 {
                slot.busy_until = self.now.after(Duration::from_nanos(slot.each_ns));
            }
            self.do_now(event)?;
        }
        if !self.slots[node].held_up.is_empty() {
            self.wake_later(node);
        }
        Ok(())
    }

    pub(crate) fn tampered(&mut self, passing: Passing<'_>) -> Passage {
        self.tamper
            .as_mut()
            .map_or(Passage::Keep, |tamper| tamper(passing))
    }

    fn tick(&mut self, node: usize, life: u32) -> Result<(), Violation> {
        let (now, slot) = (self.now, &mut self.slots[node]);
        let local = slot.clock.says(now);
        let Some(alive) = slot.life.as_mut().filter(|_| slot.lives == life) else {
            return Ok(());
        };
        if alive.tick_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        alive.tick_at = None;
        if alive.node.next_deadline().is_none_or(|at| at > local) {
            self.arm(node);
            return Ok(());
        }
        if alive.ticked_at != now {
            alive.ticked_at = now;
            alive.ticks = 0;
        }
        alive.ticks += 1;
        let ticks = u64::from(alive.ticks);
        self.peaks.ticks_at_one_instant = self.peaks.ticks_at_one_instant.max(ticks);
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

    /// Keeps a line for the trace of a failure.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if self.config.trace == 0 {
            return;
        }
        if self.trace.len() >= self.config.trace {
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
            at: self.slots[node].rank,
            what,
            value,
            max,
        })
    }
}
