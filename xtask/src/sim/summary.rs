//! What a search found, for people and for programs. Times are those of the machine, agreement is in virtual time.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use sim::Kind;

use super::search::Tally;

/// Steps of the distribution of how long nodes took to agree. Unit: virtual milliseconds.
const STEPS_MS: [u64; 8] = [100, 250, 500, 1_000, 2_000, 3_000, 5_000, 10_000];

/// What a search found.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) seeds: u64,
    pub(crate) failures: u64,
    nodes: u16,
    fanout: Option<u16>,
    wall_s: f64,
    cpu_s: f64,
    seeds_per_hour_per_core: f64,
    events: u64,
    events_per_cpu_s: f64,
    virtual_per_cpu: f64,
    /// From the last fault until the core agreed about its own logs and was Ready.
    pub(crate) core_ms: Convergence,
    /// Until it agreed about all logs, also those that come over bad links.
    all_ms: Convergence,
    /// Until it had one view, and knew each other to be Ready.
    views_ms: Convergence,
    /// What was made to go wrong, and how often.
    faults: BTreeMap<&'static str, u64>,
    /// What the nodes did, and how often.
    seen: BTreeMap<&'static str, u64>,
    /// As `seen`, but it may never happen.
    rare: BTreeMap<&'static str, u64>,
    /// How full every queue was at most.
    peaks: BTreeMap<&'static str, u64>,
    /// What should be above 0 and is not.
    pub(crate) missing: Vec<&'static str>,
    reproduce: Vec<String>,
}

/// A distribution. Unit: virtual milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Convergence {
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    pub(crate) max: f64,
    /// The seed that took longest.
    pub(crate) slowest_seed: u64,
    /// Seeds that took at most so long and longer than the step before.
    steps: Vec<(u64, usize)>,
}

impl Convergence {
    fn new(mut took_ns: Vec<(u64, u64)>) -> Convergence {
        took_ns.sort_unstable();
        let sorted_ns = took_ns.as_slice();
        let ms = |ns: u64| ns as f64 / 1e6;
        let at = |share: f64| {
            let last = sorted_ns.len().saturating_sub(1);
            sorted_ns
                .get((last as f64 * share).ceil() as usize)
                .map_or(0.0, |(ns, _)| ms(*ns))
        };
        let sum: u64 = sorted_ns.iter().map(|(ns, _)| ns).sum();
        let mut below = 0;
        let steps = STEPS_MS.map(|step| {
            let upto = sorted_ns.partition_point(|(ns, _)| *ns <= step * 1_000_000);
            (step, upto - std::mem::replace(&mut below, upto))
        });
        Convergence {
            mean: ms(sum) / sorted_ns.len().max(1) as f64,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: at(1.0),
            slowest_seed: sorted_ns.last().map_or(0, |(_, seed)| *seed),
            steps: steps.to_vec(),
        }
    }
}

impl fmt::Display for Convergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "mean {:.0}, p50 {:.0}, p90 {:.0}, p99 {:.0}, p99.9 {:.0}, max {:.0} (seed {})",
            self.mean, self.p50, self.p90, self.p99, self.p999, self.max, self.slowest_seed
        )?;
        let steps: Vec<String> = self
            .steps
            .iter()
            .map(|(step, count)| format!("<= {step}: {count}"))
            .collect();
        write!(f, "\n    {}", steps.join(", "))
    }
}

impl Summary {
    pub(crate) fn new(
        tally: Tally,
        nodes: u16,
        fanout: Option<u16>,
        wall: Duration,
        cpu: Duration,
    ) -> Summary {
        let cpu_s = cpu.as_secs_f64().max(f64::MIN_POSITIVE);
        let named = tally.reached.named();
        let of = |wanted: Kind| {
            let ours = named.iter().filter(|(kind, ..)| *kind == wanted);
            ours.map(|(_, name, count)| (*name, *count)).collect()
        };
        Summary {
            seeds: tally.seeds() as u64,
            failures: tally.failures.len() as u64,
            nodes,
            fanout,
            wall_s: wall.as_secs_f64(),
            cpu_s,
            seeds_per_hour_per_core: tally.seeds() as f64 * 3_600.0 / cpu_s,
            events: tally.events,
            events_per_cpu_s: tally.events as f64 / cpu_s,
            virtual_per_cpu: tally.virtual_ns as f64 / 1e9 / cpu_s,
            faults: of(Kind::Fault),
            seen: of(Kind::Seen),
            rare: of(Kind::Rare),
            peaks: tally.peaks.named().into_iter().collect(),
            missing: tally.reached.missing(),
            reproduce: tally
                .failures
                .iter()
                .map(|failure| failure.reproduce.clone())
                .collect(),
            core_ms: Convergence::new(tally.core_ns),
            all_ms: Convergence::new(tally.all_ns),
            views_ms: Convergence::new(tally.views_ns),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary {
            seeds,
            failures,
            nodes,
            ..
        } = self;
        writeln!(f, "{seeds} seeds of {nodes} nodes, {failures} failures")?;
        writeln!(
            f,
            "{:.1} s, {:.1} s of processor: {:.0} seeds per hour and core, {:.0} events per second, {:.0} times real time",
            self.wall_s,
            self.cpu_s,
            self.seeds_per_hour_per_core,
            self.events_per_cpu_s,
            self.virtual_per_cpu
        )?;
        writeln!(f, "after the last fault, in virtual ms:")?;
        writeln!(f, "  core agrees about its logs  {}", self.core_ms)?;
        writeln!(f, "  and about those outside     {}", self.all_ms)?;
        writeln!(f, "  one view, all known Ready   {}", self.views_ms)?;
        let parts = [
            ("faults and requests", &self.faults),
            ("seen", &self.seen),
            ("seen rarely", &self.rare),
            ("at most", &self.peaks),
        ];
        for (title, counts) in parts {
            writeln!(f, "{title}:")?;
            for (name, count) in counts {
                writeln!(f, "{count:>14} {}", name.replace('_', " "))?;
            }
        }
        for line in &self.reproduce {
            writeln!(f, "reproduce: {line}")?;
        }
        Ok(())
    }
}
