//! A node as readers see it: one version of its run, of what they need of its value, and of its way to the
//! children.

use crate::children::ChildTable;
use crate::rcu::{Writer, prefetch};
use crate::units::Units;
use crate::value::{Unit, Value, View};

/// The writer's stable name of a node. Readers never use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) u32);

impl NodeId {
    /// The node above all namespaces.
    pub(crate) const TOP: NodeId = NodeId(0);
}

/// One version of a node. In place only this changes: the length of `units`, what `view` allows, and the
/// entries of `children`.
#[repr(C)]
pub(crate) struct Body<V: Value> {
    /// The key of the first page, here so that a lookup needs no more than this. A namespace's own id.
    pub(crate) key: u64,
    pub(crate) units: Units<V::Unit>,
    pub(crate) view: V::View,
    pub(crate) children: Option<ChildTable<V>>,
    /// Units above the run.
    pub(crate) depth: u32,
    pub(crate) id: NodeId,
}

impl<V: Value> Body<V> {
    /// Returns the run.
    #[inline]
    pub(crate) fn run(&self) -> &[V::Unit] {
        self.units.as_slice()
    }

    /// Returns the length of the run.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.units.len()
    }

    /// Returns the depth behind the run.
    pub(crate) fn end(&self) -> u32 {
        self.depth + self.len()
    }

    /// Returns this version with another view and other children.
    pub(crate) fn next(
        &self,
        view: V::View,
        children: Option<ChildTable<V>>,
        writer: &mut Writer,
    ) -> Self {
        Body {
            key: self.key,
            units: self.units.share(writer),
            view,
            children,
            depth: self.depth,
            id: self.id,
        }
    }

    /// Returns whether the run begins with `page`, whose key is `key`.
    #[inline]
    pub(crate) fn begins_with(&self, key: u64, page: &[V::Unit]) -> bool {
        self.key == key && (V::Unit::KEY_IS_PAGE || self.run().starts_with(page))
    }

    /// Asks for all that somebody with `units` left to match needs of this node, and for the way on.
    #[inline]
    pub(crate) fn prefetch(&self, units: &[V::Unit], page: usize) {
        if let Some(first) = self.run().first() {
            prefetch(first);
        }
        self.view.prefetch();
        let len = self.len() as usize;
        if let (Some(table), Some(next)) = (&self.children, units.get(len..len + page)) {
            table.prefetch(V::Unit::key(next));
        }
    }

    /// Returns the bytes held on the heap, the array of children included.
    pub(crate) fn heap_bytes(&self) -> usize {
        ARC_BYTES
            + size_of::<Self>()
            + self.units.heap_bytes()
            + self.view.heap_bytes()
            + self.children.as_ref().map_or(0, ChildTable::heap_bytes)
    }
}

/// The two counts in front of a shared value.
pub(crate) const ARC_BYTES: usize = 16;

/// Returns `len` as a count of units. Runs and paths are bounded far below `u32::MAX`.
pub(crate) fn to_u32(len: usize) -> u32 {
    u32::try_from(len).expect("counts are bounded by DEPTH_PAGES_MAX")
}

/// Returns how many units both slices begin with.
#[inline]
pub(crate) fn common_prefix<U: Unit>(a: &[U], b: &[U]) -> usize {
    const LANES: usize = 16;
    const AHEAD: usize = 16;
    let len = a.len().min(b.len());
    let (a, b) = (&a[..len], &b[..len]);
    let mut at = 0;
    for (a_chunk, b_chunk) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        // Long runs come from memory faster than the processor dares to guess.
        if let Some(ahead) = a.get(at + AHEAD * LANES) {
            prefetch(ahead);
        }
        if U::differ(a_chunk, b_chunk) {
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
