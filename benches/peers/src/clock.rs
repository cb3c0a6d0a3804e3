//! Processor time of the calling thread: what a neighbour on the machine does not change much.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Returns the processor time that this thread has used since it began.
pub(crate) fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (secs, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(
        secs.expect("processor time is not negative"),
        nanos.expect("less than a second"),
    )
}

/// Runs `work` and returns its result and the processor time it took.
pub(crate) fn timed<R>(work: impl FnOnce() -> R) -> (R, Duration) {
    let begin = thread_cpu();
    let result = work();
    (result, thread_cpu() - begin)
}
