//! The own log of a replica: appending, batching, checkpoints and new incarnations.

use radix_core::id::{Incarnation, OpId, OriginId, Seq};
use radix_core::mutation::{self, Mutation};
use radix_core::time::Timestamp;
use thiserror::Error;

use crate::event::{Event, Output};
use crate::op::{Op, OpError};
use crate::replica::Replica;
use crate::state::{ApplyError, State};

/// Why an op was not published, or not with effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PublishError {
    /// The op breaks a limit.
    ///
    /// State: unchanged; nothing was appended.
    #[error(transparent)]
    Op(#[from] OpError),
    /// Checkpoints are written by the replica itself.
    ///
    /// State: unchanged; nothing was appended.
    #[error("a checkpoint is not for the caller to publish")]
    Checkpoint,
    /// The state refused the op.
    ///
    /// State: the op stands in the log at `seq` and has no effect, here and everywhere.
    #[error("op {seq} has no effect: {reason}")]
    WithoutEffect {
        /// Its place.
        seq: Seq,
        /// Why.
        reason: ApplyError,
    },
}

impl<S: State> Replica<S> {
    /// Appends an op to the own log, applies it here and puts it into the open batch; returns its place.
    ///
    /// It travels with the next [`flush`](Replica::flush), or by itself when the batch is `batch_delay` old.
    /// Errors: [`PublishError`]. Cost: of applying it; one copy of its bytes.
    // spec: OPLOG-1
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a published op belongs to the log"
    )]
    pub fn publish(&mut self, now: Timestamp, op: Op) -> Result<Seq, PublishError> {
        if matches!(op, Op::Checkpoint { .. }) {
            return Err(PublishError::Checkpoint);
        }
        op.check()?;
        let (seq, result) = self.append(now, &op);
        if self.own.wants_checkpoint(now, &self.config) {
            self.checkpoint(now);
        }
        result.map(|()| seq).map_err(|reason| {
            self.counters.ops_without_effect += 1;
            PublishError::WithoutEffect { seq, reason }
        })
    }

    /// Closes the open batch and broadcasts it. Cheap when nothing is open.
    pub fn flush(&mut self, _now: Timestamp, out: &mut Vec<Output>) {
        self.counters.batches_unsent += self.own.close();
        while let Some(batch) = self.own.take_ready() {
            self.counters.batches_broadcast += 1;
            out.push(Output::Broadcast(batch));
        }
    }

    /// Writes what this replica looks like into the own log.
    // spec: OPLOG-13
    pub(crate) fn checkpoint(&mut self, now: Timestamp) {
        let chain = self.own.chain.digest();
        let set = self.state.digest(self.own.me.rank);
        let (_, result) = self.append(now, &Op::Checkpoint { chain, set });
        debug_assert!(
            result.is_ok(),
            "a checkpoint changes nothing, so nothing can refuse it"
        );
    }

    fn append(&mut self, now: Timestamp, op: &Op) -> (Seq, Result<(), ApplyError>) {
        let (seq, unsent) = self.own.append(now, op, &self.config);
        self.counters.batches_unsent += unsent;
        self.counters.ops_published += 1;
        (
            seq,
            self.state.apply(
                OpId {
                    origin: self.own.me,
                    seq,
                },
                op,
            ),
        )
    }

    /// Takes word of a log of the own rank. One that this replica did not write makes it take a new incarnation.
    // spec: OPLOG-14
    pub(crate) fn challenge(
        &mut self,
        now: Timestamp,
        origin: OriginId,
        seq: Seq,
        out: &mut Vec<Output>,
    ) {
        let me = self.own.me;
        if origin.inc > me.inc || (origin.inc == me.inc && seq > self.own.seq) {
            self.outbid(now, origin.inc, out);
        }
    }

    /// Sees to it that the own incarnation will be above `inc`: now, or when the interval since the last time is over.
    pub(crate) fn outbid(&mut self, now: Timestamp, inc: Incarnation, out: &mut Vec<Output>) {
        if inc < self.own.me.inc || mutation::is_on(Mutation::NeverOutbid) {
            return;
        }
        self.own.challenge = self.own.challenge.max(Some(inc));
        if self
            .own
            .challenge_deadline(&self.config)
            .is_some_and(|at| at <= now)
        {
            self.reincarnate(now, out);
        }
    }

    /// Goes on under an incarnation above every one heard of, with the same copies at the same place.
    pub(crate) fn reincarnate(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let Some(challenge) = self.own.challenge.take() else {
            return;
        };
        let highest = challenge.max(self.own.me.inc);
        let Some(inc) = highest.0.checked_add(1).map(Incarnation) else {
            out.push(Output::Event(Event::IncarnationExhausted { inc: highest }));
            return;
        };
        if highest > self.own.me.inc {
            // It is in the state, so it belongs into the log. Where another life writes under the same name it may not.
            self.flush(now, out);
        }
        self.own.rename(now, inc);
        self.sessions.drop_rank(self.own.me.rank);
        self.state.rename(self.own.me.rank, inc);
        self.counters.reincarnations += 1;
        out.push(Output::Reincarnated { inc });
    }
}
