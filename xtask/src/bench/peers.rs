//! `cargo xtask bench --peers`: builds the comparison with the field, a workspace of its own, and runs it. What it
//! measures is its own business.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use clap::Args;

/// What to compare.
#[derive(Args, Debug)]
pub(super) struct Compare {
    /// A tenth of everything, once: some minutes.
    #[arg(long, requires = "peers")]
    quick: bool,
    /// Request trace in the JSON lines of Mooncake; without it, or MOONCAKE_TRACE, only made-up chats are compared.
    #[arg(long, value_name = "FILE", requires = "peers")]
    trace: Option<PathBuf>,
    /// How often to measure everything; the medians count [default: 3, or 1 when quick].
    #[arg(long, value_name = "N", requires = "peers", value_parser = clap::value_parser!(u16).range(1..=99))]
    rounds: Option<u16>,
    /// Only cells whose name contains this, such as "64x8 p128" or "beside".
    #[arg(long, value_name = "SUBSTRING", requires = "peers")]
    only: Option<String>,
    /// Where to put peers.json and peers.svg [default: the target directory].
    #[arg(long, value_name = "DIR", requires = "peers")]
    out: Option<PathBuf>,
}

/// Builds and runs the comparison.
///
/// Errors: it does not build, a cell failed, or our tree gave a wrong answer.
pub(super) fn run(options: &Compare) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask lies in a workspace")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    // A directory of its own, as it is another workspace with other features of the same crates.
    let target = target.join("peers");
    let out = options.out.clone().unwrap_or_else(|| target.clone());
    let status = Command::new(cargo)
        .args(["run", "--release", "--locked", "--manifest-path"])
        .arg(root.join("benches/peers/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .args(["--", "compare", "--out"])
        .arg(out)
        .args(arguments(options))
        .status()
        .context("cargo cannot be started")?;
    ensure!(status.success(), "the comparison ended with {status}");
    Ok(())
}

/// Returns the options in the comparison's own words.
fn arguments(options: &Compare) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = Vec::new();
    if options.quick {
        arguments.push("--quick".into());
    }
    if let Some(trace) = &options.trace {
        arguments.extend(["--trace".into(), trace.into()]);
    }
    if let Some(rounds) = options.rounds {
        arguments.push(format!("--rounds={rounds}").into());
    }
    if let Some(only) = &options.only {
        arguments.push(format!("--only={only}").into());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_reach_the_comparison_as_they_were_given() {
        let options = Compare {
            quick: true,
            trace: Some("a b.jsonl".into()),
            rounds: Some(2),
            only: Some("64x8 p16".to_owned()),
            out: None,
        };
        let expect = [
            "--quick",
            "--trace",
            "a b.jsonl",
            "--rounds=2",
            "--only=64x8 p16",
        ];
        assert_eq!(arguments(&options), expect);
    }
}
