//! The search: many seeds on a few threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use sim::{Failure, Peaks, Reached, Report, SimConfig};

use super::summary::Summary;

/// After so many failures the search ends: they are rarely different ones.
const FAILURES_MAX: usize = 10;
/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(5);

/// What to search, and for how long.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1_000, conflicts_with_all = ["seconds", "seed"])]
    seeds: u64,
    /// For how long to run seeds instead.
    #[arg(long, value_name = "S", conflicts_with = "seed")]
    seconds: Option<u64>,
    /// The first seed.
    #[arg(long, value_name = "X", default_value_t = 0, conflicts_with = "seed")]
    start_seed: u64,
    /// The only seed.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// What the engines say in all.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    publishes: u32,
    /// Virtual milliseconds of faults and publishes.
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    fault_ms: u64,
    /// Virtual milliseconds after which the nodes must agree.
    #[arg(long, value_name = "MS", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    converge_ms_max: u64,
    /// Nothing goes wrong.
    #[arg(long)]
    no_faults: bool,
    /// Threads that run seeds.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Show the last events before each failure; how many.
    #[arg(long, value_name = "EVENTS", num_args = 0..=1, default_value_t = 0, default_missing_value = "50")]
    trace: usize,
    /// Fail, too, when a fault never happened or a node never did what the search should see.
    #[arg(long)]
    cover: bool,
    /// Fail, too, when the core of a seed took longer to agree about its own logs after the last fault. Unit: virtual
    /// milliseconds.
    #[arg(long, value_name = "MS")]
    agree_ms_max: Option<u64>,
}

impl Options {
    fn config(&self, nodes: u16, fanout: Option<u16>, seed: u64) -> SimConfig {
        SimConfig {
            nodes,
            fanout,
            publishes: self.publishes,
            fault_ms: self.fault_ms,
            converge_ms_max: self.converge_ms_max,
            faults: !self.no_faults,
            trace: self.trace,
            ..SimConfig::new(seed)
        }
    }

    /// Returns the first seed and the one behind the last.
    fn range(&self) -> (u64, u64) {
        match (self.seed, self.seconds) {
            (Some(seed), _) => (seed, seed.saturating_add(1)),
            (None, Some(_)) => (self.start_seed, u64::MAX),
            (None, None) => (self.start_seed, self.start_seed.saturating_add(self.seeds)),
        }
    }
}

/// Runs the seeds and prints a summary; returns whether all went well.
///
/// Errors: the summary cannot be printed.
pub(crate) fn run(
    options: &Options,
    nodes: u16,
    fanout: Option<u16>,
    json: bool,
) -> anyhow::Result<bool> {
    let summary = search(options, nodes, fanout);
    if json {
        println!("{}", serde_json::to_string(&summary)?);
    } else {
        print!("{summary}");
    }
    let missing = if options.cover {
        summary.missing.as_slice()
    } else {
        &[]
    };
    for name in missing {
        eprintln!("never reached: {}", name.replace('_', " "));
    }
    let slow = options
        .agree_ms_max
        .filter(|max| summary.core_ms.max > *max as f64);
    if let Some(max) = slow {
        let (seed, took) = (summary.core_ms.slowest_seed, summary.core_ms.max);
        eprintln!("seed {seed} took {took:.0} ms to agree, at most {max} ms are allowed");
    }
    Ok(summary.failures == 0 && missing.is_empty() && slow.is_none())
}

fn search(options: &Options, nodes: u16, fanout: Option<u16>) -> Summary {
    let (first, end) = options.range();
    let next = AtomicU64::new(first);
    let tally = Mutex::new(Tally::default());
    let begin = Instant::now();
    let limit = options.seconds.map(Duration::from_secs);
    let cpu: Duration = std::thread::scope(|scope| {
        let work = || {
            while limit.is_none_or(|limit| begin.elapsed() < limit) {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= end {
                    break;
                }
                let result = sim::run(options.config(nodes, fanout, seed));
                let mut tally = tally.lock().expect("no thread panics while it counts");
                tally.add(result);
                tally.progress(begin);
                if tally.failures.len() >= FAILURES_MAX {
                    break;
                }
            }
            thread_cpu()
        };
        let threads: Vec<_> = (0..options.threads).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .map(|cpu| cpu.unwrap_or_else(|| begin.elapsed()))
            .sum()
    });
    let tally = tally
        .into_inner()
        .expect("no thread panics while it counts");
    Summary::new(tally, nodes, fanout, begin.elapsed(), cpu)
}

/// Returns the processor time of this thread, where the system tells it.
fn thread_cpu() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

/// What was found so far.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) reached: Reached,
    pub(crate) peaks: Peaks,
    pub(crate) events: u64,
    pub(crate) virtual_ns: u64,
    /// How long the core took to agree about its own logs, with the seed; about all logs; about views.
    pub(crate) core_ns: Vec<(u64, u64)>,
    pub(crate) all_ns: Vec<(u64, u64)>,
    pub(crate) views_ns: Vec<(u64, u64)>,
    pub(crate) failures: Vec<Failure>,
    told: Duration,
}

impl Tally {
    fn add(&mut self, result: Result<Report, Box<Failure>>) {
        match result {
            Ok(report) => {
                self.reached.add(&report.reached);
                self.events += report.events;
                self.virtual_ns += report.virtual_ns;
                self.peaks.merge(&report.peaks);
                self.core_ns.push((report.core_ns, report.seed));
                self.all_ns.push((report.convergence_ns, report.seed));
                self.views_ns.push((report.views_ns, report.seed));
            }
            Err(failure) => {
                eprintln!("{failure}");
                self.failures.push(*failure);
            }
        }
    }

    pub(crate) fn seeds(&self) -> usize {
        self.core_ns.len() + self.failures.len()
    }

    fn progress(&mut self, begin: Instant) {
        let elapsed = begin.elapsed();
        if elapsed - self.told >= PROGRESS {
            self.told = elapsed;
            let (seeds, failures) = (self.seeds(), self.failures.len());
            eprintln!(
                "{:>6} s  {seeds} seeds, {failures} failures",
                elapsed.as_secs()
            );
        }
    }
}
