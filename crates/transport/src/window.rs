//! How much bulk may be on its way at once: so little that a control frame behind it is not late.
//!
//! What a socket took, and the network behind it, cannot be overtaken any more. So the other end says how much bulk it
//! has seen, and the difference is kept small: it grows while nothing queues up, and shrinks when something does. No
//! bytes here, and no sockets: the writer asks, and tells what it wrote.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{BULK_MARKS_MAX, BULK_WINDOW_MIN, BULK_WINDOW_START};

/// How long bulk may queue up on its way before the window shrinks.
const QUEUE_TIME_MAX: Duration = Duration::from_millis(4);
/// How long the shortest way there and back is believed.
const BASE_AGE_MAX: Duration = Duration::from_secs(10);

/// The bulk lane's window of one connection.
#[derive(Debug)]
pub(crate) struct Window {
    bytes: u64,
    bytes_max: u64,
    sent: u64,
    seen: u64,
    /// Where writes ended and when, for those that are not seen yet.
    marks: VecDeque<(u64, Instant)>,
    base: Base,
    /// Bulk had to wait for the window since it was last changed.
    was_closed: bool,
    /// What was sent before this tells nothing of the window as it is now.
    changed_at: u64,
}

/// The shortest time from a write until it was seen: that of the way itself. The last period's and this one's.
#[derive(Debug, Default)]
struct Base {
    before: Option<Duration>,
    now: Option<Duration>,
    since: Option<Instant>,
}

impl Base {
    fn learn(&mut self, took: Duration, now: Instant) -> Duration {
        let since = *self.since.get_or_insert(now);
        if now - since > BASE_AGE_MAX {
            (self.before, self.now, self.since) = (self.now, None, Some(now));
        }
        let shortest = self.now.map_or(took, |shortest| shortest.min(took));
        self.now = Some(shortest);
        self.before.map_or(shortest, |before| before.min(shortest))
    }
}

impl Window {
    pub(crate) fn new(bytes_max: usize) -> Window {
        let bytes_max = bytes_max as u64;
        Window {
            bytes: BULK_WINDOW_START.min(bytes_max),
            bytes_max,
            sent: 0,
            seen: 0,
            marks: VecDeque::new(),
            base: Base::default(),
            was_closed: false,
            changed_at: 0,
        }
    }

    /// Bytes that may begin to be written. The frame that uses up the last of them is still written whole.
    pub(crate) fn room(&self) -> u64 {
        self.bytes.saturating_sub(self.sent - self.seen)
    }

    /// Notes that bulk has to wait.
    pub(crate) fn is_closed(&mut self) {
        self.was_closed = true;
    }

    /// Nobody listens for what is seen any more: everything may go.
    pub(crate) fn lift(&mut self) {
        self.bytes = u64::MAX;
    }

    pub(crate) fn wrote(&mut self, bytes: usize, now: Instant) {
        self.sent += bytes as u64;
        if self.marks.len() < BULK_MARKS_MAX {
            self.marks.push_back((self.sent, now));
        }
    }

    /// Learns how much the other end has seen. Returns whether that can be: never less than before, nor more than was
    /// sent.
    // spec: LANE-6
    pub(crate) fn seen(&mut self, seen: u64, now: Instant) -> bool {
        if seen < self.seen || seen > self.sent {
            return false;
        }
        self.seen = seen;
        let mut newest = None;
        while let Some((end, at)) = self.marks.front().copied()
            && end <= seen
        {
            self.marks.pop_front();
            newest = Some((end, now - at));
        }
        if let Some((end, took)) = newest {
            self.adapt(end, took, now);
        }
        true
    }

    /// Halves the window when bulk queued up, widens it by a quarter when it only waited for the window.
    fn adapt(&mut self, end: u64, took: Duration, now: Instant) {
        let queued = took - self.base.learn(took, now);
        if self.bytes > self.bytes_max || end <= self.changed_at {
            return;
        }
        if queued > QUEUE_TIME_MAX {
            self.bytes = (self.bytes / 2).max(BULK_WINDOW_MIN);
        } else if self.was_closed && queued < QUEUE_TIME_MAX / 2 {
            self.bytes = (self.bytes + self.bytes / 4).min(self.bytes_max);
        } else {
            return;
        }
        self.was_closed = false;
        self.changed_at = self.sent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Sends frames of 8 KiB for 2 s over a way of `rate` bytes a millisecond and half a round trip of `delay`, and
    /// returns the bytes seen and the longest queue of the second half, in bytes.
    fn run(rate: u64, delay: Duration) -> (u64, u64) {
        let start = Instant::now();
        let mut window = Window::new(256 * 1024);
        // Arrivals at the far end: when its bytes are through, and how many there are then.
        let mut way: VecDeque<(Instant, u64)> = VecDeque::new();
        let (mut free_at, mut sent, mut longest) = (start, 0, 0);
        for tick in 0..20_000u32 {
            let now = start + MS / 10 * tick;
            while let Some((at, total)) = way.front().copied()
                && at + delay <= now
            {
                way.pop_front();
                assert!(window.seen(total, now));
            }
            while window.room() > 0 {
                let bytes = 8 * 1024;
                window.wrote(bytes, now);
                sent += bytes as u64;
                let micros = bytes as u64 * 1_000 / rate;
                free_at = free_at.max(now) + Duration::from_micros(micros);
                way.push_back((free_at + delay, sent));
            }
            window.is_closed();
            if tick > 10_000 {
                let queued = (free_at - now.min(free_at)).as_micros() as u64 * rate / 1_000;
                longest = longest.max(queued);
            }
        }
        (window.seen, longest)
    }

    #[test]
    fn a_slow_way_holds_a_few_milliseconds_of_bulk_and_is_used_all_the_same() {
        for (rate, delay) in [
            (1_000, MS / 10),
            (10_000, MS / 10),
            (10_000, MS),
            (4_000, 5 * MS),
        ] {
            let (seen, longest) = run(rate, delay);
            let possible = rate * 2_000;
            assert!(
                seen > possible * 7 / 10,
                "{seen} of {possible} bytes at {rate} bytes/ms"
            );
            let most = rate * 8 + 16 * 1024;
            assert!(longest < most, "{longest} bytes queued at {rate} bytes/ms");
        }
    }

    #[test]
    fn a_fast_way_opens_the_window_wide() {
        let (seen, _) = run(1_000_000, MS / 10);
        assert!(seen > 1_000_000_000, "{seen} bytes in 2 s");
    }

    #[test]
    fn what_cannot_have_been_seen_is_refused() {
        let now = Instant::now();
        let mut window = Window::new(256 * 1024);
        window.wrote(100, now);
        assert!(!window.seen(101, now));
        assert!(window.seen(60, now) && window.seen(60, now));
        assert!(!window.seen(59, now));
        window.lift();
        assert!(window.room() > 1 << 40);
        assert!(window.seen(100, now));
    }
}
