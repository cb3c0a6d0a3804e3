//! What the logs fold into, as far as the logs need to know it.

use radix_core::id::{Incarnation, OpId, OriginId, Rank, Seq};
use radix_core::{SnapshotDelta, SnapshotRun};
use thiserror::Error;

use crate::op::Op;

/// The state that the ops of all logs fold into. [`radix_core::Index`] is the one that ships.
///
/// Deterministic: equal logs give equal states, digests and snapshots on every replica.
/// The position of a rank is (incarnation, seq) of the last op that was applied, with or without effect.
pub trait State {
    /// Applies one op of one log. `at` is the op behind the rank's position.
    ///
    /// Errors: [`ApplyError`]. The op then has no effect, here and at every other replica alike.
    fn apply(&mut self, at: OpId, op: &Op) -> Result<(), ApplyError>;
    /// Forgets every copy of that rank; its position becomes (`origin.inc`, `seq`).
    fn reset(&mut self, origin: OriginId, seq: Seq);
    /// Keeps every copy of `rank` under a new incarnation; seq and index of each copy stay.
    fn rename(&mut self, rank: Rank, inc: Incarnation);
    /// Returns the set digest of the live copies of `rank`; independent of order and of the incarnation.
    fn digest(&self, rank: Rank) -> u64;
    /// Returns the live copies of `rank` that ops behind `base` named, ancestors first; with `base` 0 all its copies.
    fn snapshot(&self, rank: Rank, base: Seq) -> Vec<SnapshotRun>;
    /// Takes that rank from any position at or behind `delta.base` to (`origin.inc`, `seq`), in one step for readers.
    ///
    /// Every copy of an op behind `delta.base` gives way to `delta.runs`; of the others those that it names die.
    /// Errors: [`ApplyError`]; the rank then has no copies.
    fn load(&mut self, origin: OriginId, seq: Seq, delta: SnapshotDelta) -> Result<(), ApplyError>;
}

/// Why an op had no effect, or a snapshot could not be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ApplyError {
    /// The parent is no live copy of this log.
    ///
    /// State: no copy added; position moved.
    #[error("parent copy {seq}.{idx} is not live")]
    UnknownParent {
        /// The insert op named.
        seq: Seq,
        /// The page inside it.
        idx: u16,
    },
    /// The state is at one of its own limits.
    ///
    /// State: no copy added; position moved.
    #[error("the state refuses: {limit}")]
    Limit {
        /// Which limit.
        limit: &'static str,
    },
}
