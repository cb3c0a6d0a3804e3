//! Everything that can happen to a node.

use std::time::Duration;

use bytes::Bytes;
use radix_core::id::{CopyRange, Incarnation, Namespace, OriginId, Rank, Seq, SourceId, Tier};
use radix_core::page::Fingerprint;
use thiserror::Error;
use topology::{Record, Role};

/// Longest path of one publish: 262,144 pages (4 Mi tokens at 16 tokens a page).
pub const PATH_PAGES_MAX: usize = 262_144;

/// The only way into a node.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time has passed; due when [`Node::next_deadline`](crate::Node::next_deadline) says so. Early or repeated ticks are harmless.
    Tick,
    /// The driver has nothing more queued: what is open is sent.
    Flush,
    /// A link to `peer` came up; `inc` is the incarnation it proved in the handshake.
    LinkUp {
        /// Who.
        peer: Rank,
        /// In which life.
        inc: Incarnation,
    },
    /// The link to `peer` is gone.
    LinkDown {
        /// Who.
        peer: Rank,
    },
    /// Frames to `peer` were dropped because its data lane was full: it gets no more broadcasts and pulls instead.
    LinkSlow {
        /// Who.
        peer: Rank,
    },
    /// Nothing waits in the lanes of a slow `peer` any more.
    LinkDrained {
        /// Who.
        peer: Rank,
    },
    /// A node wants to join through this one; its handshake was checked. The same call answers with
    /// [`Effect::Introduced`](crate::Effect::Introduced).
    Introduce {
        /// The rank it claims.
        rank: Rank,
        /// What it will do.
        role: Role,
        /// Where it is dialed.
        address: String,
        /// The life it proposes; the answer names the life it shall take.
        inc: Incarnation,
    },
    /// What an introduction of this node was answered with, when it already ran.
    Table(Vec<Record>),
    /// Leave the mesh: not Ready from now on, and gone after `drain` with [`Effect::Left`](crate::Effect::Left).
    /// Said again, the earlier end holds.
    Leave {
        /// How long work that is under way may still take.
        drain: Duration,
    },
    /// The operator wants a member that is down or has left forgotten now. The same call answers with
    /// [`Effect::ForgetAnswered`](crate::Effect::ForgetAnswered).
    Forget {
        /// Who.
        rank: Rank,
    },
    /// A peer refused this node: it knows of a later life, `inc`. The node goes on in a still later one.
    Outlived {
        /// The latest life known.
        inc: Incarnation,
    },
    /// A frame arrived on the link of `from`.
    Frame {
        /// The neighbour, not the origin.
        from: Rank,
        /// One whole frame as [`wire`](crate::wire) wrote it.
        bytes: Bytes,
    },
    /// An engine behind this node says what it stored or dropped. The same call answers with
    /// [`Effect::Published`](crate::Effect::Published).
    Publish(Publish),
}

/// What an engine behind this node has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publish {
    /// "I now hold the KV of `pages[from..]`." Pages that this source already holds at this tier are not published again.
    Store {
        /// Which engine.
        source: SourceId,
        /// Which root.
        namespace: Namespace,
        /// Where the bytes lie.
        tier: Tier,
        /// The whole path from the root.
        pages: Vec<Fingerprint>,
        /// First page of the path that this publish is about. Unit: pages.
        from: u32,
        /// The bytes were stored anew (other slots): copies of these pages that are already known die and new ones are named.
        renew: bool,
    },
    /// "I dropped `pages[from..]`", at every tier.
    Evict {
        /// Which engine.
        source: SourceId,
        /// Which root.
        namespace: Namespace,
        /// The whole path from the root.
        pages: Vec<Fingerprint>,
        /// First dropped page of the path. Unit: pages.
        from: u32,
    },
    /// "I dropped these copies." Names come from receipts.
    Drop {
        /// Which copies of this node's log.
        copies: Vec<CopyRange>,
    },
    /// "I dropped everything": the engine restarted or cleared its cache.
    Reset {
        /// Which engine.
        source: SourceId,
    },
}

/// Pages of the published path and the copies that they became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRun {
    /// First page, counted from the root.
    pub page: u32,
    /// How many pages.
    pub len: u32,
    /// The insert op that names them.
    pub seq: Seq,
    /// Index of the first page inside that op.
    pub idx: u16,
}

/// What became of a [`Publish`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The log that names the copies.
    pub origin: OriginId,
    /// The log's last op when the publish was done.
    pub seq: Seq,
    /// New copies, in path order.
    pub stored: Vec<StoredRun>,
    /// Pages that were already held and stayed as they were.
    pub already_held: u32,
    /// Copies that died.
    pub removed: u64,
}

/// Why a publish was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PublishError {
    /// The path has no page.
    ///
    /// State: unchanged.
    #[error("the path is empty: it needs at least one whole page")]
    EmptyPath,
    /// `from` does not point into the path.
    ///
    /// State: unchanged.
    #[error("from = {from} lies beyond the path of {pages} pages")]
    FromBeyondPath {
        /// As given.
        from: u32,
        /// Length of the path.
        pages: usize,
    },
    /// The path is longer than [`PATH_PAGES_MAX`].
    ///
    /// State: unchanged.
    #[error("the path has {pages} pages; at most {PATH_PAGES_MAX} are accepted")]
    PathTooLong {
        /// Length of the path.
        pages: usize,
    },
    /// The node said goodbye.
    ///
    /// State: unchanged. Caller: publish through the node of another rank.
    #[error("the node has left the mesh")]
    Left,
    /// The log refused the op.
    ///
    /// State: ops of the same publish that came before it are in the log.
    #[error("the log refused the op: {0}")]
    Log(#[from] oplog::PublishError),
}
