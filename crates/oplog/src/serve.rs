//! Answering others: ops from the tail where it reaches back, a snapshot where it does not.

use radix_core::id::{OriginId, Rank, Seq};
use radix_core::time::Timestamp;

use crate::event::{Event, Output, SnapshotFault};
use crate::message::Message;
use crate::replica::Replica;
use crate::session::{Snapshot, Taken};
use crate::state::State;
use crate::stream;

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
        let own = asked.rank == self.own.me.rank;
        if own {
            self.flush(now, out);
        }
        let (origin, have, tail) = if own {
            (self.own.me, self.own.seq, &self.own.tail)
        } else if let Some(remote) = self.remotes.get(&asked.rank) {
            (remote.origin, remote.seq, &remote.tail)
        } else {
            return end(to, asked, Seq::ZERO, Seq::ZERO, out);
        };
        if origin != asked || from > have || from == Seq::ZERO {
            return end(to, origin, Seq::ZERO, have, out);
        }
        if !self.budgets.allows(now, to, &self.config) {
            self.counters.pulls_limited += 1;
            return end(to, origin, Seq::ZERO, have, out);
        }
        let Some(batches) = tail.since(from) else {
            return self.serve_snapshot(now, to, asked, from, have, out);
        };
        let mut sent = (0, Seq::ZERO);
        for (last, batch) in batches {
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
        let (chain, tail) = match self.remotes.get(&origin.rank) {
            Some(remote) => (remote.chain, &remote.tail),
            None => (self.own.chain, &self.own.tail),
        };
        // A snapshot already taken serves while the tail goes on where it ends.
        let oldest = tail.first().map_or(have, |first| Seq(first.0 - 1));
        if let Some(snapshot) = self.sessions.reuse(now, origin, from, oldest) {
            self.counters.snapshots_sent += 1;
            let bytes = begin(to, snapshot, out);
            return self.budgets.charge(now, to, bytes, &self.config);
        }
        if !self.sessions.admit(now, &self.config) {
            self.counters.pulls_busy += 1;
            return end(to, origin, Seq::ZERO, have, out);
        }
        let (stream, copies) = stream::encode(self.state.snapshot(origin.rank));
        self.budgets.charge(now, to, stream.len(), &self.config);
        if stream.len() > self.config.snapshot_bytes_max {
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
        let set = self.state.digest(origin.rank);
        let taken = Taken {
            origin,
            seq: have,
            chain: chain.digest(),
            set,
            copies,
            stream,
        };
        let snapshot = Snapshot::new(self.rng.u64(..), taken, &self.config);
        self.counters.snapshots_sent += 1;
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

fn end(to: Rank, origin: OriginId, last: Seq, have: Seq, out: &mut Vec<Output>) {
    out.push(Output::Send {
        to,
        message: Message::PullEnd { origin, last, have },
    });
}
