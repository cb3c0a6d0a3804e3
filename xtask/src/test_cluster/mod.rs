//! `cargo xtask test-cluster`: real processes on this machine, driven, killed, measured, and every answer checked.
//!
//! [`traffic`] sends [`requests`] and [`kill`] kills nodes meanwhile; [`checker`] holds every [`lookup`] against the logs
//! that the nodes record, which [`replay`] reads from a [`feed`] and folds with the naive [`model`]. [`burst`] and
//! [`propagation`] measure publishing alone. [`fault`] lets worse happen than kills, in proxies or in namespaces of the
//! system's network ([`netns`]). [`join`] measures what a joining node costs, and [`hostile`] attacks. What was found is held against [`target`]s. Processes are run by `radixmeshd::cluster`.

mod audit;
mod burst;
mod chain;
mod checker;
mod daemon;
mod fault;
mod feed;
mod goal;
mod hostile;
mod join;
mod kill;
mod lookup;
mod member;
mod model;
mod netns;
mod options;
mod pki;
mod process;
mod propagation;
mod publishing;
mod replay;
mod report;
mod requests;
mod roster;
mod run;
mod stats;
mod sums;
mod target;
mod torn;
mod traffic;

use std::fmt::Display;
use std::path::PathBuf;

use serde::Serialize;

use crate::program;

pub(crate) use options::Options;
pub(crate) use stats::nearest;

/// Exit status after Ctrl-C, as shells have it.
const INTERRUPTED: i32 = 130;

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
    let work = async {
        if let Some(pages) = options.join_pages {
            let report = join::run(options, pages, binary).await?;
            return tell(&report, &report.failures, options.json);
        }
        if options.hostile {
            let report = hostile::run(options, binary).await?;
            return tell(&report, &report.failures, options.json);
        }
        let report = run::run(options, binary).await?;
        tell(&report, &report.failures, options.json)
    };
    let good = runtime.block_on(async {
        tokio::select! {
            biased;
            () = interrupted() => None,
            good = Box::pin(work) => Some(good),
        }
    });
    match good.transpose()? {
        Some(true) => Ok(()),
        Some(false) => std::process::exit(1),
        None => {
            eprintln!("interrupted: nothing is left running");
            std::process::exit(INTERRUPTED);
        }
    }
}

/// Prints what was found. Returns whether it is no failure.
fn tell(
    report: &(impl Serialize + Display),
    failures: &[String],
    json: bool,
) -> anyhow::Result<bool> {
    if json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        print!("{report}");
    }
    if !failures.is_empty() {
        eprintln!("failed: {}", failures.join("\nfailed: "));
    }
    Ok(failures.is_empty())
}

/// Waits for Ctrl-C or a request to end. What runs is dropped then, and cleans up.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        // Without a handler the process just ends, as it would without this.
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Builds the daemon for release and returns where its program is.
fn build() -> anyhow::Result<PathBuf> {
    const DAEMON: &str = "radixmeshd";
    // With this package among those selected it gets the dependencies that this program was built with: otherwise each of
    // the two builds makes cargo do half of the other one again.
    let packages = ["-p", env!("CARGO_PKG_NAME"), "-p", DAEMON];
    program::build(
        DAEMON,
        &[&["--release"], &packages[..], &["--bin", DAEMON]].concat(),
    )
}
