//! All invariants of an index, checked from scratch. For tests.

use std::collections::BTreeMap;

use crate::digest::{self, CopyRun};
use crate::holders::Piece;
use crate::id::{Rank, Seq};
use crate::index::Index;

/// One live part of an op: `(node depth, idx, idx behind, depth of idx 0)`.
type Part = (u32, u32, u32, u32);

impl Index {
    /// Panics when an invariant is broken. Cost: O(copies).
    pub fn debug_check(&self) {
        let mut sums: BTreeMap<Rank, (u64, u64)> = BTreeMap::new();
        let mut parts: BTreeMap<(Rank, Seq), Vec<(Part, crate::body::NodeId)>> = BTreeMap::new();
        self.tree.debug_check(|body, value| {
            let pieces = value.pieces();
            assert!(pieces.is_sorted_by_key(Piece::key), "pieces are in order");
            for piece in pieces {
                assert!(
                    piece.start() < piece.end() && piece.end() <= body.len(),
                    "a piece lies in its run"
                );
                let run = CopyRun {
                    seq: piece.seq,
                    source: piece.holder().source,
                    tier: piece.tier,
                    namespace: self.tree.namespace_of(body.id),
                    idx: piece.idx(),
                    depth: body.depth + piece.start(),
                };
                let pages = &body.run()[piece.start() as usize..piece.end() as usize];
                let (digest, copies) = sums.entry(piece.holder().rank).or_default();
                *digest = digest.wrapping_add(digest::sum(run, pages));
                *copies += u64::from(piece.len());
                let top = run.depth - run.idx;
                let part = (body.depth, run.idx, piece.idx_end(), top);
                parts
                    .entry((piece.holder().rank, piece.seq))
                    .or_default()
                    .push((part, body.id));
            }
        });
        assert!(
            sums.keys().eq(self.ranks.by_rank.keys()),
            "ranks with copies"
        );
        for (rank, (digest, copies)) in sums {
            let kept = &self.ranks.by_rank[&rank];
            assert_eq!(
                (kept.digest, kept.copies),
                (digest, copies),
                "sums of rank {rank}"
            );
            let of_sources: u64 = kept.sources.values().sum();
            assert_eq!(of_sources, copies, "copies of rank {rank} by source");
            assert!(
                kept.sources.values().all(|copies| *copies > 0),
                "sources have copies"
            );
        }
        let ops = self
            .ranks
            .by_rank
            .iter()
            .flat_map(|(rank, kept)| kept.ops.keys().map(|seq| (*rank, *seq)));
        assert!(parts.keys().copied().eq(ops), "ops with copies");
        for ((rank, seq), mut parts) in parts {
            parts.sort_unstable();
            let deepest = parts.last().expect("an entry has parts").1;
            assert_eq!(
                self.ranks.deepest(rank, seq),
                Some(deepest),
                "deepest node of {rank}.{seq}"
            );
            for pair in parts.windows(2) {
                assert_eq!(pair[0].0.3, pair[1].0.3, "pages of an op are consecutive");
                assert!(pair[0].0.2 <= pair[1].0.1, "copies of an op are distinct");
            }
            // All parts lie on one path: walking up from the deepest meets each.
            let mut node = deepest;
            for (_, part) in parts.iter().rev() {
                while node != *part {
                    assert!(self.tree.is_run(node), "{rank}.{seq} lies on one path");
                    node = self.tree.parent(node);
                }
            }
        }
    }
}
