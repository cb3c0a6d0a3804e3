//! What happens to a batch of another rank's log: dropped, applied, or put aside until the gap is filled.

use std::ops::Range;

use radix_core::id::{OpId, OriginId, Rank, Seq};
use radix_core::mutation::{self, Mutation};
use radix_core::time::Timestamp;

use crate::batch::{Batch, BatchError};
use crate::delta::Stretch;
use crate::event::{Event, Output};
use crate::op::Op;
use crate::replica::Replica;
use crate::state::State;

impl<S: State> Replica<S> {
    /// Takes a batch, new or asked for.
    // spec: OPLOG-3
    pub(crate) fn accept(
        &mut self,
        now: Timestamp,
        from: Rank,
        batch: Batch,
        out: &mut Vec<Output>,
    ) {
        let origin = batch.origin;
        let last = match batch.last() {
            Ok(last) => last,
            Err(reason) => return self.undecodable(origin, from, reason, out),
        };
        if origin.rank == self.own.me.rank {
            return self.challenge(now, origin, last, out);
        }
        let known = self
            .remotes
            .get(&origin.rank)
            .filter(|remote| remote.origin == origin);
        if known.is_some_and(|remote| last <= remote.seq) && !mutation::is_on(Mutation::NoDedup) {
            self.counters.ops_duplicate += u64::from(batch.count);
            return;
        }
        // Whole before anything changes: not even a new incarnation begins with a batch that is none.
        let mut ops = std::mem::take(&mut self.decoded);
        match batch.decode_into(&mut ops) {
            Err(reason) => self.undecodable(origin, from, reason, out),
            Ok(()) if self.admit(origin, out) => self.place(now, from, batch, last, &ops, out),
            Ok(()) => {}
        }
        ops.clear();
        self.decoded = ops;
    }

    /// Applies a whole batch, or puts it aside.
    fn place(
        &mut self,
        now: Timestamp,
        from: Rank,
        batch: Batch,
        last: Seq,
        ops: &[(Op, Range<usize>)],
        out: &mut Vec<Output>,
    ) {
        let origin = batch.origin;
        let Some(remote) = self.remotes.get_mut(&origin.rank) else {
            return;
        };
        let before = remote.seq;
        if batch.first > before.next() && mutation::is_on(Mutation::ApplyPastGap) {
            remote.seq = Seq(batch.first.0 - 1);
        } else if batch.first > before.next() {
            self.counters.batches_ahead += 1;
            self.counters.gaps += u64::from(remote.reorder.is_empty());
            if !remote.reorder.insert(batch) {
                self.counters.reorder_overflows += 1;
                out.push(Output::Event(Event::ReorderFull { origin }));
            }
            self.want(now, from, origin.rank, last);
            return;
        }
        if self.apply(now, from, batch, last, ops, out) {
            self.drain(now, origin, before, out);
        }
    }

    /// Applies what waited and now fits, and tells the host how far the log came from `before`.
    pub(crate) fn drain(
        &mut self,
        now: Timestamp,
        origin: OriginId,
        before: Seq,
        out: &mut Vec<Output>,
    ) {
        let mut ops = Vec::new();
        while let Some(remote) = self.remotes.get_mut(&origin.rank) {
            let Some(batch) = remote.reorder.take(remote.seq.next()) else {
                break;
            };
            match batch.last() {
                Ok(last) if last > remote.seq => {
                    if let Err(reason) = batch.decode_into(&mut ops) {
                        self.undecodable(origin, origin.rank, reason, out);
                    } else if !self.apply(now, origin.rank, batch, last, &ops, out) {
                        return;
                    }
                }
                Ok(_) | Err(_) => self.counters.ops_duplicate += u64::from(batch.count),
            }
        }
        let Some(remote) = self.remotes.get(&origin.rank) else {
            return;
        };
        if remote.seq > before {
            out.push(Output::Applied {
                origin,
                first: before.next(),
                last: remote.seq,
            });
            if !remote.fetch.is_idle() {
                self.fetch_progress(now, origin.rank);
            }
        }
    }

    /// Applies a batch that begins at or before the next op; returns false when the log had to be dropped.
    fn apply(
        &mut self,
        now: Timestamp,
        from: Rank,
        batch: Batch,
        last: Seq,
        ops: &[(Op, Range<usize>)],
        out: &mut Vec<Output>,
    ) -> bool {
        let origin = batch.origin;
        let Some(remote) = self.remotes.get_mut(&origin.rank) else {
            return false;
        };
        let known = usize::try_from(remote.seq.next().0 - batch.first.0)
            .unwrap_or(usize::MAX)
            .min(ops.len());
        let known = if mutation::is_on(Mutation::NoDedup) {
            0
        } else {
            known
        };
        self.counters.ops_duplicate += known as u64;
        for (op, range) in &ops[known..] {
            let at = OpId {
                origin,
                seq: remote.seq.next(),
            };
            if let Op::Checkpoint { chain, set } = op {
                let chain = *chain != remote.chain.digest();
                let set = *set != self.state.digest(origin.rank);
                if (!chain && !set) || mutation::is_on(Mutation::DigestUnchecked) {
                    self.counters.checkpoints_equal += 1;
                } else {
                    self.counters.digest_mismatches += 1;
                    let repaired = remote
                        .repaired
                        .is_none_or(|before| now.since(before) >= self.config.repair_interval);
                    out.push(Output::Event(Event::DigestMismatch {
                        at,
                        chain,
                        set,
                        repaired,
                    }));
                    if repaired {
                        self.repair(now, from, origin, last);
                        return false;
                    }
                }
            }
            if let Err(reason) = self.state.apply(at, op) {
                self.counters.ops_without_effect += 1;
                out.push(Output::Event(Event::WithoutEffect { at, reason }));
            }
            remote.chain.push(&batch.ops[range.clone()]);
            remote.seq = at.seq;
        }
        self.counters.ops_accepted += (ops.len() - known) as u64;
        let says = Stretch::of(batch.first, ops.iter().map(|(op, _)| op));
        remote.tail.push(last, batch, says);
        true
    }

    /// Drops a log whose checkpoint did not agree and fetches it again, from its origin first.
    // spec: OPLOG-13
    fn repair(&mut self, now: Timestamp, from: Rank, origin: OriginId, last: Seq) {
        let Some(remote) = self.remotes.get_mut(&origin.rank) else {
            return;
        };
        remote.restart();
        remote.fetch.rebase();
        remote.repaired = Some(now);
        self.state.reset(origin, Seq::ZERO);
        self.sessions.drop_rank(origin.rank);
        self.want(now, from, origin.rank, last);
        self.want(now, origin.rank, origin.rank, last);
    }

    fn undecodable(
        &mut self,
        origin: OriginId,
        from: Rank,
        reason: BatchError,
        out: &mut Vec<Output>,
    ) {
        self.counters.undecodable += 1;
        out.push(Output::Event(Event::Undecodable {
            origin,
            from,
            reason,
        }));
    }
}
