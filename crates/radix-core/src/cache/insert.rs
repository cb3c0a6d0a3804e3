//! How prompts come into a cache.

use crate::body::{NodeId, to_u32};
use crate::cache::Cache;
use crate::cache::lock::Handle;
use crate::cache::slots::{Slots, Use};
use crate::cache::unit::{CacheUnit, SlotIndex};
use crate::id::Namespace;
use crate::limits::DEPTH_PAGES_MAX;

/// What an insert came to. All lengths in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// What was there already, from the root on.
    pub present: usize,
    /// What was added behind it.
    pub added: usize,
    /// What comes behind the last whole page and was left out; no slots belong to it.
    pub left_out: usize,
    /// Where the whole pages of the prompt end.
    pub handle: Handle,
}

/// Why a prompt was not inserted. State: unchanged, no slot taken or handed back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InsertError {
    /// The slots are not those of the whole pages of the prompt.
    #[error("{got} slots for {pages} whole pages, which have {expected}")]
    WrongSlots {
        /// Whole pages of the prompt.
        pages: usize,
        /// Slots they have.
        expected: usize,
        /// Slots that came.
        got: usize,
    },
    /// The prompt is longer than a path can be.
    #[error("a prompt of {units} tokens or pages, more than {DEPTH_PAGES_MAX}")]
    TooLong {
        /// Its length, in what it is made of.
        units: usize,
    },
}

impl<K: CacheUnit, S: SlotIndex> Cache<K, S> {
    /// Adds a prompt, whose KV lies in `slots`: one row for every whole page, none for a partial last one.
    ///
    /// The pages that were there keep their slots and count as used; where the caller brought other slots for
    /// them, these are appended to `duplicates` and are the caller's again. All others are the cache's until
    /// they are evicted. `priority` only matters to [`Policy::Priority`](crate::cache::Policy::Priority).
    ///
    /// Cost: O(pages + log leaves).   Errors: [`InsertError`]; state unchanged.
    pub fn insert(
        &mut self,
        namespace: Namespace,
        prompt: &[K],
        slots: &[S],
        priority: i32,
        duplicates: &mut Vec<S>,
    ) -> Result<Inserted, InsertError> {
        let units = self.whole(prompt);
        let pages = self.pages(units.len());
        let expected = pages * self.slots_per_page;
        if slots.len() != expected {
            return Err(InsertError::WrongSlots {
                pages,
                expected,
                got: slots.len(),
            });
        }
        if units.len() > DEPTH_PAGES_MAX as usize {
            return Err(InsertError::TooLong { units: units.len() });
        }
        let left_out = prompt.len() - units.len();
        if units.is_empty() {
            return Ok(Inserted {
                present: 0,
                added: 0,
                left_out,
                handle: self.handle(NodeId::TOP),
            });
        }
        let now = self.tick();
        let root = self.tree.namespace(namespace);
        let (at, present) = self.tree.descend(root, units);
        let mut node = at.node;
        if at.offset < self.tree.body(node).len() {
            node = self.split(node, at.offset);
        }
        self.touch(node, |marks| {
            marks.access = now;
            marks.priority = marks.priority.max(priority);
        });
        let pages_present = self.pages(present);
        let (known, new) = slots.split_at(pages_present * self.slots_per_page);
        self.hand_back(node, known, duplicates);
        let marks = Use {
            access: now,
            created: now,
            hits: 1,
            priority,
        };
        node = self.append(namespace, node, &units[present..], new, marks);
        self.tree.writer().collect();
        let page_size = self.config.page_size;
        Ok(Inserted {
            present: pages_present * page_size,
            added: (pages - pages_present) * page_size,
            left_out,
            handle: self.handle(node),
        })
    }

    /// Appends those of `brought`, the slots for the path down to `node`, that differ from what is there.
    fn hand_back(&self, mut node: NodeId, mut brought: &[S], duplicates: &mut Vec<S>) {
        let first = duplicates.len();
        while self.tree.is_run(node) {
            let kept = self.tree.value(node).slots();
            let (above, here) = brought.split_at(brought.len() - kept.len());
            if here != kept {
                let differ = here
                    .iter()
                    .zip(kept)
                    .rev()
                    .filter(|(here, kept)| here != kept);
                duplicates.extend(differ.map(|(here, _)| *here));
            }
            brought = above;
            node = self.tree.parent(node);
        }
        // The path was walked from its end.
        duplicates[first..].reverse();
    }

    /// Puts new pages below `node` and returns the run they end with.
    fn append(
        &mut self,
        namespace: Namespace,
        mut node: NodeId,
        units: &[K],
        slots: &[S],
        marks: Use,
    ) -> NodeId {
        if units.is_empty() {
            return node;
        }
        let above = self.tree.body(node).end() as usize;
        let pages = self.pages(units.len());
        let parent = self.handle(node);
        let parent_slot = self.tree.value(node).slots().last().copied();
        self.order.remove(node);
        let run_pages = self.pages(self.tree.run_max() as usize);
        let runs = units.chunks(run_pages * self.units_per_page);
        for (run, slots) in runs.zip(slots.chunks(run_pages * self.slots_per_page)) {
            let value = Slots::new(slots, to_u32(run.len()), self.stamp(), marks);
            node = self.tree.add_run(node, run, value);
        }
        self.evictable += pages as u64;
        self.enlist(node);
        let start = self.pages(above) * self.config.page_size;
        let end = self.handle(node);
        self.events.stored(
            namespace,
            start,
            (parent, parent_slot),
            units,
            slots,
            pages,
            end,
        );
        node
    }
}
