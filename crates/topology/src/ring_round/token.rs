//! The token of a round: what it carries, and where it goes next. It knows no time and no round before it.

use radix_core::id::{OriginId, Rank};
use serde::{Deserialize, Deserializer, Serialize};

use super::Semilattice;
use super::places::Places;
use crate::bounded;
use crate::limits::MEMBERS_MAX;
use crate::table::ViewId;

/// Members with a view of their own that a token names; the lowest ranks. One is enough to disagree.
pub const DIFFERS_MAX: usize = 4;

/// Hops of one lap for each member: a lap of a closed ring needs one, detours round bad links need more.
pub const HOPS_PER_MEMBER: u16 = 4;

/// The name of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RoundId {
    /// Who began it, in which life.
    pub initiator: OriginId,
    /// Counts the rounds of that life.
    pub k: u64,
    /// The view that it asks about: the initiator's.
    pub view: ViewId,
}

/// Which way round a token is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Lap {
    /// The first: every member adds what it has to say.
    Fold,
    /// The second: every member learns what all said.
    Tell,
}

/// What travels round the ring, twice.
///
/// Size: below 5 bytes for each member, and the fold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token<S> {
    pub(super) round: RoundId,
    pub(super) lap: Lap,
    /// Hops of this lap. It grows with each, so a copy of a token is known as one.
    pub(super) hop: u16,
    /// The initiator's view, ascending. The route needs no agreement of those it leads to.
    #[serde(deserialize_with = "members")]
    pub(super) members: Vec<Rank>,
    /// Who added what it has to say.
    pub(super) folded: Places,
    /// Who learned the outcome.
    pub(super) told: Places,
    /// Who could reach nobody new since somebody new was last reached.
    pub(super) tried: Places,
    /// Members that have another view, with its id.
    #[serde(deserialize_with = "differs")]
    pub(super) differs: Vec<(Rank, ViewId)>,
    pub(super) fold: S,
}

impl<S: Semilattice> Token<S> {
    /// Begins a round over `members`, which ascend and hold the initiator.
    pub(super) fn new(round: RoundId, members: &[Rank], fold: S) -> Token<S> {
        let none = Places::none(members.len());
        Token {
            round,
            lap: Lap::Fold,
            hop: 0,
            members: members.to_vec(),
            folded: none.clone(),
            told: none.clone(),
            tried: none,
            differs: Vec::new(),
            fold,
        }
    }

    /// Returns the round.
    #[must_use]
    pub fn round(&self) -> RoundId {
        self.round
    }

    /// Returns which way round it is on.
    #[must_use]
    pub fn lap(&self) -> Lap {
        self.lap
    }

    /// Returns what was folded so far.
    #[must_use]
    pub fn fold(&self) -> &S {
        &self.fold
    }

    /// Returns whether the parts fit each other. A peer's token is looked at before anything is done with it.
    // spec: RING-9
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let len = self.members.len();
        len <= MEMBERS_MAX
            && self.members.is_sorted_by(|a, b| a < b)
            && self.place(self.round.initiator.rank).is_ok()
            && [&self.folded, &self.told, &self.tried]
                .iter()
                .all(|places| places.is_over(len))
            && self.folded.covers(&self.told)
            && self.hop <= self.hops_max()
            && self.differs.len() <= DIFFERS_MAX
            && self.differs.is_sorted_by(|a, b| a.0 < b.0)
    }

    /// Returns the place of a rank among the members, or where it would stand.
    pub(super) fn place(&self, rank: Rank) -> Result<usize, usize> {
        self.members.binary_search(&rank)
    }

    /// Notes that `rank` has another view. Those of the lowest ranks stay.
    // spec: RING-4
    pub(super) fn differ(&mut self, rank: Rank, view: ViewId) {
        if let Err(at) = self.differs.binary_search_by_key(&rank, |(rank, _)| *rank) {
            self.differs.insert(at, (rank, view));
            self.differs.truncate(DIFFERS_MAX);
        }
    }

    /// Returns whether every member was there.
    pub(super) fn is_complete(&self) -> bool {
        self.folded.count() == self.members.len()
    }

    /// Returns whether nobody is left for this lap.
    pub(super) fn lap_is_over(&self) -> bool {
        match self.lap {
            Lap::Fold => self.is_complete(),
            Lap::Tell => self.told.covers(&self.folded),
        }
    }

    /// Begins the second lap.
    pub(super) fn turn(&mut self) {
        self.lap = Lap::Tell;
        self.hop = 0;
        self.tried.clear();
    }

    /// Chooses who gets the token from `me`, and counts the hop; `None` when this lap can come no further.
    ///
    /// Somebody new first, in ring order. Who reaches nobody new hands it to one who has not tried since; when
    /// all have, what is left cannot be reached by anybody.
    // spec: RING-3
    pub(super) fn pass(&mut self, me: Rank, reachable: impl Fn(Rank) -> bool) -> Option<Rank> {
        if self.hop >= self.hops_max() {
            return None;
        }
        let place = self.place(me);
        let to = self.find(place, &reachable, |token, at| token.wants(at));
        if to.is_none()
            && let Ok(me) = place
        {
            self.tried.take(me);
        }
        let to = to.or_else(|| {
            self.find(place, &reachable, |token, at| {
                token.was_at(at) && !token.tried.has(at)
            })
        });
        let to = to.or_else(|| {
            let left = (0..self.members.len()).any(|at| self.was_at(at) && !self.tried.has(at));
            let walk = |token: &Token<S>, at| token.was_at(at);
            left.then(|| self.find(place, &reachable, walk)).flatten()
        })?;
        self.hop += 1;
        Some(to)
    }

    /// Returns the first member behind `place`, in ring order, that is reachable and fits.
    fn find(
        &self,
        place: Result<usize, usize>,
        reachable: &impl Fn(Rank) -> bool,
        fits: impl Fn(&Token<S>, usize) -> bool,
    ) -> Option<Rank> {
        let (behind, before) = match place {
            Ok(me) => (me + 1, me),
            Err(gap) => (gap, gap),
        };
        (behind..self.members.len())
            .chain(0..before)
            .filter(|at| fits(self, *at))
            .map(|at| self.members[at])
            .find(|rank| reachable(*rank))
    }

    /// Returns whether the token still has to come there in this lap.
    fn wants(&self, at: usize) -> bool {
        match self.lap {
            Lap::Fold => !self.folded.has(at),
            Lap::Tell => self.folded.has(at) && !self.told.has(at),
        }
    }

    /// Returns whether the token was there in this lap.
    fn was_at(&self, at: usize) -> bool {
        match self.lap {
            Lap::Fold => self.folded.has(at),
            Lap::Tell => self.told.has(at),
        }
    }

    fn hops_max(&self) -> u16 {
        let members = u16::try_from(self.members.len()).unwrap_or(u16::MAX);
        members.saturating_mul(HOPS_PER_MEMBER)
    }
}

fn members<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Rank>, D::Error> {
    bounded::list(from, MEMBERS_MAX)
}

fn differs<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(Rank, ViewId)>, D::Error> {
    bounded::list(from, DIFFERS_MAX)
}

#[cfg(test)]
mod tests {
    use radix_core::id::Incarnation;

    use super::*;

    impl Semilattice for () {
        fn merge(&mut self, _other: &()) {}
    }

    fn token(members: &[u16]) -> Token<()> {
        let members: Vec<Rank> = members.iter().map(|rank| Rank(*rank)).collect();
        let initiator = OriginId {
            rank: members[0],
            inc: Incarnation(1),
        };
        let round = RoundId {
            initiator,
            k: 1,
            view: ViewId(5),
        };
        Token::new(round, &members, ())
    }

    fn visit(token: &mut Token<()>, rank: u16) {
        let at = token.place(Rank(rank)).unwrap();
        if token.folded.take(at) {
            token.tried.clear();
        }
    }

    // spec: RING-3
    #[test]
    fn the_next_in_ring_order_that_can_be_reached_gets_it() {
        let mut token = token(&[1, 4, 6, 9]);
        visit(&mut token, 4);
        assert_eq!(token.clone().pass(Rank(4), |_| true), Some(Rank(6)));
        assert_eq!(
            token.clone().pass(Rank(4), |rank| rank != Rank(6)),
            Some(Rank(9))
        );
        visit(&mut token, 9);
        assert_eq!(
            token.pass(Rank(9), |rank| rank != Rank(6)),
            Some(Rank(1)),
            "the ring wraps"
        );
    }

    // spec: RING-3
    #[test]
    fn who_reaches_nobody_new_asks_each_of_the_others_once() {
        let mut token = token(&[1, 2, 3, 4]);
        let without_4 = |rank| rank != Rank(4);
        for rank in [1, 2, 3] {
            visit(&mut token, rank);
        }
        assert_eq!(token.pass(Rank(3), without_4), Some(Rank(1)));
        assert_eq!(token.pass(Rank(1), without_4), Some(Rank(2)));
        assert_eq!(token.pass(Rank(2), without_4), None, "all have tried");
        let mut again = token.clone();
        assert_eq!(again.pass(Rank(2), |_| true), Some(Rank(4)));
    }

    #[test]
    fn a_lap_ends_when_its_hops_are_used_up() {
        let mut token = token(&[1, 2]);
        for _ in 0..8 {
            assert_eq!(token.pass(Rank(1), |_| true), Some(Rank(2)));
        }
        assert_eq!(token.pass(Rank(1), |_| true), None);
    }

    // spec: RING-4
    #[test]
    fn the_lowest_ranks_that_differ_are_named_whatever_the_order() {
        let mut token = token(&[1, 2]);
        for rank in [9, 3, 7, 3, 5, 8] {
            token.differ(Rank(rank), ViewId(0));
        }
        let named: Vec<u16> = token.differs.iter().map(|(rank, _)| rank.0).collect();
        assert_eq!(named, [3, 5, 7, 8]);
    }

    // spec: RING-9
    #[test]
    fn a_token_whose_parts_do_not_fit_is_not_sound() {
        let check = |breaks: fn(&mut Token<()>)| {
            let mut token = token(&[1, 2, 3]);
            assert!(token.is_sound());
            breaks(&mut token);
            assert!(!token.is_sound(), "{token:?}");
        };
        check(|token| token.members.reverse());
        check(|token| token.members.push(Rank(3)));
        check(|token| token.members = (0..9).map(Rank).collect());
        check(|token| token.round.initiator.rank = Rank(7));
        check(|token| token.hop = 13);
        check(|token| token.told = Places::none(30));
        check(|token| {
            token.told.take(1);
        });
        check(|token| token.differs = vec![(Rank(2), ViewId(0)), (Rank(1), ViewId(0))]);
        check(|token| token.differs = (0..5).map(|rank| (Rank(rank), ViewId(0))).collect());
    }
}
