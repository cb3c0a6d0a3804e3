//! An allocator that knows how much a thread holds, so that a test can say how much a call may take.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Bytes held, and the most that were since the last look.
    static HELD: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// Runs `call`; returns what it returns and the most bytes that it held at once.
pub(crate) fn measured<T>(call: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get().0;
    HELD.set((before, before));
    let result = call();
    (result, HELD.get().1 - before)
}

fn add(size: usize) {
    let (held, most) = HELD.get();
    let held = held.wrapping_add(size);
    HELD.set((held, most.max(held)));
}

// SAFETY: everything is the system's allocator; only numbers of the thread are kept beside it, without allocating.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: as promised to this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        let (held, most) = HELD.get();
        // What another thread allocated may be given back here.
        HELD.set((held.saturating_sub(layout.size()), most));
        // SAFETY: as promised to this function.
        unsafe { System.dealloc(at, layout) }
    }
}
