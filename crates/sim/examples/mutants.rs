//! Runs every deliberate mistake until a seed finds it out, as `cargo xtask sim --mutations` does.
//!
//! `cargo run --release -p sim --features mutations --example mutants -- [--seeds N] [--output json] [NAME..]`

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use sim::SimConfig;
use sim::mutants::{self, Mutant};

/// Seeds that each mistake gets.
const SEEDS_MAX: u64 = 1_000;

struct Finding {
    name: &'static str,
    /// The seed and what it found, if one did.
    found: Option<(u64, String)>,
}

fn main() -> ExitCode {
    let mut seeds = SEEDS_MAX;
    let (mut json, mut threads) = (false, 2);
    let mut names = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|value| value.parse::<u64>().ok());
        match arg.as_str() {
            "--seeds" => seeds = number().unwrap_or(SEEDS_MAX),
            "--threads" => threads = number().unwrap_or(2),
            "--json" => json = true,
            _ => names.push(arg),
        }
    }
    let mutants: Vec<Mutant> = mutants::all()
        .into_iter()
        .filter(|mutant| names.is_empty() || names.iter().any(|name| name == mutant.name))
        .collect();
    let (next, findings) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(mutant) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let finding = search(mutant, seeds);
                    findings.lock().expect("no thread panics").push(finding);
                }
            });
        }
    });
    let mut findings = findings.into_inner().expect("no thread panics");
    findings.sort_by_key(|finding| finding.name);
    let missed = findings
        .iter()
        .filter(|finding| finding.found.is_none())
        .count();
    for Finding { name, found } in &findings {
        match found {
            _ if json => {
                let seeds = found
                    .as_ref()
                    .map_or("null".into(), |(seed, _)| (seed + 1).to_string());
                println!("{{\"mutation\":\"{name}\",\"seeds\":{seeds}}}");
            }
            Some((seed, what)) => println!("{name:<32} seed {:>4}  {what}", seed + 1),
            None => println!("{name:<32} NOT FOUND in {seeds} seeds"),
        }
    }
    eprintln!("{} mutations, {missed} not found", findings.len());
    if missed > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn search(mutant: &Mutant, seeds: u64) -> Finding {
    let name = mutant.name;
    if !mutant.is_possible() {
        return Finding { name, found: None };
    }
    let found = (0..seeds).find_map(|seed| {
        let failure = mutant.run(SimConfig::new(seed)).err()?;
        let what: String = failure.violation.to_string().chars().take(110).collect();
        Some((seed, what))
    });
    Finding { name, found }
}
