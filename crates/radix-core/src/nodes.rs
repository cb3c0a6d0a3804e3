//! The writer's side of every node, by id. Ids are given anew when a node is gone; memory is given back.

use std::sync::Arc;

use crate::body::{Body, NodeId, to_u32};
use crate::rcu::prefetch;
use crate::value::Value;

/// What the writer knows about a node.
pub(crate) struct Meta<V: Value> {
    pub(crate) parent: NodeId,
    /// The namespace's node.
    pub(crate) root: NodeId,
    /// Children in the table, and entries of it that were ever filled.
    pub(crate) live: u32,
    pub(crate) used: u32,
    /// Whether the length of the present version was changed in place. From then on its view may not be: a
    /// reader looks at the length first, and an old length beside a new view would be what never was.
    pub(crate) is_length_new: bool,
    pub(crate) body: Arc<Body<V>>,
    pub(crate) value: V,
}

/// All nodes.
pub(crate) struct Nodes<V: Value> {
    nodes: Vec<Option<Meta<V>>>,
    free: Vec<NodeId>,
}

impl<V: Value> Nodes<V> {
    /// Returns no nodes.
    pub(crate) fn new() -> Self {
        Nodes {
            nodes: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Returns a node.   Panics: when it is gone.
    #[inline]
    pub(crate) fn get(&self, id: NodeId) -> &Meta<V> {
        self.nodes[id.0 as usize]
            .as_ref()
            .expect("a remembered node is alive")
    }

    /// Returns a node.   Panics: when it is gone.
    #[inline]
    pub(crate) fn get_mut(&mut self, id: NodeId) -> &mut Meta<V> {
        self.nodes[id.0 as usize]
            .as_mut()
            .expect("a remembered node is alive")
    }

    /// Asks for what is known of a node.
    #[inline]
    pub(crate) fn prefetch(&self, id: NodeId) {
        if let Some(node) = self.nodes.get(id.0 as usize) {
            prefetch(node);
        }
    }

    /// Returns whether there is such a node.
    pub(crate) fn is_alive(&self, id: NodeId) -> bool {
        self.nodes.get(id.0 as usize).is_some_and(Option::is_some)
    }

    /// Returns a bound of all ids.
    pub(crate) fn ids(&self) -> usize {
        self.nodes.len()
    }

    /// Takes an id; [`Nodes::put`] comes next.
    pub(crate) fn allocate(&mut self) -> NodeId {
        while let Some(id) = self.free.pop() {
            if (id.0 as usize) < self.nodes.len() {
                return id;
            }
        }
        let id = NodeId(to_u32(self.nodes.len()));
        self.nodes.push(None);
        id
    }

    /// Gives an id its node.
    pub(crate) fn put(&mut self, id: NodeId, meta: Meta<V>) {
        self.nodes[id.0 as usize] = Some(meta);
    }

    /// Takes a node out.   Panics: when it is gone already.
    pub(crate) fn release(&mut self, id: NodeId) -> Meta<V> {
        let meta = self.nodes[id.0 as usize].take();
        if id.0 as usize + 1 < self.nodes.len() {
            self.free.push(id);
        } else {
            while self.nodes.last().is_some_and(Option::is_none) {
                self.nodes.pop();
            }
            if self.nodes.len() * 4 < self.nodes.capacity() {
                self.nodes.shrink_to(self.nodes.len() * 2);
                let len = self.nodes.len();
                self.free.retain(|id| (id.0 as usize) < len);
                self.free.shrink_to_fit();
            }
        }
        meta.expect("a remembered node is alive")
    }

    /// Returns every node there is.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Meta<V>> {
        self.nodes.iter().flatten()
    }

    /// Returns the bytes held on the heap, those of the bodies and values included.
    pub(crate) fn heap_bytes(&self) -> usize {
        let of_node = |meta: &Meta<V>| meta.body.heap_bytes() + meta.value.heap_bytes();
        self.nodes.capacity() * size_of::<Option<Meta<V>>>()
            + self.free.capacity() * size_of::<NodeId>()
            + self.iter().map(of_node).sum::<usize>()
    }
}
