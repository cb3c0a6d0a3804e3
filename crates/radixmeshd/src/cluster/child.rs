//! One child process: stdout carries the ready line, stderr goes to a file, and the end of stdin tells it to stop.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout, Command};

use crate::config::ENV_PREFIX;
use crate::listening::Listening;

/// Lines of a log that an error shows.
const TAIL_LINES: usize = 8;

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Child {
    process: tokio::process::Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Child {
    /// Starts it, behind the words of `enter`, without any of our variables in its environment: the file and the flags
    /// say everything.
    pub(super) fn spawn(
        enter: &[String],
        binary: &Path,
        arguments: &[&str],
        log: &Path,
    ) -> io::Result<Child> {
        let stderr: File = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = match enter {
            [] => Command::new(binary),
            [first, others @ ..] => {
                let mut command = Command::new(first);
                command.args(others).arg(binary);
                command
            }
        };
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr);
        command.kill_on_drop(true);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(ENV_PREFIX) {
                command.env_remove(name);
            }
        }
        let mut process = command.spawn()?;
        let stdin = process.stdin.take();
        let stdout = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Child {
            process,
            stdin,
            stdout: BufReader::new(stdout),
        })
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits for the ready line; `None` when the process ends without it.
    pub(super) async fn listening(&mut self) -> Option<Listening> {
        let mut line = String::new();
        loop {
            line.clear();
            match self.stdout.read_line(&mut line).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
            if let Ok(listening) = serde_json::from_str(&line) {
                return Some(listening);
            }
        }
    }

    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    pub(super) fn ask_to_stop(&mut self) {
        self.stdin = None;
    }

    /// Waits for its end; returns whether that was a success, or `None` after the limit, when it is killed.
    pub(super) async fn ended(mut self, limit: Duration) -> Option<bool> {
        match tokio::time::timeout(limit, self.process.wait()).await {
            Ok(status) => Some(status.is_ok_and(|status| status.success())),
            Err(_) => {
                self.kill().await;
                None
            }
        }
    }

    pub(super) async fn kill(mut self) {
        // It may have ended already.
        let _ = self.process.kill().await;
    }
}

/// Returns the last lines of a log.
pub(super) fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
