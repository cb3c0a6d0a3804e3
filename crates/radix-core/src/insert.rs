//! How copies come into an index.

use crate::body::to_u32;
use crate::digest::{self, CopyRun};
use crate::holders::{Holders, Piece};
use crate::id::{Holder, Namespace, Rank, Seq, Tier};
use crate::index::Index;
use crate::limits::{DEPTH_PAGES_MAX, INSERT_PAGES_MAX, SOURCES_PER_RANK_MAX};
use crate::page::Fingerprint;
use crate::run::{InsertError, InsertRun, Place};
use crate::tree::Cursor;

/// A resolved [`Place`].
#[derive(Clone, Copy)]
enum Start<'a> {
    Below(Cursor),
    Path(Namespace, &'a [Fingerprint]),
}

impl Index {
    /// Adds copies `(seq, idx..)` of a rank. Behind copy 0, the op may have shallower copies already, as part of
    /// the same run.
    pub(crate) fn add(
        &mut self,
        rank: Rank,
        seq: Seq,
        idx: u16,
        run: InsertRun<'_>,
    ) -> Result<(), InsertError> {
        if run.pages.is_empty() {
            return Err(InsertError::Empty);
        }
        let numbered = idx as usize + run.pages.len();
        if numbered > INSERT_PAGES_MAX {
            return Err(InsertError::TooLong {
                pages: numbered,
                pages_max: INSERT_PAGES_MAX,
            });
        }
        let (start, above) = self.resolve(rank, run.place)?;
        if above + run.pages.len() > DEPTH_PAGES_MAX as usize {
            return Err(InsertError::DepthOverflow);
        }
        let depth = to_u32(above);
        // Page 0 of an op is not above the root either.
        if depth < u32::from(idx) || !self.is_free(rank, seq, idx, &run, start, depth) {
            return Err(InsertError::Misplaced { rank, seq });
        }
        let known = self.ranks.by_rank.get(&rank).map(|copies| &copies.sources);
        if known.is_some_and(|sources| {
            sources.len() >= SOURCES_PER_RANK_MAX && !sources.contains_key(&run.source)
        }) {
            return Err(InsertError::TooManyHolders);
        }
        let holder = Holder {
            rank,
            source: run.source,
        };
        self.grow(start, seq, idx, run.tier, holder, run.pages);
        let namespace = match start {
            Start::Path(namespace, _) => namespace,
            Start::Below(cursor) => self.tree.namespace_of(cursor.node),
        };
        let sum = digest::sum(
            CopyRun {
                seq,
                source: run.source,
                tier: run.tier,
                namespace,
                idx: u32::from(idx),
                depth,
            },
            run.pages,
        );
        let copies = self.ranks.by_rank.entry(rank).or_default();
        let added = u64::from(to_u32(run.pages.len()));
        copies.digest = copies.digest.wrapping_add(sum);
        copies.copies += added;
        *copies.sources.entry(run.source).or_default() += added;
        Ok(())
    }

    /// Returns where a run begins and how many pages are above it.
    fn resolve<'a>(&self, rank: Rank, place: Place<'a>) -> Result<(Start<'a>, usize), InsertError> {
        match place {
            Place::Root(namespace) => Ok((Start::Path(namespace, &[]), 0)),
            Place::Path(namespace, pages) => Ok((Start::Path(namespace, pages), pages.len())),
            Place::Copy { seq, idx } => {
                let (mut cursor, _) = self
                    .find(rank, seq, idx)
                    .ok_or(InsertError::UnknownParent { rank, seq, idx })?;
                cursor.offset += 1;
                let above = self.tree.body(cursor.node).depth + cursor.offset;
                Ok((Start::Below(cursor), above as usize))
            }
        }
    }

    /// Returns whether the op has no copies yet, or only shallower ones of the same run: then walking up from
    /// its deepest copy still finds all.
    fn is_free(
        &self,
        rank: Rank,
        seq: Seq,
        idx: u16,
        run: &InsertRun<'_>,
        start: Start<'_>,
        depth: u32,
    ) -> bool {
        let Some(deepest) = self.ranks.deepest(rank, seq) else {
            return true;
        };
        let body = self.tree.body(deepest);
        let last = self
            .tree
            .value(deepest)
            .pieces_of(rank, seq)
            .last()
            .expect("the node was remembered for this op");
        let same_run = last.holder().source == run.source
            && last.tier == run.tier
            && last.idx_end() <= u32::from(idx)
            && body.depth + last.end() + (u32::from(idx) - last.idx_end()) == depth;
        let end = match start {
            Start::Below(cursor) => Some(cursor),
            Start::Path(namespace, pages) => self
                .tree
                .lookup(namespace)
                .map(|top| self.tree.descend(top, pages).0),
        };
        let Some(mut at) = end.filter(|_| same_run) else {
            return false;
        };
        while at.node != deepest && self.tree.is_run(at.node) {
            let node = self.tree.parent(at.node);
            at = Cursor {
                node,
                offset: self.tree.body(node).len(),
            };
        }
        at.node == deepest && at.offset >= last.end()
    }

    /// Puts the copies into the tree and remembers the op.
    fn grow(
        &mut self,
        start: Start<'_>,
        seq: Seq,
        idx: u16,
        tier: Tier,
        holder: Holder,
        pages: &[Fingerprint],
    ) {
        let joined;
        let (cursor, skip, pages) = match start {
            Start::Below(cursor) => (cursor, 0, pages),
            Start::Path(namespace, []) => (self.tree.namespace(namespace), 0, pages),
            Start::Path(namespace, path) => {
                joined = [path, pages].concat();
                (self.tree.namespace(namespace), path.len(), &joined[..])
            }
        };
        let cover = |value: &mut Holders, start, end, first: usize| {
            let idx = u32::from(idx) + to_u32(first - skip);
            value.insert(Piece::new(holder, tier, seq, idx, start, end));
        };
        let mut covered = std::mem::take(&mut self.touched);
        (self.tree).grow(cursor, pages, skip, cover, &mut self.ranks, &mut covered);
        let deepest = *covered
            .last()
            .expect("a run has pages, and the last one is covered");
        let copies = self.ranks.by_rank.entry(holder.rank).or_default();
        copies.ops.insert(seq, deepest);
        for node in covered.drain(..) {
            self.tree.relieve(node, &mut self.ranks);
        }
        self.touched = covered;
    }

    /// Returns where a live copy lies: its page's offset, and the span it is part of.
    pub(crate) fn find(&self, rank: Rank, seq: Seq, idx: u16) -> Option<(Cursor, Piece)> {
        let idx = u32::from(idx);
        let mut node = self.ranks.deepest(rank, seq)?;
        loop {
            if let Some(piece) = self.tree.value(node).piece_with(rank, seq, idx) {
                let offset = piece.start() + (idx - piece.idx());
                return Some((Cursor { node, offset }, *piece));
            }
            if !self.reaches_above(node, rank, seq, idx) {
                return None;
            }
            node = self.tree.parent(node);
        }
    }

    /// Returns whether copy `idx` of an op, if live and not in `node`, may lie above it.
    fn reaches_above(&self, node: crate::body::NodeId, rank: Rank, seq: Seq, idx: u32) -> bool {
        let first = self.tree.value(node).pieces_of(rank, seq).next();
        // Without a piece here nothing is known; the namespace ends the way.
        first.is_none_or(|piece| piece.start() + idx < piece.idx())
            && self.tree.is_run(self.tree.parent(node))
    }
}
