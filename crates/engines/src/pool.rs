//! The slots of a simulated engine: which are free, and what the page in each other is called.
//!
//! Which page lies in which slot is the cache's to know.

use radix_core::id::Seq;

/// How the world outside the engine calls a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// The slot holds no page.
    Free,
    /// Stored by this run; the node has not named the copy yet.
    Unnamed { run: u64 },
    /// Published.
    Copy { seq: Seq, idx: u16 },
}

/// Slots are given from 0 upwards, as real engines do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    names: Vec<Name>,
    free: Vec<u32>,
}

impl Pool {
    /// Takes a free slot. The caller has seen that the pool may grow.
    pub(crate) fn take(&mut self, name: Name) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.names[slot as usize] = name;
            return slot;
        }
        let slot = u32::try_from(self.names.len()).expect("capacity is at most POOL_PAGES_MAX");
        self.names.push(name);
        slot
    }

    /// Makes a slot free.
    pub(crate) fn give_back(&mut self, slot: u32) {
        self.set_name(slot, Name::Free);
        self.free.push(slot);
    }

    /// What the page in a slot is called; a slot that was never used is free.
    pub(crate) fn name(&self, slot: u32) -> Name {
        let name = self.names.get(slot as usize);
        name.copied().unwrap_or(Name::Free)
    }

    pub(crate) fn set_name(&mut self, slot: u32, name: Name) {
        self.names[slot as usize] = name;
    }

    /// Panics unless every slot is either free or one of `held`, once.
    pub(crate) fn debug_check(&self, mut held: Vec<u32>) {
        for &slot in &held {
            assert_ne!(self.name(slot), Name::Free, "slot {slot} is held");
        }
        for &slot in &self.free {
            assert_eq!(self.name(slot), Name::Free, "slot {slot} is free");
        }
        held.extend(&self.free);
        held.sort_unstable();
        let slots = 0..u32::try_from(self.names.len()).expect("slots are 32 bits wide");
        assert!(
            held.into_iter().eq(slots),
            "no slot is lost or in two places"
        );
    }
}
