//! What the prompts and the slots of a cache are made of.

use std::fmt::Debug;
use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;

use crate::page::Fingerprint;
use crate::value::Unit;

/// What prompts are made of: token ids (`u32`), or one [`Fingerprint`] per page. Sealed.
///
/// Token ids are compared one by one and need no trust in a hash; fingerprints are an eighth of the memory at
/// 16 tokens a page, and what the replicated index speaks.
pub trait CacheUnit: Unit {
    /// Returns how many units a page of `page_size` tokens has.
    fn units_per_page(page_size: usize) -> usize;
}

impl Unit for u32 {
    const KEY_IS_PAGE: bool = false;

    /// Hashes the whole page: prompts that part inside a page must not meet in one place of the table.
    #[inline]
    fn key(page: &[u32]) -> u64 {
        let mut hasher = FxHasher::default();
        u32::hash_slice(page, &mut hasher);
        hasher.finish()
    }
}

impl CacheUnit for u32 {
    fn units_per_page(page_size: usize) -> usize {
        page_size
    }
}

impl CacheUnit for Fingerprint {
    fn units_per_page(_page_size: usize) -> usize {
        1
    }
}

/// The name of a place in the engine's KV pool: one token's slot, or one block. The cache only keeps and compares
/// them, so that a newtype of the engine's serves as well as a plain number.
pub trait SlotIndex: Copy + Eq + Debug + Default + Send + Sync + 'static {}

impl SlotIndex for u32 {}
impl SlotIndex for u64 {}
impl SlotIndex for usize {}
impl SlotIndex for i32 {}
impl SlotIndex for i64 {}

#[cfg(all(test, not(radixmesh_loom)))]
mod tests {
    use super::*;
    use crate::cache::{Cache, CacheConfig};
    use crate::id::Namespace;

    /// A token with a hash that is nearly always the same.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    struct Weak(u32);

    impl Unit for Weak {
        const KEY_IS_PAGE: bool = false;

        fn key(page: &[Weak]) -> u64 {
            u64::from(page[0].0 % 2)
        }
    }

    impl CacheUnit for Weak {
        fn units_per_page(page_size: usize) -> usize {
            page_size
        }
    }

    #[test]
    fn pages_whose_hashes_collide_are_told_apart() {
        let config = CacheConfig {
            page_size: 2,
            ..CacheConfig::default()
        };
        let mut cache: Cache<Weak, u32> = Cache::new(config).expect("in range");
        let prompt = |at: u32| [Weak(at), Weak(7), Weak(at % 5), Weak(at)];
        let mut freed = Vec::new();
        for round in 0..3 {
            for at in 0..40 {
                let slots = [4 * at, 4 * at + 1, 4 * at + 2, 4 * at + 3];
                let inserted = cache.insert(Namespace::DEFAULT, &prompt(at), &slots, 0, &mut freed);
                inserted.expect("a slot for every token");
                cache.debug_check();
            }
            for at in 0..40 {
                let found = cache.match_prefix(Namespace::DEFAULT, &prompt(at));
                let mut slots = Vec::new();
                cache.slots(found.handle, &mut slots).expect("just matched");
                assert_eq!(slots, [4 * at, 4 * at + 1, 4 * at + 2, 4 * at + 3]);
            }
            assert_eq!(cache.evict(30 + round, &mut freed), 30 + round);
            cache.debug_check();
        }
    }
}
