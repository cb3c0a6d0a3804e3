//! The few names that every room of the house speaks: ranks, incarnations, sequences, sources,
//! copies, tiers and namespaces. No behaviour beyond ordering and display lives here.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The configured position of a node in the ring. Unit: none; unique in a cluster.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Rank(pub u16);

/// One life of a rank. It grows with every restart and never repeats.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

/// The position of an op in its origin's log. The first op of a fresh log is 1; 0 means "none yet".
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The position before the first op.
    pub const ZERO: Seq = Seq(0);

    /// Returns the position after this one.
    #[must_use]
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

/// One engine (and data-parallel rank) behind a node.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SourceId(pub u16);

/// Who holds a copy: a source behind a rank.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Holder {
    /// The node that answers for the copy.
    pub rank: Rank,
    /// The engine behind that node.
    pub source: SourceId,
}

/// A log: one life of one rank. Only that life writes to it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct OriginId {
    /// Whose log.
    pub rank: Rank,
    /// In which life.
    pub inc: Incarnation,
}

/// The name of one op: a place in a log.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct OpId {
    /// The log.
    pub origin: OriginId,
    /// The place in it.
    pub seq: Seq,
}

/// The name of one page's KV at one holder, for ever: born by an insert, dead by a remove, never reused.
///
/// `seq` names the insert op, `idx` the page inside it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct CopyId {
    /// The log that gave the copy its name.
    pub origin: OriginId,
    /// The insert op.
    pub seq: Seq,
    /// The page inside the op, counted from 0.
    pub idx: u16,
}

/// Consecutive copies of one insert op within a known log: `idx .. idx + len` of op `seq`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct CopyRange {
    /// The insert op.
    pub seq: Seq,
    /// The first page inside the op.
    pub idx: u16,
    /// How many pages; at least 1 in a valid range.
    pub len: u16,
}

/// Where a copy's bytes lie, fastest first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[repr(u8)]
pub enum Tier {
    /// Accelerator memory.
    #[default]
    Device = 0,
    /// Host memory.
    Host = 1,
    /// Local disk.
    Disk = 2,
}

impl Tier {
    /// How many tiers there are; arrays per tier are indexed by `tier as usize`.
    pub const COUNT: usize = 3;
    /// All tiers, fastest first.
    pub const ALL: [Tier; Tier::COUNT] = [Tier::Device, Tier::Host, Tier::Disk];
}

/// A root of its own: model, adapter, cache salt, tenant. Two namespaces never share a page.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Namespace(pub u64);

impl Namespace {
    /// The namespace of requests that name none.
    pub const DEFAULT: Namespace = Namespace(0);
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.rank, self.source.0)
    }
}

impl fmt::Display for OriginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} incarnation {}", self.rank, self.inc)
    }
}

impl fmt::Display for CopyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{}.{}.{}",
            self.origin.rank, self.origin.inc, self.seq, self.idx
        )
    }
}
