//! One round of asking others about a member that this node does not hear.

use radix_core::id::Rank;

/// Who was asked, and what they said so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    nonce: u32,
    /// At most [`limits::RELAYS`](crate::limits::RELAYS).
    waiting: Vec<Rank>,
    asked: bool,
    answered: bool,
}

/// What an answer changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing: nobody asked for it, or others still have to answer.
    Open,
    /// Somebody hears the member.
    Heard,
    /// Everybody answered, and nobody hears it.
    Unheard,
}

impl Round {
    pub(crate) fn new(nonce: u32, relays: Vec<Rank>) -> Round {
        Round {
            nonce,
            asked: !relays.is_empty(),
            waiting: relays,
            answered: false,
        }
    }

    pub(crate) fn answer(&mut self, from: Rank, nonce: u32, heard: bool) -> Outcome {
        let Some(at) = self.waiting.iter().position(|&relay| relay == from) else {
            return Outcome::Open;
        };
        if nonce != self.nonce {
            return Outcome::Open;
        }
        self.answered = true;
        self.waiting.remove(at);
        if heard {
            Outcome::Heard
        } else if self.waiting.is_empty() {
            Outcome::Unheard
        } else {
            Outcome::Open
        }
    }

    /// One of those asked is out of reach itself: not to be waited for, and nothing against who asked.
    pub(crate) fn lose(&mut self, relay: Rank) -> Outcome {
        let Some(at) = self.waiting.iter().position(|&waiting| waiting == relay) else {
            return Outcome::Open;
        };
        self.waiting.remove(at);
        if self.waiting.is_empty() {
            self.asked = false;
            return Outcome::Unheard;
        }
        Outcome::Open
    }

    /// Returns whether others were asked and not one answered: a sign against the asking node.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.asked && !self.answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: TOPO-27
    #[test]
    fn one_who_hears_it_decides_and_all_who_do_not_decide() {
        let round = || Round::new(7, vec![Rank(1), Rank(2)]);
        let check = |answers: &[(u16, u32, bool)], expect: Outcome| {
            let mut round = round();
            let mut last = Outcome::Open;
            for &(from, nonce, heard) in answers {
                last = round.answer(Rank(from), nonce, heard);
            }
            assert_eq!(last, expect, "{answers:?}");
        };
        check(&[(1, 7, true)], Outcome::Heard);
        check(&[(1, 7, false)], Outcome::Open);
        check(&[(1, 7, false), (2, 7, true)], Outcome::Heard);
        check(&[(1, 7, false), (2, 7, false)], Outcome::Unheard);
        check(&[(1, 7, false), (1, 7, false)], Outcome::Open);
        check(&[(1, 7, false), (2, 6, false)], Outcome::Open);
        check(&[(1, 7, false), (3, 7, true)], Outcome::Open);
    }

    #[test]
    fn who_is_out_of_reach_is_not_waited_for() {
        let mut round = Round::new(7, vec![Rank(1), Rank(2)]);
        assert_eq!(round.lose(Rank(3)), Outcome::Open);
        assert_eq!(round.lose(Rank(1)), Outcome::Open);
        assert!(round.is_unanswered());
        assert_eq!(round.lose(Rank(2)), Outcome::Unheard);
        assert!(!round.is_unanswered());
    }

    #[test]
    fn a_round_without_any_answer_speaks_against_who_asked() {
        let mut round = Round::new(7, vec![Rank(1), Rank(2)]);
        assert!(round.is_unanswered());
        round.answer(Rank(2), 7, false);
        assert!(!round.is_unanswered());
        assert!(!Round::new(7, Vec::new()).is_unanswered());
    }
}
