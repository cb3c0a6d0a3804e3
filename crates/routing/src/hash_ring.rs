//! Consistent hashing: every rank has many points on a circle of 64-bit hashes, and a key belongs to
//! the first point at or behind it. Whether a rank may be used now is asked at each walk, so a rank
//! that comes or goes moves its own share of the keys and no other.

use radix_core::id::Rank;

use crate::{key, limits};

/// The circle for one set of ranks. Built once per membership, then only read.
///
/// Source: Karger et al., "Consistent Hashing and Random Trees", STOC 1997, §4.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HashRing {
    /// Sorted, without duplicates.
    ranks: Vec<Rank>,
    /// (place on the circle, index into `ranks`), sorted.
    points: Vec<(u64, u16)>,
}

impl HashRing {
    /// Builds the circle. Ranks beyond [`limits::CANDIDATES_MAX`] are left out, in rank order.
    ///
    /// Cost: O(p log p) for p = ranks * virtual nodes.
    #[must_use]
    pub fn new(seed: u64, virtual_nodes: u16, ranks: impl IntoIterator<Item = Rank>) -> HashRing {
        let mut ranks: Vec<Rank> = ranks.into_iter().collect();
        ranks.sort_unstable();
        ranks.dedup();
        ranks.truncate(limits::CANDIDATES_MAX);
        let mut points: Vec<(u64, u16)> = (0..)
            .zip(&ranks)
            .flat_map(|(slot, &rank)| {
                (0..virtual_nodes).map(move |number| (key::point(seed, rank, number), slot))
            })
            .collect();
        points.sort_unstable();
        HashRing { ranks, points }
    }

    /// Returns the ranks on the circle, sorted.
    #[must_use]
    pub fn ranks(&self) -> &[Rank] {
        &self.ranks
    }

    /// Returns the owners of the points at and behind `key`, once round; ranks repeat.
    ///
    /// Cost: O(log p) for the first, O(1) for each further one; no allocation.
    pub fn walk(&self, key: u64) -> impl Iterator<Item = Rank> + '_ {
        self.walk_slots(key).map(|slot| self.ranks[slot])
    }

    /// As [`HashRing::walk`], in indices into [`HashRing::ranks`].
    pub(crate) fn walk_slots(&self, key: u64) -> impl Iterator<Item = usize> + '_ {
        let first = self.points.partition_point(|&(place, _)| place < key);
        let (before, behind) = self.points.split_at(first);
        behind
            .iter()
            .chain(before)
            .map(|&(_, slot)| usize::from(slot))
    }

    /// Returns the first rank at or behind `key` of those in `set`.
    pub(crate) fn first_of(&self, key: u64, set: &SlotSet) -> Option<Rank> {
        if set.is_empty() {
            return None;
        }
        self.walk_slots(key)
            .find(|&slot| set.contains(slot))
            .map(|slot| self.ranks[slot])
    }

    /// Returns the index of `rank`; `hint` is looked at first, which makes a sorted sweep linear.
    pub(crate) fn slot(&self, rank: Rank, hint: usize) -> Option<usize> {
        if self.ranks.get(hint) == Some(&rank) {
            return Some(hint);
        }
        self.ranks.binary_search(&rank).ok()
    }
}

/// A set of indices into the ranks of a [`HashRing`], on the stack.
pub(crate) struct SlotSet {
    words: [u64; limits::CANDIDATES_MAX / 64],
    empty: bool,
}

impl SlotSet {
    pub(crate) fn new() -> SlotSet {
        SlotSet {
            words: [0; limits::CANDIDATES_MAX / 64],
            empty: true,
        }
    }

    pub(crate) fn insert(&mut self, slot: usize) {
        self.words[slot / 64] |= 1 << (slot % 64);
        self.empty = false;
    }

    pub(crate) fn contains(&self, slot: usize) -> bool {
        self.words[slot / 64] >> (slot % 64) & 1 == 1
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.empty
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(ranks: impl IntoIterator<Item = u16>) -> HashRing {
        HashRing::new(1, 64, ranks.into_iter().map(Rank))
    }

    fn keys() -> impl Iterator<Item = u64> {
        (0..20_000u64)
            .map(|number| key::point(99, Rank(0), 0) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn owner(ring: &HashRing, key: u64) -> Rank {
        ring.walk(key).next().unwrap()
    }

    #[test]
    fn a_rank_that_joins_takes_its_share_and_moves_nothing_else() {
        let (before, after) = (ring(0..10), ring(0..11));
        let moved: Vec<u64> = keys()
            .filter(|&key| owner(&before, key) != owner(&after, key))
            .collect();
        assert!(moved.iter().all(|&key| owner(&after, key) == Rank(10)));
        let share = moved.len() * 11;
        assert!(
            (14_000..26_000).contains(&share),
            "moved {} of 20000",
            moved.len()
        );
    }

    #[test]
    fn a_rank_that_leaves_the_ring_and_one_that_is_passed_over_move_the_same_keys() {
        let (all, left) = (ring(0..10), ring((0..10).filter(|&rank| rank != 4)));
        let mut usable = SlotSet::new();
        (0..10)
            .filter(|&slot| slot != 4)
            .for_each(|slot| usable.insert(slot));
        for key in keys() {
            let passed_over = all.first_of(key, &usable).unwrap();
            assert_eq!(passed_over, owner(&left, key));
            assert!(owner(&all, key) == Rank(4) || owner(&all, key) == passed_over);
        }
    }

    #[test]
    fn shares_are_within_half_of_fair() {
        let ring = ring(0..16);
        let mut shares = [0u32; 16];
        keys().for_each(|key| shares[usize::from(owner(&ring, key).0)] += 1);
        assert!(
            shares.iter().all(|share| (625..1875).contains(share)),
            "{shares:?}"
        );
    }

    #[test]
    fn a_walk_meets_every_point_once() {
        let ring = ring([3, 3, 9]);
        assert_eq!(ring.ranks(), [Rank(3), Rank(9)]);
        assert_eq!(ring.walk(u64::MAX).count(), 128);
        assert_eq!(ring.walk(0).filter(|rank| *rank == Rank(3)).count(), 64);
    }

    #[test]
    fn an_empty_ring_owns_nothing() {
        assert_eq!(ring([]).walk(7).next(), None);
        assert_eq!(ring([]).first_of(7, &SlotSet::new()), None);
    }

    #[test]
    fn ranks_beyond_the_limit_are_left_out() {
        let ring = HashRing::new(1, 1, (0..5000).map(Rank));
        assert_eq!(ring.ranks().len(), limits::CANDIDATES_MAX);
        let mut all = SlotSet::new();
        all.insert(limits::CANDIDATES_MAX - 1);
        assert_eq!(ring.first_of(0, &all), Some(Rank(4095)));
    }
}
