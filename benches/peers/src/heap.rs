//! An allocator that counts, once it is told to. Not counting, it costs one load of a flag that never changes.
//!
//! What is counted is what the C library gives: the usable size of each block, and 8 bytes for its header.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

static COUNTS: AtomicBool = AtomicBool::new(false);
static LIVE_BYTES: AtomicI64 = AtomicI64::new(0);
/// What the C library keeps in front of a block. Unit: bytes.
const HEADER_BYTES: i64 = 8;

/// Starts to count. Called before anything is allocated whose release will be counted too.
pub(crate) fn count() {
    COUNTS.store(true, Ordering::Relaxed);
}

/// Returns how much more was allocated than freed since counting began. Unit: bytes.
pub(crate) fn live_bytes() -> i64 {
    LIVE_BYTES.load(Ordering::Relaxed)
}

struct Counting;

#[global_allocator]
static HEAP: Counting = Counting;

// SAFETY: every call is handed to `System` unchanged, and the count beside it touches no block's contents.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`, which is that of `System`.
        let block = unsafe { System.alloc(layout) };
        add(block, 1);
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        let block = unsafe { System.alloc_zeroed(layout) };
        add(block, 1);
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let before = usable(block);
        // SAFETY: the caller keeps the contract of `realloc`, and every block is one of `System`.
        let moved = unsafe { System.realloc(block, layout, size) };
        if !moved.is_null() && COUNTS.load(Ordering::Relaxed) {
            LIVE_BYTES.fetch_add(usable(moved) - before, Ordering::Relaxed);
        }
        moved
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        add(block, -1);
        // SAFETY: the caller keeps the contract of `dealloc`, and every block is one of `System`.
        unsafe { System.dealloc(block, layout) }
    }
}

fn add(block: *mut u8, sign: i64) {
    if COUNTS.load(Ordering::Relaxed) && !block.is_null() {
        LIVE_BYTES.fetch_add(sign * (usable(block) + HEADER_BYTES), Ordering::Relaxed);
    }
}

fn usable(block: *mut u8) -> i64 {
    // SAFETY: `block` is null or a live block of the C library, which is what `System` hands out on this system.
    let bytes = unsafe { libc::malloc_usable_size(block.cast()) };
    i64::try_from(bytes).expect("a block is smaller than the address space")
}
