//! What goes in and out of an index: runs of copies, where they hang, and why one may be refused.

use serde::{Deserialize, Serialize};

use crate::id::{CopyRange, Namespace, Rank, Seq, SourceId, Tier};
use crate::page::Fingerprint;

/// One insert op: consecutive pages at one holder and tier. The copies are named by the op, from idx 0.
#[derive(Clone, Copy, Debug)]
pub struct InsertRun<'a> {
    /// The engine behind the op's rank.
    pub source: SourceId,
    /// Where the bytes lie.
    pub tier: Tier,
    /// What the first page follows.
    pub place: Place<'a>,
    /// The pages, at most [`crate::limits::INSERT_PAGES_MAX`].
    pub pages: &'a [Fingerprint],
}

/// Where a run hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// At the root of a namespace.
    Root(Namespace),
    /// Behind the page of a live copy of the same rank.
    Copy {
        /// The insert op that named the copy.
        seq: Seq,
        /// The page inside that op.
        idx: u16,
    },
    /// Behind these pages from the root of a namespace, held or not.
    Path(Namespace, &'a [Fingerprint]),
}

/// Consecutive live copies of one op, self-contained but for the copy they may hang behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRun {
    /// The engine behind the rank.
    pub source: SourceId,
    /// Where the bytes lie.
    pub tier: Tier,
    /// What the first page follows.
    pub place: SnapshotPlace,
    /// The insert op that named the copies.
    pub seq: Seq,
    /// The first page inside that op.
    pub idx: u16,
    /// The pages.
    pub pages: Vec<Fingerprint>,
}

/// [`Place`] with a path of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SnapshotPlace {
    /// At the root of a namespace.
    Root(Namespace),
    /// Behind the page of a copy in an earlier run of the same snapshot, or of one that its base has.
    Copy {
        /// The insert op that named the copy.
        seq: Seq,
        /// The page inside that op.
        idx: u16,
    },
    /// Behind these pages from the root of a namespace.
    Path(Namespace, Vec<Fingerprint>),
}

impl SnapshotPlace {
    /// Returns the same place, borrowed.
    #[must_use]
    pub fn as_place(&self) -> Place<'_> {
        match self {
            SnapshotPlace::Root(namespace) => Place::Root(*namespace),
            SnapshotPlace::Copy { seq, idx } => Place::Copy {
                seq: *seq,
                idx: *idx,
            },
            SnapshotPlace::Path(namespace, pages) => Place::Path(*namespace, pages),
        }
    }
}

/// What became of a rank's copies behind a place of its log. With `base` 0: all its copies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotDelta {
    /// Copies of ops at or below this place stay as they are, but for those that died.
    pub base: Seq,
    /// Sources that lost all their copies of ops at or below `base`.
    pub sources: Vec<SourceId>,
    /// Other copies of such ops that died. Ranges that name none are skipped.
    pub removed: Vec<CopyRange>,
    /// All live copies of ops behind `base`, ancestors first.
    pub runs: Vec<SnapshotRun>,
}

/// Live copies of one holder along a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PathCopies {
    /// The depth of the first page. Unit: pages from the root.
    pub page: u32,
    /// How many pages.
    pub len: u32,
    /// The insert op that named the copies.
    pub seq: Seq,
    /// The first page inside that op.
    pub idx: u16,
    /// Where the bytes lie.
    pub tier: Tier,
}

/// Why a run was refused. It is refused alike everywhere, so the log goes on behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InsertError {
    /// The run hangs behind a copy that is not live.
    ///
    /// State: no copy added; position moved.
    #[error("no live copy {seq}.{idx} of rank {rank} to hang the run behind")]
    UnknownParent {
        /// Whose copy.
        rank: Rank,
        /// The insert op that would have named it.
        seq: Seq,
        /// The page inside that op.
        idx: u16,
    },
    /// The run has no pages.
    ///
    /// State: no copy added; position moved.
    #[error("a run without pages")]
    Empty,
    /// The pages cannot be numbered inside the op.
    ///
    /// State: no copy added; position moved.
    #[error("a run of {pages} pages; at most {pages_max} fit into an op")]
    TooLong {
        /// Pages of the run, with those before it in the op.
        pages: usize,
        /// [`crate::limits::INSERT_PAGES_MAX`].
        pages_max: usize,
    },
    /// The rank has copies for as many sources as it may, or all ranks together for as many holders.
    ///
    /// State: no copy added; position moved.
    #[error("too many holders")]
    TooManyHolders,
    /// The run would end deeper than [`crate::limits::DEPTH_PAGES_MAX`].
    ///
    /// State: no copy added; position moved.
    #[error("the run ends deeper than any path may")]
    DepthOverflow,
    /// The op already names copies, and these are not a later part of the same run.
    ///
    /// State: no copy added; position moved.
    #[error("op {seq} of rank {rank} already names copies elsewhere")]
    Misplaced {
        /// Whose op.
        rank: Rank,
        /// The op.
        seq: Seq,
    },
}

/// All reader slots of an index are taken.
///
/// State: unchanged. Caller: configure `readers_max`, or drop a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all {readers_max} reader slots are taken")]
pub struct TooManyReaders {
    /// As configured.
    pub readers_max: usize,
}
