//! All invariants of a cache, checked from scratch. For tests.

use std::collections::BTreeSet;

use crate::cache::Cache;
use crate::cache::unit::{CacheUnit, SlotIndex};
use crate::value::Value;

impl<K: CacheUnit, S: SlotIndex> Cache<K, S> {
    /// Panics when an invariant is broken. Cost: O(pages).
    pub fn debug_check(&self) {
        let (mut evictable, mut protected, mut leaves) = (0, 0, 0);
        let mut stamps = BTreeSet::new();
        self.tree.debug_check(|body, value| {
            let (id, len) = (body.id, body.len());
            assert_eq!(value.covered(), len, "units of {id:?}");
            let pages = self.pages(len as usize);
            assert_eq!(
                value.slots().len(),
                pages * self.slots_per_page,
                "slots of {id:?}"
            );
            assert!(
                (1..=self.stamps).contains(&value.stamp) && stamps.insert(value.stamp),
                "stamp of {id:?}"
            );
            let marks = &value.marks;
            assert!(
                marks.created <= marks.access && marks.access <= self.clock && marks.hits > 0,
                "marks of {id:?}: {marks:?}"
            );
            let parent = self.tree.parent(id);
            if self.tree.is_run(parent) {
                let above = self.tree.value(parent);
                let (over, under) = (&above.marks, marks);
                assert!(above.locks >= value.locks, "a lock covers its path: {id:?}");
                assert!(
                    over.access >= under.access
                        && over.created <= under.created
                        && over.hits >= under.hits
                        && over.priority >= under.priority,
                    "a page is used with what follows it: {over:?}, {under:?}"
                );
            }
            *(if value.locks == 0 {
                &mut evictable
            } else {
                &mut protected
            }) += pages as u64;
            let is_leaf = value.locks == 0 && self.tree.children(id) == 0;
            leaves += usize::from(is_leaf);
            let rank = is_leaf.then(|| self.config.policy.rank(marks));
            assert_eq!(self.order.rank_of(id), rank, "place of {id:?} in the order");
        });
        assert_eq!(self.order.len(), leaves, "the order holds leaves alone");
        self.order.debug_check();
        assert_eq!(
            (self.evictable, self.protected),
            (evictable, protected),
            "pages without and with a lock"
        );
    }
}
