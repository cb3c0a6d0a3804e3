//! The clock of one node: it may run fast or slow, and jump ahead. Nobody else reads it.

use radix_core::time::Timestamp;

/// Parts of a million, the unit of clock rates.
const MILLION: i128 = 1_000_000;

/// A monotonic clock beside virtual time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// From here on the rate holds: virtual time, and what the clock said then.
    since: Timestamp,
    said: Timestamp,
    /// How much faster than virtual time. Unit: parts of a million.
    fast_ppm: i64,
}

impl Clock {
    /// Returns what the clock says at a virtual instant.
    pub(crate) fn says(&self, now: Timestamp) -> Timestamp {
        if self.fast_ppm == 0 {
            return Timestamp(self.said.0 + now.0.saturating_sub(self.since.0));
        }
        let passed = i128::from(now.0.saturating_sub(self.since.0));
        let passed = passed * (MILLION + i128::from(self.fast_ppm)) / MILLION;
        Timestamp(
            self.said
                .0
                .saturating_add(u64::try_from(passed).unwrap_or(0)),
        )
    }

    /// Returns the first virtual instant at which the clock says at least `local`.
    pub(crate) fn when(&self, local: Timestamp) -> Timestamp {
        let ahead = local.0.saturating_sub(self.said.0);
        if self.fast_ppm == 0 {
            return Timestamp(self.since.0.saturating_add(ahead));
        }
        let rate = MILLION + i128::from(self.fast_ppm);
        let wait = (i128::from(ahead) * MILLION + rate - 1) / rate;
        let mut at = Timestamp(
            self.since
                .0
                .saturating_add(u64::try_from(wait).unwrap_or(u64::MAX)),
        );
        // Both ways are rounded down: one more nanosecond is always enough.
        while self.says(at) < local && at.0 < u64::MAX {
            at.0 += 1;
        }
        at
    }

    /// From now on the clock runs that much faster than virtual time, or slower.
    pub(crate) fn run(&mut self, now: Timestamp, fast_ppm: i64) {
        *self = Clock {
            said: self.says(now),
            since: now,
            fast_ppm,
        };
    }

    /// The clock jumps ahead, as that of a machine that was suspended.
    pub(crate) fn jump(&mut self, now: Timestamp, ns: u64) {
        let said = self.says(now);
        *self = Clock {
            said: Timestamp(said.0.saturating_add(ns)),
            since: now,
            fast_ppm: self.fast_ppm,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_on_a_skewed_clock_is_never_early_and_hardly_late() {
        for fast_ppm in [-50_000, -1, 0, 1, 33_333, 50_000] {
            let mut clock = Clock::default();
            clock.run(Timestamp(12_345), fast_ppm);
            clock.jump(Timestamp(99_999), 3_600_000_000_000);
            for local in (3_600_000_200_000..3_600_009_000_000).step_by(7_777) {
                let at = clock.when(Timestamp(local));
                assert!(clock.says(at) >= Timestamp(local), "{fast_ppm} {local}");
                let before = Timestamp(at.0 - 2);
                assert!(clock.says(before) < Timestamp(local), "{fast_ppm} {local}");
            }
        }
    }

    #[test]
    fn a_clock_goes_on_where_it_was_when_its_rate_changes() {
        let mut clock = Clock::default();
        clock.run(Timestamp(1_000_000), 50_000);
        assert_eq!(clock.says(Timestamp(1_000_000)), Timestamp(1_000_000));
        assert_eq!(clock.says(Timestamp(2_000_000)), Timestamp(2_050_000));
        clock.run(Timestamp(2_000_000), 0);
        assert_eq!(clock.says(Timestamp(3_000_000)), Timestamp(3_050_000));
    }
}
