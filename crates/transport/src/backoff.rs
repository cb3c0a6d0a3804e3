//! The pause between dials: doubled up to a bound, and never the same at two nodes.

use std::time::Duration;

use crate::limits::Limits;

/// The pauses of one dialer.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(limits: &Limits) -> Backoff {
        Backoff {
            min: limits.backoff_min,
            max: limits.backoff_max,
            next: limits.backoff_min,
        }
    }

    /// Returns the next pause: between half of the step and the whole of it.
    pub(crate) fn pause(&mut self, random: &mut fastrand::Rng) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.max);
        step.mul_f64(0.5 + random.f64() / 2.0)
    }

    /// Starts over if a connection lived for `lived`: one that ends at once is no better than none.
    pub(crate) fn lived(&mut self, lived: Duration) {
        if lived >= self.max {
            self.next = self.min;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_with_jitter_up_to_the_bound_and_start_over_after_a_life() {
        let limits = Limits::default();
        let mut backoff = Backoff::new(&limits);
        let mut random = fastrand::Rng::with_seed(7);
        for step_ms in [50, 100, 200, 400, 800, 1000, 1000] {
            let pause = backoff.pause(&mut random).as_millis();
            assert!(
                (step_ms / 2..=step_ms).contains(&pause),
                "{pause} ms at step {step_ms} ms"
            );
        }
        backoff.lived(Duration::from_millis(999));
        assert!(backoff.pause(&mut random) >= Duration::from_millis(500));
        backoff.lived(Duration::from_secs(1));
        assert!(backoff.pause(&mut random) <= Duration::from_millis(50));
    }
}
