//! How copies leave an index.

use crate::body::NodeId;
use crate::digest::{self, CopyRun};
use crate::id::{CopyRange, Rank, Seq, SourceId};
use crate::index::Index;

/// All pages an op can have.
const ALL: (u32, u32) = (0, 1 << 16);

impl Index {
    /// Removes ranges of one op and returns how many live copies died.
    pub(crate) fn kill(&mut self, rank: Rank, seq: Seq, ranges: &[CopyRange]) -> u64 {
        let bounds = |range: &CopyRange| {
            (
                u32::from(range.idx),
                u32::from(range.idx) + u32::from(range.len),
            )
        };
        if let [one] = ranges {
            let (from, to) = bounds(one);
            return if from < to {
                self.kill_ranges(rank, seq, &[(from, to)])
            } else {
                0
            };
        }
        let mut sorted: Vec<(u32, u32)> = ranges
            .iter()
            .map(bounds)
            .filter(|(from, to)| from < to)
            .collect();
        sorted.sort_unstable();
        sorted.dedup_by(|next, range| {
            let meets = next.0 <= range.1;
            if meets {
                range.1 = range.1.max(next.1);
            }
            meets
        });
        self.kill_ranges(rank, seq, &sorted)
    }

    /// Removes everything of one source.
    pub(crate) fn kill_source(&mut self, rank: Rank, source: SourceId) -> u64 {
        let Some(copies) = self
            .ranks
            .by_rank
            .get(&rank)
            .filter(|copies| copies.sources.contains_key(&source))
        else {
            return 0;
        };
        let of_source = |(seq, node): (&Seq, &NodeId)| {
            let mut pieces = self.tree.value(*node).pieces_of(rank, *seq);
            let first = pieces.next();
            first
                .is_some_and(|piece| piece.holder().source == source)
                .then_some(*seq)
        };
        // Later ops hang below earlier ones: from the leaves up there is less to join.
        let ops: Vec<Seq> = copies.ops.iter().rev().filter_map(of_source).collect();
        ops.into_iter()
            .map(|seq| self.kill_ranges(rank, seq, &[ALL]))
            .sum()
    }

    /// Removes everything of one rank.
    pub(crate) fn kill_rank(&mut self, rank: Rank) -> u64 {
        let ops: Vec<Seq> = match self.ranks.by_rank.get(&rank) {
            Some(copies) => copies.ops.keys().rev().copied().collect(),
            None => return 0,
        };
        ops.into_iter()
            .map(|seq| self.kill_ranges(rank, seq, &[ALL]))
            .sum()
    }

    /// Removes everything that ops behind `base` named.
    pub(crate) fn kill_behind(&mut self, rank: Rank, base: Seq) -> u64 {
        let ops: Vec<Seq> = match self.ranks.by_rank.get(&rank) {
            Some(copies) => copies
                .ops
                .range(base.next()..)
                .rev()
                .map(|(seq, _)| *seq)
                .collect(),
            None => return 0,
        };
        ops.into_iter()
            .map(|seq| self.kill_ranges(rank, seq, &[ALL]))
            .sum()
    }

    /// Removes pages `ranges` (sorted, apart) of one op, from its deepest node upwards.
    fn kill_ranges(&mut self, rank: Rank, seq: Seq, ranges: &[(u32, u32)]) -> u64 {
        let (Some(mut node), Some(&(idx_min, _))) = (self.ranks.deepest(rank, seq), ranges.first())
        else {
            return 0;
        };
        let namespace = self.tree.namespace_of(node);
        let (mut dead, mut sum, mut source) = (0, 0u64, None);
        let mut deepest_left = None;
        let mut changed = std::mem::take(&mut self.touched);
        // The depth of the op's page 0, known from its first span, which is where it began.
        let mut top = 0;
        loop {
            let body = std::sync::Arc::clone(self.tree.body(node));
            let parent = self.tree.parent(node);
            let value = self.tree.value_mut(node);
            if let Some(piece) = value.pieces_of(rank, seq).next() {
                top = (body.depth + piece.start()) - piece.idx();
                source = Some(piece.holder().source);
            }
            let any = value.remove(rank, seq, ranges, |piece| {
                dead += u64::from(piece.len());
                let run = CopyRun {
                    seq,
                    source: piece.holder().source,
                    tier: piece.tier,
                    namespace,
                    idx: piece.idx(),
                    depth: body.depth + piece.start(),
                };
                let pages = &body.run()[piece.start() as usize..piece.end() as usize];
                sum = sum.wrapping_add(digest::sum(run, pages));
            });
            if deepest_left.is_none() && value.pieces_of(rank, seq).next().is_some() {
                deepest_left = Some(node);
            }
            if any {
                let is_there = self.tree.changed(node);
                changed.push(if is_there { node } else { parent });
            }
            // Above this nothing dies; but while nothing is left, look for what is.
            let enough = if deepest_left.is_some() {
                top.saturating_add(idx_min)
            } else {
                top
            };
            if body.depth <= enough || !self.tree.is_run(parent) {
                break;
            }
            node = parent;
        }
        let copies = self
            .ranks
            .by_rank
            .get_mut(&rank)
            .expect("the rank has this op");
        match deepest_left {
            Some(node) => copies.ops.insert(seq, node),
            None => copies.ops.remove(&seq),
        };
        if dead > 0 {
            copies.copies -= dead;
            copies.digest = copies.digest.wrapping_sub(sum);
            let source = source.expect("something died in a span");
            let of_source = copies
                .sources
                .get_mut(&source)
                .expect("the source has this op");
            *of_source -= dead;
            if *of_source == 0 {
                copies.sources.remove(&source);
            }
            if copies.copies == 0 {
                self.ranks.by_rank.remove(&rank);
            }
        }
        for node in changed.drain(..) {
            self.tree.settle(node, &mut self.ranks);
            self.tree.relieve(node, &mut self.ranks);
        }
        self.touched = changed;
        dead
    }
}
