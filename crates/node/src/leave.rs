//! Leaving on purpose: first not Ready, so that no new work comes, then out of the view.

use std::time::Duration;

use radix_core::time::Timestamp;

/// How far leaving has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Leave {
    /// The node stays.
    #[default]
    Staying,
    /// Nobody routes here any more; what is under way ends until then.
    Draining {
        /// When the node says goodbye.
        until: Timestamp,
    },
    /// The goodbye was said. Nothing follows.
    Gone,
}

impl Leave {
    /// Begins to drain; said again, the earlier end holds. Returns whether draining began just now.
    pub(crate) fn begin(&mut self, now: Timestamp, drain: Duration) -> bool {
        let until = now.after(drain);
        match self {
            Leave::Staying => {
                *self = Leave::Draining { until };
                true
            }
            Leave::Draining { until: known } => {
                *known = until.min(*known);
                false
            }
            Leave::Gone => false,
        }
    }

    /// Returns whether the goodbye is due; from then on the node is gone.
    pub(crate) fn end(&mut self, now: Timestamp) -> bool {
        let due = self.deadline().is_some_and(|until| until <= now);
        if due {
            *self = Leave::Gone;
        }
        due
    }

    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        match self {
            Leave::Draining { until } => Some(*until),
            Leave::Staying | Leave::Gone => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_goodbye_is_due_once_at_the_earliest_end_that_was_named() {
        let at = |ms| Timestamp(0).after(Duration::from_millis(ms));
        let mut leave = Leave::default();
        assert!(!leave.end(at(0)));
        assert!(leave.begin(at(0), Duration::from_secs(5)));
        assert!(!leave.begin(at(1), Duration::from_secs(1)));
        assert!(!leave.begin(at(2), Duration::from_secs(9)));
        assert_eq!(leave.deadline(), Some(at(1_001)));
        assert!(!leave.end(at(1_000)) && leave.end(at(1_001)));
        assert!(!leave.end(at(1_002)) && !leave.begin(at(1_003), Duration::ZERO));
    }
}
