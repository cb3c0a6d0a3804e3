//! `cargo xtask test-cluster`: real processes on this machine, driven, killed, measured, and every answer checked.
//!
//! [`traffic`] sends [`requests`] and [`kill`] kills nodes meanwhile; [`checker`] holds every [`lookup`] against the logs
//! that the nodes record, which [`replay`] reads from a [`feed`] and folds with the naive [`model`]. [`burst`] and
//! [`propagation`] measure publishing alone. [`fault`] lets worse happen than kills. Processes are run by `radixmeshd::cluster`.

mod audit;
mod burst;
mod chain;
mod checker;
mod fault;
mod feed;
mod goal;
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
mod torn;
mod traffic;

use std::path::PathBuf;

use crate::program;

pub(crate) use options::Options;
pub(crate) use stats::nearest;

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
    program::build(DAEMON, &["--release", "-p", DAEMON, "--bin", DAEMON])
}
