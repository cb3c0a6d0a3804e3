//! Runs the programs of the system that change its network.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// How long one of them may take: they ask the kernel and nobody else.
const COMMAND_MAX: Duration = Duration::from_secs(20);

/// Runs a program with these words and this input.
///
/// Errors: it is not there, takes too long, or refuses; its words and what it said are in the message.
pub(super) async fn run(program: &str, words: &[&str], input: &str) -> anyhow::Result<()> {
    let shown = || format!("`{program} {}`", words.join(" "));
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{} cannot be run", shown()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that reads nothing may end before it is written.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let Ok(output) = tokio::time::timeout(COMMAND_MAX, child.wait_with_output()).await else {
        bail!("{} took longer than {COMMAND_MAX:?}", shown());
    };
    let output = output.with_context(|| format!("{} cannot be waited for", shown()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{} failed: {}",
        shown(),
        said.lines().next().unwrap_or("it did not say why").trim()
    );
    Ok(())
}
