//! The whole comparison: which cells there are, one process after the other, and what is written in the end.

mod plot;
mod results;
mod table;

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::de::DeserializeOwned;

use self::results::Results;
use crate::cell::Part;
use crate::metric::Metric;
use crate::peer::Name;
use crate::request::Workload;
use crate::setting::Setting;

/// Requests of either workload: as many as the trace of conversations has.
const REQUESTS: usize = 12_031;
/// What a worker holds. Unit: tokens.
const CAPACITY_TOKENS: usize = 16_384 * 128;
const PAGE_TOKENS: [u32; 2] = [128, 16];
/// Workers and how many of them hold the same.
const FLEETS: [(u16, u16); 3] = [(8, 1), (64, 1), (64, 8)];
/// A quick comparison has so many times fewer requests, and caches so many times smaller.
const QUICK_DIVISOR: usize = 10;

/// What to compare.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// A tenth of everything, once.
    #[arg(long)]
    quick: bool,
    /// A trace in the JSON lines of Mooncake. Without it that workload is skipped.
    #[arg(long, value_name = "FILE", env = "MOONCAKE_TRACE")]
    trace: Option<PathBuf>,
    /// How often to measure everything; the medians count [default: 3, or 1 when quick].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=99))]
    rounds: Option<u16>,
    /// Only cells whose name contains this, such as "64x8 p128" or "beside".
    #[arg(long, value_name = "SUBSTRING")]
    only: Option<String>,
    /// Where to put peers.json and peers.svg.
    #[arg(long, value_name = "DIR", default_value = "target/peers")]
    out: PathBuf,
}

/// Measures, prints tables and writes the files.
///
/// Errors: a file cannot be written; a cell failed; or RadixMesh gave a wrong answer. The files are written before
/// the last two are reported.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let rounds = options.rounds.unwrap_or(if options.quick { 1 } else { 3 });
    let mut results = Results::new(options.quick, rounds);
    let mut settings = Vec::new();
    for workload in [Workload::Mooncake, Workload::Chats] {
        if workload == Workload::Mooncake && options.trace.is_none() {
            results.skip("mooncake: skipped: no trace (--trace FILE or MOONCAKE_TRACE)");
            continue;
        }
        settings.extend(configurations(workload, options));
    }
    measure(&settings, options, rounds, &mut results);
    if results.is_empty() {
        let only = options.only.as_deref().unwrap_or_default();
        anyhow::bail!("no cell has \"{only}\" in its name");
    }

    print!("{}", table::text(&results));
    std::fs::create_dir_all(&options.out).with_context(|| options.out.display().to_string())?;
    let (json, svg) = (
        options.out.join("peers.json"),
        options.out.join("peers.svg"),
    );
    std::fs::write(&json, serde_json::to_string_pretty(&results)?)
        .with_context(|| json.display().to_string())?;
    plot::draw(&results, &svg)?;
    println!("written: {} and {}", json.display(), svg.display());

    anyhow::ensure!(
        results.failed.is_empty(),
        "cells failed: {}",
        results.failed.join("; ")
    );
    anyhow::ensure!(!results.is_wrong(Name::RadixMesh), "radixmesh was wrong");
    Ok(())
}

fn configurations(workload: Workload, options: &Options) -> Vec<Setting> {
    let divisor = if options.quick { QUICK_DIVISOR } else { 1 };
    let mut settings = Vec::new();
    for page_tokens in PAGE_TOKENS {
        for (workers, replicas) in FLEETS {
            settings.push(Setting {
                workload,
                workers,
                replicas,
                page_tokens,
                requests: REQUESTS / divisor,
                capacity_pages: CAPACITY_TOKENS / page_tokens as usize / divisor,
                trace: match workload {
                    Workload::Mooncake => options.trace.clone(),
                    Workload::Chats => None,
                },
            });
        }
    }
    settings
}

/// Runs the cells one after the other: rounds outermost and indices innermost, so that whatever else changes on the
/// machine meets all of them.
fn measure(settings: &[Setting], options: &Options, rounds: u16, results: &mut Results) {
    let wanted = |name: &str| {
        options
            .only
            .as_deref()
            .is_none_or(|only| name.contains(only))
    };
    let cap_s = if options.quick { 10 } else { 60 };
    let began = Instant::now();
    for index in Name::value_variants() {
        let name = format!("scenario {index}");
        if wanted(&name) {
            match child(&["scenario".to_owned(), index.to_string()]) {
                Ok(findings) => results.scenario(*index, findings),
                Err(error) => results.fail(&name, &error),
            }
        }
    }
    for round in 1..=rounds {
        for setting in settings {
            for part in Part::ALL {
                for &index in Name::value_variants() {
                    let name = format!("{} {index} {}", setting.label(), part.name());
                    if !part.is_for(index) || !wanted(&name) {
                        continue;
                    }
                    let secs = began.elapsed().as_secs();
                    progress(&format!("{secs:>5} s  round {round}/{rounds}  {name}"));
                    let mut args = vec!["cell".to_owned(), index.to_string()];
                    args.extend([part.name().to_owned(), format!("--cap-s={cap_s}")]);
                    args.extend(setting.args());
                    match child(&args) {
                        Ok(report) => results.add(setting, index, report),
                        Err(error) => results.fail(&name, &error),
                    }
                }
            }
        }
    }
    progress("");
}

/// Overwrites one line on standard error.
fn progress(line: &str) {
    eprint!("\r{line:<78}\r");
    // Progress that cannot be shown is no reason to stop.
    let _ = std::io::stderr().flush();
}

/// Runs this program in another process and reads the line of JSON it prints.
fn child<T: DeserializeOwned>(args: &[String]) -> anyhow::Result<T> {
    let program = std::env::current_exe().context("where is this program")?;
    let output = Command::new(program).args(args).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let first = errors.lines().next().unwrap_or_default();
    anyhow::ensure!(output.status.success(), "{}: {first}", output.status);
    serde_json::from_slice(&output.stdout).context("not the report of a cell")
}

/// What the figures are shown for, in a plot.
const PLOTTED: [Metric; 6] = [
    Metric::MatchMean,
    Metric::MatchP99,
    Metric::Apply,
    Metric::DrainHash,
    Metric::BesideP99,
    Metric::Bytes,
];
