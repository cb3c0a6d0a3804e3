//! The atomics this crate uses: the standard ones, or loom's under `--cfg radixmesh_loom`.

#[cfg(radixmesh_loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(not(radixmesh_loom))]
pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};

/// Waits a moment between two tries of an exact read.
pub(crate) fn pause() {
    #[cfg(radixmesh_loom)]
    loom::thread::yield_now();
    #[cfg(not(radixmesh_loom))]
    std::hint::spin_loop();
}
