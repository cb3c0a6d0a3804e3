//! The page pool of a simulated engine: slots, the prefix tree laid over them, and one recency list.
//!
//! Holds structure only. What a run hits, stores and evicts is decided in [`sim_engine`](crate::sim_engine).
//!
//! ```text
//! newest -> root -> page -> page -> root -> page ... -> leaf <- oldest
//! ```
//! A run puts its deepest page to the front first and its root last. So a parent is always nearer to the front
//! than its children, the page at the end is always a leaf, and evicting leaf first costs O(1) a page.

use radix_core::id::{Namespace, Seq};
use radix_core::page::Fingerprint;
use rustc_hash::FxHashMap;

/// "No page" in a link.
const NONE: u32 = u32::MAX;

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

/// One slot. 56 bytes, so that walking a prompt that was stored at once reads memory in order.
#[derive(Clone, Debug)]
struct Page {
    fingerprint: Fingerprint,
    namespace: Namespace,
    name: Name,
    /// The page before this one in the prompt, or [`NONE`] at a root.
    parent: u32,
    /// One child, kept here because most pages have only one.
    child: u32,
    /// How many further children lie in [`Pool::siblings`].
    siblings: u32,
    newer: u32,
    older: u32,
}

/// Slots, tree and recency list. Slots are given from 0 upwards, as real engines do.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pages: Vec<Page>,
    free: Vec<u32>,
    roots: FxHashMap<(Namespace, Fingerprint), u32>,
    /// The children that found their parent's `child` taken.
    siblings: FxHashMap<(u32, Fingerprint), u32>,
    newest: u32,
    oldest: u32,
}

impl Pool {
    pub(crate) fn new() -> Self {
        Pool {
            pages: Vec::new(),
            free: Vec::new(),
            roots: FxHashMap::default(),
            siblings: FxHashMap::default(),
            newest: NONE,
            oldest: NONE,
        }
    }

    /// Pages held, linked or not.
    pub(crate) fn held(&self) -> usize {
        self.pages.len() - self.free.len()
    }

    /// What the page in a slot is called; a slot that was never used is free.
    pub(crate) fn name(&self, slot: u32) -> Name {
        self.pages
            .get(slot as usize)
            .map_or(Name::Free, |page| page.name)
    }

    pub(crate) fn set_name(&mut self, slot: u32, name: Name) {
        self.page_mut(slot).name = name;
    }

    /// The slots of the leading pages that are held, in order. Recency is not touched.
    pub(crate) fn walk<'a>(
        &'a self,
        namespace: Namespace,
        pages: &'a [Fingerprint],
    ) -> impl Iterator<Item = u32> + 'a {
        let mut at = None;
        pages.iter().map_while(move |&fingerprint| {
            at = match at {
                None => self.roots.get(&(namespace, fingerprint)).copied(),
                Some(parent) => self.child(parent, fingerprint),
            };
            at
        })
    }

    fn child(&self, parent: u32, fingerprint: Fingerprint) -> Option<u32> {
        let page = self.page(parent);
        if page.child != NONE && self.page(page.child).fingerprint == fingerprint {
            return Some(page.child);
        }
        if page.siblings == 0 {
            return None;
        }
        self.siblings.get(&(parent, fingerprint)).copied()
    }

    /// Puts a new page behind `parent`, outside the recency list until [`link_newest`](Pool::link_newest).
    ///
    /// The caller has seen that no such page is held and that the pool may grow.
    pub(crate) fn add(
        &mut self,
        parent: Option<u32>,
        namespace: Namespace,
        fingerprint: Fingerprint,
        run: u64,
    ) -> u32 {
        let page = Page {
            fingerprint,
            namespace,
            name: Name::Unnamed { run },
            parent: parent.unwrap_or(NONE),
            child: NONE,
            siblings: 0,
            newer: NONE,
            older: NONE,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                *self.page_mut(slot) = page;
                slot
            }
            None => {
                let slot =
                    u32::try_from(self.pages.len()).expect("capacity is at most POOL_PAGES_MAX");
                self.pages.push(page);
                slot
            }
        };
        match parent {
            None => {
                self.roots.insert((namespace, fingerprint), slot);
            }
            Some(parent) => {
                let above = self.page_mut(parent);
                if above.child == NONE {
                    above.child = slot;
                } else {
                    above.siblings += 1;
                    self.siblings.insert((parent, fingerprint), slot);
                }
            }
        }
        slot
    }

    /// Takes a page out of the recency list, so that it cannot be evicted.
    pub(crate) fn unlink(&mut self, slot: u32) {
        let Page { newer, older, .. } = *self.page(slot);
        match newer {
            NONE => self.newest = older,
            newer => self.page_mut(newer).older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.page_mut(older).newer = newer,
        }
    }

    /// Makes an unlinked page the most recent one.
    pub(crate) fn link_newest(&mut self, slot: u32) {
        let second = std::mem::replace(&mut self.newest, slot);
        let page = self.page_mut(slot);
        page.newer = NONE;
        page.older = second;
        match second {
            NONE => self.oldest = slot,
            second => self.page_mut(second).newer = slot,
        }
    }

    /// Drops the least recent linked page and returns its name, or `None` when no page is linked.
    pub(crate) fn evict_oldest(&mut self) -> Option<Name> {
        let slot = self.oldest;
        if slot == NONE {
            return None;
        }
        self.unlink(slot);
        let Page {
            fingerprint,
            namespace,
            parent,
            child,
            siblings,
            ..
        } = *self.page(slot);
        debug_assert!(
            child == NONE && siblings == 0,
            "the least recent page, slot {slot}, is a leaf"
        );
        if parent == NONE {
            self.roots.remove(&(namespace, fingerprint));
        } else if self.page(parent).child == slot {
            self.page_mut(parent).child = NONE;
        } else {
            self.page_mut(parent).siblings -= 1;
            self.siblings.remove(&(parent, fingerprint));
        }
        self.free.push(slot);
        Some(std::mem::replace(&mut self.page_mut(slot).name, Name::Free))
    }

    /// Walks everything and panics when an invariant is broken.
    pub(crate) fn debug_check(&self) {
        let mut age = vec![None; self.pages.len()];
        let (mut at, mut newer, mut linked) = (self.newest, NONE, 0);
        while at != NONE {
            let page = self.page(at);
            assert!(
                age[at as usize].is_none(),
                "slot {at} is in the recency list twice"
            );
            assert_eq!(
                page.newer, newer,
                "slot {at} points back at its more recent neighbour"
            );
            age[at as usize] = Some(linked);
            linked += 1;
            (newer, at) = (at, page.older);
        }
        assert_eq!(self.oldest, newer, "the list ends at the least recent page");
        assert_eq!(
            linked,
            self.held(),
            "every page held is in the recency list: no slot leaks"
        );
        let (mut roots, mut siblings) = (0, 0);
        for (slot, page) in (0u32..).zip(&self.pages) {
            let is_free = page.name == Name::Free;
            assert_eq!(
                is_free,
                age[slot as usize].is_none(),
                "slot {slot} is either free or listed"
            );
            if is_free {
                continue;
            }
            if page.parent == NONE {
                roots += 1;
                assert_eq!(
                    self.roots.get(&(page.namespace, page.fingerprint)),
                    Some(&slot),
                    "slot {slot} is a root"
                );
                continue;
            }
            let above = self.page(page.parent);
            assert!(
                above.name != Name::Free,
                "slot {slot} outlived its parent {}",
                page.parent
            );
            assert!(
                age[page.parent as usize] < age[slot as usize],
                "slot {slot} is older than its parent"
            );
            assert_eq!(
                self.child(page.parent, page.fingerprint),
                Some(slot),
                "slot {slot} is found from its parent"
            );
            siblings += usize::from(above.child != slot);
        }
        assert_eq!(roots, self.roots.len(), "no stale root");
        assert_eq!(siblings, self.siblings.len(), "no stale sibling");
    }

    fn page(&self, slot: u32) -> &Page {
        &self.pages[slot as usize]
    }

    fn page_mut(&mut self, slot: u32) -> &mut Page {
        &mut self.pages[slot as usize]
    }
}
