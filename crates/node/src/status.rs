//! What a node tells of itself. Plain data; nothing here changes state.

use radix_core::id::{Incarnation, Rank, Seq};
use serde::Serialize;
use topology::Role;

/// What this node believes of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Who.
    pub rank: Rank,
    /// What it does.
    pub role: Role,
    /// Its link is up and it is not silent. Always true for the node itself.
    pub up: bool,
    /// It said that it caught up.
    pub ready: bool,
    /// Incarnation of its log here.
    pub inc: Incarnation,
    /// Last op of its log here.
    pub seq: Seq,
}

impl MemberView {
    /// Returns whether requests may be sent there.
    #[must_use]
    pub fn routable(&self) -> bool {
        self.up && self.ready
    }
}

/// Counters of the node itself; those of its parts stand beside them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Frames received.
    pub frames_in: u64,
    /// Frames handed to the driver.
    pub frames_out: u64,
    /// Bytes of frames handed to the driver that carry ops (broadcast or pulled).
    pub data_bytes_out: u64,
    /// Bytes of frames handed to the driver that carry snapshots.
    pub snapshot_bytes_out: u64,
    /// Bytes of all other frames handed to the driver.
    pub control_bytes_out: u64,
    /// Frames that did not decode.
    pub frames_bad: u64,
    /// Broadcasts that ran out of hops.
    pub ttl_expired: u64,
    /// Pages published by the engines behind this node.
    pub pages_published: u64,
    /// Copies removed by the engines behind this node.
    pub copies_removed: u64,
}

/// A node at a glance.
#[derive(Clone, Debug)]
pub struct Status {
    /// Who.
    pub rank: Rank,
    /// In which life.
    pub inc: Incarnation,
    /// Whether it caught up.
    pub ready: bool,
    /// Every member.
    pub members: Vec<MemberView>,
    /// Counters of the node.
    pub counters: Counters,
    /// Counters of the logs.
    pub log: oplog::Counters,
    /// Size of the tree.
    pub index: radix_core::IndexStats,
}
