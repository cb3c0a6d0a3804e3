//! The responder's side of snapshots that need more than one window: taken once, sent piece by piece.

use bytes::Bytes;
use radix_core::id::{OriginId, Rank, Seq};
use radix_core::time::Timestamp;

use crate::config::Config;
use crate::limits::{SNAPSHOT_CHUNKS_MAX, SNAPSHOT_WINDOW};
use crate::message::{SnapshotChunk, SnapshotHead};

/// One snapshot in bytes, and where it is cut.
#[derive(Debug)]
pub(crate) struct Snapshot {
    session: u64,
    head: SnapshotHead,
    stream: Bytes,
    chunk_bytes: usize,
}

/// What is known when a snapshot is taken.
pub(crate) struct Taken {
    pub(crate) origin: OriginId,
    pub(crate) base: Seq,
    pub(crate) seq: Seq,
    pub(crate) chain: u64,
    pub(crate) set: u64,
    pub(crate) copies: u64,
    pub(crate) stream: Vec<u8>,
}

impl Snapshot {
    pub(crate) fn new(session: u64, taken: Taken, config: &Config) -> Snapshot {
        let Taken {
            origin,
            base,
            seq,
            chain,
            set,
            copies,
            stream,
        } = taken;
        let chunk_bytes = config
            .snapshot_chunk_bytes
            .max(stream.len().div_ceil(SNAPSHOT_CHUNKS_MAX as usize));
        let chunks = stream.len().div_ceil(chunk_bytes).max(1);
        let chunks =
            u32::try_from(chunks).expect("chunk_bytes is large enough for SNAPSHOT_CHUNKS_MAX");
        let head = SnapshotHead {
            origin,
            seq,
            chain,
            set,
            copies,
            bytes: stream.len() as u64,
            chunks,
            base,
        };
        Snapshot {
            session,
            head,
            stream: stream.into(),
            chunk_bytes,
        }
    }

    pub(crate) fn head(&self) -> &SnapshotHead {
        &self.head
    }

    pub(crate) fn fits_one_window(&self) -> bool {
        self.head.chunks <= SNAPSHOT_WINDOW
    }

    /// Returns one window of chunks from `next` on.
    pub(crate) fn window(&self, next: u32) -> impl Iterator<Item = SnapshotChunk> {
        let end = next.saturating_add(SNAPSHOT_WINDOW).min(self.head.chunks);
        (next..end).map(|index| {
            let start = index as usize * self.chunk_bytes;
            let bytes = self
                .stream
                .slice(start..(start + self.chunk_bytes).min(self.stream.len()));
            SnapshotChunk {
                session: self.session,
                head: self.head,
                index,
                bytes,
            }
        })
    }
}

/// The snapshots kept, each with the time it was last asked for.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Vec<(Timestamp, Snapshot)>);

impl Sessions {
    /// Returns whether a snapshot may be taken now; makes room by dropping the one that nobody asked for the longest.
    ///
    /// One that was asked for within two pull time-outs is still being fetched and stays.
    // spec: OPLOG-10
    pub(crate) fn admit(&mut self, now: Timestamp, config: &Config) -> bool {
        if self.0.len() < config.sessions_max {
            return true;
        }
        let idle = |used: Timestamp| now.since(used) >= config.pull_timeout * 2;
        match self.0.iter().enumerate().min_by_key(|(_, (used, _))| *used) {
            Some((oldest, (used, _))) if idle(*used) => {
                self.0.swap_remove(oldest);
                true
            }
            _ => false,
        }
    }

    pub(crate) fn keep(&mut self, now: Timestamp, snapshot: Snapshot) {
        self.0.push((now, snapshot));
    }

    /// Returns the snapshot of that session and notes that it was asked for.
    pub(crate) fn get(&mut self, now: Timestamp, session: u64) -> Option<&Snapshot> {
        let (used, snapshot) = self
            .0
            .iter_mut()
            .find(|(_, snapshot)| snapshot.session == session)?;
        *used = now;
        Some(snapshot)
    }

    /// Returns the shortest snapshot of that log for one who has what lies before `from`, if it is no older than
    /// `oldest` and no longer than `bytes_max`.
    pub(crate) fn reuse(
        &mut self,
        now: Timestamp,
        origin: OriginId,
        from: Seq,
        oldest: Seq,
        bytes_max: u64,
    ) -> Option<&Snapshot> {
        let serves = |head: &SnapshotHead| {
            head.origin == origin
                && head.base < from
                && head.seq >= from.max(oldest)
                && head.bytes <= bytes_max
        };
        let heads = self
            .0
            .iter()
            .map(|(_, Snapshot { session, head, .. })| (session, head));
        let (session, _) = heads
            .filter(|(_, head)| serves(head))
            .min_by_key(|(_, head)| head.bytes)?;
        let session = *session;
        self.get(now, session)
    }

    pub(crate) fn drop_rank(&mut self, rank: Rank) {
        self.0
            .retain(|(_, snapshot)| snapshot.head.origin.rank != rank);
    }

    pub(crate) fn expire(&mut self, now: Timestamp, config: &Config) {
        self.0
            .retain(|(used, _)| now.since(*used) < config.session_idle);
    }

    pub(crate) fn next_deadline(&self, config: &Config) -> Option<Timestamp> {
        self.0
            .iter()
            .map(|(used, _)| used.after(config.session_idle))
            .min()
    }
}
