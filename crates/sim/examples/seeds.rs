//! Runs a few seeds and prints what they reached: `cargo run --release -p sim --example seeds -- [FIRST] [COUNT] [NODES] [TRACE]`.

use sim::{Reached, SimConfig};

fn main() {
    let mut args = std::env::args()
        .skip(1)
        .map_while(|arg| arg.parse::<u64>().ok());
    let first = args.next().unwrap_or(0);
    let count = args.next().unwrap_or(10);
    let nodes = args
        .next()
        .and_then(|nodes| u16::try_from(nodes).ok())
        .unwrap_or(5);
    let trace = args
        .next()
        .and_then(|events| usize::try_from(events).ok())
        .unwrap_or(50);
    let mut reached = Reached::default();
    let (mut failures, mut events, mut worst_ns) = (0, 0, 0);
    for seed in first..first + count {
        match sim::run(SimConfig {
            nodes,
            trace: if count == 1 { trace } else { 0 },
            ..SimConfig::new(seed)
        }) {
            Ok(report) => {
                reached.add(&report.reached);
                events += report.events;
                worst_ns = worst_ns.max(report.convergence_ns);
            }
            Err(failure) => {
                failures += 1;
                eprintln!("{failure}");
            }
        }
    }
    println!(
        "{count} seeds, {failures} failures, {events} events, {} ms to agree at worst",
        worst_ns / 1_000_000
    );
    for (_, name, count) in reached.named() {
        println!("{count:>10} {name}");
    }
}
