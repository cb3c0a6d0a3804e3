//! The operating system's monotonic clock. Equal zero for all processes of one machine, so that
//! points taken by two of them can be compared.

use radix_core::time::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// Returns now.
#[must_use]
pub fn now() -> Timestamp {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
    Timestamp(seconds * 1_000_000_000 + nanos)
}

/// Returns the wall clock in milliseconds since 1970: the base of incarnations, never of ordering.
#[must_use]
pub fn unix_millis() -> u64 {
    let time = clock_gettime(ClockId::Realtime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
    seconds * 1_000 + nanos / 1_000_000
}
