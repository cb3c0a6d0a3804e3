//! `cargo xtask sim`: many seeds of the simulator on a few threads. It counts and prints; what a run
//! is and what may not happen in it is the business of the crate `sim`.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde::Serialize;
use sim::{Failure, Reached, Report, SimConfig};

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
    /// Nodes of each world, 1 to 128.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=i64::from(sim::limits::NODES_MAX)))]
    nodes: u16,
    /// Fan-out of the broadcast, 1 is the ring [default: 1, 2 or 4, drawn from the seed].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    fanout: Option<u16>,
    /// What the engines say in all.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    publishes: u32,
    /// Virtual milliseconds of faults and publishes.
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    fault_ms: u64,
    /// Virtual milliseconds after which the nodes must agree.
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    converge_ms_max: u64,
    /// Nothing goes wrong.
    #[arg(long)]
    no_faults: bool,
    /// Threads that run seeds.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Show the last events before each failure.
    #[arg(long)]
    trace: bool,
    /// How to print the summary.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Options {
    fn config(&self, seed: u64) -> SimConfig {
        SimConfig {
            nodes: self.nodes,
            fanout: self.fanout,
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

/// Runs the seeds and prints a summary.
///
/// Ends the process with status 1 when a seed fails. Errors: the summary cannot be printed.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let summary = search(options);
    match options.output {
        Format::Text => print!("{summary}"),
        Format::Json => println!("{}", serde_json::to_string(&summary)?),
    }
    if summary.failures > 0 {
        std::process::exit(1);
    }
    Ok(())
}

fn search(options: &Options) -> Summary {
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
                let result = sim::run(options.config(seed));
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
    tally
        .into_inner()
        .expect("no thread panics while it counts")
        .summary(options, begin.elapsed(), cpu)
}

/// Returns the processor time of this thread, where the system tells it.
fn thread_cpu() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

#[derive(Default)]
struct Tally {
    reached: Reached,
    events: u64,
    virtual_ns: u64,
    convergence_ns: Vec<u64>,
    failures: Vec<Failure>,
    told: Duration,
}

impl Tally {
    fn add(&mut self, result: Result<Report, Box<Failure>>) {
        match result {
            Ok(report) => {
                self.reached.add(&report.reached);
                self.events += report.events;
                self.virtual_ns += report.virtual_ns;
                self.convergence_ns.push(report.convergence_ns);
            }
            Err(failure) => {
                eprintln!("{failure}");
                self.failures.push(*failure);
            }
        }
    }

    fn seeds(&self) -> usize {
        self.convergence_ns.len() + self.failures.len()
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

    fn summary(mut self, options: &Options, wall: Duration, cpu: Duration) -> Summary {
        self.convergence_ns.sort_unstable();
        let ms = |ns: u64| ns as f64 / 1e6;
        let at = |share: f64| {
            let last = self.convergence_ns.len().saturating_sub(1);
            self.convergence_ns
                .get((last as f64 * share) as usize)
                .map_or(0.0, |ns| ms(*ns))
        };
        let sum: u64 = self.convergence_ns.iter().sum();
        let cpu_s = cpu.as_secs_f64().max(f64::MIN_POSITIVE);
        Summary {
            seeds: self.seeds() as u64,
            failures: self.failures.len() as u64,
            nodes: options.nodes,
            fanout: options.fanout,
            wall_s: wall.as_secs_f64(),
            cpu_s,
            seeds_per_hour_per_core: self.seeds() as f64 * 3_600.0 / cpu_s,
            events: self.events,
            events_per_cpu_s: self.events as f64 / cpu_s,
            virtual_per_cpu: self.virtual_ns as f64 / 1e9 / cpu_s,
            convergence_ms_mean: ms(sum) / self.convergence_ns.len().max(1) as f64,
            convergence_ms_p99: at(0.99),
            convergence_ms_max: at(1.0),
            reached: self.reached.named().into_iter().collect(),
            reproduce: self
                .failures
                .iter()
                .map(|failure| failure.reproduce.clone())
                .collect(),
        }
    }
}

/// What a search found. Times are those of the machine, convergence is in virtual time.
#[derive(Debug, Serialize)]
struct Summary {
    seeds: u64,
    failures: u64,
    nodes: u16,
    fanout: Option<u16>,
    wall_s: f64,
    cpu_s: f64,
    seeds_per_hour_per_core: f64,
    events: u64,
    events_per_cpu_s: f64,
    virtual_per_cpu: f64,
    convergence_ms_mean: f64,
    convergence_ms_p99: f64,
    convergence_ms_max: f64,
    reached: std::collections::BTreeMap<&'static str, u64>,
    reproduce: Vec<String>,
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
        writeln!(
            f,
            "agreed after {:.0} ms on average, {:.0} ms at the 99th percentile, {:.0} ms at most (virtual time)",
            self.convergence_ms_mean, self.convergence_ms_p99, self.convergence_ms_max
        )?;
        for (name, count) in &self.reached {
            writeln!(f, "{count:>14} {}", name.replace('_', " "))?;
        }
        for line in &self.reproduce {
            writeln!(f, "reproduce: {line}")?;
        }
        Ok(())
    }
}
