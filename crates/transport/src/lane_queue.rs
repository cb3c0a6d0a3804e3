//! The sending side of a connection up to the socket: three queues that are encoded into in place, and the
//! signal that wakes the writer. What is written when is decided in `outbound`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::error::SendError;
use crate::frame::{self, HEADER_BYTES, Kind};
use crate::lane::Lane;
use crate::limits::LANE_BUFFER_KEPT;

/// Locks a mutex whose data is whole even if a holder panicked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Frames that were accepted and not yet taken by the writer, back to back, ready for the wire.
#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    /// The end of the last whole frame: what lies behind it was left by an encoder that panicked.
    whole: usize,
    frames: u64,
}

/// One lane's queue.
#[derive(Debug)]
pub(crate) struct LaneQueue {
    lane: Lane,
    bytes_max: usize,
    pending: Mutex<Pending>,
    /// Accepted and not yet written, in bytes: pending here, or taken by the writer.
    queued: AtomicUsize,
    /// A frame was refused since the lane last had room.
    refused: AtomicBool,
    /// A frame was refused since the lane was last found drained.
    overflowed: AtomicBool,
}

impl LaneQueue {
    pub(crate) fn new(lane: Lane, bytes_max: usize) -> LaneQueue {
        LaneQueue {
            lane,
            bytes_max,
            pending: Mutex::default(),
            queued: AtomicUsize::new(0),
            refused: AtomicBool::new(false),
            overflowed: AtomicBool::new(false),
        }
    }

    pub(crate) fn queued(&self) -> usize {
        self.queued.load(SeqCst)
    }

    /// Encodes a frame of `len` bytes payload behind those that wait.
    pub(crate) fn push(&self, len: usize, encode: impl FnOnce(&mut [u8])) -> Result<(), SendError> {
        self.push_kind(Kind::Lane(self.lane), len, encode)
    }

    /// Encodes a frame that travels in this lane and is the connection's own.
    pub(crate) fn push_kind(
        &self,
        kind: Kind,
        len: usize,
        encode: impl FnOnce(&mut [u8]),
    ) -> Result<(), SendError> {
        let total = HEADER_BYTES + len;
        let mut pending = lock(&self.pending);
        // spec: LANE-3
        self.reserve(total)?;
        let start = pending.whole;
        pending.bytes.truncate(start);
        pending.bytes.resize(start + total, 0);
        encode(&mut pending.bytes[start + HEADER_BYTES..]);
        frame::seal(&mut pending.bytes[start..], kind);
        pending.whole = start + total;
        pending.frames += 1;
        self.queued.fetch_add(total, SeqCst);
        Ok(())
    }

    /// Checks that `total` more bytes fit. The lock on `pending` keeps other senders out.
    fn reserve(&self, total: usize) -> Result<(), SendError> {
        if self.queued() + total <= self.bytes_max {
            return Ok(());
        }
        // The writer looks at `refused` after it has lowered `queued`: one of the two looks sees the other.
        self.refused.store(true, SeqCst);
        let queued = self.queued();
        if queued + total <= self.bytes_max {
            return Ok(());
        }
        self.overflowed.store(true, SeqCst);
        Err(SendError::Full {
            lane: self.lane,
            queued,
            max: self.bytes_max,
        })
    }

    /// Swaps everything that waits into the empty `into`. Returns how many frames that are.
    pub(crate) fn take(&self, into: &mut Vec<u8>) -> u64 {
        debug_assert!(into.is_empty());
        if into.capacity() > LANE_BUFFER_KEPT {
            *into = Vec::new();
        }
        let mut pending = lock(&self.pending);
        let whole = std::mem::take(&mut pending.whole);
        pending.bytes.truncate(whole);
        std::mem::swap(&mut pending.bytes, into);
        std::mem::take(&mut pending.frames)
    }

    /// Notes that `bytes` were written. Returns whether a sender that was refused should hear of room.
    pub(crate) fn written(&self, bytes: usize) -> bool {
        let left = self.queued.fetch_sub(bytes, SeqCst) - bytes;
        left <= self.bytes_max / 2 && self.refused.load(SeqCst) && self.refused.swap(false, SeqCst)
    }

    /// Returns whether a frame was refused since the lane was last found drained.
    pub(crate) fn has_overflowed(&self) -> bool {
        self.overflowed.load(SeqCst)
    }

    /// Finds out whether less than a quarter of the lane's bound is left. What overflowed before is forgotten then.
    pub(crate) fn has_drained(&self) -> bool {
        let drained = || self.queued() <= self.bytes_max / 4;
        if !drained() {
            return false;
        }
        self.overflowed.store(false, SeqCst);
        // A refusal between the two looks left a full lane behind.
        drained()
    }
}

/// Wakes a task, but only one that is about to sleep: senders of a busy connection touch one flag.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    armed: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Signal {
    /// Asks for a wake-up. The caller must then look again at whatever it waits for.
    pub(crate) fn arm(&self, waker: &Waker) {
        let mut kept = lock(&self.waker);
        if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            *kept = Some(waker.clone());
        }
        drop(kept);
        self.armed.store(true, SeqCst);
    }

    /// Takes the request back.
    pub(crate) fn disarm(&self) {
        self.armed.store(false, SeqCst);
    }

    /// Wakes whoever asked. What was changed before is seen by the woken.
    pub(crate) fn notify(&self) {
        if self.armed.load(SeqCst)
            && self.armed.swap(false, SeqCst)
            && let Some(waker) = lock(&self.waker).as_ref()
        {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_lane_refuses_until_it_is_written() {
        let queue = LaneQueue::new(Lane::Data, 100);
        queue.push(38, |_| ()).unwrap();
        queue.push(38, |_| ()).unwrap();
        let full = SendError::Full {
            lane: Lane::Data,
            queued: 100,
            max: 100,
        };
        assert_eq!(
            queue.push(0, |_| panic!("encoded although full")),
            Err(full)
        );
        let mut taken = Vec::new();
        assert_eq!(queue.take(&mut taken), 2);
        assert_eq!(
            (taken.len(), queue.queued()),
            (100, 100),
            "taking is not writing"
        );
        assert!(!queue.written(40), "more than half is left");
        assert!(queue.written(20), "half is free and someone was refused");
        assert!(!queue.written(40), "room is told once");
        queue.push(10, |_| ()).unwrap();
    }

    #[test]
    fn an_overflow_is_over_when_a_quarter_is_left() {
        let queue = LaneQueue::new(Lane::Data, 100);
        assert!(queue.has_drained() && !queue.has_overflowed());
        queue.push(88, |_| ()).unwrap();
        assert!(!queue.has_overflowed(), "full is not too full");
        assert!(queue.push(0, |_| ()).is_err());
        assert!(queue.has_overflowed() && !queue.has_drained());
        queue.take(&mut Vec::new());
        queue.written(74);
        assert!(queue.has_overflowed() && !queue.has_drained());
        queue.written(1);
        assert!(queue.has_drained() && !queue.has_overflowed());
    }

    #[test]
    fn a_panicking_encoder_leaves_no_torn_frame() {
        let queue = LaneQueue::new(Lane::Data, 1000);
        queue.push(1, |payload| payload[0] = 1).unwrap();
        let bad = std::panic::AssertUnwindSafe(|| queue.push(5, |_| panic!("encoder")));
        assert!(std::panic::catch_unwind(bad).is_err());
        queue.push(1, |payload| payload[0] = 2).unwrap();
        let mut taken = Vec::new();
        assert_eq!(queue.take(&mut taken), 2);
        assert_eq!((taken.len(), taken[12], taken[25]), (26, 1, 2));
    }
}
