//! What replicas say to each other. `docs/protocols/oplog.md` is the text to this code.

use bytes::Bytes;
use radix_core::id::{OriginId, Seq};
use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::vector::VersionVector;

/// A message between two replicas. Append only: new kinds go to the end.
///
/// Every one may be lost, doubled or late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Ops, new or asked for.
    Batch(Batch),
    /// "This is what I have."
    Offer {
        /// What the sender has.
        vector: VersionVector,
        /// Whether the receiver may answer with an offer of its own when it has more.
        reply: bool,
    },
    /// "Send me that log from this op on."
    Pull {
        /// The log.
        origin: OriginId,
        /// The first op wanted.
        from: Seq,
    },
    /// "That was all for this pull." Also the answer of one who has nothing to send.
    PullEnd {
        /// The log as the responder knows it; another incarnation than the one asked for is news.
        origin: OriginId,
        /// The last op sent; 0 for none.
        last: Seq,
        /// The last op the responder has.
        have: Seq,
    },
    /// A piece of a snapshot.
    Snapshot(SnapshotChunk),
    /// "Send me the chunks from `next` on."
    SnapshotMore {
        /// As in the chunks.
        session: u64,
        /// The first chunk wanted.
        next: u32,
    },
    /// "I no longer keep that snapshot."
    SnapshotGone {
        /// As asked.
        session: u64,
    },
}

impl Message {
    /// Returns whether the message is a bulk transfer, which may wait behind everything else.
    #[must_use]
    pub fn is_bulk(&self) -> bool {
        match self {
            Message::Snapshot(_) => true,
            Message::Batch(_)
            | Message::Offer { .. }
            | Message::Pull { .. }
            | Message::PullEnd { .. }
            | Message::SnapshotMore { .. }
            | Message::SnapshotGone { .. } => false,
        }
    }
}

/// What a snapshot is a snapshot *of*. There is no snapshot without it: each chunk carries the whole head,
/// so a receiver cannot take up a log at a place that the origin never named.
// spec: OPLOG-9
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotHead {
    /// The log.
    pub origin: OriginId,
    /// The op after which it was taken.
    pub seq: Seq,
    /// Chain digest after that op.
    pub chain: u64,
    /// Set digest of the live copies after that op.
    pub set: u64,
    /// Copies in the stream: all that are live, or all behind `base`.
    pub copies: u64,
    /// Length of the stream of runs, in bytes.
    pub bytes: u64,
    /// Chunks the stream is cut into; at least 1.
    pub chunks: u32,
    /// The op behind which the stream tells the net changes; 0 when it tells everything.
    pub base: Seq,
}

/// One piece of the stream of runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotChunk {
    /// Names the snapshot at its responder.
    pub session: u64,
    /// Of what.
    pub head: SnapshotHead,
    /// Which piece, from 0.
    pub index: u32,
    /// Its bytes.
    pub bytes: Bytes,
}
