//! The committed counts, and what they depend on besides our code.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

/// Instructions per call by operation, in the order they are shown in.
pub(super) type Counts = Vec<(String, f64)>;

/// What was counted once, and is committed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Baseline {
    pub(super) built: Built,
    /// Per call, by operation.
    pub(super) instructions: BTreeMap<String, f64>,
}

/// Who else decides how many instructions our code takes. Counts of different ones cannot be compared closely.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Built {
    /// Such as `1.95.0`.
    pub(super) rustc: String,
    /// Such as `x86_64-unknown-linux-gnu`.
    pub(super) target: String,
    /// Whose allocator and memory copies are part of the counts, such as `glibc 2.36`.
    pub(super) libc: String,
}

impl Baseline {
    /// Reads a baseline, or returns `None` when there is none.
    pub(super) fn read(path: &Path) -> anyhow::Result<Option<Baseline>> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("{} cannot be read", path.display()))?,
        };
        let baseline = serde_json::from_str(&text)
            .with_context(|| format!("{} is no baseline", path.display()))?;
        Ok(Some(baseline))
    }

    /// Writes the baseline, an operation a line.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
    }
}

impl Built {
    /// Returns what is built with here.
    ///
    /// Errors: the compiler does not tell its version.
    pub(super) fn here() -> anyhow::Result<Built> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let output = Command::new(rustc)
            .arg("-vV")
            .output()
            .context("rustc cannot be run")?;
        ensure!(output.status.success(), "rustc does not tell its version");
        let text = String::from_utf8_lossy(&output.stdout);
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name));
            value.with_context(|| format!("rustc -vV has no line {name:?}"))
        };
        Ok(Built {
            rustc: field("release: ")?.to_owned(),
            target: field("host: ")?.to_owned(),
            libc: libc(),
        })
    }

    /// Names what differs, and how.
    pub(super) fn differences(&self, baseline: &Built) -> Vec<String> {
        let fields = [
            ("rustc", &baseline.rustc, &self.rustc),
            ("target", &baseline.target, &self.target),
            ("C library", &baseline.libc, &self.libc),
        ];
        fields
            .into_iter()
            .filter(|(_, then, now)| then != now)
            .map(|(what, then, now)| format!("{what} ({then}; here {now})"))
            .collect()
    }
}

/// Returns the C library's name and version; only glibc tells them.
fn libc() -> String {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(rustc: &str, libc: &str) -> Built {
        Built {
            rustc: rustc.to_owned(),
            target: "x86_64-unknown-linux-gnu".to_owned(),
            libc: libc.to_owned(),
        }
    }

    #[test]
    fn only_what_differs_is_named() {
        let then = built("1.95.0", "glibc 2.36");
        assert!(then.differences(&then).is_empty());
        assert_eq!(
            built("1.96.0", "glibc 2.36").differences(&then),
            ["rustc (1.95.0; here 1.96.0)"]
        );
        assert_eq!(built("1.96.0", "unknown").differences(&then).len(), 2);
    }

    #[test]
    fn the_committed_baseline_is_as_it_would_be_written() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(super::super::BASELINE);
        let baseline = Baseline::read(&path).unwrap().unwrap();
        let text = serde_json::to_string_pretty(&baseline).unwrap() + "\n";
        assert_eq!(std::fs::read_to_string(path).unwrap(), text);
        assert!(!baseline.instructions.is_empty());
    }

    #[test]
    fn a_missing_baseline_is_none() {
        assert_eq!(
            Baseline::read(Path::new("no/such/file.json")).unwrap(),
            None
        );
    }
}
