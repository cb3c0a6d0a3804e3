//! Which log is pulled next, where more lack something than pulls may be under way.

use std::collections::BTreeMap;

use radix_core::id::Rank;

use crate::limits::PULL_TURN;

/// How soon a log is caught up with, compared to others. Inside one log order is always the log's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Before all others: logs that most questions are about.
    First,
    /// In between.
    #[default]
    Normal,
    /// After all others.
    Last,
}

/// Logs that wait for a pull to end, in the order in which they came.
// spec: OPLOG-19
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: BTreeMap<Rank, u64>,
    tickets: u64,
    taken: u64,
}

impl Queue {
    /// Puts a log at the end, or keeps its place.
    pub(crate) fn insert(&mut self, rank: Rank) {
        self.waiting.entry(rank).or_insert_with(|| {
            self.tickets += 1;
            self.tickets
        });
    }

    pub(crate) fn remove(&mut self, rank: Rank) {
        self.waiting.remove(&rank);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes the log that `order` puts first; every fourth time the one that waits the longest, so that none waits for
    /// ever. Cost: O(logs that wait).
    pub(crate) fn take<K: Ord>(&mut self, order: impl Fn(Rank) -> K) -> Option<Rank> {
        if self.waiting.is_empty() {
            return None;
        }
        self.taken += 1;
        let waiting = self.waiting.iter();
        let (rank, _) = if self.taken.is_multiple_of(PULL_TURN) {
            waiting.min_by_key(|(_, ticket)| **ticket)?
        } else {
            waiting.min_by_key(|(rank, ticket)| (order(**rank), **ticket))?
        };
        let rank = *rank;
        self.waiting.remove(&rank);
        Some(rank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_decides_then_who_came_first_and_every_fourth_is_the_oldest() {
        let mut queue = Queue::default();
        for rank in [9, 5, 6, 7, 8, 5] {
            queue.insert(Rank(rank));
        }
        queue.remove(Rank(8));
        let order = |rank: Rank| rank.0 == 9;
        let taken: Vec<_> = (0..3).filter_map(|_| queue.take(order)).collect();
        assert_eq!(taken, [Rank(5), Rank(6), Rank(7)]);
        queue.insert(Rank(5));
        assert_eq!(queue.take(order), Some(Rank(9)), "the fourth");
        assert_eq!(queue.take(order), Some(Rank(5)));
        assert!(queue.is_empty() && queue.take(order).is_none());
    }
}
