//! Answering others: ops from the tail where it reaches back, or what they come to where that is less; a snapshot
//! where it does not.

use radix_core::SnapshotDelta;
use radix_core::id::{OriginId, Rank, Seq};
use radix_core::time::Timestamp;

use crate::chain::Chain;
use crate::delta::{Ended, Stretch};
use crate::event::{Event, Output, SnapshotFault};
use crate::message::Message;
use crate::replica::Replica;
use crate::session::{Snapshot, Taken};
use crate::state::State;
use crate::stream;
use crate::tail::Tail;

/// A log as others are served from it.
struct Served<'a> {
    origin: OriginId,
    /// The last op.
    have: Seq,
    chain: Chain,
    tail: &'a Tail,
}

impl<S: State> Replica<S> {
    /// Answers a pull.
    // spec: OPLOG-8
    pub(crate) fn serve(
        &mut self,
        now: Timestamp,
        to: Rank,
        asked: OriginId,
        from: Seq,
        out: &mut Vec<Output>,
    ) {
        // Who asks from here on has what lies before.
        self.observe(now, to, asked, Seq(from.0.saturating_sub(1)), out);
        if asked.rank == self.own.me.rank {
            self.flush(now, out);
        }
        let Some(Served { origin, have, .. }) = self.log(asked.rank) else {
            return end(to, asked, Seq::ZERO, Seq::ZERO, out);
        };
        if origin != asked || from > have || from == Seq::ZERO {
            return end(to, origin, Seq::ZERO, have, out);
        }
        if !self.budgets.allows(now, to, &self.config) {
            self.counters.pulls_limited += 1;
            return end(to, origin, Seq::ZERO, have, out);
        }
        match self.log(asked.rank).and_then(|log| log.tail.weigh(from)) {
            None => self.serve_snapshot(now, to, origin, from, have, out),
            Some(stretch) if self.serve_delta(now, to, origin, from, stretch, out) => {}
            Some(_) => self.serve_ops(now, to, origin, from, have, out),
        }
    }

    fn log(&self, rank: Rank) -> Option<Served<'_>> {
        if rank == self.own.me.rank {
            return Some(Served {
                origin: self.own.me,
                have: self.own.seq,
                chain: self.own.chain,
                tail: &self.own.tail,
            });
        }
        self.remotes.get(&rank).map(|remote| Served {
            origin: remote.origin,
            have: remote.seq,
            chain: remote.chain,
            tail: &remote.tail,
        })
    }

    /// Answers a pull with ops.
    fn serve_ops(
        &mut self,
        now: Timestamp,
        to: Rank,
        origin: OriginId,
        from: Seq,
        have: Seq,
        out: &mut Vec<Output>,
    ) {
        let batches = self.log(origin.rank).and_then(|log| log.tail.since(from));
        let mut sent = (0, Seq::ZERO);
        for (last, batch) in batches.into_iter().flatten() {
            if sent.0 > 0 && sent.0 + batch.ops.len() > self.config.pull_bytes_max {
                break;
            }
            sent = (sent.0 + batch.ops.len(), last);
            out.push(Output::Send {
                to,
                message: Message::Batch(batch.clone()),
            });
        }
        self.counters.pulls_served += 1;
        self.budgets.charge(now, to, sent.0, &self.config);
        end(to, origin, sent.1, have, out);
    }

    /// Answers a pull that ops could answer with what they come to, if that is clearly less; returns whether it is.
    // spec: OPLOG-18
    fn serve_delta(
        &mut self,
        now: Timestamp,
        to: Rank,
        origin: OriginId,
        from: Seq,
        stretch: Stretch,
        out: &mut Vec<Output>,
    ) -> bool {
        if stretch.bytes < self.config.delta_bytes_min || !stretch.may_shrink() {
            return false;
        }
        let bytes_max = stretch
            .delta_bytes_max()
            .min(self.config.snapshot_bytes_max as u64);
        if self.serve_kept(now, to, origin, from, bytes_max, out) {
            return true;
        }
        let Some(snapshot) = self.take(origin.rank, Seq(from.0 - 1)) else {
            return false;
        };
        // Reading the ops is work as well, also when it was in vain.
        self.budgets
            .charge(now, to, to_usize(stretch.bytes), &self.config);
        if snapshot.head().bytes > bytes_max
            || !(snapshot.fits_one_window() || self.sessions.admit(now, &self.config))
        {
            return false;
        }
        self.send(now, to, snapshot, out);
        true
    }

    /// Answers a pull that the tail cannot answer.
    // spec: OPLOG-9, OPLOG-10
    fn serve_snapshot(
        &mut self,
        now: Timestamp,
        to: Rank,
        origin: OriginId,
        from: Seq,
        have: Seq,
        out: &mut Vec<Output>,
    ) {
        if self.serve_kept(now, to, origin, from, u64::MAX, out) {
            return;
        }
        if !self.sessions.admit(now, &self.config) {
            self.counters.pulls_busy += 1;
            return end(to, origin, Seq::ZERO, have, out);
        }
        let Some(snapshot) = self.take(origin.rank, Seq::ZERO) else {
            return;
        };
        let bytes = snapshot.head().bytes;
        self.budgets.charge(now, to, to_usize(bytes), &self.config);
        if bytes > self.config.snapshot_bytes_max as u64 {
            let reason = SnapshotFault::TooLarge;
            self.counters.snapshots_rejected += 1;
            out.push(Output::Event(Event::SnapshotRejected {
                origin,
                seq: have,
                peer: to,
                reason,
            }));
            return end(to, origin, Seq::ZERO, have, out);
        }
        self.send(now, to, snapshot, out);
    }

    /// Sends the begin of a snapshot that was taken for another; returns whether there is one.
    // spec: OPLOG-10
    fn serve_kept(
        &mut self,
        now: Timestamp,
        to: Rank,
        origin: OriginId,
        from: Seq,
        bytes_max: u64,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(Served { have, tail, .. }) = self.log(origin.rank) else {
            return false;
        };
        // It serves while the tail goes on where it ends.
        let oldest = tail.first().map_or(have, |first| Seq(first.0 - 1));
        let kept = self.sessions.reuse(now, origin, from, oldest, bytes_max);
        let Some(snapshot) = kept else { return false };
        self.counters.snapshots_sent += 1;
        self.counters.deltas_sent += u64::from(snapshot.head().base > Seq::ZERO);
        let bytes = begin(to, snapshot, out);
        self.budgets.charge(now, to, bytes, &self.config);
        true
    }

    /// Takes a snapshot of a log as it is now: everything with base 0, else what changed behind `base` by the tail.
    // spec: OPLOG-9, OPLOG-18
    pub(crate) fn take(&mut self, rank: Rank, base: Seq) -> Option<Snapshot> {
        let Served {
            origin,
            have,
            chain,
            tail,
        } = self.log(rank)?;
        let ended = if base == Seq::ZERO {
            Ended::default()
        } else {
            Ended::behind(base, tail.since(base.next())?.map(|(_, batch)| batch))
        };
        let (stream, copies) = stream::encode(SnapshotDelta {
            base,
            sources: ended.sources,
            removed: ended.removed,
            runs: self.state.snapshot(rank, base),
        });
        let taken = Taken {
            origin,
            base,
            seq: have,
            chain: chain.digest(),
            set: self.state.digest(rank),
            copies,
            stream,
        };
        Some(Snapshot::new(self.rng.u64(..), taken, &self.config))
    }

    /// Sends the begin of a fresh snapshot and keeps it for those who need more of it.
    fn send(&mut self, now: Timestamp, to: Rank, snapshot: Snapshot, out: &mut Vec<Output>) {
        self.counters.snapshots_sent += 1;
        self.counters.deltas_sent += u64::from(snapshot.head().base > Seq::ZERO);
        let bytes = begin(to, &snapshot, out);
        self.budgets.charge(now, to, bytes, &self.config);
        if !snapshot.fits_one_window() {
            self.sessions.keep(now, snapshot);
        }
    }

    /// Sends another window of a snapshot.
    // spec: OPLOG-10
    pub(crate) fn serve_more(
        &mut self,
        now: Timestamp,
        to: Rank,
        session: u64,
        next: u32,
        out: &mut Vec<Output>,
    ) {
        if !self.budgets.allows(now, to, &self.config) {
            // Who misses a window asks for it again.
            self.counters.pulls_limited += 1;
            return;
        }
        match self.sessions.get(now, session) {
            Some(snapshot) => {
                let bytes = window(to, snapshot, next, out);
                self.budgets.charge(now, to, bytes, &self.config);
            }
            None => out.push(Output::Send {
                to,
                message: Message::SnapshotGone { session },
            }),
        }
    }
}

/// Sends the first window. Returns the bytes of it.
fn begin(to: Rank, snapshot: &Snapshot, out: &mut Vec<Output>) -> usize {
    let head = snapshot.head();
    let event = Event::SnapshotSent {
        origin: head.origin,
        base: head.base,
        seq: head.seq,
        to,
        bytes: head.bytes,
    };
    out.push(Output::Event(event));
    window(to, snapshot, 0, out)
}

/// Sends one window. Returns the bytes of it.
fn window(to: Rank, snapshot: &Snapshot, next: u32, out: &mut Vec<Output>) -> usize {
    let mut bytes = 0;
    out.extend(snapshot.window(next).map(|chunk| {
        bytes += chunk.bytes.len();
        Output::Send {
            to,
            message: Message::Snapshot(chunk),
        }
    }));
    bytes
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn end(to: Rank, origin: OriginId, last: Seq, have: Seq, out: &mut Vec<Output>) {
    out.push(Output::Send {
        to,
        message: Message::PullEnd { origin, last, have },
    });
}
