//! The tree itself: path-compressed, generic in what its runs are made of and in what a node carries. One
//! writer changes it; readers follow [`Root`] under a guard. What a value stands for is not known here.

use std::sync::Arc;

use crate::body::{ARC_BYTES, Body, NodeId, common_prefix, to_u32};
use crate::children::ChildTable;
use crate::id::Namespace;
use crate::nodes::{Meta, Nodes};
use crate::page::Fingerprint;
use crate::rcu::{Domain, Guard, Slot, Writer};
use crate::units::Units;
use crate::value::{Adopted, Unit, Value, View};

/// Where readers begin.
pub(crate) struct Root<V: Value> {
    top: Slot<Body<V>>,
}

impl<V: Value<Unit = Fingerprint>> Root<V> {
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
        let children = |of: &'g Body<V>| of.children.as_ref();
        let spaces = self.top.load(guard).and_then(children);
        let Some(mut node) = spaces.and_then(|table| table.get(namespace.0, &[], guard)) else {
            return;
        };
        let mut at = 0;
        while at < pages.len() {
            let page = &pages[at..=at];
            let Some(next) = children(node).and_then(|table| table.get(page[0].0, page, guard))
            else {
                return;
            };
            next.prefetch(&pages[at..], 1);
            // The length may change: one look at it, and before the look at the view.
            let run = next.run();
            let matched = common_prefix(run, &pages[at..]);
            if !visit(next, to_u32(at), to_u32(matched)) || matched < run.len() {
                return;
            }
            at += matched;
            node = next;
        }
    }
}

/// Told when units move from one node to another, so that whoever remembers node ids can follow.
pub(crate) trait Moves<V> {
    /// The head of node `kept` is now node `head`.
    fn split(&mut self, kept: NodeId, tail_value: &V, head: NodeId, head_value: &V);
    /// All of node `gone` is now part of node `kept`.
    fn joined(&mut self, gone: NodeId, gone_value: &V, kept: NodeId);
}

/// For trees whose node ids nobody remembers across a cut.
impl<V> Moves<V> for () {
    fn split(&mut self, _kept: NodeId, _tail_value: &V, _head: NodeId, _head_value: &V) {}
    fn joined(&mut self, _gone: NodeId, _gone_value: &V, _kept: NodeId) {}
}

/// A place in the tree: the first `offset` units of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) node: NodeId,
    pub(crate) offset: u32,
}

impl Cursor {
    /// Above all namespaces.
    pub(crate) const TOP: Cursor = Cursor {
        node: NodeId::TOP,
        offset: 0,
    };
}

/// How the runs of a tree are cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Units of a page.
    pub(crate) page: u32,
    /// The most units of a run, a multiple of `page`.
    pub(crate) run_max: u32,
}

/// The writer's side of the tree.
pub(crate) struct Tree<V: Value> {
    root: Arc<Root<V>>,
    writer: Writer,
    nodes: Nodes<V>,
    shape: Shape,
}

impl<V: Value> Tree<V> {
    /// Returns an empty tree.
    pub(crate) fn new(writer: Writer, shape: Shape) -> Self {
        let top = Arc::new(Body {
            key: 0,
            units: Units::new(&[], &[], 0),
            view: V::default().view(0),
            children: None,
            depth: 0,
            id: NodeId::TOP,
        });
        let mut nodes = Nodes::new();
        let id = nodes.allocate();
        nodes.put(id, fresh(id, id, Arc::clone(&top), V::default()));
        let top = Slot::new(Some(top));
        Tree {
            root: Arc::new(Root { top }),
            writer,
            nodes,
            shape,
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

    /// Returns the most units of a run.
    pub(crate) fn run_max(&self) -> u32 {
        self.shape.run_max
    }

    /// Returns a bound of all node ids.
    pub(crate) fn ids(&self) -> usize {
        self.nodes.ids()
    }

    /// Returns whether the node exists.
    pub(crate) fn is_alive(&self, id: NodeId) -> bool {
        self.nodes.is_alive(id)
    }

    /// Returns the node's present version.
    #[inline]
    pub(crate) fn body(&self, id: NodeId) -> &Arc<Body<V>> {
        &self.nodes.get(id).body
    }

    /// Returns what the writer knows of a node's run.
    #[inline]
    pub(crate) fn value(&self, id: NodeId) -> &V {
        &self.nodes.get(id).value
    }

    /// Returns the same to be changed. When readers or the run depend on it, [`Tree::changed`] comes next.
    #[inline]
    pub(crate) fn value_mut(&mut self, id: NodeId) -> &mut V {
        &mut self.nodes.get_mut(id).value
    }

    /// Returns the node above.
    #[inline]
    pub(crate) fn parent(&self, id: NodeId) -> NodeId {
        self.nodes.get(id).parent
    }

    /// Returns how many children a node has.
    pub(crate) fn children(&self, id: NodeId) -> u32 {
        self.nodes.get(id).live
    }

    /// Returns whether the node is a run, not a namespace or the top.
    #[inline]
    pub(crate) fn is_run(&self, id: NodeId) -> bool {
        self.nodes.get(id).parent != NodeId::TOP
    }

    /// Returns the namespace a node belongs to.
    pub(crate) fn namespace_of(&self, id: NodeId) -> Namespace {
        Namespace(self.body(self.nodes.get(id).root).key)
    }

    /// Returns the namespace's node, made if need be.
    pub(crate) fn namespace(&mut self, namespace: Namespace) -> Cursor {
        self.lookup(namespace).unwrap_or_else(|| {
            let units = Units::new(&[], &[], 0);
            let node = self.add_child(NodeId::TOP, namespace.0, units, V::default());
            Cursor { node, offset: 0 }
        })
    }

    /// Returns the namespace's node.
    pub(crate) fn lookup(&self, namespace: Namespace) -> Option<Cursor> {
        let node = self.child(NodeId::TOP, namespace.0, &[])?;
        Some(Cursor { node, offset: 0 })
    }

    fn child(&self, id: NodeId, key: u64, page: &[V::Unit]) -> Option<NodeId> {
        let table = self.body(id).children.as_ref()?;
        table.get(key, page, &self.guard()).map(|child| child.id)
    }

    /// Returns the child that begins with the first page of `units`.
    #[inline]
    fn child_on(&self, id: NodeId, units: &[V::Unit]) -> Option<NodeId> {
        let page = &units[..self.shape.page as usize];
        self.child(id, V::Unit::key(page), page)
    }

    /// Returns how many units of whole pages both begin with.
    #[inline]
    fn common(&self, a: &[V::Unit], b: &[V::Unit]) -> usize {
        let units = common_prefix(a, b);
        match self.shape.page as usize {
            1 => units,
            page => units - units % page,
        }
    }

    /// Follows `units`, which are whole pages, down from `at` as far as they exist; returns where that is and
    /// how many matched.
    #[inline]
    pub(crate) fn descend(&self, mut at: Cursor, units: &[V::Unit]) -> (Cursor, usize) {
        let guard = self.guard();
        let page = self.shape.page as usize;
        let mut body: &Body<V> = self.body(at.node);
        let mut done = 0;
        loop {
            let run = body.run();
            let matched = self.common(&run[at.offset as usize..], &units[done..]);
            done += matched;
            at.offset += to_u32(matched);
            if done == units.len() || (at.offset as usize) < run.len() {
                return (at, done);
            }
            let first = &units[done..done + page];
            let children = body.children.as_ref();
            let Some(child) =
                children.and_then(|table| table.get(V::Unit::key(first), first, &guard))
            else {
                return (at, done);
            };
            body = child;
            at = Cursor {
                node: body.id,
                offset: 0,
            };
            body.prefetch(&units[done..], page);
            // Whoever asked will want to know more of it than its run.
            self.nodes.prefetch(at.node);
        }
    }

    /// Makes `units`, which are whole pages, exist below `at` and lets `cover` change the value of every node
    /// that holds some of them from `units[skip]` on; those before are only the path there.
    ///
    /// `cover` gets the node's value, the first offset, the offset behind the last, and the index in `units`
    /// of the first. The nodes covered are appended to `covered`, deepest last.
    pub(crate) fn grow(
        &mut self,
        mut at: Cursor,
        units: &[V::Unit],
        skip: usize,
        mut cover: impl FnMut(&mut V, u32, u32, usize),
        moves: &mut impl Moves<V>,
        covered: &mut Vec<NodeId>,
    ) {
        let mut done = 0;
        loop {
            let (from, first) = (at.offset, done);
            let meta = self.nodes.get(at.node);
            let (len, live) = (meta.body.len(), meta.live);
            let matched = self.common(&meta.body.run()[from as usize..], &units[done..]);
            done += matched;
            at.offset += to_u32(matched);
            let mut more = 0;
            if done < units.len() {
                if at.offset < len {
                    // The paths part inside the run.
                    at.node = self.split(at.node, at.offset, moves);
                } else if self.is_run(at.node) && live == 0 {
                    more = (units.len() - done).min((self.shape.run_max - len) as usize);
                }
            }
            let (begin, end) = (first.max(skip), done + more);
            at.offset += to_u32(more);
            if begin < end {
                covered.push(at.node);
                let offset = from + to_u32(begin - first);
                cover(self.value_mut(at.node), offset, at.offset, begin);
            }
            if more > 0 {
                self.lengthen(at.node, &units[done..end]);
            } else if begin < end {
                self.refresh(at.node);
            }
            done = end;
            if done == units.len() {
                return;
            }
            if let Some(node) = self.child_on(at.node, &units[done..]) {
                at = Cursor { node, offset: 0 };
                continue;
            }
            let run = &units[done..units.len().min(done + self.shape.run_max as usize)];
            let (first, end) = (done, done + run.len());
            let begin = first.max(skip);
            let mut value = V::default();
            if begin < end {
                cover(&mut value, to_u32(begin - first), to_u32(run.len()), begin);
            }
            let key = V::Unit::key(&run[..self.shape.page as usize]);
            let node = self.add_child(at.node, key, Units::new(run, &[], 0), value);
            if begin < end {
                covered.push(node);
            }
            done = end;
            at = Cursor {
                node,
                offset: to_u32(run.len()),
            };
            if done == units.len() {
                return;
            }
        }
    }

    /// Shows readers what a node's value has become; a childless run is cut to what it covers. Returns whether
    /// the node is still there.
    pub(crate) fn changed(&mut self, id: NodeId) -> bool {
        let meta = self.nodes.get(id);
        if meta.live > 0 || !self.is_run(id) {
            self.refresh(id);
            return true;
        }
        match meta.value.covered() {
            0 => {
                self.remove_leaf(id);
                false
            }
            len if len < meta.body.len() || meta.body.children.is_some() => {
                self.shorten(id, len);
                true
            }
            _ => {
                self.refresh(id);
                true
            }
        }
    }

    /// Restores order around a node whose value or children went: removes what nothing needs, upwards,
    /// and joins runs that have no reason to be apart.
    pub(crate) fn settle(&mut self, mut id: NodeId, moves: &mut impl Moves<V>) {
        while id != NodeId::TOP && self.is_alive(id) {
            let meta = self.nodes.get(id);
            if meta.live == 0 && meta.value.covered() == 0 {
                let parent = meta.parent;
                self.remove_leaf(id);
                id = parent;
                continue;
            }
            if !self.is_run(id) {
                return;
            }
            if meta.live == 0 {
                let len = meta.value.covered();
                if len < meta.body.len() || meta.body.children.is_some() {
                    self.shorten(id, len);
                }
            } else if meta.live == 1 {
                id = self.join_only_child(id, moves);
            }
            let parent = self.parent(id);
            if self.is_run(parent) && self.children(parent) == 1 {
                self.join_only_child(parent, moves);
            }
            return;
        }
    }

    /// Cuts a node whose value is crowded, and what comes of it.
    pub(crate) fn relieve(&mut self, id: NodeId, moves: &mut impl Moves<V>) {
        let mut todo = Vec::new();
        let mut next = Some(id);
        while let Some(id) = next {
            match self
                .is_alive(id)
                .then(|| self.value(id).crowded())
                .flatten()
            {
                // Both halves may be crowded still; the tail keeps the id.
                Some(at) => todo.push(self.split(id, at, moves)),
                None => next = todo.pop(),
            }
        }
    }

    /// Makes the first `at` units of a run a node of their own and returns it; the rest keeps the id.
    pub(crate) fn split(&mut self, id: NodeId, at: u32, moves: &mut impl Moves<V>) -> NodeId {
        let head = self.nodes.allocate();
        let meta = self.nodes.get_mut(id);
        let body = Arc::clone(&meta.body);
        let (parent, root) = (meta.parent, meta.root);
        let mut head_value = std::mem::take(&mut meta.value);
        let tail_value = head_value.split_off(at);
        moves.split(id, &tail_value, head, &head_value);
        let (head_run, tail_run) = body.run().split_at(at as usize);
        let tail = Arc::new(Body {
            key: V::Unit::key(&tail_run[..self.shape.page as usize]),
            units: Units::new(tail_run, &[], 0),
            view: tail_value.view(to_u32(tail_run.len())),
            children: body.children.clone(),
            depth: body.depth + at,
            id,
        });
        meta.parent = head;
        meta.is_length_new = false;
        meta.body = Arc::clone(&tail);
        meta.value = tail_value;
        let table = ChildTable::with_room(2);
        let mut used = 0;
        table.insert(&tail, &mut used, &mut self.writer);
        let next = Body {
            key: body.key,
            units: Units::new(head_run, &[], 0),
            view: head_value.view(at),
            children: Some(table),
            depth: body.depth,
            id: head,
        };
        let mut meta = fresh(parent, root, body, head_value);
        (meta.live, meta.used) = (1, used);
        self.nodes.put(head, meta);
        self.publish(next, id);
        head
    }

    /// Makes one node of `id` and its only child when they fit; returns the node that now holds the units.
    fn join_only_child(&mut self, id: NodeId, moves: &mut impl Moves<V>) -> NodeId {
        let above = Arc::clone(self.body(id));
        let mut only = None;
        let table = above.children.as_ref();
        let table = table.expect("a node with a child has a table");
        table.for_each(&self.guard(), |child| only = Some(child.id));
        let kept = only.expect("a node with one live child has it in its table");
        let (len, value) = (above.len(), self.value(id));
        let below = Arc::clone(self.body(kept));
        // Room is left so that a run that was just joined can grow before it is full.
        if (len + below.len()) * 4 > self.shape.run_max * 3
            || !value.is_joinable(self.value(kept), len)
        {
            return id;
        }
        moves.joined(id, value, kept);
        let mut gone = self.nodes.release(id);
        let meta = self.nodes.get_mut(kept);
        gone.value.join(std::mem::take(&mut meta.value), len);
        meta.value = gone.value;
        meta.parent = gone.parent;
        let units = Units::new(above.run(), below.run(), 0);
        let next = Body {
            key: above.key,
            view: meta.value.view(units.len()),
            units,
            children: below.children.clone(),
            depth: above.depth,
            id: kept,
        };
        self.publish(next, id);
        kept
    }

    /// Shows readers what a node's value has become.
    fn refresh(&mut self, id: NodeId) {
        let meta = self.nodes.get_mut(id);
        let view = meta.value.view(meta.body.len());
        match (meta.body.view).adopt(&view, !meta.is_length_new) {
            Adopted::Same | Adopted::Written => {}
            Adopted::No => {
                let children = meta.body.children.clone();
                let next = meta.body.next(view, children, &mut self.writer);
                self.publish(next, id);
            }
        }
    }

    /// Puts units behind the run of a childless node.
    fn lengthen(&mut self, id: NodeId, more: &[V::Unit]) {
        let meta = self.nodes.get_mut(id);
        let body = &meta.body;
        let len = body.len() + to_u32(more.len());
        if meta.value.is_shown(&body.view, body.len(), len)
            && body.units.append(more, &mut self.writer)
        {
            meta.is_length_new = true;
            return;
        }
        let view = meta.value.view(len);
        if body.view.adopt(&view, false) == Adopted::Same
            && body.units.append(more, &mut self.writer)
        {
            meta.is_length_new = true;
            return;
        }
        let mut next = body.next(view, None, &mut self.writer);
        if !next.units.append(more, &mut self.writer) {
            // Runs that grew once will grow again: a decoding request adds a page at a time.
            let room = (len / 8).min(self.shape.run_max - len) as usize;
            next.units = Units::new(body.run(), more, room);
        }
        meta.used = 0;
        self.publish(next, id);
    }

    /// Cuts the run of a childless node. The array is copied only when a quarter of it is waste.
    fn shorten(&mut self, id: NodeId, len: u32) {
        let meta = self.nodes.get_mut(id);
        let body = &meta.body;
        let view = meta.value.view(len);
        let is_waste = len * 4 < body.units.capacity() * 3;
        if !is_waste && body.children.is_none() && body.view.adopt(&view, false) == Adopted::Same {
            body.units.truncate(len, &mut self.writer);
            meta.is_length_new = true;
            return;
        }
        let mut next = body.next(view, None, &mut self.writer);
        if is_waste {
            next.units = Units::new(&body.run()[..len as usize], &[], 0);
        } else {
            next.units.truncate(len, &mut self.writer);
        }
        meta.used = 0;
        self.publish(next, id);
    }

    fn add_child(&mut self, parent: NodeId, key: u64, units: Units<V::Unit>, value: V) -> NodeId {
        let id = self.nodes.allocate();
        let above = self.nodes.get_mut(parent);
        let root = if parent == NodeId::TOP {
            id
        } else {
            above.root
        };
        let body = Arc::new(Body {
            key,
            view: value.view(units.len()),
            units,
            children: None,
            depth: above.body.end(),
            id,
        });
        above.live += 1;
        let table = above.body.children.as_ref();
        let in_place =
            table.is_some_and(|table| table.insert(&body, &mut above.used, &mut self.writer));
        if !in_place {
            self.fit_children(parent, Some(&body));
        }
        self.nodes.put(id, fresh(parent, root, body, value));
        id
    }

    /// Gives a node a table that fits its children, and puts `new` into it, which is counted already.
    fn fit_children(&mut self, id: NodeId, new: Option<&Arc<Body<V>>>) {
        let meta = self.nodes.get_mut(id);
        let live = meta.live as usize;
        let (table, mut used) = match &meta.body.children {
            Some(old) => old.moved(live, &mut self.writer),
            None => (ChildTable::with_room(live), 0),
        };
        if let Some(new) = new {
            table.insert(new, &mut used, &mut self.writer);
        }
        meta.used = used;
        let view = meta.body.view.again();
        let next = meta.body.next(view, Some(table), &mut self.writer);
        self.publish(next, id);
    }

    /// Puts a run of whole pages, at most `run_max` units, below a node that has no child on its first page.
    pub(crate) fn add_run(&mut self, parent: NodeId, run: &[V::Unit], value: V) -> NodeId {
        let key = V::Unit::key(&run[..self.shape.page as usize]);
        self.add_child(parent, key, Units::new(run, &[], 0), value)
    }

    /// Removes a childless node from its parent. The parent is left as it is otherwise.
    pub(crate) fn remove_leaf(&mut self, id: NodeId) {
        let gone = self.nodes.release(id);
        let above = self.nodes.get_mut(gone.parent);
        let table = above.body.children.as_ref();
        let table = table.expect("a parent has a table");
        table.replace(gone.body.key, id, None, &mut self.writer);
        above.live -= 1;
        if above.live > 0 && table.is_sparse(above.live) {
            self.fit_children(gone.parent, None);
        }
    }

    /// Lets readers see the next version of a node, in the place of node `old`.
    fn publish(&mut self, next: Body<V>, old: NodeId) {
        let (id, key) = (next.id, next.key);
        let next = Arc::new(next);
        let meta = self.nodes.get_mut(id);
        let parent = meta.parent;
        meta.is_length_new = false;
        meta.body = Arc::clone(&next);
        if id == NodeId::TOP {
            self.root.top.replace(Some(next), &mut self.writer);
        } else {
            let table = self.nodes.get(parent).body.children.as_ref();
            let table = table.expect("a parent has a table");
            table.replace(key, old, Some(next), &mut self.writer);
        }
    }

    /// Returns every node that is a run.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &Arc<Body<V>>> {
        let runs = self.nodes.iter().filter(|meta| meta.parent != NodeId::TOP);
        runs.map(|meta| &meta.body)
    }

    /// Returns the bytes held on the heap, versions that wait for readers left out.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.nodes.heap_bytes() + ARC_BYTES
    }

    /// Panics when the shape is broken. `check` looks at a node that is a run.
    pub(crate) fn debug_check(&self, mut check: impl FnMut(&Body<V>, &V)) {
        let guard = self.guard();
        let mut seen = 0;
        let mut todo = vec![self.root.top.load(&guard).expect("the top is always there")];
        while let Some(body) = todo.pop() {
            seen += 1;
            let id = body.id;
            let meta = self.nodes.get(id);
            assert!(
                std::ptr::eq(body, Arc::as_ptr(&meta.body)),
                "readers and writer see one version"
            );
            let view = meta.value.view(body.len());
            assert_eq!(
                body.view.adopt(&view, false),
                Adopted::Same,
                "readers see the value of {id:?}"
            );
            let mut live = 0;
            if let Some(table) = &body.children {
                let used = table.used();
                assert_eq!(meta.used as usize, used, "entries filled of {id:?}");
                table.for_each(&guard, |child| {
                    live += 1;
                    assert_eq!(self.parent(child.id), id, "parent link of {:?}", child.id);
                    let page = &child.run()[..child.run().len().min(self.shape.page as usize)];
                    let found = table.get(child.key, page, &guard);
                    let found = found.expect("a child is found by its first page");
                    assert_eq!(found.id, child.id, "a child is found by its first page");
                    todo.push(found);
                });
            } else {
                assert_eq!(meta.used, 0, "entries filled without a table");
            }
            assert_eq!(live, meta.live, "children of {id:?}");
            if id == NodeId::TOP {
                continue;
            }
            let above = self.nodes.get(meta.parent);
            assert_eq!(body.depth, above.body.end(), "depth of {id:?}");
            let covered = meta.value.covered();
            if self.is_run(id) {
                let (len, page) = (body.len(), self.shape.page);
                assert!(
                    len > 0 && len <= self.shape.run_max && len.is_multiple_of(page),
                    "length of a run: {len}"
                );
                assert_eq!(meta.root, above.root, "namespace of {id:?}");
                assert!(
                    live > 0 || covered == len,
                    "a childless run is covered to its end"
                );
                check(body, &meta.value);
            } else {
                assert!(live > 0, "a namespace without runs is removed");
                assert_eq!(covered, 0, "a namespace holds nothing itself");
            }
        }
        assert_eq!(seen, self.nodes.iter().count(), "every node is reached");
    }
}

/// Returns what the writer knows about a node without children.
fn fresh<V: Value>(parent: NodeId, root: NodeId, body: Arc<Body<V>>, value: V) -> Meta<V> {
    Meta {
        parent,
        root,
        live: 0,
        used: 0,
        is_length_new: false,
        body,
        value,
    }
}

impl<V: Value> Drop for Tree<V> {
    fn drop(&mut self) {
        // Readers may outlive the index. They find it empty, and no chain of nodes is freed recursively.
        for meta in self.nodes.iter() {
            if let Some(table) = &meta.body.children {
                table.clear(&mut self.writer);
            }
        }
        self.root.top.replace(None, &mut self.writer);
    }
}
