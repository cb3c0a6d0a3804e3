//! The way from a node to its children: an open-addressing table keyed by a child's first page. The writer
//! fills and empties entries in place while readers look; a table of another size is another table.

use std::sync::Arc;

use crate::body::{ARC_BYTES, Body, NodeId};
use crate::rcu::{Guard, Slot, Writer, prefetch};
use crate::sync::{AtomicU64, Ordering};
use crate::value::Value;

/// A key that no child has had: a probe ends here.
const UNUSED: u64 = 0;
/// Tables up to this size may be filled to the last entry.
const SMALL: usize = 4;

/// One entry. `key` stays when the child goes, so that probes run on.
struct Entry<V: Value> {
    key: AtomicU64,
    child: Slot<Body<V>>,
}

/// `[entries; power of two]`, shared by the versions of the node that owns it.
pub(crate) struct ChildTable<V: Value> {
    entries: Arc<[Entry<V>]>,
}

impl<V: Value> Clone for ChildTable<V> {
    fn clone(&self) -> Self {
        ChildTable {
            entries: Arc::clone(&self.entries),
        }
    }
}

impl<V: Value> ChildTable<V> {
    /// Returns an empty table with room for at least `children`.
    pub(crate) fn with_room(children: usize) -> Self {
        let mut size = children.next_power_of_two();
        if fill_max(size) < children {
            size *= 2;
        }
        ChildTable {
            entries: (0..size)
                .map(|_| Entry {
                    key: AtomicU64::new(UNUSED),
                    child: Slot::new(None),
                })
                .collect(),
        }
    }

    /// Returns the child whose run begins with `page`, whose key is `key`.
    #[inline]
    pub(crate) fn get<'g>(
        &'g self,
        key: u64,
        page: &[V::Unit],
        guard: &'g Guard<'_>,
    ) -> Option<&'g Body<V>> {
        let stored = as_stored(key);
        for at in self.probe(stored) {
            let entry = &self.entries[at];
            let found = entry.key.load(Ordering::Relaxed);
            if found == UNUSED {
                return None;
            }
            if found == stored
                && let Some(child) = entry.child.load(guard)
                // The entry may have changed hands between the two loads; the child itself cannot lie.
                && child.begins_with(key, page)
            {
                return Some(child);
            }
        }
        None
    }

    /// Asks for the entry where a lookup of `key` begins.
    #[inline]
    pub(crate) fn prefetch(&self, key: u64) {
        if let Some(at) = self.probe(as_stored(key)).next() {
            prefetch(&self.entries[at]);
        }
    }

    /// Puts `child` (or nothing) in the place of child `old`, whose key is `key`.
    ///
    /// Panics: when there is no such child.
    pub(crate) fn replace(
        &self,
        key: u64,
        old: NodeId,
        child: Option<Arc<Body<V>>>,
        writer: &mut Writer,
    ) {
        let stored = as_stored(key);
        let is_old = |at: &usize| {
            let entry = &self.entries[*at];
            let child = || entry.child.load_as_writer(writer);
            entry.key.load(Ordering::Relaxed) == stored
                && child().is_some_and(|child| child.id == old)
        };
        let at = self
            .probe(stored)
            .find(is_old)
            .expect("a child that is replaced is in its parent's table");
        self.entries[at].child.replace(child, writer);
    }

    /// Adds a child whose first page no other child has. `used` counts entries that were ever filled.
    ///
    /// Returns whether there was room; if not, nothing changed.
    pub(crate) fn insert(&self, child: &Arc<Body<V>>, used: &mut u32, writer: &mut Writer) -> bool {
        let stored = as_stored(child.key);
        let is_free = |at: &usize| self.entries[*at].child.load_as_writer(writer).is_none();
        let Some(at) = self.probe(stored).find(is_free) else {
            return false;
        };
        let entry = &self.entries[at];
        if entry.key.load(Ordering::Relaxed) == UNUSED {
            if *used as usize >= fill_max(self.entries.len()) {
                return false;
            }
            *used += 1;
        }
        entry.key.store(stored, Ordering::Relaxed);
        entry.child.replace(Some(Arc::clone(child)), writer);
        true
    }

    /// Returns a table of the size that fits `live` children, with all of these in it, and how many entries it
    /// has filled. The children themselves are not touched; this table must be given up.
    pub(crate) fn moved(&self, live: usize, writer: &mut Writer) -> (Self, u32) {
        let table = Self::with_room(live);
        let mut used = 0;
        for entry in &*self.entries {
            if entry.child.load_as_writer(writer).is_some() {
                let stored = entry.key.load(Ordering::Relaxed);
                let is_free = |at: &usize| table.entries[*at].key.load(Ordering::Relaxed) == UNUSED;
                let at = table.probe(stored).find(is_free);
                let to = &table.entries[at.expect("a table has room for what it was made for")];
                to.key.store(stored, Ordering::Relaxed);
                entry.child.hand_over(&to.child, writer);
                used += 1;
            }
        }
        (table, used)
    }

    /// Calls `visit` with every child.
    pub(crate) fn for_each(&self, guard: &Guard<'_>, mut visit: impl FnMut(&Body<V>)) {
        self.entries
            .iter()
            .filter_map(|entry| entry.child.load(guard))
            .for_each(&mut visit);
    }

    /// Takes every child out.
    pub(crate) fn clear(&self, writer: &mut Writer) {
        for entry in &*self.entries {
            entry.child.replace(None, writer);
        }
    }

    /// Returns how many children would still be too few for this size.
    pub(crate) fn is_sparse(&self, live: u32) -> bool {
        self.entries.len() > SMALL && (live as usize) * 6 <= self.entries.len()
    }

    /// Returns the bytes held on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        ARC_BYTES + size_of_val::<[Entry<V>]>(&self.entries)
    }

    /// Returns how many entries were ever filled.
    pub(crate) fn used(&self) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.key.load(Ordering::Relaxed) != UNUSED)
            .count()
    }

    /// Returns the entries to look at for `key`, each once.
    #[inline]
    fn probe(&self, key: u64) -> impl Iterator<Item = usize> + use<V> {
        let mask = self.entries.len() - 1;
        let start = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize;
        (0..=mask).map(move |step| (start + step) & mask)
    }
}

/// Returns how many entries may be filled before probes grow long.
fn fill_max(size: usize) -> usize {
    if size <= SMALL { size } else { size / 4 * 3 }
}

/// Returns a key as entries hold it. Keys 0 and 1 are one there, which costs a longer probe and nothing else.
#[inline]
fn as_stored(key: u64) -> u64 {
    if key == UNUSED { 1 } else { key }
}
