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

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context;

pub(crate) use options::Options;

/// Runs a cluster and prints what was found.
///
/// Ends the process with status 1 when what was found is a failure. Errors: it could not be run.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    options.check()?;
    if cfg!(debug_assertions) {
        return run_released();
    }
    let binary = match &options.binary {
        Some(path) => path.clone(),
        None => build("radixmeshd")?,
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

/// Goes on as a release build with the same arguments: a slow harness would measure itself.
fn run_released() -> anyhow::Result<()> {
    let error = Command::new(build("xtask")?)
        .args(std::env::args_os().skip(1))
        .exec();
    Err(error).context("the release build of xtask cannot be run")
}

/// Builds a package for release and returns where its program is.
fn build(package: &str) -> anyhow::Result<PathBuf> {
    eprintln!("building {package}");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "build",
            "--release",
            "--quiet",
            "--message-format=json",
            "-p",
            package,
            "--bin",
            package,
        ])
        .stderr(Stdio::inherit())
        .output()
        .context("cargo cannot be run")?;
    anyhow::ensure!(output.status.success(), "{package} does not build");
    let executable = |line: &[u8]| {
        let message: serde_json::Value = serde_json::from_slice(line).ok()?;
        message.get("executable")?.as_str().map(PathBuf::from)
    };
    let program = output
        .stdout
        .split(|&byte| byte == b'\n')
        .filter_map(executable)
        .next_back();
    program.with_context(|| format!("cargo named no program of {package}"))
}
