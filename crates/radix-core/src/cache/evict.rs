//! How pages leave a cache.

use crate::body::NodeId;
use crate::cache::Cache;
use crate::cache::unit::{CacheUnit, SlotIndex};

impl<K: CacheUnit, S: SlotIndex> Cache<K, S> {
    /// Evicts up to `pages` pages in the order of the [`Policy`](crate::cache::Policy), appends their slots to
    /// `freed` and returns how many pages went: all that were asked for, unless fewer can be evicted.
    ///
    /// Pages go leaf first and one by one, so that the last run may lose only its end.
    /// Cost: O(pages + runs evicted * log leaves).
    pub fn evict(&mut self, pages: usize, freed: &mut Vec<S>) -> usize {
        let mut left = pages;
        while left > 0
            && let Some(leaf) = self.order.first()
        {
            let held = self.pages(self.tree.body(leaf).len() as usize);
            let gone = held.min(left);
            self.cut(leaf, held - gone, gone, freed);
            left -= gone;
        }
        let gone = pages - left;
        self.evictable -= gone as u64;
        self.tree.writer().collect();
        self.order.shrink(self.tree.ids());
        gone
    }

    /// Cuts a leaf to its first `kept` pages; `gone` follow them.
    fn cut(&mut self, leaf: NodeId, kept: usize, gone: usize, freed: &mut Vec<S>) {
        let stamp = self.stamp();
        let namespace = self.tree.namespace_of(leaf);
        let units = (kept * self.units_per_page) as u32;
        let events = &mut self.events;
        self.tree.value_mut(leaf).cut(units, stamp, |slots| {
            events.removed(namespace, slots, gone);
            freed.extend_from_slice(slots);
        });
        if kept > 0 {
            self.tree.changed(leaf);
            return;
        }
        self.order.remove(leaf);
        let parent = self.tree.parent(leaf);
        self.tree.remove_leaf(leaf);
        if self.tree.is_run(parent) {
            self.enlist(parent);
        } else if self.tree.children(parent) == 0 {
            self.tree.remove_leaf(parent);
        }
    }
}
