//! `--propagation`: how long a publish takes to the last node, and what it costs each of them.

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use sim::Hop;
use sim::propagation::{self, Class, Measured, Plan, Share};

use crate::test_cluster::nearest;

/// What to measure.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Median of one hop; the hops are lognormal.
    #[arg(
        long,
        value_name = "US",
        default_value_t = 150.0,
        requires = "propagation"
    )]
    hop_us: f64,
    /// Spread of the hops: standard deviation of their logarithm.
    #[arg(long, default_value_t = 0.5, requires = "propagation")]
    hop_sigma: f64,
    /// Publishes to measure.
    #[arg(long, default_value_t = 200, requires = "propagation", value_parser = clap::value_parser!(u32).range(1..))]
    ops: u32,
    /// Publishes per second, all nodes together.
    #[arg(long, default_value_t = 100, requires = "propagation", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    ops_per_s: u32,
    /// Pages of each published path that are new.
    #[arg(long, default_value_t = 16, requires = "propagation", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pages: u16,
    /// Publishes of a node that travel together.
    #[arg(long, default_value_t = 1, requires = "propagation", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
}

/// Sizes that are measured when none are given.
const SIZES: [u16; 2] = [50, 1_000];
/// Fan-outs that are measured when none is given.
const FANOUTS: [u16; 2] = [1, 4];

/// Measures and prints; returns whether every op came to everybody.
///
/// Errors: a cluster does not start.
pub(crate) fn run(
    options: &Options,
    sizes: &[u16],
    fanout: Option<u16>,
    json: bool,
) -> anyhow::Result<bool> {
    let sizes = if sizes.is_empty() { &SIZES } else { sizes };
    let fanouts = fanout.map_or_else(|| FANOUTS.to_vec(), |fanout| vec![fanout]);
    let mut complete = true;
    for &nodes in sizes {
        for &fanout in &fanouts {
            let row = measure(options, nodes, fanout)?;
            complete &= row.incomplete == 0;
            if json {
                println!("{}", serde_json::to_string(&row)?);
            } else {
                print!("{row}");
            }
        }
    }
    Ok(complete)
}

fn measure(options: &Options, nodes: u16, fanout: u16) -> anyhow::Result<Row> {
    let plan = Plan {
        seed: 0,
        nodes,
        fanout,
        hop: Hop {
            median_us: options.hop_us,
            sigma: options.hop_sigma,
        },
        ops: options.ops,
        gap: Duration::from_secs(1) / options.ops_per_s,
        pages: options.pages,
        batch: options.batch,
    };
    let resident = resident_bytes();
    let measured = propagation::measure(&plan, stopwatch)?;
    let grown = resident_bytes().saturating_sub(resident);
    Ok(Row::new(&plan, &measured, grown))
}

/// Nanoseconds of a clock that does not go back. Cheap enough to stand round every call of a node.
fn stopwatch() -> u64 {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    u64::try_from(BEGIN.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The most memory this process had resident so far, where the system tells it.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}

/// One measurement. Times of the way are virtual, costs are of this machine.
#[derive(Debug, Serialize)]
struct Row {
    nodes: u16,
    fanout: u16,
    hop_median_us: f64,
    hop_sigma: f64,
    publishes: u32,
    batch: u32,
    ops: u64,
    incomplete: usize,
    /// From a publish to the last node. Unit: microseconds.
    last_us_p50: f64,
    last_us_p99: f64,
    last_us_max: f64,
    /// From a publish to one node. Unit: microseconds.
    each_us_mean: f64,
    start_virtual_s: f64,
    start_cpu_s_per_node: f64,
    /// What one op of another node costs a node: broadcasts received, applied and relayed.
    op_cpu_ns: f64,
    op_bytes: f64,
    /// What a node spends besides, each second: heartbeats, exchanges, ticks.
    idle_cpu_us_per_s: f64,
    idle_bytes_per_s: f64,
    idle_frames_per_s: f64,
    tree_bytes: u64,
    tree_copies: u64,
    resident_mib_per_node: f64,
    parts: Vec<Part>,
}

/// What one kind of input cost one node in each second.
#[derive(Debug, Serialize)]
struct Part {
    name: &'static str,
    inputs_per_s: f64,
    cpu_ns_each: f64,
    cpu_us_per_s: f64,
    bytes_out_per_s: f64,
}

impl Row {
    fn new(plan: &Plan, measured: &Measured, resident: u64) -> Row {
        let nodes = f64::from(plan.nodes);
        let seconds = measured.window_ns as f64 / 1e9;
        let last: Vec<f64> = measured.last_ns.iter().map(|ns| *ns as f64 / 1e3).collect();
        let at = |percent| nearest(&last, percent).unwrap_or(f64::NAN);
        let deliveries = (measured.ops as f64 * (nodes - 1.0)).max(1.0);
        let of = |class: Class| {
            let share = measured.shares.iter().find(|(other, _)| *other == class);
            share.map(|(_, share)| *share).unwrap_or_default()
        };
        let sum = |value: fn(&Share) -> u64| {
            let idle = [Class::Control, Class::Tick, Class::Repair];
            idle.iter().map(|class| value(&of(*class))).sum::<u64>() as f64
        };
        let parts = measured.shares.iter().map(|(class, share)| Part {
            name: class.name(),
            inputs_per_s: share.inputs as f64 / nodes / seconds,
            cpu_ns_each: share.ns as f64 / share.inputs.max(1) as f64,
            cpu_us_per_s: share.ns as f64 / 1e3 / nodes / seconds,
            bytes_out_per_s: share.bytes as f64 / nodes / seconds,
        });
        Row {
            nodes: plan.nodes,
            fanout: plan.fanout,
            hop_median_us: plan.hop.median_us,
            hop_sigma: plan.hop.sigma,
            publishes: plan.ops,
            batch: plan.batch,
            ops: measured.ops,
            incomplete: measured.incomplete,
            last_us_p50: at(50),
            last_us_p99: at(99),
            last_us_max: at(100),
            each_us_mean: measured.mean_ns / 1e3,
            start_virtual_s: measured.start_ns as f64 / 1e9,
            start_cpu_s_per_node: measured.start_cpu_ns as f64 / 1e9 / nodes,
            op_cpu_ns: of(Class::Broadcast).ns as f64 / deliveries,
            op_bytes: of(Class::Broadcast).bytes as f64 / deliveries,
            idle_cpu_us_per_s: sum(|share| share.ns) / 1e3 / nodes / seconds,
            idle_bytes_per_s: sum(|share| share.bytes) / nodes / seconds,
            idle_frames_per_s: sum(|share| share.frames) / nodes / seconds,
            tree_bytes: measured.tree_bytes,
            tree_copies: measured.tree_copies,
            resident_mib_per_node: resident as f64 / nodes / (1 << 20) as f64,
            parts: parts.collect(),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} nodes, fan-out {}, hop {} us (sigma {}): {} publishes, {} together, {} ops, {} not everywhere",
            self.nodes,
            self.fanout,
            self.hop_median_us,
            self.hop_sigma,
            self.publishes,
            self.batch,
            self.ops,
            self.incomplete
        )?;
        writeln!(
            f,
            "  publish to last node: p50 {:.0} us, p99 {:.0} us, max {:.0} us; to each on average {:.0} us",
            self.last_us_p50, self.last_us_p99, self.last_us_max, self.each_us_mean
        )?;
        writeln!(
            f,
            "  one op costs a node {:.0} ns and {:.0} bytes sent; besides it spends {:.0} us and sends {:.0} bytes in {:.1} frames each second",
            self.op_cpu_ns,
            self.op_bytes,
            self.idle_cpu_us_per_s,
            self.idle_bytes_per_s,
            self.idle_frames_per_s
        )?;
        writeln!(
            f,
            "  started in {:.1} s, {:.3} s of processor each; tree {} bytes for {} copies; {:.2} MiB resident per node",
            self.start_virtual_s,
            self.start_cpu_s_per_node,
            self.tree_bytes,
            self.tree_copies,
            self.resident_mib_per_node
        )?;
        for part in &self.parts {
            writeln!(
                f,
                "  {:>10}: {:>9.1} a second, {:>9.0} ns each, {:>9.1} us and {:>9.0} bytes out each second",
                part.name,
                part.inputs_per_s,
                part.cpu_ns_each,
                part.cpu_us_per_s,
                part.bytes_out_per_s
            )?;
        }
        Ok(())
    }
}
