//! The leaves that may be evicted, in the order of eviction: a binary heap that knows where each leaf stands.

use crate::body::{NodeId, to_u32};
use crate::cache::config::Rank;

/// "Not in the heap" as a place.
const ABSENT: u32 = u32::MAX;

/// Arrays up to this size are kept when they empty. Unit: leaves.
const KEPT: usize = 64;

/// A leaf. 16 bytes.
#[derive(Clone, Copy, Debug)]
struct Entry {
    major: u32,
    node: NodeId,
    minor: u64,
}

impl Entry {
    #[inline]
    fn rank(&self) -> Rank {
        Rank {
            major: self.major,
            minor: self.minor,
        }
    }
}

/// Leaves by rank, which no two share.
#[derive(Debug, Default)]
pub(crate) struct Order {
    heap: Vec<Entry>,
    /// By node id: where in the heap it is.
    places: Vec<u32>,
}

impl Order {
    /// Returns the leaf that goes first.
    #[inline]
    pub(crate) fn first(&self) -> Option<NodeId> {
        self.heap.first().map(|entry| entry.node)
    }

    /// Returns how many leaves there are.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Returns the rank a leaf is kept under.
    pub(crate) fn rank_of(&self, node: NodeId) -> Option<Rank> {
        let at = self.place(node)?;
        Some(self.heap[at].rank())
    }

    #[inline]
    fn place(&self, node: NodeId) -> Option<usize> {
        let at = *self.places.get(node.0 as usize)?;
        (at != ABSENT).then_some(at as usize)
    }

    /// Adds a leaf that is not there.
    pub(crate) fn insert(&mut self, node: NodeId, rank: Rank) {
        debug_assert!(self.place(node).is_none(), "{node:?} is in the order");
        let id = node.0 as usize;
        if id >= self.places.len() {
            self.places.resize(id + 1, ABSENT);
        }
        let Rank { major, minor } = rank;
        self.heap.push(Entry { major, node, minor });
        self.rise(self.heap.len() - 1);
    }

    /// Gives a leaf another rank, if it is there.
    #[inline]
    pub(crate) fn update(&mut self, node: NodeId, rank: Rank) {
        if let Some(at) = self.place(node) {
            let entry = &mut self.heap[at];
            (entry.major, entry.minor) = (rank.major, rank.minor);
            self.settle(at);
        }
    }

    /// Takes a leaf out, if it is there.
    #[inline]
    pub(crate) fn remove(&mut self, node: NodeId) {
        if let Some(at) = self.place(node) {
            self.places[node.0 as usize] = ABSENT;
            self.heap.swap_remove(at);
            if at < self.heap.len() {
                self.settle(at);
            }
            if self.heap.len() * 4 < self.heap.capacity() && self.heap.capacity() > KEPT {
                self.heap.shrink_to(self.heap.len() * 2);
            }
        }
    }

    /// Forgets places of ids from `ids` on, which are not in use.
    pub(crate) fn shrink(&mut self, ids: usize) {
        if ids * 4 < self.places.capacity() && self.places.capacity() > KEPT {
            self.places.truncate(ids);
            self.places.shrink_to(ids * 2);
        }
    }

    /// Returns the bytes held on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.heap.capacity() * size_of::<Entry>() + self.places.capacity() * size_of::<u32>()
    }

    /// Moves the entry at `at` up or down to where it belongs.
    fn settle(&mut self, at: usize) {
        if at > 0 && self.heap[at].rank() < self.heap[(at - 1) / 2].rank() {
            self.rise(at);
        } else {
            self.sink(at);
        }
    }

    fn rise(&mut self, mut at: usize) {
        let entry = self.heap[at];
        while at > 0 {
            let above = (at - 1) / 2;
            if self.heap[above].rank() <= entry.rank() {
                break;
            }
            self.put(at, self.heap[above]);
            at = above;
        }
        self.put(at, entry);
    }

    fn sink(&mut self, mut at: usize) {
        let entry = self.heap[at];
        loop {
            let mut below = 2 * at + 1;
            if below >= self.heap.len() {
                break;
            }
            let next = below + 1;
            if next < self.heap.len() && self.heap[next].rank() < self.heap[below].rank() {
                below = next;
            }
            if entry.rank() <= self.heap[below].rank() {
                break;
            }
            self.put(at, self.heap[below]);
            at = below;
        }
        self.put(at, entry);
    }

    #[inline]
    fn put(&mut self, at: usize, entry: Entry) {
        self.heap[at] = entry;
        self.places[entry.node.0 as usize] = to_u32(at);
    }

    /// Panics when the heap is broken.
    pub(crate) fn debug_check(&self) {
        for (at, entry) in self.heap.iter().enumerate() {
            assert_eq!(
                self.place(entry.node),
                Some(at),
                "place of {:?}",
                entry.node
            );
            let above = &self.heap[at.saturating_sub(1) / 2];
            assert!(above.rank() <= entry.rank(), "the heap is in order");
            assert!(
                at == 0 || above.rank() < entry.rank(),
                "no two leaves have one rank"
            );
        }
        let placed = self.places.iter().filter(|at| **at != ABSENT).count();
        assert_eq!(
            placed,
            self.heap.len(),
            "places of leaves that are not there"
        );
    }
}
