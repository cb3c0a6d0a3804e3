//! The tree itself: path-compressed over pages, generic in what a node carries. One writer changes it;
//! readers follow [`Root`] under a guard. Which copies a value stands for is not known here.

use std::sync::Arc;

use crate::body::{ARC_BYTES, Body, NodeId, Value, common_prefix, to_u32};
use crate::children::ChildTable;
use crate::id::Namespace;
use crate::page::Fingerprint;
use crate::rcu::{Domain, Guard, Slot, Writer};

/// Where readers begin.
pub(crate) struct Root<V> {
    top: Slot<Body<V>>,
}

impl<V: Value> Root<V> {
    /// Returns the node of a namespace; its children are the first runs.
    #[inline]
    pub(crate) fn namespace<'g>(
        &'g self,
        namespace: Namespace,
        guard: &'g Guard<'_>,
    ) -> Option<&'g Body<V>> {
        self.top
            .load(guard)?
            .children
            .as_ref()?
            .get(Fingerprint(namespace.0), guard)
    }

    /// Calls `visit` with every node along `pages`, the depth of its run and how many of its pages match,
    /// until `visit` returns false.
    #[inline]
    pub(crate) fn walk<'g>(
        &'g self,
        namespace: Namespace,
        pages: &[Fingerprint],
        guard: &'g Guard<'_>,
        mut visit: impl FnMut(&'g Body<V>, u32, u32) -> bool,
    ) {
        let pages = &pages[..pages.len().min(crate::limits::DEPTH_PAGES_MAX as usize)];
        let Some(mut node) = self.namespace(namespace, guard) else {
            return;
        };
        let mut at = 0;
        while at < pages.len() {
            let Some(next) = node
                .children
                .as_ref()
                .and_then(|table| table.get(pages[at], guard))
            else {
                return;
            };
            next.prefetch(&pages[at..]);
            let matched = common_prefix(next.run(), &pages[at..]);
            if !visit(next, to_u32(at), to_u32(matched)) || matched < next.run().len() {
                return;
            }
            at += matched;
            node = next;
        }
    }
}

/// Told when pages move from one node to another, so that whoever remembers node ids can follow.
pub(crate) trait Moves<V> {
    /// The head of node `kept` is now node `head`.
    fn split(&mut self, kept: NodeId, tail_value: &V, head: NodeId, head_value: &V);
    /// All of node `gone` is now part of node `kept`.
    fn joined(&mut self, gone: NodeId, gone_value: &V, kept: NodeId);
}

/// What the writer knows about a node.
struct Meta<V> {
    parent: NodeId,
    /// The namespace's node.
    root: NodeId,
    /// Children in the table, and entries of it that were ever filled.
    live: u32,
    used: u32,
    body: Arc<Body<V>>,
}

/// A place in the tree: the first `offset` pages of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) node: NodeId,
    pub(crate) offset: u32,
}

/// The writer's side of the tree.
pub(crate) struct Tree<V: Value> {
    root: Arc<Root<V>>,
    writer: Writer,
    nodes: Vec<Option<Meta<V>>>,
    free: Vec<NodeId>,
    run_pages_max: u32,
}

impl<V: Value> Tree<V> {
    /// Returns an empty tree.
    pub(crate) fn new(writer: Writer, run_pages_max: u32) -> Self {
        let top = Arc::new(Body::leaf(NodeId::TOP, 0, Arc::from([]), V::default()));
        let meta = Meta {
            parent: NodeId::TOP,
            root: NodeId::TOP,
            live: 0,
            used: 0,
            body: Arc::clone(&top),
        };
        Tree {
            root: Arc::new(Root {
                top: Slot::new(Some(top)),
            }),
            writer,
            nodes: vec![Some(meta)],
            free: Vec::new(),
            run_pages_max,
        }
    }

    /// Returns where readers begin.
    pub(crate) fn root(&self) -> &Arc<Root<V>> {
        &self.root
    }

    /// Returns the right to look, as the writer.
    pub(crate) fn guard(&self) -> Guard<'_> {
        self.writer.guard()
    }

    /// Returns what is shared with readers of this tree.
    pub(crate) fn domain(&self) -> &Arc<Domain> {
        self.writer.domain()
    }

    /// Returns the writer, which other slots of the same domain need too.
    pub(crate) fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    fn meta(&self, id: NodeId) -> &Meta<V> {
        self.nodes[id.0 as usize]
            .as_ref()
            .expect("a remembered node is alive")
    }

    fn meta_mut(&mut self, id: NodeId) -> &mut Meta<V> {
        self.nodes[id.0 as usize]
            .as_mut()
            .expect("a remembered node is alive")
    }

    /// Returns whether the node exists.
    pub(crate) fn is_alive(&self, id: NodeId) -> bool {
        self.nodes.get(id.0 as usize).is_some_and(Option::is_some)
    }

    /// Returns the node's present version.
    pub(crate) fn body(&self, id: NodeId) -> &Arc<Body<V>> {
        &self.meta(id).body
    }

    /// Returns the node above.
    pub(crate) fn parent(&self, id: NodeId) -> NodeId {
        self.meta(id).parent
    }

    /// Returns whether the node is a run of pages, not a namespace or the top.
    pub(crate) fn is_run(&self, id: NodeId) -> bool {
        self.meta(id).parent != NodeId::TOP
    }

    /// Returns the namespace a node belongs to.
    pub(crate) fn namespace_of(&self, id: NodeId) -> Namespace {
        Namespace(self.body(self.meta(id).root).run()[0].0)
    }

    /// Returns the namespace's node, made if need be.
    pub(crate) fn namespace(&mut self, namespace: Namespace) -> Cursor {
        self.lookup(namespace).unwrap_or_else(|| {
            let run = Arc::from([Fingerprint(namespace.0)]);
            let node = self.add_leaf(NodeId::TOP, run, V::default());
            Cursor { node, offset: 1 }
        })
    }

    /// Returns the namespace's node.
    pub(crate) fn lookup(&self, namespace: Namespace) -> Option<Cursor> {
        let node = self.child(NodeId::TOP, Fingerprint(namespace.0))?;
        Some(Cursor { node, offset: 1 })
    }

    fn child(&self, id: NodeId, page: Fingerprint) -> Option<NodeId> {
        let table = self.body(id).children.as_ref()?;
        table.get(page, &self.guard()).map(|child| child.id)
    }

    /// Follows `pages` down from `at` as far as they exist; returns where that is and how many matched.
    pub(crate) fn descend(&self, mut at: Cursor, pages: &[Fingerprint]) -> (Cursor, usize) {
        let mut done = 0;
        loop {
            let run = self.body(at.node).run();
            let matched = common_prefix(&run[at.offset as usize..], &pages[done..]);
            done += matched;
            at.offset += to_u32(matched);
            if done == pages.len() || (at.offset as usize) < run.len() {
                return (at, done);
            }
            match self.child(at.node, pages[done]) {
                Some(node) => at = Cursor { node, offset: 0 },
                None => return (at, done),
            }
        }
    }

    /// Makes `pages` exist below `at` and lets `cover` change the value of every node that holds some of
    /// them from `pages[skip]` on; the pages before are only the path there.
    ///
    /// `cover` gets the node's value, the first offset, the offset behind the last, and the index in
    /// `pages` of the first. The nodes covered are appended to `covered`, deepest last.
    pub(crate) fn grow(
        &mut self,
        mut at: Cursor,
        pages: &[Fingerprint],
        skip: usize,
        mut cover: impl FnMut(&V, u32, u32, usize) -> V,
        moves: &mut impl Moves<V>,
        covered: &mut Vec<NodeId>,
    ) {
        let mut done = 0;
        loop {
            let body = Arc::clone(self.body(at.node));
            let (from, first) = (at.offset, done);
            let matched = common_prefix(&body.run()[from as usize..], &pages[done..]);
            done += matched;
            at.offset += to_u32(matched);
            let mut longer = None;
            if done < pages.len() {
                if at.offset < body.len {
                    // The paths part inside the run.
                    at.node = self.split(at.node, at.offset, moves);
                } else if self.is_run(at.node)
                    && self.meta(at.node).live == 0
                    && body.len < self.run_pages_max
                {
                    let more = (pages.len() - done).min((self.run_pages_max - body.len) as usize);
                    longer = Some([body.run(), &pages[done..done + more]].concat());
                    done += more;
                    at.offset += to_u32(more);
                }
            }
            let begin = first.max(skip);
            if begin < done || longer.is_some() {
                let now = self.body(at.node);
                let value = if begin < done {
                    covered.push(at.node);
                    cover(&now.value, from + to_u32(begin - first), at.offset, begin)
                } else {
                    now.value.clone()
                };
                let next = match longer {
                    Some(run) => Body::leaf(at.node, now.depth, Arc::from(run), value),
                    None => now.with_value(value),
                };
                self.publish(next);
            }
            if done == pages.len() {
                return;
            }
            if let Some(node) = self.child(at.node, pages[done]) {
                at = Cursor { node, offset: 0 };
                continue;
            }
            let run = &pages[done..pages.len().min(done + self.run_pages_max as usize)];
            let (first, end) = (done, done + run.len());
            let begin = first.max(skip);
            let value = if begin < end {
                cover(
                    &V::default(),
                    to_u32(begin - first),
                    to_u32(run.len()),
                    begin,
                )
            } else {
                V::default()
            };
            let node = self.add_leaf(at.node, Arc::from(run), value);
            if begin < end {
                covered.push(node);
            }
            done = end;
            at = Cursor {
                node,
                offset: to_u32(run.len()),
            };
            if done == pages.len() {
                return;
            }
        }
    }

    /// Gives a node another value; a childless one is cut to what that value covers. Returns whether the
    /// node is still there.
    pub(crate) fn set_value(&mut self, id: NodeId, value: V) -> bool {
        let meta = self.meta(id);
        if meta.live > 0 || !self.is_run(id) {
            let next = meta.body.with_value(value);
            self.publish(next);
            return true;
        }
        match value.covered() {
            0 => {
                self.remove_leaf(id);
                false
            }
            len => {
                let next = meta.body.truncated(len, value);
                self.publish(next);
                let meta = self.meta_mut(id);
                meta.used = 0;
                true
            }
        }
    }

    /// Restores order around a node whose value or children went: removes what nothing needs, upwards,
    /// and joins runs that have no reason to be apart.
    pub(crate) fn settle(&mut self, mut id: NodeId, moves: &mut impl Moves<V>) {
        while id != NodeId::TOP && self.is_alive(id) {
            let meta = self.meta(id);
            let covered = meta.body.value.covered();
            if meta.live == 0 && covered == 0 {
                let parent = meta.parent;
                self.remove_leaf(id);
                id = parent;
                continue;
            }
            if !self.is_run(id) {
                return;
            }
            if meta.live == 0 {
                if covered < meta.body.len || meta.body.children.is_some() {
                    let value = meta.body.value.clone();
                    self.set_value(id, value);
                }
            } else if meta.live == 1 {
                id = self.join_only_child(id, moves);
            }
            let parent = self.parent(id);
            if self.is_run(parent) && self.meta(parent).live == 1 {
                self.join_only_child(parent, moves);
            }
            return;
        }
    }

    /// Cuts a node whose value is crowded, and what comes of it.
    pub(crate) fn relieve(&mut self, id: NodeId, moves: &mut impl Moves<V>) {
        let mut todo = vec![id];
        while let Some(id) = todo.pop() {
            if self.is_alive(id)
                && let Some(at) = self.body(id).value.crowded()
            {
                todo.push(self.split(id, at, moves));
                todo.push(id);
            }
        }
    }

    /// Makes the first `at` pages of a run a node of their own and returns it; the rest keeps the id.
    fn split(&mut self, id: NodeId, at: u32, moves: &mut impl Moves<V>) -> NodeId {
        let head = self.allocate();
        let meta = self.meta(id);
        let (parent, root) = (meta.parent, meta.root);
        let body = Arc::clone(&meta.body);
        let (head_value, tail_value) = body.value.split(at);
        moves.split(id, &tail_value, head, &head_value);
        let (head_run, tail_run) = body.run().split_at(at as usize);
        let tail = Body::leaf(id, body.depth + at, Arc::from(tail_run), tail_value);
        let tail = Arc::new(tail.above(body.children.clone()));
        let table = ChildTable::with_room(2);
        let mut used = 0;
        table.insert(&tail, &mut used, &mut self.writer);
        let head_body =
            Body::leaf(head, body.depth, Arc::from(head_run), head_value).above(Some(table));
        let meta = self.meta_mut(id);
        meta.parent = head;
        meta.body = tail;
        self.nodes[head.0 as usize] = Some(Meta {
            parent,
            root,
            live: 1,
            used,
            // Replaced at once by `publish`.
            body,
        });
        self.publish(head_body);
        head
    }

    /// Makes one node of `id` and its only child when they fit; returns the node that now holds the pages.
    fn join_only_child(&mut self, id: NodeId, moves: &mut impl Moves<V>) -> NodeId {
        let above = Arc::clone(self.body(id));
        let mut only = None;
        let table = above
            .children
            .as_ref()
            .expect("a node with a child has a table");
        table.for_each(&self.guard(), |child| only = Some(child.id));
        let kept = only.expect("a node with one live child has it in its table");
        let below = Arc::clone(self.body(kept));
        // Room is left so that a run that was just joined can grow before it is full.
        if (above.len + below.len) * 4 > self.run_pages_max * 3
            || !above.value.is_joinable(&below.value, above.len)
        {
            return id;
        }
        moves.joined(id, &above.value, kept);
        let run = [above.run(), below.run()].concat();
        let value = above.value.join(&below.value, above.len);
        let next =
            Body::leaf(kept, above.depth, Arc::from(run), value).above(below.children.clone());
        self.meta_mut(kept).parent = self.parent(id);
        self.publish(next);
        self.release(id);
        kept
    }

    fn add_leaf(&mut self, parent: NodeId, run: Arc<[Fingerprint]>, value: V) -> NodeId {
        let id = self.allocate();
        let above = self.meta(parent);
        let depth = if self.is_run(parent) {
            above.body.end()
        } else {
            0
        };
        let root = if parent == NodeId::TOP {
            id
        } else {
            above.root
        };
        let body = Arc::new(Body::leaf(id, depth, run, value));
        self.nodes[id.0 as usize] = Some(Meta {
            parent,
            root,
            live: 0,
            used: 0,
            body: Arc::clone(&body),
        });
        let above = self.nodes[parent.0 as usize]
            .as_mut()
            .expect("a parent is alive");
        above.live += 1;
        let in_place = above
            .body
            .children
            .as_ref()
            .is_some_and(|table| table.insert(&body, &mut above.used, &mut self.writer));
        if !in_place {
            self.rebuild_children(parent, Some(&body));
        }
        id
    }

    /// Gives a node a table that fits its children (and `new`, which is counted in `live` already).
    fn rebuild_children(&mut self, id: NodeId, new: Option<&Arc<Body<V>>>) {
        let meta = self.meta(id);
        let table = ChildTable::with_room(meta.live as usize);
        let mut ids = Vec::with_capacity(meta.live as usize);
        if let Some(old) = &meta.body.children {
            old.for_each(&self.guard(), |child| ids.push(child.id));
        }
        let mut used = 0;
        for child in ids {
            let child = Arc::clone(&self.meta(child).body);
            table.insert(&child, &mut used, &mut self.writer);
        }
        if let Some(new) = new {
            table.insert(new, &mut used, &mut self.writer);
        }
        let next = self.body(id).with_children(Some(table));
        self.meta_mut(id).used = used;
        self.publish(next);
    }

    /// Removes a childless node from its parent. The parent is left as it is otherwise.
    fn remove_leaf(&mut self, id: NodeId) {
        let parent = self.parent(id);
        let page = self.body(id).run()[0];
        let above = self.nodes[parent.0 as usize]
            .as_mut()
            .expect("a parent is alive");
        let table = above.body.children.as_ref().expect("a parent has a table");
        table.replace(page, None, &mut self.writer);
        above.live -= 1;
        if above.live > 0 && table.is_sparse(above.live) {
            self.rebuild_children(parent, None);
        }
        self.release(id);
    }

    /// Lets readers see the next version of a node.
    fn publish(&mut self, next: Body<V>) {
        let id = next.id;
        let next = Arc::new(next);
        let meta = self.meta_mut(id);
        let parent = meta.parent;
        meta.body = Arc::clone(&next);
        if id == NodeId::TOP {
            self.root.top.replace(Some(next), &mut self.writer);
        } else {
            let above = self.nodes[parent.0 as usize]
                .as_ref()
                .expect("a parent is alive");
            let table = above.body.children.as_ref().expect("a parent has a table");
            table.replace(next.run()[0], Some(Arc::clone(&next)), &mut self.writer);
        }
    }

    fn allocate(&mut self) -> NodeId {
        while let Some(id) = self.free.pop() {
            if (id.0 as usize) < self.nodes.len() {
                return id;
            }
        }
        let id = NodeId(to_u32(self.nodes.len()));
        self.nodes.push(None);
        id
    }

    fn release(&mut self, id: NodeId) {
        self.nodes[id.0 as usize] = None;
        if id.0 as usize + 1 < self.nodes.len() {
            self.free.push(id);
            return;
        }
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

    /// Returns every node that is a run.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &Arc<Body<V>>> {
        self.nodes
            .iter()
            .flatten()
            .filter(|meta| meta.parent != NodeId::TOP)
            .map(|meta| &meta.body)
    }

    /// Returns the bytes held on the heap, versions that wait for readers left out.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val::<[Option<Meta<V>>]>(&self.nodes)
            + (self.nodes.capacity() - self.nodes.len()) * size_of::<Option<Meta<V>>>()
            + self.free.capacity() * size_of::<NodeId>()
            + ARC_BYTES
            + self
                .nodes
                .iter()
                .flatten()
                .map(|meta| meta.body.heap_bytes())
                .sum::<usize>()
    }

    /// Panics when the shape is broken. `check` looks at a node's value: `(body, is a run)`.
    pub(crate) fn debug_check(&self, mut check: impl FnMut(&Body<V>)) {
        let guard = self.guard();
        let mut seen = 0;
        let mut todo = vec![self.root.top.load(&guard).expect("the top is always there")];
        while let Some(body) = todo.pop() {
            seen += 1;
            let meta = self.meta(body.id);
            assert!(
                std::ptr::eq(body, Arc::as_ptr(&meta.body)),
                "readers and writer see one version"
            );
            let mut live = 0;
            if let Some(table) = &body.children {
                assert_eq!(
                    meta.used as usize,
                    table.used(),
                    "entries filled of {:?}",
                    body.id
                );
                table.for_each(&guard, |child| {
                    live += 1;
                    assert_eq!(
                        self.parent(child.id),
                        body.id,
                        "parent link of {:?}",
                        child.id
                    );
                    let found = table.get(child.run()[0], &guard).map(|found| found.id);
                    assert_eq!(found, Some(child.id), "a child is found by its first page");
                    let child = self.body(child.id);
                    todo.push(table.get(child.run()[0], &guard).expect("found above"));
                });
            } else {
                assert_eq!(meta.used, 0, "entries filled without a table");
            }
            assert_eq!(live, meta.live, "children of {:?}", body.id);
            if body.id == NodeId::TOP {
                continue;
            }
            if self.is_run(body.id) {
                assert!(
                    body.len > 0 && body.len <= self.run_pages_max,
                    "length of a run: {}",
                    body.len
                );
                let parent = meta.parent;
                let above = if self.is_run(parent) {
                    self.body(parent).end()
                } else {
                    0
                };
                assert_eq!(body.depth, above, "depth of {:?}", body.id);
                assert_eq!(
                    meta.root,
                    self.meta(parent).root,
                    "namespace of {:?}",
                    body.id
                );
                if live == 0 {
                    assert_eq!(
                        body.value.covered(),
                        body.len,
                        "a childless run is covered to its end"
                    );
                }
                check(body);
            } else {
                assert!(live > 0, "a namespace without runs is removed");
                assert_eq!(body.value.covered(), 0, "a namespace holds nothing itself");
            }
        }
        let alive = self.nodes.iter().flatten().count();
        assert_eq!(seen, alive, "every node is reached");
    }
}

impl<V: Value> Drop for Tree<V> {
    fn drop(&mut self) {
        // Readers may outlive the index. They find it empty, and no chain of nodes is freed recursively.
        for meta in self.nodes.iter().flatten() {
            if let Some(table) = &meta.body.children {
                table.clear(&mut self.writer);
            }
        }
        self.root.top.replace(None, &mut self.writer);
    }
}
