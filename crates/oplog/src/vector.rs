//! Version vectors: what a replica has of every log, as small as it can be said.

use std::collections::BTreeMap;

use radix_core::id::{Incarnation, Rank, Seq};
use serde::{Deserialize, Serialize};

/// How far one rank's log is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The newest incarnation known; 0 when none is.
    pub inc: Incarnation,
    /// The last op of it that was applied.
    pub seq: Seq,
    /// Incarnations up to and including this one are forgotten for ever; 0 when none is.
    pub floor: Incarnation,
}

impl Entry {
    /// Returns whether `self` knows at least all that `other` knows.
    #[must_use]
    pub fn covers(&self, other: &Entry) -> bool {
        (self.inc, self.seq) >= (other.inc, other.seq) && self.floor >= other.floor
    }

    /// Returns the maximum of both: (inc, seq) as a pair, the floor apart.
    #[must_use]
    pub fn max(self, other: Entry) -> Entry {
        let (inc, seq) = (self.inc, self.seq).max((other.inc, other.seq));
        Entry {
            inc,
            seq,
            floor: self.floor.max(other.floor),
        }
    }
}

/// One [`Entry`] per rank. Equal vectors mean equal states.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VersionVector(pub BTreeMap<Rank, Entry>);

impl VersionVector {
    /// Returns the entry of `rank`, all zero when there is none.
    #[must_use]
    pub fn entry(&self, rank: Rank) -> Entry {
        self.0.get(&rank).copied().unwrap_or_default()
    }

    /// Takes the maximum of each entry: commutative, associative, idempotent.
    pub fn merge(&mut self, other: &VersionVector) {
        for (rank, entry) in &other.0 {
            let mine = self.0.entry(*rank).or_default();
            *mine = mine.max(*entry);
        }
    }

    /// Returns whether `self` knows at least all that `other` knows.
    #[must_use]
    pub fn covers(&self, other: &VersionVector) -> bool {
        other
            .0
            .iter()
            .all(|(rank, entry)| self.entry(*rank).covers(entry))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries() -> impl Strategy<Value = VersionVector> {
        let entry = (0u64..4, 0u64..4, 0u64..4).prop_map(|(inc, seq, floor)| Entry {
            inc: Incarnation(inc),
            seq: Seq(seq),
            floor: Incarnation(floor),
        });
        proptest::collection::btree_map((0u16..4).prop_map(Rank), entry, 0..4)
            .prop_map(VersionVector)
    }

    fn merged(mut a: VersionVector, b: &VersionVector) -> VersionVector {
        a.merge(b);
        a
    }

    proptest! {
        #[test]
        fn merge_is_a_maximum(a in entries(), b in entries(), c in entries()) {
            let ab = merged(a.clone(), &b);
            prop_assert_eq!(&ab, &merged(b.clone(), &a));
            prop_assert_eq!(merged(ab.clone(), &c), merged(a.clone(), &merged(b.clone(), &c)));
            prop_assert!(ab.covers(&a) && ab.covers(&b));
            prop_assert_eq!(merged(ab.clone(), &b), ab);
        }
    }

    #[test]
    fn a_newer_incarnation_covers_a_longer_older_log() {
        let old = Entry {
            inc: Incarnation(1),
            seq: Seq(900),
            floor: Incarnation(0),
        };
        let new = Entry {
            inc: Incarnation(2),
            seq: Seq(0),
            floor: Incarnation(0),
        };
        assert!(new.covers(&old) && !old.covers(&new));
    }
}
