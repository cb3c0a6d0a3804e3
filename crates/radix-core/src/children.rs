//! The way from a node to its children: an open-addressing table keyed by a child's first page. The writer
//! fills and empties entries in place while readers look; a table of another size is another table.

use std::sync::Arc;

use crate::body::{ARC_BYTES, Body, NodeId};
use crate::rcu::{Guard, Slot, Writer, prefetch, prefetch_at};
use crate::sync::{AtomicU64, Ordering};
use crate::value::Value;

/// A label that no child has: a probe ends here.
const UNUSED: u32 = 0;
/// Tables up to this size may be filled to the last entry.
const SMALL: usize = 4;
/// What hints count in. Unit: bytes.
const HINT_STEP: usize = 16;

/// One entry, 16 bytes, so that it lies in one cache line.
struct Entry<V: Value> {
    /// `label << 32 | hint`. The label is a hash of the child's key; it stays when the child goes, so that
    /// probes run on. The hint is how far behind the child its run lies, or lay once: what is there is only
    /// asked for early, together with the child, and never read by this way.
    word: AtomicU64,
    child: Slot<Body<V>>,
}

impl<V: Value> Entry<V> {
    #[inline]
    fn label(&self) -> u32 {
        (self.word.load(Ordering::Relaxed) >> 32) as u32
    }

    /// Makes the entry that of a child which comes next.
    fn set(&self, label: u32, child: &Arc<Body<V>>) {
        let run = child.run().as_ptr().addr();
        let hint = run.wrapping_sub(Arc::as_ptr(child).addr()) / HINT_STEP;
        // A run further than 64 GiB from its node is asked for in vain.
        let word = u64::from(label) << 32 | (hint as u64 & u64::from(u32::MAX));
        self.word.store(word, Ordering::Relaxed);
    }

    /// Asks for the run of a child.
    #[inline]
    fn prefetch_run(&self, child: &Body<V>) {
        let hint = (self.word.load(Ordering::Relaxed) as u32).cast_signed() as isize;
        let at = std::ptr::from_ref(child).addr();
        prefetch_at(at.wrapping_add_signed(hint.wrapping_mul(HINT_STEP.cast_signed())));
    }
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
                    word: AtomicU64::new(u64::from(UNUSED)),
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
        let label = label_of(key);
        for at in self.probe(label) {
            let entry = &self.entries[at];
            let found = entry.label();
            if found == UNUSED {
                return None;
            }
            if found == label
                && let Some(child) = entry.child.load(guard)
            {
                entry.prefetch_run(child);
                // Labels may be equal by chance, and the entry may have changed hands between the two loads;
                // the child itself cannot lie.
                if child.begins_with(key, page) {
                    return Some(child);
                }
            }
        }
        None
    }

    /// Asks for the entry where a lookup of `key` begins.
    #[inline]
    pub(crate) fn prefetch(&self, key: u64) {
        if let Some(at) = self.probe(label_of(key)).next() {
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
        let label = label_of(key);
        let is_old = |at: &usize| {
            let entry = &self.entries[*at];
            let child = || entry.child.load_as_writer(writer);
            entry.label() == label && child().is_some_and(|child| child.id == old)
        };
        let at = self
            .probe(label)
            .find(is_old)
            .expect("a child that is replaced is in its parent's table");
        let entry = &self.entries[at];
        if let Some(child) = &child {
            entry.set(label, child);
        }
        entry.child.replace(child, writer);
    }

    /// Adds a child whose first page no other child has. `used` counts entries that were ever filled.
    ///
    /// Returns whether there was room; if not, nothing changed.
    pub(crate) fn insert(&self, child: &Arc<Body<V>>, used: &mut u32, writer: &mut Writer) -> bool {
        let label = label_of(child.key);
        let is_free = |at: &usize| self.entries[*at].child.load_as_writer(writer).is_none();
        let Some(at) = self.probe(label).find(is_free) else {
            return false;
        };
        let entry = &self.entries[at];
        if entry.label() == UNUSED {
            if *used as usize >= fill_max(self.entries.len()) {
                return false;
            }
            *used += 1;
        }
        entry.set(label, child);
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
                let is_free = |at: &usize| table.entries[*at].label() == UNUSED;
                let at = table.probe(entry.label()).find(is_free);
                let to = &table.entries[at.expect("a table has room for what it was made for")];
                let word = entry.word.load(Ordering::Relaxed);
                to.word.store(word, Ordering::Relaxed);
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
            .filter(|entry| entry.label() != UNUSED)
            .count()
    }

    /// Returns the entries to look at for a label, each once.
    #[inline]
    fn probe(&self, label: u32) -> impl Iterator<Item = usize> + use<V> {
        let mask = self.entries.len() - 1;
        (0..=mask).map(move |step| (label as usize).wrapping_add(step) & mask)
    }
}

/// Returns how many entries may be filled before probes grow long.
fn fill_max(size: usize) -> usize {
    if size <= SMALL { size } else { size / 4 * 3 }
}

/// Returns the label of a key: half of its product with the golden ratio, which spreads any kind of key.
#[inline]
fn label_of(key: u64) -> u32 {
    let label = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32;
    if label == UNUSED { 1 } else { label }
}
