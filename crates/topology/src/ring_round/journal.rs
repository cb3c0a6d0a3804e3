//! Which tokens were here: what tells a token that comes back from a copy of one.

use std::collections::VecDeque;

use radix_core::id::{Incarnation, OriginId};
use radix_core::time::Timestamp;

use super::token::{Lap, RoundId};

/// Rounds remembered, one of each initiator. More than one at a time begin only after a long silence.
const ROUNDS_MAX: usize = 8;

/// The newest rounds that came by.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal(VecDeque<Entry>);

/// How far a round was when it last came by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    round: RoundId,
    /// The lap and the hop of it.
    at: (Lap, u16),
    /// When the first lap first came by.
    pub(super) folded: Option<Timestamp>,
    /// The outcome is known here.
    pub(super) concluded: bool,
}

impl Journal {
    /// Notes a token; `None` when it, or one behind it, was here already.
    // spec: RING-8
    pub(super) fn note(&mut self, round: RoundId, at: (Lap, u16)) -> Option<&mut Entry> {
        let age = |round: RoundId| -> (Incarnation, u64) { (round.initiator.inc, round.k) };
        let known = self
            .0
            .iter()
            .position(|entry| entry.round.initiator.rank == round.initiator.rank);
        let mut entry = Entry {
            round,
            at,
            folded: None,
            concluded: false,
        };
        if let Some(known) = known {
            let before = self.0[known];
            if (age(round), at) <= (age(before.round), before.at) {
                return None;
            }
            if age(round) == age(before.round) {
                entry = Entry { at, ..before };
            }
            self.0.remove(known);
        } else if self.0.len() == ROUNDS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(entry);
        self.0.back_mut()
    }

    /// Returns what is known of a round that came by.
    pub(super) fn entry(&mut self, round: RoundId) -> Option<&mut Entry> {
        self.0.iter_mut().find(|entry| entry.round == round)
    }

    /// Returns the highest count of a round of `origin` that came by.
    pub(super) fn highest(&self, origin: OriginId) -> u64 {
        let own = self
            .0
            .iter()
            .filter(|entry| entry.round.initiator == origin);
        own.map(|entry| entry.round.k).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use radix_core::id::Rank;

    use super::*;
    use crate::table::ViewId;

    fn round(rank: u16, inc: u64, k: u64) -> RoundId {
        let (rank, inc) = (Rank(rank), Incarnation(inc));
        RoundId {
            initiator: OriginId { rank, inc },
            k,
            view: ViewId(1),
        }
    }

    // spec: RING-8
    #[test]
    fn only_what_is_further_on_is_news() {
        let mut journal = Journal::default();
        let mut news = |round, at| journal.note(round, at).is_some();
        assert!(news(round(1, 1, 5), (Lap::Fold, 3)));
        assert!(!news(round(1, 1, 5), (Lap::Fold, 3)), "a copy");
        assert!(!news(round(1, 1, 5), (Lap::Fold, 2)), "a late copy");
        assert!(news(round(1, 1, 5), (Lap::Fold, 7)), "it came back");
        assert!(news(round(1, 1, 5), (Lap::Tell, 0)));
        assert!(!news(round(1, 1, 4), (Lap::Tell, 9)), "an older round");
        assert!(news(round(1, 2, 1), (Lap::Fold, 0)), "a newer life");
        assert!(!news(round(1, 1, 99), (Lap::Fold, 1)), "an older life");
        assert!(news(round(2, 1, 1), (Lap::Fold, 1)), "another initiator");
    }

    #[test]
    fn the_rounds_remembered_are_bounded_and_the_oldest_goes() {
        let mut journal = Journal::default();
        for rank in 0..20 {
            journal.note(round(rank, 1, 1), (Lap::Fold, 0));
        }
        assert_eq!(journal.0.len(), ROUNDS_MAX);
        assert!(journal.entry(round(12, 1, 1)).is_some());
        assert!(journal.entry(round(11, 1, 1)).is_none());
    }
}
