//! `cargo xtask bench --icount`: instructions of core operations, against a committed baseline. Times on a busy machine
//! say little about a change of a few per cent; how many instructions are executed hardly varies.
//!
//! What the operations are is in `benches/icount`; how one is counted in [`callgrind`]. gungraun (formerly
//! iai-callgrind) does more of the same, but wants a runner program of exactly its own version installed on every
//! machine and keeps its baselines outside the repository; here a clone and the distribution's valgrind are enough.

mod baseline;
mod callgrind;
mod compare;

use std::path::Path;

use anyhow::{Context, ensure};
use clap::Args;

use self::baseline::{Baseline, Built, Counts};
use self::compare::Comparison;
use crate::program;

/// Where the baseline is, from the root of the repository.
const BASELINE: &str = "benches/icount-baseline.json";

/// What to count, and what to hold it against.
#[derive(Args, Debug)]
pub(super) struct Count {
    /// Make the counts the baseline: commit benches/icount-baseline.json.
    #[arg(long, conflicts_with = "operation")]
    bless: bool,
    /// How many per cent an operation may cost more than in the baseline.
    #[arg(long, value_name = "PERCENT", default_value = "3", value_parser = percent)]
    tolerance: f64,
    /// Only operations whose name contains this, such as "tree::match".
    #[arg(long, value_name = "SUBSTRING")]
    operation: Option<String>,
}

/// Counts and compares.
///
/// Ends the process with status 1 when an operation costs more than the baseline of the same compiler, target and C
/// library tolerates. Errors: valgrind is missing, or something does not build or run.
pub(super) fn run(options: &Count) -> anyhow::Result<()> {
    callgrind::check_installed()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask lies in a workspace")?;
    let path = root.join(BASELINE);
    let baseline = Baseline::read(&path)?;
    let only = options.operation.as_deref().unwrap_or("");
    let counts = count(only)?;
    ensure!(
        !counts.is_empty(),
        "no operation has a name with {only:?} in it"
    );
    let built = Built::here()?;

    let known = baseline.as_ref().map(|baseline| &baseline.instructions);
    let comparison = Comparison::new(&counts, known, only, options.tolerance);
    print!("{comparison}");
    if options.bless {
        let baseline = Baseline {
            built,
            instructions: counts.into_iter().collect(),
        };
        baseline.write(&path)?;
        println!("{BASELINE} is written: commit it");
        return Ok(());
    }
    for note in comparison.notes() {
        println!("{note}");
    }
    let Some(baseline) = baseline else {
        println!("there is no {BASELINE} yet: --bless writes it");
        return Ok(());
    };
    let differences = built.differences(&baseline.built);
    if !differences.is_empty() {
        println!(
            "not judged, as the baseline is of another {}",
            differences.join(", another ")
        );
    } else if let Some(failure) = comparison.failure() {
        eprintln!("failed: {failure}");
        std::process::exit(1);
    }
    Ok(())
}

/// Counts each operation whose name contains `only`, in the order in which the program lists them.
fn count(only: &str) -> anyhow::Result<Counts> {
    let build = ["--profile", "bench", "-p", "radixmesh", "--bench", "icount"];
    let program = program::build("icount", &build)?;
    let operations = callgrind::operations(&program)?;
    let wanted = operations.iter().filter(|(name, _)| name.contains(only));
    wanted
        .map(|(name, calls)| {
            eprintln!("counting {name}");
            let all = callgrind::count(&program, name)?;
            // Tenths: finer than any tolerance, and a baseline that people can read.
            Ok((
                name.clone(),
                (all as f64 / *calls as f64 * 10.0).round() / 10.0,
            ))
        })
        .collect()
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if (0.0..=1000.0).contains(&percent) => Ok(percent),
        _ => Err(format!("{text} is not 0 to 1000 per cent")),
    }
}
