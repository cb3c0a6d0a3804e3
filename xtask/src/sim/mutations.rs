//! `--mutations`: every deliberate mistake, until a seed finds it out. The mistakes are compiled into a program of
//! their own, so that no other build ever holds them.

use std::process::Command;

use anyhow::Context;

use crate::program;

/// Returns whether every mistake was found out. Errors: the program does not build or cannot be run.
pub(crate) fn run(json: bool) -> anyhow::Result<bool> {
    let program = program::build(
        "the deliberate mistakes",
        &[
            "--release",
            "--package=sim",
            "--features=mutations",
            "--example=mutants",
        ],
    )?;
    let mut command = Command::new(&program);
    if json {
        command.arg("--json");
    }
    let status = command
        .status()
        .with_context(|| format!("{} cannot be run", program.display()))?;
    Ok(status.success())
}
