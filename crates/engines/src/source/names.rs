//! Maps whose keys an engine chooses.

#![expect(
    clippy::disallowed_types,
    reason = "the hasher is seeded by the caller, and the order of the entries is never observed"
)]

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};

/// A place in a source's memory.
pub(crate) type Slot = u32;

/// Names and what they mean. The hasher is keyed, so that no stream of names can make look-ups slow.
#[derive(Clone, Debug)]
pub(crate) struct Names<Name> {
    slots: HashMap<Name, Slot, Keyed>,
}

impl<Name: Copy + Eq + Hash> Names<Name> {
    pub(crate) fn new(key: u64) -> Self {
        Names {
            slots: HashMap::with_hasher(Keyed(key)),
        }
    }

    pub(crate) fn get(&self, name: Name) -> Option<Slot> {
        self.slots.get(&name).copied()
    }

    pub(crate) fn insert(&mut self, name: Name, slot: Slot) {
        self.slots.insert(name, slot);
    }

    /// Takes a name from what it means, but from nothing else.
    pub(crate) fn remove(&mut self, name: Name, slot: Slot) {
        if self.get(name) == Some(slot) {
            self.slots.remove(&name);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

#[derive(Clone, Debug)]
struct Keyed(u64);

/// A folded multiplication per word: names are digests already, and the key is secret.
struct KeyedHasher(u64);

impl BuildHasher for Keyed {
    type Hasher = KeyedHasher;

    fn build_hasher(&self) -> KeyedHasher {
        KeyedHasher(self.0)
    }
}

impl Hasher for KeyedHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the halves of a product are folded"
    )]
    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
        self.0 = product as u64 ^ (product >> 64) as u64;
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
