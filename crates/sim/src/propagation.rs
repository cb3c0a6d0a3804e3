//! How long a publish takes to the last node of a quiet cluster, and what it costs each: a world without faults
//! and checkers, with hops as long as they are said to be, and a stopwatch round every node.

use std::time::Duration;

use node::{Input, Publish};
use radix_core::id::{Namespace, OriginId, Seq, SourceId, Tier};
use radix_core::page::Fingerprint;
use radix_core::time::Timestamp;
use topology::{Record, Status};

use crate::config::SimConfig;
use crate::event::Event;
use crate::links::Hop;
use crate::membership::{address, role};
use crate::meter::Meter;
pub use crate::meter::{Class, Share};
use crate::violation::{Failure, Violation};
use crate::world::World;

/// From that many nodes on each starts alone, all are told of each other, and then they are linked; while they are,
/// vectors as large as the cluster are not delivered. A thousand nodes that find each other are another measurement,
/// and a long one.
const APART_NODES_MIN: u16 = 300;
/// Largest frame that is delivered meanwhile: a member's own record is. Unit: bytes.
const APART_BYTES_MAX: usize = 128;
/// How long it takes to link them: less than it takes to find that somebody is not linked.
const LINKING: Duration = Duration::from_secs(1);
/// How long a cluster may take to start. Unit: virtual seconds.
const START_SECONDS_MAX: u64 = 120;
/// How long it is left alone between start and measurement.
const REST: Duration = Duration::from_secs(3);
/// How long the last op may take to everybody.
const LAST: Duration = Duration::from_secs(3);

/// What is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Where all chance comes from.
    pub seed: u64,
    /// How many nodes.
    pub nodes: u16,
    /// Fan-out of the broadcast; 1 is the ring.
    pub fanout: u16,
    /// How long hops take.
    pub hop: Hop,
    /// How many publishes.
    pub ops: u32,
    /// Time between two publishes, of random nodes.
    pub gap: Duration,
    /// New pages of each publish.
    pub pages: u16,
    /// How many publishes of a node travel together.
    pub batch: u32,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Measured {
    /// From each publish until the last node had it, shortest first. Unit: virtual nanoseconds.
    pub last_ns: Vec<u64>,
    /// From a publish until one node had it, on average. Unit: virtual nanoseconds.
    pub mean_ns: f64,
    /// Ops that did not come to everybody in time.
    pub incomplete: usize,
    /// Ops written while it was measured; with the checkpoints that follow.
    pub ops: u64,
    /// How long it was measured. Unit: virtual nanoseconds.
    pub window_ns: u64,
    /// How long the cluster took to start: everybody linked and Ready. Unit: virtual nanoseconds.
    pub start_ns: u64,
    /// What the start cost all nodes together. Unit: nanoseconds of the stopwatch.
    pub start_cpu_ns: u64,
    /// What each class cost while it was measured, all nodes together.
    pub shares: Vec<(Class, Share)>,
    /// Heap of one node's tree at the end, as it estimates it. Unit: bytes.
    pub tree_bytes: u64,
    /// Live copies in it.
    pub tree_copies: u64,
}

/// Measures. `stopwatch` returns nanoseconds of a clock that does not go back; nothing but costs depends on it.
///
/// Errors: [`Failure`] when the cluster does not start, or a node does something that it must not.
pub fn measure(plan: &Plan, stopwatch: fn() -> u64) -> Result<Measured, Box<Failure>> {
    let config = SimConfig {
        nodes: plan.nodes,
        fanout: Some(plan.fanout),
        publishes: 0,
        fault_ms: 3_600_000,
        faults: false,
        hop: Some(plan.hop),
        checks: false,
        ..SimConfig::new(plan.seed)
    };
    let mut world = World::measured(config, stopwatch);
    match run(&mut world, plan) {
        Ok(measured) => Ok(measured),
        Err(violation) => Err(Box::new(world.failure(violation))),
    }
}

fn run(world: &mut World, plan: &Plan) -> Result<Measured, Violation> {
    if plan.nodes >= APART_NODES_MIN {
        world.apart = Some(APART_BYTES_MAX);
        start_apart(world)?;
    }
    let started = start(world)?;
    world.apart = None;
    let start_cpu_ns = spent(world);
    world.run_until(started.after(REST))?;
    let began = world.now;
    let before = world.reached.ops_written;
    if let Some(meter) = &mut world.meter {
        *meter = Meter::new(meter.stopwatch());
    }
    let batch = plan.batch.max(1);
    for op in (0..plan.ops).step_by(batch as usize) {
        world.run_until(began.after(plan.gap.saturating_mul(op)))?;
        let node = world.workload.usize(..world.ranks());
        for op in op..(op + batch).min(plan.ops) {
            publish(world, plan, node, op.into())?;
        }
        world.feed(node, Input::Flush, None)?;
    }
    world.run_until(world.now.after(LAST))?;
    let Some(mut meter) = world.meter.take() else {
        unreachable!("a measured world has a meter");
    };
    meter.last_ns.sort_unstable();
    let index = world.slots[0]
        .life
        .as_ref()
        .map(|life| life.node.replica().state().stats());
    let index = index.unwrap_or_default();
    Ok(Measured {
        mean_ns: meter.each_ns.0 as f64 / meter.each_ns.1.max(1) as f64,
        incomplete: meter.travelling(),
        last_ns: meter.last_ns,
        ops: world.reached.ops_written - before,
        window_ns: world.now.0 - began.0,
        start_ns: started.0,
        start_cpu_ns,
        shares: Class::ALL.into_iter().zip(meter.shares).collect(),
        tree_bytes: index.bytes,
        tree_copies: index.copies,
    })
}

/// Lets everybody begin alone, tells them of each other and plans their links, in some order.
fn start_apart(world: &mut World) -> Result<(), Violation> {
    world.run_until(Timestamp(0).after(world.profile.cold_start.saturating_mul(2)))?;
    let ranks = world.ranks();
    let lives = world.slots.iter().filter_map(|slot| slot.life.as_ref());
    let records: Vec<Record> = lives
        .map(|life| Record {
            rank: life.origin.rank,
            role: role(life.origin.rank),
            address: address(usize::from(life.origin.rank.0)),
            inc: life.origin.inc,
            counter: 0,
            status: Status::Alive,
        })
        .collect();
    for node in 0..ranks {
        let mut others = records.clone();
        others.remove(node);
        world.feed(node, Input::Table(others), None)?;
    }
    for a in 0..ranks {
        for b in a + 1..ranks {
            let delay = world.chance.u64(0..LINKING.as_nanos() as u64);
            let at = world.now.after(Duration::from_nanos(delay));
            world.queue.push(at, Event::Connect { a, b });
        }
    }
    Ok(())
}

/// Runs until everybody is linked to everybody and Ready.
fn start(world: &mut World) -> Result<Timestamp, Violation> {
    let step = Duration::from_millis(50);
    for _ in 0..START_SECONDS_MAX * 20 {
        world.run_until(world.now.after(step))?;
        let ready = |node: usize| {
            let life = world.slots[node].life.as_ref();
            life.is_some_and(|life| life.node.is_ready())
        };
        if (0..world.ranks()).all(ready) && world.is_complete() {
            return Ok(world.now);
        }
    }
    Err(Violation::NotConverged {
        after_ms: START_SECONDS_MAX * 1_000,
        what: "the cluster does not start".into(),
    })
}

fn spent(world: &World) -> u64 {
    let shares = world.meter.as_ref().map(|meter| meter.shares);
    shares.into_iter().flatten().map(|share| share.ns).sum()
}

/// One engine stores a path that nobody has: one op.
fn publish(world: &mut World, plan: &Plan, node: usize, op: u64) -> Result<(), Violation> {
    let pages = (0..plan.pages)
        .map(|_| Fingerprint(world.workload.u64(..)))
        .collect();
    let publish = Publish::Store {
        source: SourceId(0),
        namespace: Namespace(op),
        tier: Tier::Device,
        pages,
        from: 0,
        renew: false,
    };
    let place = |world: &World| {
        let life = world.slots[node].life.as_ref()?;
        let log = life.node.replica().digests(world.slots[node].rank)?;
        Some((log.inc, log.seq))
    };
    world.feed(node, Input::Publish(publish), None)?;
    if let Some((inc, seq)) = place(world) {
        let origin = OriginId {
            rank: world.slots[node].rank,
            inc,
        };
        let (now, others) = (world.now, world.ranks() - 1);
        if let Some(meter) = &mut world.meter {
            meter.began((origin, Seq(seq.0)), now, others);
        }
    }
    Ok(())
}
