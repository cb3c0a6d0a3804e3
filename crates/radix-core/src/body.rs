//! A node as readers see it: an immutable version of its run, its value and its way to the children.

use std::sync::Arc;

use crate::children::ChildTable;
use crate::page::Fingerprint;
use crate::rcu::prefetch;

/// The writer's stable name of a node. Readers never use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) u32);

impl NodeId {
    /// The node above all namespaces.
    pub(crate) const TOP: NodeId = NodeId(0);
}

/// What a node carries beside its pages. Offsets are pages from the head of the node's run.
pub(crate) trait Value: Default + Clone + Send + Sync + 'static {
    /// Returns the values of the first `at` pages and of the rest.
    fn split(&self, at: u32) -> (Self, Self);
    /// Returns the value of this run of `at` pages with `behind` after it.
    fn join(&self, behind: &Self, at: u32) -> Self;
    /// Returns whether joining as in [`Value::join`] would not make a crowded value.
    fn is_joinable(&self, behind: &Self, at: u32) -> bool;
    /// Returns the pages up to and with the last one in use; the rest of a childless run is given back.
    fn covered(&self) -> u32;
    /// Returns where to cut a run whose value has become too large to copy on every change.
    fn crowded(&self) -> Option<u32>;
    /// Asks for what readers need of it.
    fn prefetch(&self);
    /// Returns the bytes held on the heap.
    fn heap_bytes(&self) -> usize;
}

/// One version of a node. Never changes but for the entries of `children`, which versions share.
pub(crate) struct Body<V> {
    pub(crate) id: NodeId,
    /// Pages above the run.
    pub(crate) depth: u32,
    /// Pages of the run; `pages` may keep a short tail that was given up.
    pub(crate) len: u32,
    /// The first page, here so that a lookup needs no more than this.
    pub(crate) first: Fingerprint,
    pages: Arc<[Fingerprint]>,
    pub(crate) value: V,
    pub(crate) children: Option<ChildTable<V>>,
}

impl<V: Value> Body<V> {
    /// Returns a childless node.
    pub(crate) fn leaf(id: NodeId, depth: u32, pages: Arc<[Fingerprint]>, value: V) -> Self {
        Body {
            id,
            depth,
            len: to_u32(pages.len()),
            first: pages.first().copied().unwrap_or_default(),
            pages,
            value,
            children: None,
        }
    }

    /// Returns the run.
    #[inline]
    pub(crate) fn run(&self) -> &[Fingerprint] {
        &self.pages[..self.len as usize]
    }

    /// Asks for all that a reader with `pages` left to match needs of this node, and for the way on.
    #[inline]
    pub(crate) fn prefetch(&self, pages: &[Fingerprint]) {
        if let Some(first) = self.pages.first() {
            prefetch(first);
        }
        self.value.prefetch();
        if let (Some(table), Some(next)) = (&self.children, pages.get(self.len as usize)) {
            table.prefetch(*next);
        }
    }

    /// Returns the depth behind the run.
    pub(crate) fn end(&self) -> u32 {
        self.depth + self.len
    }

    /// Returns this version with another value.
    pub(crate) fn with_value(&self, value: V) -> Self {
        Body {
            id: self.id,
            depth: self.depth,
            len: self.len,
            first: self.first,
            pages: Arc::clone(&self.pages),
            value,
            children: self.children.clone(),
        }
    }

    /// Returns this version with other children.
    pub(crate) fn with_children(&self, children: Option<ChildTable<V>>) -> Self {
        self.with_value(self.value.clone()).above(children)
    }

    /// Returns this node with other children.
    pub(crate) fn above(self, children: Option<ChildTable<V>>) -> Self {
        Body { children, ..self }
    }

    /// Returns a childless version cut to `len` pages. The array is copied only when a quarter of it is waste.
    pub(crate) fn truncated(&self, len: u32, value: V) -> Self {
        let pages = if (len as usize) * 4 < self.pages.len() * 3 {
            Arc::from(&self.pages[..len as usize])
        } else {
            Arc::clone(&self.pages)
        };
        Body {
            id: self.id,
            depth: self.depth,
            len,
            first: self.first,
            pages,
            value,
            children: None,
        }
    }

    /// Returns the bytes held on the heap, the array of children included.
    pub(crate) fn heap_bytes(&self) -> usize {
        ARC_BYTES
            + size_of::<Self>()
            + ARC_BYTES
            + size_of_val::<[Fingerprint]>(&self.pages)
            + self.value.heap_bytes()
            + self.children.as_ref().map_or(0, ChildTable::heap_bytes)
    }
}

/// The two counts in front of a shared value.
pub(crate) const ARC_BYTES: usize = 16;

/// Returns `len` as a page count. Runs and paths are bounded far below `u32::MAX`.
pub(crate) fn to_u32(len: usize) -> u32 {
    u32::try_from(len).expect("page counts are bounded by DEPTH_PAGES_MAX")
}

/// Returns how many pages both slices begin with.
#[inline]
pub(crate) fn common_prefix(a: &[Fingerprint], b: &[Fingerprint]) -> usize {
    const LANES: usize = 8;
    let len = a.len().min(b.len());
    let (a, b) = (&a[..len], &b[..len]);
    let mut at = 0;
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        // No early exit inside a chunk, so that it becomes one vector compare.
        let differ = a
            .iter()
            .zip(b)
            .fold(0, |differ, (a, b)| differ | (a.0 ^ b.0));
        if differ != 0 {
            break;
        }
        at += LANES;
    }
    at + a[at..]
        .iter()
        .zip(&b[at..])
        .take_while(|(a, b)| a == b)
        .count()
}
