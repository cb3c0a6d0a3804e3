//! Questions of others about members that this node is linked to, until it can answer them.

use std::collections::BTreeMap;

use radix_core::id::Rank;
use radix_core::time::Timestamp;

use crate::limits;

/// "Do you hear it?", not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// Who asked.
    pub(crate) from: Rank,
    pub(crate) nonce: u32,
    deadline: Timestamp,
}

/// At most [`limits::QUESTIONS_MAX`] at one time, by the member asked about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Questions {
    about: BTreeMap<Rank, Vec<Question>>,
    count: usize,
}

impl Questions {
    /// Returns false when there is no room.
    pub(crate) fn add(&mut self, about: Rank, from: Rank, nonce: u32, deadline: Timestamp) -> bool {
        if self.count >= limits::QUESTIONS_MAX {
            return false;
        }
        self.count += 1;
        self.about.entry(about).or_default().push(Question {
            from,
            nonce,
            deadline,
        });
        true
    }

    /// Takes all questions about a member: it was heard, or its link is gone.
    pub(crate) fn take(&mut self, about: Rank) -> Vec<Question> {
        let taken = self.about.remove(&about).unwrap_or_default();
        self.count -= taken.len();
        taken
    }

    /// Takes the questions that have waited until `now`, with whom they are about.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Vec<(Rank, Question)> {
        let mut due = Vec::new();
        self.about.retain(|&about, questions| {
            questions.retain(|question| {
                let waits = question.deadline > now;
                if !waits {
                    due.push((about, *question));
                }
                waits
            });
            !questions.is_empty()
        });
        self.count -= due.len();
        due
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let all = self.about.values().flatten();
        all.map(|question| question.deadline).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: TOPO-28
    #[test]
    fn questions_are_answered_together_or_when_they_are_due() {
        let mut questions = Questions::default();
        assert!(questions.add(Rank(9), Rank(1), 11, Timestamp(5)));
        assert!(questions.add(Rank(9), Rank(2), 12, Timestamp(7)));
        assert!(questions.add(Rank(8), Rank(1), 13, Timestamp(7)));
        assert_eq!(questions.next_deadline(), Some(Timestamp(5)));
        let due: Vec<u32> = questions
            .take_due(Timestamp(5))
            .iter()
            .map(|(_, question)| question.nonce)
            .collect();
        assert_eq!(due, [11]);
        assert_eq!(questions.take(Rank(9)).len(), 1);
        assert_eq!(questions.take(Rank(9)), []);
        assert_eq!(questions.count, 1);
    }

    #[test]
    fn more_questions_than_there_is_room_for_are_refused() {
        let mut questions = Questions::default();
        for nonce in 0..256 {
            assert!(questions.add(Rank(9), Rank(1), nonce, Timestamp(5)));
        }
        assert!(!questions.add(Rank(9), Rank(1), 256, Timestamp(5)));
        assert_eq!(questions.take(Rank(9)).len(), 256);
        assert!(questions.add(Rank(9), Rank(1), 257, Timestamp(5)));
    }
}
