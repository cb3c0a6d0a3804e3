//! The value of an engine's cache: the slots of a run, who holds on to it and how it was used. Every operation
//! cuts runs where it ends, so that all pages of a run have the same marks.

use std::marker::PhantomData;

use crate::cache::unit::{CacheUnit, SlotIndex};
use crate::rcu::prefetch;
use crate::value::{Adopted, Value, View};

/// How the pages of a run were used. See [`Policy`](crate::cache::Policy).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Use {
    /// The operation that last used them.
    pub(crate) access: u64,
    /// The operation that brought them.
    pub(crate) created: u64,
    pub(crate) hits: u32,
    pub(crate) priority: i32,
}

/// What is known of a run. A namespace's node has the default.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Slots<K, S> {
    /// In the order of the run, as many per page as the cache is built with.
    slots: Vec<S>,
    /// Length of the run.
    units: u32,
    /// Receipts that end at this run or below.
    pub(crate) locks: u64,
    /// Says which end of which run a handle means: another run, or another end, has another stamp.
    pub(crate) stamp: u64,
    pub(crate) marks: Use,
    unit: PhantomData<K>,
}

impl<K, S> Default for Slots<K, S> {
    fn default() -> Self {
        Slots {
            slots: Vec::new(),
            units: 0,
            locks: 0,
            stamp: 0,
            marks: Use::default(),
            unit: PhantomData,
        }
    }
}

impl<K: CacheUnit, S: SlotIndex> Slots<K, S> {
    /// Returns the value of a new run of `units`.
    pub(crate) fn new(slots: &[S], units: u32, stamp: u64, marks: Use) -> Self {
        Slots {
            slots: slots.to_vec(),
            units,
            locks: 0,
            stamp,
            marks,
            unit: PhantomData,
        }
    }

    /// Returns the same without locks.
    pub(crate) fn unlocked(&self) -> Self {
        Slots {
            slots: self.slots.clone(),
            locks: 0,
            ..*self
        }
    }

    /// Returns the slots, in the order of the run.
    #[inline]
    pub(crate) fn slots(&self) -> &[S] {
        &self.slots
    }

    /// Asks for the first slots: who matches a prompt mostly wants them next.
    #[inline]
    pub(crate) fn prefetch(&self) {
        for line in self.slots.chunks(64 / size_of::<S>()).take(8) {
            prefetch(&line[0]);
        }
    }

    /// Returns how many slots `units` of the run have.
    fn slots_of(&self, units: u32) -> usize {
        // Whole pages have whole numbers of slots, so this is exact.
        (self.slots.len() as u64 * u64::from(units) / u64::from(self.units)) as usize
    }

    /// Keeps the first `units`, hands the other slots to `freed` and becomes another end.
    pub(crate) fn cut(&mut self, units: u32, stamp: u64, freed: impl FnOnce(&[S])) {
        let at = self.slots_of(units);
        freed(&self.slots[at..]);
        self.slots.truncate(at);
        // As for the run itself, a copy is worth a quarter of the memory.
        if at * 4 < self.slots.capacity() * 3 {
            self.slots.shrink_to_fit();
        }
        self.units = units;
        self.stamp = stamp;
    }
}

impl<K: CacheUnit, S: SlotIndex> Value for Slots<K, S> {
    type Unit = K;
    type View = Unseen;

    fn view(&self, _len: u32) -> Unseen {
        Unseen
    }

    fn is_shown(&self, _view: &Unseen, _shown: u32, _len: u32) -> bool {
        true
    }

    fn split_off(&mut self, at: u32) -> Self {
        let slots_at = self.slots_of(at);
        let tail = Slots {
            slots: self.slots[slots_at..].to_vec(),
            units: self.units - at,
            ..*self
        };
        self.slots.truncate(slots_at);
        self.slots.shrink_to_fit();
        self.units = at;
        tail
    }

    fn join(&mut self, behind: Self, at: u32) {
        debug_assert_eq!(self.units, at, "the other run follows this one");
        self.slots.reserve_exact(behind.slots.len());
        self.slots.extend_from_slice(&behind.slots);
        self.units += behind.units;
    }

    fn is_joinable(&self, behind: &Self, _at: u32) -> bool {
        // More locks above than below are receipts that end between the two.
        self.marks == behind.marks && self.locks == behind.locks
    }

    fn covered(&self) -> u32 {
        self.units
    }

    fn crowded(&self) -> Option<u32> {
        None
    }

    fn heap_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<S>()
    }
}

/// What readers see: a cache has none.
#[derive(Debug)]
pub(crate) struct Unseen;

impl View for Unseen {
    fn adopt(&self, _next: &Self, _may_write: bool) -> Adopted {
        Adopted::Same
    }

    fn again(&self) -> Self {
        Unseen
    }

    fn prefetch(&self) {}

    fn heap_bytes(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_split_joins_to_what_it_was() {
        // 4 pages of 2 units, with 1, 2 and 3 slots a page.
        for per_page in 1..=3 {
            let slots: Vec<u32> = (0..4 * per_page).collect();
            let marks = Use {
                access: 7,
                created: 3,
                hits: 2,
                priority: -1,
            };
            let whole = || Slots::<u32, u32>::new(&slots, 8, 5, marks);
            for at in [2, 4, 6] {
                let mut head = whole();
                let tail = head.split_off(at);
                assert_eq!(head.slots().len() as u32 * 2, at * per_page);
                assert_eq!((head.covered(), tail.covered()), (at, 8 - at));
                assert!(head.is_joinable(&tail, at));
                head.join(tail, at);
                assert_eq!(head, whole());
            }
        }
    }
}
