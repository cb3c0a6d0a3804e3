//! Snapshots that were asked for: their chunks are gathered, the whole is checked and loaded.

use radix_core::id::{Rank, Seq};
use radix_core::mutation::{self, Mutation};
use radix_core::time::Timestamp;

use crate::assembly::Assembly;
use crate::event::{Event, Output, SnapshotFault};
use crate::fetch::Stage;
use crate::message::{Message, SnapshotChunk, SnapshotHead};
use crate::remote::Remote;
use crate::replica::Replica;
use crate::state::State;
use crate::stream;

impl<S: State> Replica<S> {
    /// Takes a piece of a snapshot that was asked for.
    // spec: OPLOG-11
    pub(crate) fn assemble(
        &mut self,
        now: Timestamp,
        from: Rank,
        chunk: SnapshotChunk,
        out: &mut Vec<Output>,
    ) {
        let (head, index) = (chunk.head, chunk.index);
        let rank = head.origin.rank;
        if rank == self.own.me.rank {
            return self.challenge(now, head.origin, head.seq, out);
        }
        let room = self.snapshot_room(rank);
        let Some(remote) = self
            .remotes
            .get_mut(&rank)
            .filter(|remote| remote.origin == head.origin)
        else {
            self.counters.stale += 1;
            return;
        };
        let Stage::Asked {
            peer,
            deadline,
            assembly,
            ..
        } = &mut remote.fetch.stage
        else {
            return;
        };
        // A base beyond what is here was asked for before the log was emptied, or by the life before.
        if *peer != from || head.seq <= remote.seq || head.base > remote.seq {
            return;
        }
        match assembly {
            Some(current) if current.session == chunk.session && current.head == head => {}
            Some(current) if current.seq() >= head.seq => return,
            _ => match Assembly::new(chunk.session, head, room) {
                Ok(fresh) => *assembly = Some(Box::new(fresh)),
                Err(reason) => return self.reject(now, from, head, reason, out),
            },
        }
        let Some(current) = assembly else { return };
        match current.add(chunk) {
            Err(reason) => return self.reject(now, from, head, reason, out),
            Ok(false) => {}
            Ok(true) => *deadline = now.after(self.config.pull_timeout),
        }
        if current.is_whole() {
            if let Some(whole) = assembly.take() {
                self.load(now, from, *whole, out);
            }
        } else {
            if let Some(next) = current.wants_window(index) {
                let message = Message::SnapshotMore {
                    session: current.session,
                    next,
                };
                out.push(Output::Send { to: from, message });
            }
            self.sync_timer(rank);
        }
    }

    /// Takes word that a responder let a snapshot go.
    pub(crate) fn snapshot_gone(
        &mut self,
        now: Timestamp,
        from: Rank,
        session: u64,
        out: &mut Vec<Output>,
    ) {
        let gone = self.asked.iter().copied().find(|rank| {
            self.remotes.get(rank).is_some_and(|remote| {
                remote.fetch.asked() == Some(from)
                    && remote
                        .fetch
                        .assembly()
                        .is_some_and(|assembly| assembly.session == session)
            })
        });
        if let Some(rank) = gone {
            self.ask_another(now, rank, out);
        }
    }

    /// Loads a whole snapshot, checks it and goes on behind it.
    fn load(&mut self, now: Timestamp, from: Rank, whole: Assembly, out: &mut Vec<Output>) {
        let head = whole.head;
        let origin = head.origin;
        let stream = whole.into_stream();
        let Some((delta, copies)) = stream::decode(&stream, head.base, head.seq) else {
            return self.reject(now, from, head, SnapshotFault::Malformed, out);
        };
        if copies != head.copies {
            return self.reject(now, from, head, SnapshotFault::Count, out);
        }
        let result = self.state.load(origin, head.seq, delta);
        let fault = match result {
            Err(reason) => Some(SnapshotFault::Refused(reason)),
            Ok(())
                if self.state.digest(origin.rank) != head.set
                    && !mutation::is_on(Mutation::DigestUnchecked) =>
            {
                Some(SnapshotFault::Digest)
            }
            Ok(()) => None,
        };
        let Some(remote) = self.remotes.get_mut(&origin.rank) else {
            return;
        };
        if let Some(reason) = fault {
            remote.restart();
            self.state.reset(origin, Seq::ZERO);
            self.sessions.drop_rank(origin.rank);
            return self.reject(now, from, head, reason, out);
        }
        self.halting.remove(&from);
        let before = remote.seq;
        remote.resume(head.seq, head.chain);
        self.counters.snapshots_loaded += 1;
        self.counters.deltas_loaded += u64::from(head.base > Seq::ZERO);
        out.push(Output::Event(Event::SnapshotLoaded {
            origin,
            base: head.base,
            seq: head.seq,
            from,
            copies,
        }));
        self.drain(now, origin, before, out);
        let lacks = |remote: &Remote| remote.fetch.wanted > remote.seq;
        if self.remotes.get(&origin.rank).is_some_and(lacks) {
            self.ask_on(now, origin.rank, from, out);
        }
    }

    fn reject(
        &mut self,
        now: Timestamp,
        peer: Rank,
        head: SnapshotHead,
        reason: SnapshotFault,
        out: &mut Vec<Output>,
    ) {
        self.counters.snapshots_rejected += 1;
        self.counters.deltas_rejected += u64::from(head.base > Seq::ZERO);
        out.push(Output::Event(Event::SnapshotRejected {
            origin: head.origin,
            seq: head.seq,
            peer,
            reason,
        }));
        self.ask_another(now, head.origin.rank, out);
    }

    /// Bytes of snapshot that may still be buffered for `rank`: the limit less what all others were promised.
    fn snapshot_room(&self, rank: Rank) -> u64 {
        let others = self.asked.iter().filter(|other| **other != rank);
        let promised: u64 = others
            .filter_map(|other| self.remotes.get(other)?.fetch.assembly())
            .map(|assembly| assembly.head.bytes)
            .sum();
        (self.config.snapshot_bytes_max as u64).saturating_sub(promised)
    }
}
