//! When rounds begin and how long they may take.

use std::time::Duration;

/// Settings of a [`RingRound`](super::RingRound). Nodes need not agree on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundConfig {
    /// Time between two rounds that agreed. Default 10 s.
    ///
    /// Shorter finds disagreement and slow members sooner; each round costs two frames for each member.
    pub period: Duration,
    /// How long a round may take before it counts as lost, or four laps as last measured if that is longer,
    /// and the time from a round that did not agree to the next. Default 2 s.
    pub timeout: Duration,
    /// How long a new view may settle before it is asked about. Default 1 s.
    pub settle: Duration,
}

impl Default for RoundConfig {
    fn default() -> RoundConfig {
        RoundConfig {
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            settle: Duration::from_secs(1),
        }
    }
}

/// Shortest time that a setting may have: a round that begins again at once would never rest.
const SHORTEST: Duration = Duration::from_millis(1);

impl RoundConfig {
    /// Takes values outside the ranges to their nearer end: no time below 1 ms, none longer than the period.
    #[must_use]
    pub(super) fn clamped(self) -> RoundConfig {
        let period = self.period.max(SHORTEST);
        RoundConfig {
            period,
            timeout: self.timeout.clamp(SHORTEST, period),
            settle: self.settle.clamp(SHORTEST, period),
        }
    }
}
