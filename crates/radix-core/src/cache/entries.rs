//! Everything that is cached, path by path.

use crate::body::NodeId;
use crate::cache::Cache;
use crate::cache::unit::{CacheUnit, SlotIndex};
use crate::id::Namespace;

/// A run of pages and the path it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a, K, S> {
    /// Whose root the path begins at.
    pub namespace: Namespace,
    /// The whole path from the root, in what prompts are made of.
    pub path: &'a [K],
    /// The slots of the whole path.
    pub slots: &'a [S],
    /// How many units of `path`, and slots of `slots`, other entries have brought before.
    pub above: (usize, usize),
}

impl<K, S> Entry<'_, K, S> {
    /// Returns the slots of this run alone.
    #[must_use]
    pub fn own_slots(&self) -> &[S] {
        &self.slots[self.above.1..]
    }
}

impl<K: CacheUnit, S: SlotIndex> Cache<K, S> {
    /// Calls `visit` with every run, each after the run it hangs on, in the same order on every rank.
    ///
    /// Cost: O(pages), one buffer as long as the longest path.
    pub fn for_each(&self, mut visit: impl FnMut(Entry<'_, K, S>)) {
        let (mut path, mut slots) = (Vec::new(), Vec::new());
        let mut todo = vec![NodeId::TOP];
        while let Some(node) = todo.pop() {
            let body = self.tree.body(node);
            if self.tree.is_run(node) {
                let units_above = body.depth as usize;
                let slots_above = self.pages(units_above) * self.slots_per_page;
                path.truncate(units_above);
                path.extend_from_slice(body.run());
                slots.truncate(slots_above);
                slots.extend_from_slice(self.tree.value(node).slots());
                visit(Entry {
                    namespace: self.tree.namespace_of(node),
                    path: &path,
                    slots: &slots,
                    above: (units_above, slots_above),
                });
            }
            if let Some(table) = &body.children {
                table.for_each(&self.tree.guard(), |child| todo.push(child.id));
            }
        }
    }
}
