//! The daemon's own commands, as an operator gives them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use radixmeshd::client::Client;
use tokio::process::Command;

use super::roster::Roster;

/// How long a node may go on with what is under way when it leaves.
const DRAIN: &str = "200ms";
/// How long a member may take to count as down, so that it can be forgotten.
const DOWN_MAX: Duration = Duration::from_secs(60);
/// Pause between two attempts.
const AGAIN: Duration = Duration::from_millis(200);

/// What is needed to run them.
#[derive(Clone, Debug)]
pub(crate) struct Daemon {
    /// `radixmeshd`.
    pub(crate) binary: PathBuf,
    /// File with the token of the admin ports.
    pub(crate) token: Option<PathBuf>,
}

impl Daemon {
    /// Lets a node leave: `radixmeshd leave`. Returns when it is gone.
    ///
    /// Errors: the command failed; what it said.
    pub(crate) async fn leave(&self, node: &Client) -> anyhow::Result<()> {
        self.run(&["leave", "--drain", DRAIN], node).await
    }

    /// Lets the others forget a member that was killed: `radixmeshd forget`, asked again until it counts as down.
    ///
    /// Errors: it was refused for too long; what was said last.
    pub(crate) async fn forget(&self, rank: u16, nodes: &Roster) -> anyhow::Result<()> {
        let deadline = Instant::now() + DOWN_MAX;
        let rank = rank.to_string();
        loop {
            let mut last = None;
            for node in nodes.all().values() {
                match self.run(&["forget", &rank], node).await {
                    Ok(()) => return Ok(()),
                    Err(error) => last = Some(error),
                }
            }
            if Instant::now() > deadline {
                let last = last.unwrap_or_else(|| anyhow::anyhow!("there is nobody to ask"));
                return Err(last.context(format!("rank {rank} is not forgotten")));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn run(&self, words: &[&str], node: &Client) -> anyhow::Result<()> {
        let mut command = Command::new(&self.binary);
        command.args(words).args(["--admin", node.base()]);
        if let Some(file) = &self.token {
            command.arg("--token-file").arg(file);
        }
        let output = command.kill_on_drop(true).output().await;
        let output = output.with_context(|| format!("{} cannot be run", self.binary.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "`{}` failed: {}",
            words.join(" "),
            said.trim()
        );
        Ok(())
    }
}
