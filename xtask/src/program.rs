//! Programs of this workspace that a task builds before it runs them.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// Builds what the arguments of `cargo build` name and returns where the program is.
///
/// Errors: it does not build, or is no program.
pub(crate) fn build(name: &str, arguments: &[&str]) -> anyhow::Result<PathBuf> {
    eprintln!("building {name}");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // What `cargo run` says of this package: build scripts look at it, and would run again, each time.
    for (name, _) in std::env::vars_os() {
        let own = name.to_string_lossy();
        if own.starts_with("CARGO_PKG_") || own.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    let output = command
        .args(["build", "--quiet", "--message-format=json"])
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo cannot be run")?;
    ensure!(output.status.success(), "{name} does not build");
    let executable = |line: &[u8]| {
        let message: serde_json::Value = serde_json::from_slice(line).ok()?;
        message.get("executable")?.as_str().map(PathBuf::from)
    };
    let program = output
        .stdout
        .split(|&byte| byte == b'\n')
        .filter_map(executable)
        .next_back();
    program.with_context(|| format!("cargo named no program of {name}"))
}
