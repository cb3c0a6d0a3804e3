//! What a replica tells its host: messages to carry, progress, and everything worth a log line or a metric.

use radix_core::id::{Incarnation, OpId, OriginId, Rank, Seq};

use crate::batch::{Batch, BatchError};
use crate::message::Message;
use crate::state::ApplyError;

/// What the host does next, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send to everybody. May be dropped: peers pull what they lack.
    Broadcast(Batch),
    /// Send to one peer. May be dropped.
    Send {
        /// The peer.
        to: Rank,
        /// The message.
        message: Message,
    },
    /// Ops of another rank's log are now in the state, one by one or by a snapshot.
    Applied {
        /// The log.
        origin: OriginId,
        /// The first op new to this replica.
        first: Seq,
        /// The last.
        last: Seq,
    },
    /// This replica goes on under a new incarnation; [`Replica::me`](crate::Replica::me) changed.
    Reincarnated {
        /// The new one.
        inc: Incarnation,
    },
    /// Something a person may want to know.
    Event(Event),
}

/// What happened. None of these asks the host to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A rank began a new life here; the copies of the life before are gone.
    NewIncarnation {
        /// The new log.
        origin: OriginId,
        /// The incarnation replaced.
        before: Option<Incarnation>,
    },
    /// A rank was forgotten up to and including an incarnation; its copies below are gone.
    Forgotten {
        /// Which rank.
        rank: Rank,
        /// The new floor.
        floor: Incarnation,
    },
    /// A batch was no batch and was dropped whole. A bug at the origin or damage on the way.
    Undecodable {
        /// Whose log it claims.
        origin: OriginId,
        /// Who sent it.
        from: Rank,
        /// Why.
        reason: BatchError,
    },
    /// An op was applied without effect, here as everywhere.
    WithoutEffect {
        /// The op.
        at: OpId,
        /// Why.
        reason: ApplyError,
    },
    /// Too much waits behind a gap; the farthest batch was dropped and will be pulled.
    ReorderFull {
        /// The log.
        origin: OriginId,
    },
    /// Nobody could send what somebody claimed to exist; given up until somebody claims it again.
    PullAbandoned {
        /// The log.
        origin: OriginId,
        /// The op that was claimed to exist.
        wanted: Seq,
    },
    /// A snapshot is on its way to a peer.
    SnapshotSent {
        /// The log.
        origin: OriginId,
        /// The op behind which it tells the net changes; 0 when it holds everything.
        base: Seq,
        /// The op after which it was taken.
        seq: Seq,
        /// The receiver.
        to: Rank,
        /// Its length in bytes.
        bytes: u64,
    },
    /// A snapshot was loaded and its digest is right.
    SnapshotLoaded {
        /// The log.
        origin: OriginId,
        /// The op behind which it told the net changes; 0 when it held everything.
        base: Seq,
        /// The op after which it was taken.
        seq: Seq,
        /// The responder.
        from: Rank,
        /// Live copies in it.
        copies: u64,
    },
    /// A snapshot was dropped; another peer is asked.
    SnapshotRejected {
        /// The log.
        origin: OriginId,
        /// The op after which it claims to be taken.
        seq: Seq,
        /// The responder; for [`SnapshotFault::TooLarge`] on the sending side the asker.
        peer: Rank,
        /// Why.
        reason: SnapshotFault,
    },
    /// What this replica holds of a log is not what its origin held. An alarm: there is a bug or damaged memory somewhere.
    DigestMismatch {
        /// The checkpoint that found it.
        at: OpId,
        /// The bytes of the log differ.
        chain: bool,
        /// The live copies differ.
        set: bool,
        /// The log was dropped and is fetched again; false when that was done too recently.
        repaired: bool,
    },
    /// A log of one rank too many was ignored.
    TooManyRanks {
        /// Which.
        rank: Rank,
    },
    /// A peer claims that this rank lives in the last possible incarnation; no higher one can be taken.
    IncarnationExhausted {
        /// Who claims it.
        inc: Incarnation,
    },
}

/// Why a snapshot was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotFault {
    /// Larger than the limit, or than the room that other snapshots leave.
    TooLarge,
    /// Head and chunks contradict each other or a limit. State unchanged.
    Malformed,
    /// The runs hold another number of copies than the head says. State unchanged.
    Count,
    /// The state refused a run. The log is empty now.
    Refused(ApplyError),
    /// The set digest is wrong. The log is empty now.
    Digest,
}

/// Totals since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Ops appended to the own log.
    pub ops_published: u64,
    /// Ops of other logs applied one by one.
    pub ops_accepted: u64,
    /// Ops received again and dropped.
    pub ops_duplicate: u64,
    /// Ops, own and others', that had no effect.
    pub ops_without_effect: u64,
    /// Batches sent to everybody.
    pub batches_broadcast: u64,
    /// Batches that were never broadcast because nobody flushed.
    pub batches_unsent: u64,
    /// Batches that arrived in front of a gap.
    pub batches_ahead: u64,
    /// Gaps: times a log that was in order got a hole.
    pub gaps: u64,
    /// Batches dropped because too many waited behind a gap.
    pub reorder_overflows: u64,
    /// Batches that were no batch.
    pub undecodable: u64,
    /// Messages about an incarnation that is over.
    pub stale: u64,
    /// Messages with places or ranks outside the limits.
    pub refused: u64,
    /// Pulls sent.
    pub pulls_sent: u64,
    /// Pulls that brought nothing in time.
    pub pulls_timed_out: u64,
    /// Pulls given up.
    pub pulls_abandoned: u64,
    /// Pulls answered with ops.
    pub pulls_served: u64,
    /// Pulls answered by "no room for another snapshot now".
    pub pulls_busy: u64,
    /// Pulls and parts of snapshots refused because their peer had had its share.
    pub pulls_limited: u64,
    /// Snapshots begun to send.
    pub snapshots_sent: u64,
    /// Those of them that hold net changes only.
    pub deltas_sent: u64,
    /// Snapshots loaded.
    pub snapshots_loaded: u64,
    /// Those of them that held net changes only.
    pub deltas_loaded: u64,
    /// Snapshots dropped for a fault.
    pub snapshots_rejected: u64,
    /// Those of them that held net changes only.
    pub deltas_rejected: u64,
    /// Checkpoints that agreed.
    pub checkpoints_equal: u64,
    /// Checkpoints that did not agree.
    pub digest_mismatches: u64,
    /// Own new incarnations.
    pub reincarnations: u64,
}
