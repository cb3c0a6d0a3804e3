//! What can be wrong, and a run that found it.

use std::fmt;

use radix_core::id::{Incarnation, OriginId, Rank, Seq};
use thiserror::Error;

/// A promise that was broken. The names in brackets are those of `docs/protocols/oplog.md` and of the crate's README.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Violation {
    /// A replica is not the fold of a prefix of the log.
    #[error(
        "prefix: rank {at} says {origin} after op {seq} has chain {chain:016x} and set {set:016x}; \
         the log folds to chain {want_chain:016x} and set {want_set:016x}"
    )]
    Prefix {
        /// The replica.
        at: Rank,
        /// The log.
        origin: OriginId,
        /// The op.
        seq: Seq,
        /// What it reports.
        chain: u64,
        /// What it reports.
        set: u64,
        /// What is true.
        want_chain: u64,
        /// What is true.
        want_set: u64,
    },
    /// A replica holds other copies than the log left.
    #[error("copies: rank {at} after op {seq} of {origin}: {what}")]
    Copies {
        /// The replica.
        at: Rank,
        /// The log.
        origin: OriginId,
        /// The op.
        seq: Seq,
        /// What differs.
        what: String,
    },
    /// A question got an answer that does not follow from the logs.
    #[error("lookup: rank {at} answers {got} for {question}; its logs say {want}")]
    Lookup {
        /// The replica.
        at: Rank,
        /// The path.
        question: String,
        /// The answer.
        got: String,
        /// The right one.
        want: String,
    },
    /// A replica has ops that the origin never wrote down.
    #[error("invented: rank {at} is at op {seq} of {origin}, whose last op is {last:?}")]
    Invented {
        /// The replica.
        at: Rank,
        /// The log.
        origin: OriginId,
        /// Where the replica is.
        seq: Seq,
        /// What was written.
        last: Option<Seq>,
    },
    /// One place in a log got two ops.
    #[error("equivocation: op {seq} of {origin} was written twice, with different bytes")]
    Equivocation {
        /// The log.
        origin: OriginId,
        /// The op.
        seq: Seq,
    },
    /// An origin left a place in its log empty.
    #[error("log gap: {origin} wrote op {next} behind op {last}")]
    LogGap {
        /// The log.
        origin: OriginId,
        /// The last op it wrote.
        last: Seq,
        /// The op it wrote next.
        next: Seq,
    },
    /// An origin wrote something that is no op.
    #[error("bad log: {origin} wrote an op at {seq} that does not decode: {reason}")]
    BadLog {
        /// The log.
        origin: OriginId,
        /// The op.
        seq: Seq,
        /// Why.
        reason: String,
    },
    /// Ops appeared for a life that nobody has lived.
    #[error("unknown log: nobody has lived as {origin}")]
    UnknownLog {
        /// The log.
        origin: OriginId,
    },
    /// A replica forgot something it knew.
    #[error(
        "went back: rank {at} knew rank {rank} at incarnation {inc} op {seq}, now at incarnation {now_inc} op {now_seq}"
    )]
    WentBack {
        /// The replica.
        at: Rank,
        /// Whose log.
        rank: Rank,
        /// Before.
        inc: Incarnation,
        /// Before.
        seq: Seq,
        /// Now.
        now_inc: Incarnation,
        /// Now.
        now_seq: Seq,
    },
    /// An [`Applied`](node::Effect::Applied) does not fit the state behind it.
    #[error("applied: rank {at} told of ops {first} to {last} of {origin} but is at {position}")]
    Applied {
        /// The replica.
        at: Rank,
        /// The log.
        origin: OriginId,
        /// As told.
        first: Seq,
        /// As told.
        last: Seq,
        /// Where it is.
        position: String,
    },
    /// A broadcast came to a node twice, though no frame was doubled.
    #[error("visited twice: the broadcast of op {first} of {origin} came to rank {at} again")]
    VisitedTwice {
        /// The node.
        at: Rank,
        /// The log.
        origin: OriginId,
        /// First op of the broadcast.
        first: Seq,
    },
    /// A broadcast did not come to everybody, though nothing was lost.
    #[error("uncovered: the broadcast of op {first} of {origin} came to {count} of {others} nodes")]
    Uncovered {
        /// The log.
        origin: OriginId,
        /// First op of the broadcast.
        first: Seq,
        /// To how many nodes it came.
        count: u32,
        /// To how many it should have come.
        others: u32,
    },
    /// A node says to be Ready before it has what a Ready peer had.
    #[error("ready too early: rank {at}: {lacks}")]
    ReadyTooEarly {
        /// The node.
        at: Rank,
        /// What it lacks.
        lacks: String,
    },
    /// Something of a life that is forgotten is visible.
    #[error("forgotten: rank {at} forgot rank {rank} and still shows {what}")]
    Forgotten {
        /// The node.
        at: Rank,
        /// Whose life it was.
        rank: Rank,
        /// What it shows.
        what: String,
    },
    /// A node takes a view for stable that a member of it never had.
    #[error("not stable: rank {at} takes its view for stable, but rank {rank} did not have it")]
    NotStable {
        /// The node.
        at: Rank,
        /// The member.
        rank: Rank,
    },
    /// Something that a run must never see was reported.
    #[error("alarm: rank {at} reports {event}")]
    Alarm {
        /// The node.
        at: Rank,
        /// What it said.
        event: String,
    },
    /// A bound was broken.
    #[error("bound: {what} is {value}, at most {max} is allowed (rank {at})")]
    Bound {
        /// The node.
        at: Rank,
        /// Of what.
        what: &'static str,
        /// How much.
        value: u64,
        /// How much is allowed.
        max: u64,
    },
    /// What the engine holds is not what its node wrote into the log.
    #[error("engine: rank {at} holds {engine} pages by its engine's account, {log} by its log")]
    Engine {
        /// The node.
        at: Rank,
        /// Pages that the engine holds.
        engine: u64,
        /// Live copies of the log.
        log: u64,
    },
    /// The faults are over, and still the nodes do not agree.
    #[error("not converged {after_ms} ms after the last fault: {what}")]
    NotConverged {
        /// How long it was waited. Unit: virtual milliseconds.
        after_ms: u64,
        /// The first difference.
        what: String,
    },
}

/// A run that broke a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// When. Unit: virtual nanoseconds since the start.
    pub at_ns: u64,
    /// After how many events.
    pub event: u64,
    /// What.
    pub violation: Violation,
    /// The command that runs it again.
    pub reproduce: String,
    /// The last events, oldest first; empty unless asked for.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "  {line}")?;
        }
        let ms = self.at_ns / 1_000_000;
        writeln!(
            f,
            "seed {} failed at {ms} ms, event {}: {}",
            self.seed, self.event, self.violation
        )?;
        write!(f, "reproduce: {}", self.reproduce)
    }
}

impl std::error::Error for Failure {}
