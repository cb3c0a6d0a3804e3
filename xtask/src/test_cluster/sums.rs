//! Counters of nodes, added up; what a killed life counted is taken just before it dies.

use radixmesh::admin::api::StatusResponse;
use xxhash_rust::xxh3::xxh3_64;

use super::process;

/// Sums and maxima over nodes, or over lives of nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Bytes of frames that carry ops.
    pub(crate) data_bytes: u64,
    /// Bytes of frames that carry snapshots.
    pub(crate) snapshot_bytes: u64,
    /// Bytes of all other frames.
    pub(crate) control_bytes: u64,
    /// Copies that were named.
    pub(crate) inserts: u64,
    /// Copies that were dropped.
    pub(crate) removes: u64,
    /// Ops in the nodes' own logs.
    pub(crate) ops: u64,
    /// Longest wait of a publish. Unit: nanoseconds.
    pub(crate) publish_wait_ns_max: u64,
    /// Largest resident set. Unit: bytes.
    pub(crate) memory_bytes_max: u64,
    /// Frames that a full lane refused.
    pub(crate) sends_dropped: u64,
    /// Batches that are missing in a record.
    pub(crate) record_errors: u64,
}

impl Sums {
    /// Adds a node, as it reports itself; `pid` tells its peak of memory.
    pub(crate) fn add(&mut self, status: &StatusResponse, pid: Option<u32>) {
        let counter = |name: &str| status.counters.get(name).copied().unwrap_or(0);
        self.data_bytes += counter("data_bytes_out");
        self.snapshot_bytes += counter("snapshot_bytes_out");
        self.control_bytes += counter("control_bytes_out");
        self.inserts += counter("pages_published");
        self.removes += counter("copies_removed");
        self.publish_wait_ns_max = self.publish_wait_ns_max.max(counter("publish_wait_ns_max"));
        self.record_errors += counter("record_errors");
        for lane in ["control", "data", "bulk"] {
            self.sends_dropped += counter(&format!("sends_dropped_{lane}"));
        }
        self.ops += status
            .origins
            .iter()
            .find(|origin| origin.rank == status.rank)
            .map_or(0, |own| own.seq);
        let peak = pid.and_then(process::memory_peak).unwrap_or(0);
        self.memory_bytes_max = self.memory_bytes_max.max(status.memory_bytes).max(peak);
    }
}

/// Returns one number for everything that a node believes of all logs. A log without ops is like none.
pub(crate) fn digest(status: &StatusResponse) -> u64 {
    let mut bytes = Vec::new();
    for origin in status.origins.iter().filter(|origin| origin.seq > 0) {
        bytes.extend_from_slice(&origin.rank.to_le_bytes());
        for part in [
            origin.incarnation,
            origin.seq,
            origin.chain_digest,
            origin.set_digest,
        ] {
            bytes.extend_from_slice(&part.to_le_bytes());
        }
    }
    xxh3_64(&bytes)
}
