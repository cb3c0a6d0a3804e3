//! A second cache with the same content.

use crate::body::NodeId;
use crate::cache::Cache;
use crate::cache::unit::{CacheUnit, SlotIndex};
use crate::id::Namespace;

/// The same pages, slots, marks and waiting events, and no locks: handles and receipts stay the original's alone.
/// From here on both do the same with the same calls. Cost: O(pages).
impl<K: CacheUnit, S: SlotIndex> Clone for Cache<K, S> {
    fn clone(&self) -> Self {
        let mut copy = Cache::new(self.config).expect("it was good enough for the original");
        (copy.clock, copy.stamps) = (self.clock, self.stamps);
        copy.evictable = self.evictable + self.protected;
        copy.events = self.events.again();
        let mut todo = vec![(NodeId::TOP, NodeId::TOP)];
        while let Some((from, to)) = todo.pop() {
            let Some(table) = &self.tree.body(from).children else {
                continue;
            };
            table.for_each(&self.tree.guard(), |child| {
                let twin = if self.tree.is_run(child.id) {
                    let value = self.tree.value(child.id).unlocked();
                    copy.tree.add_run(to, child.run(), value)
                } else {
                    copy.tree.namespace(Namespace(child.key)).node
                };
                if self.tree.children(child.id) == 0 {
                    copy.enlist(twin);
                }
                todo.push((child.id, twin));
            });
        }
        copy.tree.writer().collect();
        copy
    }
}
