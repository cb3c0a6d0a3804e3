//! The questions: how much of a prompt is cached, and where.

use crate::cache::Cache;
use crate::cache::lock::{Handle, HandleError};
use crate::cache::unit::{CacheUnit, SlotIndex};
use crate::id::Namespace;
use crate::tree::Cursor;

/// How much of a prompt is cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Length of the cached prefix. Unit: tokens, in whole pages.
    pub len: usize,
    /// The same in pages.
    pub pages: usize,
    /// Where the prefix ends.
    pub handle: Handle,
}

impl<K: CacheUnit, S: SlotIndex> Cache<K, S> {
    /// Finds the longest cached prefix of a prompt, and counts its pages as used: see
    /// [`Policy`](crate::cache::Policy).
    ///
    /// A run that the prefix ends in is split there, which nobody but [`stats`](Cache::stats) can tell.
    /// Cost: O(pages matched + log leaves); allocates only for a split.
    pub fn match_prefix(&mut self, namespace: Namespace, prompt: &[K]) -> Match {
        let now = self.tick();
        let (mut at, units) = self.find(namespace, prompt);
        if at.offset < self.tree.body(at.node).len() {
            at.node = self.split(at.node, at.offset);
            self.tree.writer().collect();
        }
        self.touch(at.node, |marks| {
            marks.access = now;
            marks.hits = marks.hits.saturating_add(1);
        });
        let pages = self.pages(units);
        Match {
            len: pages * self.config.page_size,
            pages,
            handle: self.handle(at.node),
        }
    }

    /// Returns the length of the longest cached prefix of a prompt and leaves no mark. Unit: tokens.
    ///
    /// For a scheduler that sorts its queue by what is cached. Cost: O(pages matched), no allocation.
    #[must_use]
    pub fn peek(&self, namespace: Namespace, prompt: &[K]) -> usize {
        self.pages(self.find(namespace, prompt).1) * self.config.page_size
    }

    /// Appends the slots of the longest cached prefix to `out`, returns its length in tokens and leaves no mark.
    ///
    /// Cost: O(slots); no allocation when `out` has room.
    pub fn peek_slots(&self, namespace: Namespace, prompt: &[K], out: &mut Vec<S>) -> usize {
        let (at, units) = self.find(namespace, prompt);
        self.fill(at, units, out);
        self.pages(units) * self.config.page_size
    }

    /// Appends all slots from the root to where a handle points, and returns how many.
    ///
    /// Cost: O(slots); no allocation when `out` has room.
    /// Errors: [`HandleError`]; nothing appended.
    pub fn slots(&self, handle: Handle, out: &mut Vec<S>) -> Result<usize, HandleError> {
        let node = self.resolve(handle)?;
        let body = self.tree.body(node);
        let (offset, units) = (body.len(), body.end() as usize);
        Ok(self.fill(Cursor { node, offset }, units, out))
    }

    /// Returns where the longest cached prefix ends, and its length in units.
    fn find(&self, namespace: Namespace, prompt: &[K]) -> (Cursor, usize) {
        match self.tree.lookup(namespace) {
            Some(root) => {
                let (at, units) = self.tree.descend(root, self.whole(prompt));
                if units > 0 {
                    (at, units)
                } else {
                    (Cursor::TOP, 0)
                }
            }
            None => (Cursor::TOP, 0),
        }
    }

    /// Appends the slots of the first `units` units of the path to `at`, which are all of it.
    fn fill(&self, at: Cursor, units: usize, out: &mut Vec<S>) -> usize {
        let per_page = self.slots_per_page;
        let slots = self.pages(units) * per_page;
        let first = out.len();
        // The path is known from its end: runs are written from the back.
        out.resize(first + slots, S::default());
        let mut rest = &mut out[first..];
        let mut node = at.node;
        let mut len = self.pages(at.offset as usize) * per_page;
        while !rest.is_empty() {
            let (above, here) = rest.split_at_mut(rest.len() - len);
            here.copy_from_slice(&self.tree.value(node).slots()[..len]);
            rest = above;
            node = self.tree.parent(node);
            len = self.tree.value(node).slots().len();
        }
        slots
    }
}
