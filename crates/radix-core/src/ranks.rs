//! What the writer remembers per rank: which node holds the deepest live copy of each op, and the sums.
//! Shallower copies of an op are found by walking up from there, so there is no second inventory.

use std::collections::BTreeMap;

use crate::body::NodeId;
use crate::holders::Holders;
use crate::id::{Rank, Seq, SourceId};
use crate::tree::Moves;

/// One rank's copies.
#[derive(Default)]
pub(crate) struct RankCopies {
    /// Ops with live copies, and the node with the deepest of them.
    pub(crate) ops: BTreeMap<Seq, NodeId>,
    /// Sources with live copies, and how many.
    pub(crate) sources: BTreeMap<SourceId, u64>,
    pub(crate) copies: u64,
    pub(crate) digest: u64,
}

/// All ranks with live copies.
#[derive(Default)]
pub(crate) struct Ranks {
    pub(crate) by_rank: BTreeMap<Rank, RankCopies>,
}

impl Ranks {
    /// Returns the node with the deepest live copy of an op.
    pub(crate) fn deepest(&self, rank: Rank, seq: Seq) -> Option<NodeId> {
        self.by_rank.get(&rank)?.ops.get(&seq).copied()
    }

    fn rename(&mut self, rank: Rank, seq: Seq, from: NodeId, to: NodeId) {
        let ops = self.by_rank.get_mut(&rank).map(|copies| &mut copies.ops);
        if let Some(node) = ops.and_then(|ops| ops.get_mut(&seq))
            && *node == from
        {
            *node = to;
        }
    }

    /// Returns an estimate of the bytes held on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        // A B-tree's nodes are about three quarters full.
        let tree = |len: usize, entry: usize| len * entry * 4 / 3;
        let rank = |copies: &RankCopies| {
            tree(copies.ops.len(), size_of::<(Seq, NodeId)>())
                + tree(copies.sources.len(), size_of::<(SourceId, u64)>())
        };
        tree(self.by_rank.len(), size_of::<(Rank, RankCopies)>())
            + self.by_rank.values().map(rank).sum::<usize>()
    }
}

impl Moves<Holders> for Ranks {
    fn split(&mut self, kept: NodeId, tail_value: &Holders, head: NodeId, head_value: &Holders) {
        for piece in head_value.pieces() {
            let (rank, seq) = (piece.holder().rank, piece.seq);
            if self.deepest(rank, seq) == Some(kept)
                && tail_value.pieces_of(rank, seq).next().is_none()
            {
                self.rename(rank, seq, kept, head);
            }
        }
    }

    fn joined(&mut self, gone: NodeId, gone_value: &Holders, kept: NodeId) {
        for piece in gone_value.pieces() {
            self.rename(piece.holder().rank, piece.seq, gone, kept);
        }
    }
}
