//! What joining cost: one JSON object, or a table for people.

use std::fmt::{self, Display};

use serde::Serialize;

use super::super::stats::Distribution;
use super::super::target::Target;

/// Everything that a run found. The order of the fields is the order in JSON.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct JoinReport {
    /// Nodes of the cluster.
    pub(crate) nodes: u16,
    /// Distinct pages that the mesh held.
    pub(crate) pages: Option<u64>,
    /// Tokens in a page.
    pub(crate) page_size: u16,
    /// Until they were published and all nodes agreed. Unit: seconds.
    pub(crate) fill_s: f64,
    /// Each join.
    pub(crate) joins: Vec<Join>,
    /// Heartbeats beside a snapshot.
    pub(crate) beats: Option<Beats>,
    /// Longest time that a publish waited for a peer, a queue or a lock.
    pub(crate) publishes_blocked_ms_max: f64,
    /// Largest resident set of a node.
    pub(crate) memory_bytes_max: Option<u64>,
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

/// One join. Times are from starting its process.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Join {
    /// Until it listened.
    pub(crate) listening_ms: f64,
    /// Until it said that it is ready.
    pub(crate) ready_ms: f64,
    /// Until it was ready and had all that the others had had when it listened.
    pub(crate) caught_up_ms: f64,
    /// Bytes of frames with ops that all nodes sent meanwhile, those of the others' publishes included.
    pub(crate) ops_bytes: u64,
    /// Bytes of frames with snapshots.
    pub(crate) snapshot_bytes: u64,
    /// Bytes of all other frames.
    pub(crate) other_bytes: u64,
    /// Snapshots that nodes began to send.
    pub(crate) snapshots_sent: u64,
    /// Snapshots that the joining node took: as many as there are logs that it could not pull op by op.
    pub(crate) snapshots_loaded: Option<u64>,
    /// How long publishes at other nodes took before, over HTTP. Unit: ms.
    pub(crate) publish_ms_before: Option<Distribution>,
    /// How long they took until it had caught up. Unit: ms.
    pub(crate) publish_ms_during: Option<Distribution>,
    /// The same at the node where the longest of them was.
    pub(crate) publish_ms_during_worst: Option<Distribution>,
    /// That node.
    pub(crate) worst: Option<u16>,
    /// Processor time that the joining node used meanwhile. Unit: ms, in steps of 10.
    pub(crate) cpu_ms: f64,
    /// The most that one of the others used, its share of the publishes included. Unit: ms, in steps of 10.
    pub(crate) cpu_ms_other_max: f64,
    /// The most that it had resident.
    pub(crate) memory_bytes: Option<u64>,
    /// Why a publish of another node failed.
    pub(crate) failed: Option<String>,
}

/// Heartbeats over a link that is limited, and that snapshots fill.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Beats {
    /// What the link lets through. Unit: bytes a second.
    pub(crate) link_rate: u64,
    /// What came through it meanwhile. Unit: bytes a second.
    pub(crate) reached_rate: f64,
    /// Round trips when nothing else is on the link. Unit: ms.
    pub(crate) idle_ms: Option<Distribution>,
    /// Round trips beside snapshots. Unit: ms.
    pub(crate) filled_ms: Option<Distribution>,
    /// Heartbeats that were not answered.
    pub(crate) lost: usize,
}

/// Prints a distribution of milliseconds.
struct Ms(Option<Distribution>);

impl Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Distribution {
            count,
            p50,
            p99,
            max,
        }) = self.0
        else {
            return write!(f, "none");
        };
        write!(
            f,
            "p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms ({count})"
        )
    }
}

impl Display for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Join {
            listening_ms,
            ready_ms,
            caught_up_ms,
            ops_bytes,
            snapshot_bytes,
            other_bytes,
            snapshots_sent,
            snapshots_loaded,
            cpu_ms,
            cpu_ms_other_max,
            ..
        } = self;
        let bytes = ops_bytes + snapshot_bytes + other_bytes;
        write!(
            f,
            "listens after {listening_ms:.0} ms, ready after {ready_ms:.0} ms, caught up after {caught_up_ms:.0} ms; \
             processor time {cpu_ms:.0} ms, of another node {cpu_ms_other_max:.0} ms at most; {bytes} bytes, \
             {snapshot_bytes} of them snapshots ({} taken of {snapshots_sent} begun); publishes before: {}; during: {}; at rank {}: {}",
            snapshots_loaded.unwrap_or(0),
            Ms(self.publish_ms_before),
            Ms(self.publish_ms_during),
            self.worst.unwrap_or_default(),
            Ms(self.publish_ms_during_worst)
        )
    }
}

impl Display for JoinReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: &dyn Display| writeln!(f, "{name:<26} {value}");
        line("nodes", &self.nodes)?;
        let (pages, size, fill) = (self.pages.unwrap_or(0), self.page_size, self.fill_s);
        line(
            "pages",
            &format_args!("{pages} of {size} tokens, published in {fill:.1} s"),
        )?;
        for join in &self.joins {
            line("join", join)?;
        }
        if let Some(beats) = self.beats {
            let (rate, reached) = (beats.link_rate as f64 / 1e6, beats.reached_rate / 1e6);
            line(
                "limited link",
                &format_args!("{rate:.1} MB a second, {reached:.1} reached"),
            )?;
            line("heartbeats, idle", &Ms(beats.idle_ms))?;
            line("heartbeats, filled", &Ms(beats.filled_ms))?;
            line("heartbeats lost", &beats.lost)?;
        }
        line(
            "publishes blocked",
            &format_args!("{:.3} ms at most", self.publishes_blocked_ms_max),
        )?;
        let mib = self.memory_bytes_max.unwrap_or(0) as f64 / f64::from(1 << 20);
        line("largest node", &format_args!("{mib:.0} MiB resident"))?;
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
