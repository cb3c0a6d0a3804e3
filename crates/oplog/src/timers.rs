//! One deadline per rank, and the earliest of them at once.

use std::collections::{BTreeMap, BTreeSet};

use radix_core::id::Rank;
use radix_core::time::Timestamp;

#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_rank: BTreeMap<Rank, Timestamp>,
    by_time: BTreeSet<(Timestamp, Rank)>,
}

impl Timers {
    pub(crate) fn set(&mut self, rank: Rank, at: Option<Timestamp>) {
        let before = match at {
            Some(at) => self.by_rank.insert(rank, at),
            None => self.by_rank.remove(&rank),
        };
        if let Some(before) = before {
            self.by_time.remove(&(before, rank));
        }
        if let Some(at) = at {
            self.by_time.insert((at, rank));
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the first rank that is due.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Option<Rank> {
        let (at, rank) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.set(rank, None);
        Some(rank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rank_has_one_deadline_the_last_one_set() {
        let mut timers = Timers::default();
        timers.set(Rank(1), Some(Timestamp(5)));
        timers.set(Rank(2), Some(Timestamp(7)));
        timers.set(Rank(1), Some(Timestamp(9)));
        assert_eq!(timers.next_deadline(), Some(Timestamp(7)));
        assert_eq!(timers.take_due(Timestamp(6)), None);
        assert_eq!(timers.take_due(Timestamp(9)), Some(Rank(2)));
        timers.set(Rank(1), None);
        assert_eq!(timers.take_due(Timestamp(9)), None);
    }
}
