//! `cargo xtask test-cluster`: real processes on this machine, driven, killed, measured, and every answer checked.
//!
//! [`traffic`] sends [`requests`] and [`kill`] kills nodes meanwhile; [`checker`] holds every [`lookup`] against the logs
//! that the nodes record, which [`replay`] reads from a [`feed`] and folds with the naive [`model`]. [`burst`] and
//! [`propagation`] measure publishing alone. Processes are run by `radixmeshd::cluster`.

mod audit;
mod burst;
mod chain;
mod checker;
mod feed;
mod kill;
mod lookup;
mod model;
mod options;
mod process;
mod propagation;
mod replay;
mod report;
mod requests;
mod run;
mod stats;
mod sums;
mod traffic;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context;

pub(crate) use options::Options;

/// Runs a cluster and prints what was found.
///
/// Ends the process with status 1 when what was found is a failure. Errors: it could not be run.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    options.check()?;
    let binary = match &options.binary {
        Some(path) => path.clone(),
        None => build()?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(run::run(options, binary))?;
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    if !report.failures.is_empty() {
        eprintln!("failed: {}", report.failures.join("\nfailed: "));
        std::process::exit(1);
    }
    Ok(())
}

/// Builds the daemon for release and returns where its program is.
fn build() -> anyhow::Result<PathBuf> {
    const DAEMON: &str = "radixmeshd";
    eprintln!("building {DAEMON}");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "build",
            "--release",
            "--quiet",
            "--message-format=json",
            "-p",
            DAEMON,
            "--bin",
            DAEMON,
        ])
        .stderr(Stdio::inherit())
        .output()
        .context("cargo cannot be run")?;
    anyhow::ensure!(output.status.success(), "{DAEMON} does not build");
    let executable = |line: &[u8]| {
        let message: serde_json::Value = serde_json::from_slice(line).ok()?;
        message.get("executable")?.as_str().map(PathBuf::from)
    };
    let program = output
        .stdout
        .split(|&byte| byte == b'\n')
        .filter_map(executable)
        .next_back();
    program.with_context(|| format!("cargo named no program of {DAEMON}"))
}
