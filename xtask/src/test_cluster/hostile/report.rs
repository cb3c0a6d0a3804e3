//! What attacks came to: one JSON object, or a table for people.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use serde::Serialize;

use super::super::stats::Distribution;
use super::super::target::Target;

/// Everything that a run found. The order of the fields is the order in JSON.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct HostileReport {
    /// Nodes of each cluster.
    pub(crate) nodes: u16,
    /// Each attack.
    pub(crate) attacks: Vec<Attack>,
    /// Longest time that a publish waited for a peer, a queue or a lock.
    pub(crate) publishes_blocked_ms_max: f64,
    /// What the run is held against.
    pub(crate) targets: Vec<Target>,
    /// Seed of what was drawn by chance.
    pub(crate) seed: u64,
    /// What makes this run a failure. Empty: it is none.
    pub(crate) failures: Vec<String>,
    /// The command that repeats it.
    pub(crate) command: String,
    /// Where it ran.
    pub(crate) machine: String,
}

/// One attack on one node.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Attack {
    /// `plain` or `tls`: how links are protected.
    pub(crate) links: &'static str,
    /// What was done.
    pub(crate) name: String,
    /// How often.
    pub(crate) tries: u64,
    /// How many of them the node had to refuse and count.
    pub(crate) expected: u64,
    /// How many it did.
    pub(crate) counted: u64,
    /// Under which names: its counters, as far as they grew.
    pub(crate) refused_as: BTreeMap<String, u64>,
    /// How long a rightful peer needed to be let in meanwhile, where one tried. Unit: ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) honest_ms: Option<f64>,
    /// Resident memory of the node before. Unit: 10^6 bytes.
    pub(crate) memory_mb_before: f64,
    /// The most it had meanwhile. Unit: 10^6 bytes.
    pub(crate) memory_mb_peak: f64,
    /// Publishes at all nodes meanwhile, over HTTP. Unit: ms.
    pub(crate) publish_ms: Option<Distribution>,
}

impl Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Attack {
            links,
            name,
            tries,
            expected,
            counted,
            refused_as,
            honest_ms,
            memory_mb_before,
            memory_mb_peak,
            publish_ms,
        } = self;
        write!(
            f,
            "{links}: {name}, {tries} tries: {counted} of {expected} counted"
        )?;
        for (name, count) in refused_as {
            write!(f, ", {name} {count}")?;
        }
        if let Some(honest) = honest_ms {
            write!(f, "; a rightful peer was let in after {honest:.1} ms")?;
        }
        write!(
            f,
            "; memory {memory_mb_before:.1} to {memory_mb_peak:.1} MB"
        )?;
        let Some(Distribution {
            count,
            p50,
            p99,
            max,
        }) = publish_ms
        else {
            return write!(f, "; no publish meanwhile");
        };
        write!(
            f,
            "; publishes p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms ({count})"
        )
    }
}

impl Display for HostileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: &dyn Display| writeln!(f, "{name:<26} {value}");
        line("nodes", &self.nodes)?;
        for attack in &self.attacks {
            line("attack", attack)?;
        }
        line(
            "publishes blocked",
            &format_args!("{:.3} ms at most", self.publishes_blocked_ms_max),
        )?;
        line("seed", &self.seed)?;
        line("command", &self.command)?;
        line("machine", &self.machine)?;
        for target in &self.targets {
            line("target", target)?;
        }
        for failure in &self.failures {
            line("FAILED", failure)?;
        }
        Ok(())
    }
}
