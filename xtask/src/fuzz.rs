//! `cargo xtask fuzz`: the fuzz targets, one after the other, each for a while. A target is a test: `cargo test` runs it
//! with the inputs that are kept beside it and a few more; this runs it until the time is over.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context;
use clap::Args;

/// What to run, and for how long.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// For how long each target runs.
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Runs the one input that a failure named by its seed.
    #[arg(long, value_name = "X", requires = "targets")]
    seed: Option<String>,
    /// Which targets [default: all].
    #[arg(value_name = "TARGET", value_parser = names())]
    targets: Vec<String>,
}

/// A fuzz target: a test of a crate.
struct Target {
    name: &'static str,
    package: &'static str,
    /// Where `cargo test` finds it.
    place: &'static [&'static str],
    test: &'static str,
}

const FUZZ: &[&str] = &["--test", "fuzz"];

const TARGETS: &[Target] = &[
    Target {
        name: "frame",
        package: "node",
        place: FUZZ,
        test: "any_bytes_are_a_frame_that_reads_back_or_a_named_error",
    },
    Target {
        name: "introduction",
        package: "node",
        place: FUZZ,
        test: "any_bytes_are_an_introduction_or_its_answer_or_a_named_error",
    },
    Target {
        name: "node",
        package: "node",
        place: FUZZ,
        test: "no_network_makes_a_node_panic_or_grow",
    },
    Target {
        name: "op-batch",
        package: "oplog",
        place: FUZZ,
        test: "any_bytes_are_a_batch_taken_whole_or_not_at_all",
    },
    Target {
        name: "snapshot",
        package: "oplog",
        place: FUZZ,
        test: "any_bytes_are_a_snapshot_loaded_whole_or_not_at_all",
    },
    Target {
        name: "link-frame",
        package: "transport",
        place: &["--lib"],
        test: "fuzz::any_bytes_are_a_frame_or_a_named_error_however_they_arrive",
    },
    Target {
        name: "handshake",
        package: "transport",
        place: &["--lib"],
        test: "fuzz::any_bytes_are_a_handshake_or_a_named_error",
    },
    Target {
        name: "config",
        package: "radixmeshd",
        place: FUZZ,
        test: "any_sources_are_a_configuration_or_errors_that_say_what_is_wrong",
    },
    Target {
        name: "cache",
        package: "radix-core",
        place: &["--test", "cache"],
        test: "fuzzed_bytes_are_calls_with_the_models_answers",
    },
];

fn names() -> clap::builder::PossibleValuesParser {
    TARGETS
        .iter()
        .map(|target| target.name)
        .collect::<Vec<_>>()
        .into()
}

/// Runs the targets. Ends the process with status 1 when one fails; the others run all the same.
///
/// Errors: cargo cannot be run.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let all = options.targets.is_empty();
    let chosen = TARGETS
        .iter()
        .filter(|target| all || options.targets.iter().any(|name| name == target.name));
    let mut failed = Vec::new();
    for target in chosen {
        let begin = Instant::now();
        let (ok, summary) = fuzz(target, options)?;
        let word = if ok { "ok" } else { "FAILED" };
        println!(
            "{:<13} {word:<7} {:>5.1} s  {summary}",
            target.name,
            begin.elapsed().as_secs_f64()
        );
        if !ok {
            failed.push(target.name);
        }
    }
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
        std::process::exit(1);
    }
    Ok(())
}

/// Runs one target; returns whether it held, and what it says of itself.
fn fuzz(target: &Target, options: &Options) -> anyhow::Result<(bool, String)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["test", "--quiet", "--package", target.package])
        .args(target.place)
        .args(["--", "--exact", "--nocapture", target.test])
        .stdin(Stdio::null());
    match &options.seed {
        Some(seed) => command
            .env("BOLERO_RANDOM_SEED", seed)
            .env("BOLERO_RANDOM_ITERATIONS", "0"),
        None => command
            .env(
                "BOLERO_RANDOM_TEST_TIME_MS",
                (options.seconds * 1_000).to_string(),
            )
            .env("BOLERO_RANDOM_ITERATIONS", usize::MAX.to_string()),
    };
    let output = command.output().context("cargo cannot be run")?;
    let told = String::from_utf8_lossy(&output.stderr);
    let ran = told.lines().find(|line| line.contains("run time:"));
    let ok = output.status.success() && ran.is_some();
    if !ok {
        eprint!("{told}{}", String::from_utf8_lossy(&output.stdout));
    }
    let summary = ran
        .and_then(|line| line.split_once("| "))
        .map_or("", |(_, counts)| counts);
    let summary = summary.split(" | exit reason").next().unwrap_or_default();
    Ok((ok, summary.to_owned()))
}
