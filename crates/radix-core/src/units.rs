//! The array of a run. The writer lengthens and shortens it while readers look, without a copy: what a reader
//! was shown is never written again.

use std::cell::UnsafeCell;
use std::sync::Arc;

use crate::body::{ARC_BYTES, to_u32};
use crate::rcu::Writer;
use crate::sync::{AtomicU32, Ordering};

/// A place in the array, written at most once after it was shared.
#[repr(transparent)]
struct Cell<U>(UnsafeCell<U>);

// SAFETY: a cell is written only by `Units::append`, before the length that shows it to other threads is
// stored, and never after; so no two threads meet at one cell while it changes.
unsafe impl<U: Send + Sync> Sync for Cell<U> {}

/// `[shown .. len | once shown .. high | room]`. Belongs to one [`Writer`]'s domain, as slots do.
pub(crate) struct Units<U> {
    cells: Arc<[Cell<U>]>,
    /// What readers see.
    len: AtomicU32,
    /// Cells that were ever shown, here or by an array that this one shares them with. Only the writer asks.
    high: AtomicU32,
}

impl<U: Copy + Default + Send + Sync> Units<U> {
    /// Returns an array of these units with room for `room` more.
    pub(crate) fn new(head: &[U], tail: &[U], room: usize) -> Self {
        let cell = |unit| Cell(UnsafeCell::new(unit));
        let len = to_u32(head.len() + tail.len());
        let shown = head.iter().chain(tail).copied();
        let cells = if room == 0 {
            shown.map(cell).collect()
        } else {
            let room = std::iter::repeat_n(U::default(), room);
            shown.chain(room).map(cell).collect()
        };
        Units {
            cells,
            len: AtomicU32::new(len),
            high: AtomicU32::new(len),
        }
    }

    /// Returns what is shown as of now.
    #[inline]
    pub(crate) fn as_slice(&self) -> &[U] {
        let len = self.len.load(Ordering::Acquire) as usize;
        let shown = &self.cells[..len];
        // SAFETY: a `Cell<U>` is laid out as a `U`. Cells below a length that was ever stored are not written
        // again: `append` writes from `high` on, which is no less than any such length.
        unsafe { std::slice::from_raw_parts(shown.as_ptr().cast::<U>(), len) }
    }

    /// Returns how many units are shown as of now.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len.load(Ordering::Relaxed)
    }

    /// Shows more units; returns false, and changes nothing, when there is no room.
    pub(crate) fn append(&self, more: &[U], _writer: &mut Writer) -> bool {
        let high = self.high.load(Ordering::Relaxed);
        let end = high as usize + more.len();
        if high != self.len() || end > self.cells.len() {
            return false;
        }
        for (cell, unit) in self.cells[high as usize..end].iter().zip(more) {
            // SAFETY: cells from `high` on were never shown, so no reader has a reference to them; the writer
            // is one, and at most one array of those that share the cells has its `high` below their end.
            unsafe { cell.0.get().write(*unit) };
        }
        self.high.store(to_u32(end), Ordering::Relaxed);
        self.len.store(to_u32(end), Ordering::Release);
        true
    }

    /// Shows only the first `len` units.
    pub(crate) fn truncate(&self, len: u32, _writer: &mut Writer) {
        debug_assert!(len <= self.len(), "a cut makes a run shorter");
        self.len.store(len, Ordering::Release);
    }

    /// Returns an array over the same cells. The right to append goes with it.
    pub(crate) fn share(&self, _writer: &mut Writer) -> Self {
        let high = self.high.load(Ordering::Relaxed);
        self.high.store(to_u32(self.cells.len()), Ordering::Relaxed);
        Units {
            cells: Arc::clone(&self.cells),
            len: AtomicU32::new(self.len()),
            high: AtomicU32::new(high),
        }
    }

    /// Returns how many units would fit.
    pub(crate) fn capacity(&self) -> u32 {
        to_u32(self.cells.len())
    }

    /// Returns the bytes held on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        ARC_BYTES + size_of_val::<[Cell<U>]>(&self.cells)
    }
}

#[cfg(all(test, not(radixmesh_loom)))]
mod tests {
    use super::*;
    use crate::rcu::Domain;

    #[test]
    fn what_was_shown_stays_and_only_the_last_of_those_that_share_appends() {
        let (_, mut writer) = Domain::new(1);
        let writer = &mut writer;
        let units = Units::new(&[1, 2], &[3], 3);
        let before = units.as_slice();
        assert!(units.append(&[4], writer));
        assert_eq!(
            (before, units.as_slice()),
            (&[1, 2, 3][..], &[1, 2, 3, 4][..])
        );
        let after = units.share(writer);
        assert!(
            !units.append(&[5], writer),
            "the right to append went with the share"
        );
        assert!(after.append(&[6], writer));
        assert_eq!((units.len(), after.as_slice()), (4, &[1, 2, 3, 4, 6][..]));
        after.truncate(2, writer);
        assert!(
            !after.append(&[7], writer),
            "what was shown once is not written again"
        );
        assert_eq!(after.as_slice(), [1, 2]);
        assert!(!Units::new(&[1], &[], 1).append(&[2, 3], writer), "no room");
    }
}
