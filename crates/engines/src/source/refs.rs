//! How many physical copies of a block an engine holds: per layer group and tier.

use radix_core::id::Tier;

/// One count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ref {
    pub(crate) group: u8,
    pub(crate) tier: Tier,
    pub(crate) count: u32,
}

impl Ref {
    /// Whether it counts anything, or did.
    pub(crate) fn is_some(&self) -> bool {
        *self != NOTHING
    }
}

/// No count: no group has this number.
const NOTHING: Ref = Ref {
    group: u8::MAX,
    tier: Tier::Device,
    count: 0,
};

/// A set of tiers, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tiers(u8);

impl Tiers {
    pub(crate) const NONE: Tiers = Tiers(0);

    pub(crate) fn of(tier: Tier) -> Tiers {
        Tiers(1 << tier as u8)
    }

    pub(crate) fn has(self, tier: Tier) -> bool {
        self.0 & Tiers::of(tier).0 != 0
    }

    pub(crate) fn and(self, other: Tiers) -> Tiers {
        Tiers(self.0 & other.0)
    }

    pub(crate) fn without(self, other: Tiers) -> Tiers {
        Tiers(self.0 & !other.0)
    }

    pub(crate) fn with(self, other: Tiers) -> Tiers {
        Tiers(self.0 | other.0)
    }
}

/// The counts of one block: two without an allocation, for one group in two tiers.
#[derive(Clone, Debug)]
#[expect(
    clippy::box_collection,
    reason = "nearly every block has none, and a pointer is a third of a vector"
)]
pub(crate) struct Refs {
    near: [Ref; 2],
    far: Option<Box<Vec<Ref>>>,
}

impl Default for Refs {
    fn default() -> Self {
        Refs {
            near: [NOTHING; 2],
            far: None,
        }
    }
}

impl Refs {
    /// The counts that are or were above 0.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Ref> {
        let far = self.far.iter().flat_map(|far| far.iter());
        self.near.iter().chain(far)
    }

    fn find(&mut self, group: u8, tier: Tier) -> Option<&mut Ref> {
        let far = self.far.iter_mut().flat_map(|far| far.iter_mut());
        self.near
            .iter_mut()
            .chain(far)
            .find(|entry| entry.group == group && entry.tier == tier)
    }

    /// Counts one more copy, or, when `at_most_one`, makes sure that one is counted.
    pub(crate) fn add(&mut self, group: u8, tier: Tier, at_most_one: bool) {
        if let Some(entry) = self.find(group, tier) {
            entry.count = if at_most_one {
                entry.count.max(1)
            } else {
                entry.count.saturating_add(1)
            };
            return;
        }
        self.set(Ref {
            group,
            tier,
            count: 1,
        });
    }

    /// Adds a count that was not there.
    pub(crate) fn set(&mut self, new: Ref) {
        // An entry that never counted anything can be used for another.
        match self.near.iter_mut().find(|entry| **entry == NOTHING) {
            Some(free) => *free = new,
            None => self.far.get_or_insert_default().push(new),
        }
    }

    /// Counts one copy less; `false` when there was none.
    pub(crate) fn sub(&mut self, group: u8, tier: Tier) -> bool {
        match self.find(group, tier) {
            Some(entry) if entry.count > 0 => entry.count -= 1,
            Some(_) | None => return false,
        }
        if self.iter().all(|entry| entry.count == 0) {
            *self = Refs::default();
        }
        true
    }

    /// Counts one copy less in the first tier that has one.
    pub(crate) fn sub_anywhere(&mut self, group: u8) -> bool {
        Tier::ALL.into_iter().any(|tier| self.sub(group, tier))
    }

    /// Whether a group has a copy in a tier.
    pub(crate) fn counts(&self, group: u8, tier: Tier) -> bool {
        self.iter()
            .any(|entry| entry.group == group && entry.tier == tier && entry.count > 0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.iter().all(|entry| entry.count == 0)
    }

    /// The tiers where the block can be used: every group that has reported it there still has it.
    pub(crate) fn tiers(&self) -> Tiers {
        let (mut some, mut missing) = (Tiers::NONE, Tiers::NONE);
        for entry in self.iter() {
            let tier = Tiers::of(entry.tier);
            if entry.count > 0 {
                some = some.with(tier);
            } else if entry.is_some() {
                missing = missing.with(tier);
            }
        }
        some.without(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_counts_while_every_group_that_reported_it_has_a_copy() {
        let mut refs = Refs::default();
        for group in 0..4 {
            refs.add(group, Tier::Device, false);
            refs.add(group, Tier::Host, false);
        }
        assert!(refs.tiers().has(Tier::Device) && refs.tiers().has(Tier::Host));
        refs.add(3, Tier::Device, false);
        assert!(refs.sub(3, Tier::Device));
        assert!(refs.tiers().has(Tier::Device), "one of two copies is gone");
        assert!(refs.sub(3, Tier::Device));
        assert!(!refs.tiers().has(Tier::Device), "group 3 has none left");
        assert!(refs.tiers().has(Tier::Host), "the other tier is untouched");
        assert!(!refs.sub(3, Tier::Device), "nothing is left to remove");
        refs.add(3, Tier::Device, false);
        assert!(refs.tiers().has(Tier::Device));
    }

    #[test]
    fn what_is_wholly_gone_leaves_nothing() {
        let mut refs = Refs::default();
        refs.add(0, Tier::Device, false);
        refs.add(0, Tier::Device, true);
        assert!(refs.sub_anywhere(0) && refs.is_empty());
        assert!(!refs.sub_anywhere(0));
        assert_eq!(refs.tiers(), Tiers::NONE);
    }
}
