//! The receiver's side of a snapshot: its chunks, until all are here.

use bytes::Bytes;
use radix_core::id::Seq;

use crate::event::SnapshotFault;
use crate::limits::{SEQ_MAX, SNAPSHOT_CHUNK_BYTES_MAX, SNAPSHOT_CHUNKS_MAX, SNAPSHOT_WINDOW};
use crate::message::{SnapshotChunk, SnapshotHead};

/// A snapshot that is being received.
#[derive(Debug)]
pub(crate) struct Assembly {
    pub(crate) session: u64,
    pub(crate) head: SnapshotHead,
    /// Times it stood still since the last chunk.
    pub(crate) stalls: u32,
    /// Times it stood still in all.
    pub(crate) halts: u32,
    pieces: Vec<Bytes>,
    bytes: u64,
    next: u32,
    asked: u32,
    /// The first missing chunk when the end of a window showed that it is lost.
    lost: Option<u32>,
}

impl Assembly {
    /// Begins with the head of a chunk; the chunk itself is then added.
    ///
    /// `room`: bytes that may still be buffered.
    // spec: OPLOG-11
    pub(crate) fn new(
        session: u64,
        head: SnapshotHead,
        room: u64,
    ) -> Result<Assembly, SnapshotFault> {
        if head.bytes > room {
            return Err(SnapshotFault::TooLarge);
        }
        let within = u64::from(head.chunks) * SNAPSHOT_CHUNK_BYTES_MAX as u64;
        if !(1..=SNAPSHOT_CHUNKS_MAX).contains(&head.chunks)
            || !(1..=SEQ_MAX).contains(&head.seq.0)
            || head.bytes > within
            || (head.bytes > 0 && head.bytes < u64::from(head.chunks))
        {
            return Err(SnapshotFault::Malformed);
        }
        let pieces = vec![Bytes::new(); head.chunks as usize];
        Ok(Assembly {
            session,
            head,
            stalls: 0,
            halts: 0,
            pieces,
            bytes: 0,
            next: 0,
            asked: SNAPSHOT_WINDOW,
            lost: None,
        })
    }

    /// Takes a chunk; returns whether it was new.
    pub(crate) fn add(&mut self, chunk: SnapshotChunk) -> Result<bool, SnapshotFault> {
        let SnapshotChunk { index, bytes, .. } = chunk;
        if bytes.is_empty() && self.head.bytes == 0 && self.head.chunks == 1 && index == 0 {
            let new = self.next == 0;
            self.next = 1;
            return Ok(new);
        }
        let Some(piece) = self.pieces.get_mut(index as usize) else {
            return Err(SnapshotFault::Malformed);
        };
        if bytes.is_empty() || bytes.len() > SNAPSHOT_CHUNK_BYTES_MAX {
            return Err(SnapshotFault::Malformed);
        }
        if !piece.is_empty() {
            return Ok(false);
        }
        self.bytes += bytes.len() as u64;
        *piece = bytes;
        while self
            .pieces
            .get(self.next as usize)
            .is_some_and(|piece| !piece.is_empty())
        {
            self.next += 1;
        }
        if self.bytes > self.head.bytes || (self.is_whole() && self.bytes < self.head.bytes) {
            return Err(SnapshotFault::Malformed);
        }
        self.stalls = 0;
        Ok(true)
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.next == self.head.chunks
    }

    /// Takes that chunk `index` came. Returns the first chunk to ask for: when all that was asked for is here, or when
    /// this was the last of it and one before is lost; that one is asked for at once only once.
    pub(crate) fn wants_window(&mut self, index: u32) -> Option<u32> {
        let is_last = index + 1 == self.asked.min(self.head.chunks);
        let is_lost = is_last && self.next <= index && self.lost != Some(self.next);
        if is_lost {
            self.lost = Some(self.next);
        }
        (is_lost || self.next >= self.asked).then(|| self.ask())
    }

    /// Asks again from the first missing chunk on.
    pub(crate) fn ask(&mut self) -> u32 {
        self.asked = self.next.saturating_add(SNAPSHOT_WINDOW);
        self.next
    }

    /// Returns chunks here without a hole, and all.
    pub(crate) fn progress(&self) -> (u32, u32) {
        (self.next, self.head.chunks)
    }

    /// Returns the stream of runs.
    pub(crate) fn into_stream(self) -> Vec<u8> {
        self.pieces.concat()
    }

    /// The place the log will have.
    pub(crate) fn seq(&self) -> Seq {
        self.head.seq
    }
}
