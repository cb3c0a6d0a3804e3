//! One rank's copies as a list that builds them again.

use crate::body::NodeId;
use crate::id::{Namespace, Rank, Seq};
use crate::index::Index;
use crate::page::Fingerprint;
use crate::run::{SnapshotPlace, SnapshotRun};
use crate::tree::Cursor;

impl Index {
    /// Returns all live copies of a rank, ancestors first, for [`Index::load`]. The list depends on the copies
    /// only, not on the tree's shape.
    ///
    /// Cost: O(copies); where the page above a run is not held by the rank, also the path to it.
    #[must_use]
    pub fn snapshot(&self, rank: Rank) -> Vec<SnapshotRun> {
        self.snapshot_behind(rank, Seq::ZERO)
    }

    /// Returns the live copies of a rank that ops behind `base` named, ancestors first: the runs of a
    /// [`SnapshotDelta`](crate::SnapshotDelta). The copy a run hangs behind may be an older one.
    ///
    /// Cost: O(copies returned), and paths as for [`Index::snapshot`].
    #[must_use]
    pub fn snapshot_behind(&self, rank: Rank, base: Seq) -> Vec<SnapshotRun> {
        let Some(copies) = self.ranks.by_rank.get(&rank) else {
            return Vec::new();
        };
        let mut runs = Vec::new();
        for (seq, deepest) in copies.ops.range(base.next()..) {
            self.snapshot_op(rank, *seq, *deepest, &mut runs);
        }
        // A copy's page is above the run that hangs behind it.
        runs.sort_unstable_by_key(|(depth, run)| (*depth, run.seq, run.idx));
        runs.into_iter().map(|(_, run)| run).collect()
    }

    /// Appends the live parts of one op, with their depths.
    fn snapshot_op(
        &self,
        rank: Rank,
        seq: Seq,
        deepest: NodeId,
        out: &mut Vec<(u32, SnapshotRun)>,
    ) {
        let mut parts = Vec::new();
        let mut node = deepest;
        let mut top = 0;
        loop {
            let body = self.tree.body(node);
            for piece in self.tree.value(node).pieces_of(rank, seq) {
                top = (body.depth + piece.start()) - piece.idx();
                parts.push((node, *piece));
            }
            let parent = self.tree.parent(node);
            if body.depth <= top || !self.tree.is_run(parent) {
                break;
            }
            node = parent;
        }
        parts.sort_unstable_by_key(|(_, piece)| piece.idx());
        let first = out.len();
        for (node, piece) in parts {
            let body = self.tree.body(node);
            let pages = &body.run()[piece.start() as usize..piece.end() as usize];
            let goes_on =
                |run: &SnapshotRun| run.idx as usize + run.pages.len() == piece.idx() as usize;
            match out[first..].last_mut() {
                Some((_, run)) if goes_on(run) => run.pages.extend_from_slice(pages),
                _ => {
                    let start = Cursor {
                        node,
                        offset: piece.start(),
                    };
                    let run = SnapshotRun {
                        source: piece.holder().source,
                        tier: piece.tier,
                        place: self.snapshot_place(rank, start),
                        seq,
                        idx: piece.idx_in_op(),
                        pages: pages.to_vec(),
                    };
                    out.push((body.depth + piece.start(), run));
                }
            }
        }
    }

    /// Returns how to name the place of a run that begins at `start`.
    fn snapshot_place(&self, rank: Rank, start: Cursor) -> SnapshotPlace {
        let namespace = self.tree.namespace_of(start.node);
        let (node, last) = match start.offset.checked_sub(1) {
            Some(last) => (start.node, last),
            None => {
                let parent = self.tree.parent(start.node);
                if !self.tree.is_run(parent) {
                    return SnapshotPlace::Root(namespace);
                }
                (parent, self.tree.body(parent).len() - 1)
            }
        };
        let above = self
            .tree
            .value(node)
            .pieces()
            .iter()
            .filter_map(|piece| piece.clipped(last, last + 1));
        let names = above
            .filter(|piece| piece.holder().rank == rank)
            .map(|piece| (piece.seq, piece.idx_in_op()));
        match names.min() {
            Some((seq, idx)) => SnapshotPlace::Copy { seq, idx },
            None => self.snapshot_path(namespace, node, last + 1),
        }
    }

    fn snapshot_path(&self, namespace: Namespace, mut node: NodeId, len: u32) -> SnapshotPlace {
        let mut runs: Vec<&[Fingerprint]> = vec![&self.tree.body(node).run()[..len as usize]];
        loop {
            node = self.tree.parent(node);
            if !self.tree.is_run(node) {
                break;
            }
            runs.push(self.tree.body(node).run());
        }
        runs.reverse();
        SnapshotPlace::Path(namespace, runs.concat())
    }
}
