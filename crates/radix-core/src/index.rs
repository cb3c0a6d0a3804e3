//! The replicated index: the fold of all logs, with one writer and lock-free readers. How copies come and
//! go is in `insert` and `remove`, how they are listed again in `snapshot`.

use std::sync::Arc;

use crate::body::{NodeId, to_u32};
use crate::holders::Holders;
use crate::id::{
    CopyId, CopyRange, Holder, Incarnation, Namespace, OpId, OriginId, Rank, Seq, SourceId,
};
use crate::limits::{READERS_MAX, RUN_PAGES_MAX};
use crate::matches::Matches;
use crate::page::Fingerprint;
use crate::positions::{Position, Positions};
use crate::ranks::Ranks;
use crate::rcu::Domain;
use crate::reader::{Reader, Shared};
use crate::run::{InsertError, InsertRun, PathCopies, SnapshotDelta, SnapshotRun, TooManyReaders};
use crate::tree::{Shape, Tree};

/// The sizes an index is built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexConfig {
    /// Readers at a time: about the threads that route. 1 to [`READERS_MAX`], 128 bytes each. Default 64.
    pub readers_max: usize,
    /// Pages in one run. Longer runs are read with fewer cache misses and changed with longer copies.
    /// 1 to [`RUN_PAGES_MAX`]. Default 1024.
    pub run_pages_max: usize,
}

impl Default for IndexConfig {
    fn default() -> Self {
        IndexConfig {
            readers_max: 64,
            run_pages_max: 1024,
        }
    }
}

/// How large an index is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexStats {
    /// Runs in the tree.
    pub nodes: u64,
    /// Pages in the tree, each once however many hold it.
    pub pages: u64,
    /// Live copies.
    pub copies: u64,
    /// An estimate of the heap held. Unit: bytes.
    pub bytes: u64,
}

/// The single writer of a replicated index.
///
/// Deterministic: the same ops of each log give the same copies, digests and answers, in whatever order the
/// logs were interleaved. Whoever folds the logs keeps each in order and without gaps.
pub struct Index {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tree: Tree<Holders>,
    pub(crate) ranks: Ranks,
    /// The nodes an op changed. Empty between ops; here so that its memory is used again.
    pub(crate) touched: Vec<NodeId>,
}

impl Index {
    /// Returns an empty index. Values of `config` out of range are taken as the nearest in range.
    #[must_use]
    pub fn new(config: IndexConfig) -> Index {
        let (_, writer) = Domain::new(config.readers_max.clamp(1, READERS_MAX));
        let run_pages_max = config.run_pages_max.clamp(1, RUN_PAGES_MAX);
        let shape = Shape {
            page: 1,
            run_max: to_u32(run_pages_max),
        };
        let tree = Tree::new(writer, shape);
        Index {
            shared: Arc::new(Shared {
                root: Arc::clone(tree.root()),
                positions: Positions::new(),
            }),
            tree,
            ranks: Ranks::default(),
            touched: Vec::new(),
        }
    }

    /// Returns a reader for another thread.
    ///
    /// Errors: [`TooManyReaders`]; state unchanged.
    pub fn reader(&self) -> Result<Reader, TooManyReaders> {
        let domain = self.tree.domain();
        let registration = domain.register().ok_or(TooManyReaders {
            readers_max: domain.readers_max(),
        })?;
        Ok(Reader::new(registration, Arc::clone(&self.shared)))
    }

    /// Folds an insert: the copies are named `(at.seq, 0..)`. The position moves to `at`, also on an error.
    ///
    /// Cost: O(pages + spans of the nodes touched).
    /// Errors: [`InsertError`]; no copy added.
    pub fn insert(&mut self, at: OpId, run: InsertRun<'_>) -> Result<(), InsertError> {
        self.fold(at.origin, at.seq, |index| {
            index.add(at.origin.rank, at.seq, 0, run)
        })
    }

    /// Folds a remove and returns how many live copies died. Ranges that name none are skipped.
    ///
    /// Cost: O(ranges + nodes of the ops they name); ranges of one op that come together share the way.
    pub fn remove(&mut self, at: OpId, copies: &[CopyRange]) -> u64 {
        self.fold(at.origin, at.seq, |index| {
            let ops = copies.chunk_by(|a, b| a.seq == b.seq);
            ops.map(|ranges| index.kill(at.origin.rank, ranges[0].seq, ranges))
                .sum()
        })
    }

    /// Folds the loss of all copies of one source and returns how many died. Cost: O(ops of that rank).
    pub fn reset_source(&mut self, at: OpId, source: SourceId) -> u64 {
        self.fold(at.origin, at.seq, |index| {
            index.kill_source(at.origin.rank, source)
        })
    }

    /// Folds an op that has no effect on the tree: the position moves to `at`.
    pub fn skip(&mut self, at: OpId) {
        self.fold(at.origin, at.seq, |_| ());
    }

    /// Forgets every copy of a rank and returns how many died; its position becomes `(origin.inc, seq)`.
    /// Cost: O(its copies).
    pub fn reset_origin(&mut self, origin: OriginId, seq: Seq) -> u64 {
        let dead = self.fold(origin, seq, |index| index.kill_rank(origin.rank));
        self.tree.writer().collect();
        dead
    }

    /// Replaces every copy of a rank by those of a snapshot of its log at `seq`, as one instant.
    ///
    /// Errors: the first [`InsertError`] of a run; the rank then has no copies, and its position still moved.
    pub fn load(
        &mut self,
        origin: OriginId,
        seq: Seq,
        runs: &[SnapshotRun],
    ) -> Result<(), InsertError> {
        self.fold(origin, seq, |index| {
            index.kill_rank(origin.rank);
            index.add_runs(origin.rank, runs)
        })
    }

    /// Takes a rank's copies from any place at or behind `delta.base`, and before `seq`, to what they are at `seq`,
    /// as one instant. Copies behind `delta.base` are replaced, so which place it was does not matter.
    ///
    /// Cost: O(what changes). Errors: as [`Index::load`]; the rank then has no copies.
    pub fn load_delta(
        &mut self,
        origin: OriginId,
        seq: Seq,
        delta: &SnapshotDelta,
    ) -> Result<(), InsertError> {
        let rank = origin.rank;
        self.fold(origin, seq, |index| {
            index.kill_behind(rank, delta.base);
            for source in &delta.sources {
                index.kill_source(rank, *source);
            }
            for ranges in delta.removed.chunk_by(|a, b| a.seq == b.seq) {
                index.kill(rank, ranges[0].seq, ranges);
            }
            index.add_runs(rank, &delta.runs)
        })
    }

    /// Adds the runs of a snapshot; all or none of the rank's copies are left.
    fn add_runs(&mut self, rank: Rank, runs: &[SnapshotRun]) -> Result<(), InsertError> {
        let added = runs.iter().try_for_each(|run| {
            let insert = InsertRun {
                source: run.source,
                tier: run.tier,
                place: run.place.as_place(),
                pages: &run.pages,
            };
            self.add(rank, run.seq, run.idx, insert)
        });
        if added.is_err() {
            self.kill_rank(rank);
        }
        added
    }

    /// Moves a rank's copies to another life of it: same copies, same seq and idx. Nothing happens to a rank
    /// that was never seen.
    pub fn rename_incarnation(&mut self, rank: Rank, inc: Incarnation) {
        if let Some((_, seq)) = self.position(rank) {
            self.fold(OriginId { rank, inc }, seq, |_| ());
        }
    }

    /// Returns how far the log of a rank is folded, or `None` when it was never seen.
    #[must_use]
    pub fn position(&self, rank: Rank) -> Option<(Incarnation, Seq)> {
        let position = self.shared.positions.get(rank, &self.tree.guard())?;
        Some((position.inc, position.seq))
    }

    /// Returns how many live copies a rank has.
    #[must_use]
    pub fn copies(&self, rank: Rank) -> u64 {
        self.ranks
            .by_rank
            .get(&rank)
            .map_or(0, |copies| copies.copies)
    }

    /// Returns a hash of the set of a rank's live copies: equal sets have equal digests, whatever the order
    /// they came in and the shape of the tree. The incarnation is not part of it. Cost: O(1).
    #[must_use]
    pub fn digest(&self, rank: Rank) -> u64 {
        self.ranks
            .by_rank
            .get(&rank)
            .map_or(0, |copies| copies.digest)
    }

    /// Returns whether a copy is live in the life of its rank that is folded now.
    #[must_use]
    pub fn is_live(&self, copy: CopyId) -> bool {
        self.position(copy.origin.rank)
            .is_some_and(|(inc, _)| inc == copy.origin.inc)
            && self.find(copy.origin.rank, copy.seq, copy.idx).is_some()
    }

    /// Appends all live copies of one holder along a path to `out`, in order of depth.
    pub fn copies_on_path(
        &self,
        holder: Holder,
        namespace: Namespace,
        pages: &[Fingerprint],
        out: &mut Vec<PathCopies>,
    ) {
        let mut found = Vec::new();
        self.shared.root.walk(
            namespace,
            pages,
            &self.tree.guard(),
            |body, depth, matched| {
                let pieces = self.tree.value(body.id).pieces().iter();
                let pieces = pieces.filter(|piece| piece.holder() == holder);
                found.extend(
                    pieces
                        .filter_map(|piece| piece.clipped(0, matched))
                        .map(|piece| PathCopies {
                            page: depth + piece.start(),
                            len: piece.len(),
                            seq: piece.seq,
                            idx: piece.idx_in_op(),
                            tier: piece.tier,
                        }),
                );
                true
            },
        );
        // Along one path, pages of an op follow each other as its idx does.
        found.sort_unstable_by_key(|run| (run.seq, run.idx));
        found.dedup_by(|next, run| {
            let goes_on =
                run.seq == next.seq && u32::from(run.idx) + run.len == u32::from(next.idx);
            if goes_on {
                run.len += next.len;
            }
            goes_on
        });
        found.sort_unstable();
        out.append(&mut found);
    }

    /// Answers a query as the writer: see [`Reader::matches`].
    pub fn matches(&self, namespace: Namespace, pages: &[Fingerprint], out: &mut Matches) {
        self.shared
            .matches(namespace, pages, &self.tree.guard(), out);
    }

    /// Returns sizes. Cost: a look at every node.
    #[must_use]
    pub fn stats(&self) -> IndexStats {
        let wide = |len: usize| u64::try_from(len).expect("usize is at most 64 bits");
        let bytes = self.tree.heap_bytes()
            + self.ranks.heap_bytes()
            + self.shared.positions.heap_bytes(&self.tree.guard());
        IndexStats {
            nodes: wide(self.tree.runs().count()),
            pages: self.tree.runs().map(|body| u64::from(body.len())).sum(),
            copies: self
                .ranks
                .by_rank
                .values()
                .map(|copies| copies.copies)
                .sum(),
            bytes: wide(bytes),
        }
    }

    /// Runs one op: readers that ask for one instant see all of it or nothing.
    fn fold<R>(&mut self, origin: OriginId, seq: Seq, change: impl FnOnce(&mut Self) -> R) -> R {
        self.shared.positions.begin();
        let result = change(self);
        let position = Position {
            rank: origin.rank,
            inc: origin.inc,
            seq,
        };
        self.shared.positions.set(position, self.tree.writer());
        self.shared.positions.end();
        self.tree.writer().collect_some();
        result
    }
}

const _: () = {
    const fn is_send<T: Send>() {}
    const fn is_sync<T: Sync>() {}
    is_send::<Index>();
    is_sync::<Index>();
    is_send::<Reader>();
};
