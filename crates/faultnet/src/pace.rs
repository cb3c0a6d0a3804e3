//! When the bytes of one direction leave: delay, jitter, and a token bucket. Knows no sockets.

use std::time::Duration;

use tokio::time::Instant;

use crate::condition::Way;
use crate::limits::BURST_TIME;

/// The bucket and the order of one direction.
#[derive(Debug)]
pub(crate) struct Pace {
    random: fastrand::Rng,
    /// When the chunk before leaves: none overtakes it.
    last: Instant,
    /// When the rate would have sent everything so far. The bucket is full when this is `BURST_TIME` ago.
    paid: Instant,
}

impl Pace {
    pub(crate) fn new(seed: u64, now: Instant) -> Pace {
        Pace {
            random: fastrand::Rng::with_seed(seed),
            last: now,
            paid: now.checked_sub(BURST_TIME).unwrap_or(now),
        }
    }

    /// Returns when `bytes` that came now leave.
    pub(crate) fn due(&mut self, way: &Way, bytes: usize, now: Instant) -> Instant {
        let jitter = way.jitter.mul_f64(self.random.f64());
        let mut due = (now + way.delay + jitter).max(self.last);
        if let Some(rate) = way.rate {
            let full = due.checked_sub(BURST_TIME).unwrap_or(due);
            self.paid = self.paid.max(full);
            due = due.max(self.paid);
            self.paid += Duration::from_secs_f64(bytes as f64 / rate.get() as f64);
        }
        self.last = due;
        due
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    fn way(delay_ms: u64, jitter_ms: u64, rate: Option<u64>) -> Way {
        Way {
            delay: Duration::from_millis(delay_ms),
            jitter: Duration::from_millis(jitter_ms),
            rate: rate.and_then(NonZeroU64::new),
            ..Way::PASS
        }
    }

    #[test]
    fn bytes_are_late_by_the_delay_and_at_most_the_jitter_and_stay_in_order() {
        let start = Instant::now();
        let mut pace = Pace::new(1, start);
        let way = way(50, 10, None);
        let mut before = start;
        for step in 0..1_000 {
            let now = start + Duration::from_micros(step * 10);
            let due = pace.due(&way, 100, now);
            assert!(due >= before && due >= now + way.delay);
            assert!(due <= now + way.delay + way.jitter || due == before);
            before = due;
        }
    }

    #[test]
    fn a_rate_is_kept_over_any_second_but_for_one_burst() {
        let start = Instant::now();
        let mut pace = Pace::new(1, start);
        let way = way(0, 0, Some(100_000));
        let last = (0..200).map(|_| pace.due(&way, 1_000, start)).last();
        let took = last.unwrap() - start;
        // 200,000 bytes but the burst of 20 ms and the last chunk, which leaves as soon as the ones before are paid.
        let expected = Duration::from_millis(2_000 - 20 - 10);
        assert!(
            took.abs_diff(expected) < Duration::from_millis(2),
            "{took:?}"
        );
    }

    #[test]
    fn a_pause_saves_no_more_than_one_burst() {
        let start = Instant::now();
        let mut pace = Pace::new(1, start);
        let way = way(0, 0, Some(100_000));
        pace.due(&way, 1_000, start);
        let later = start + Duration::from_secs(60);
        let at_once = (0..100)
            .filter(|_| pace.due(&way, 1_000, later) == later)
            .count();
        assert_eq!(
            at_once, 3,
            "a burst of 2,000 bytes, and the one that overdraws it"
        );
    }
}
