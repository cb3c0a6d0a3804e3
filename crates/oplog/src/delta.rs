//! What a stretch of a log comes to: inserts and removes inside it cancel out, and of what lay before it only
//! the names that died are left.

use radix_core::id::{CopyRange, Seq, SourceId};

use crate::batch::Batch;
use crate::limits::DELTA_SHRINK_MIN;
use crate::op::Op;

/// Bytes that a live copy costs at least in a stream of runs.
const COPY_BYTES_MIN: u64 = 8;

/// What the ops of a stretch say, counted but not set off against each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Bytes of the ops.
    pub(crate) bytes: u64,
    /// Pages of inserts.
    born: u64,
    /// Pages of removes.
    dead: u64,
    /// Sum over those of the binary logarithm of how many ops ago they were born.
    ages: u64,
    resets: bool,
}

impl Stretch {
    /// Counts the ops of a batch, but for their bytes.
    pub(crate) fn of<'a>(first: Seq, ops: impl IntoIterator<Item = &'a Op>) -> Stretch {
        let mut stretch = Stretch::default();
        for (seq, op) in (first.0..).map(Seq).zip(ops) {
            stretch.add(seq, op);
        }
        stretch
    }

    /// Counts one op, but for its bytes.
    pub(crate) fn add(&mut self, seq: Seq, op: &Op) {
        match op {
            Op::Insert(insert) => self.born += insert.pages.0.len() as u64,
            Op::Remove { copies } => {
                for range in copies {
                    let age = seq.0.saturating_sub(range.seq.0).max(1);
                    self.dead += u64::from(range.len);
                    self.ages += u64::from(range.len) * u64::from(age.ilog2());
                }
            }
            Op::ResetSource { .. } => self.resets = true,
            Op::Checkpoint { .. } => {}
        }
    }

    /// Counts a batch that ends `ops` ops (at least 1) behind the begin of this stretch.
    ///
    /// What it removes counts when the stretch goes back as far as the birth of most of it, going by the mean.
    pub(crate) fn join(&mut self, batch: Stretch, ops: u64) {
        self.bytes += batch.bytes;
        self.born += batch.born;
        self.resets |= batch.resets;
        if batch.ages <= batch.dead * u64::from(ops.ilog2()) {
            self.dead += batch.dead;
            self.ages += batch.ages;
        }
    }

    /// Returns the most bytes at which net changes are clearly smaller than these ops.
    // spec: OPLOG-18
    pub(crate) fn delta_bytes_max(&self) -> u64 {
        self.bytes / DELTA_SHRINK_MIN
    }

    /// Returns whether it is worth finding out: what survives by these counts does not fill the room by itself.
    ///
    /// A guess, and a cheap one: each page removed takes at most one of those born. Where each insert is paid for
    /// by the eviction of something old, nothing cancels out and nothing need be tried.
    // spec: OPLOG-18
    pub(crate) fn may_shrink(&self) -> bool {
        let survivors = self.born.saturating_sub(self.dead);
        self.resets || survivors * COPY_BYTES_MIN <= self.delta_bytes_max()
    }
}

/// What died of the copies that lay before a stretch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Ascending.
    pub(crate) sources: Vec<SourceId>,
    /// Ascending, neither overlapping nor touching.
    pub(crate) removed: Vec<CopyRange>,
}

impl Ended {
    /// Gathers what the ops behind `base` ended among the copies of ops at or below it.
    ///
    /// A reset ends all of a source that lay before, wherever it stands in the stretch. Cost: of decoding the batches.
    // spec: OPLOG-18
    pub(crate) fn behind<'a>(base: Seq, batches: impl Iterator<Item = &'a Batch>) -> Ended {
        let mut ended = Ended::default();
        for batch in batches {
            let places = (batch.first.0..).map(Seq);
            // Batches of a tail were checked when they came; one that was not would end nothing here.
            for (seq, (op, _)) in places.zip(batch.ops().map_while(Result::ok)) {
                match op {
                    _ if seq <= base => {}
                    Op::Remove { copies } => {
                        let before = copies.into_iter().filter(|range| range.seq <= base);
                        ended.removed.extend(before);
                    }
                    Op::ResetSource { source } => ended.sources.push(source),
                    Op::Insert(_) | Op::Checkpoint { .. } => {}
                }
            }
        }
        ended.sources.sort_unstable();
        ended.sources.dedup();
        ended.removed.sort_unstable();
        ended.removed.dedup_by(|next, range| {
            let meets = next.seq == range.seq && next.idx <= range.idx + range.len;
            if meets {
                range.len = range.len.max(next.idx + next.len - range.idx);
            }
            meets
        });
        ended
    }
}

#[cfg(test)]
mod tests {
    use radix_core::Fingerprint;
    use radix_core::id::{Namespace, OriginId, Tier};

    use super::*;
    use crate::op::{Insert, Pages, Parent};

    fn insert(pages: u64) -> Op {
        Op::Insert(Insert {
            source: SourceId(0),
            tier: Tier::Device,
            parent: Parent::Root(Namespace(0)),
            pages: Pages((0..pages).map(Fingerprint).collect()),
        })
    }

    fn range(seq: u64, idx: u16, len: u16) -> CopyRange {
        CopyRange {
            seq: Seq(seq),
            idx,
            len,
        }
    }

    fn remove(copies: &[CopyRange]) -> Op {
        Op::Remove {
            copies: copies.to_vec(),
        }
    }

    fn ended(base: u64, first: u64, ops: &[Op]) -> Ended {
        let batch = Batch {
            origin: OriginId::default(),
            first: Seq(first),
            count: ops.len() as u32,
            ops: Batch::encode_ops(ops),
        };
        Ended::behind(Seq(base), [&batch].into_iter())
    }

    #[test]
    fn only_what_lay_before_and_died_behind_is_named_once() {
        let reset = |source| Op::ResetSource {
            source: SourceId(source),
        };
        let ops = [
            remove(&[range(1, 0, 1)]),
            reset(1),
            // Behind base 12 from here on.
            remove(&[range(3, 4, 2), range(13, 0, 1), range(2, 0, 1)]),
            reset(7),
            remove(&[range(3, 2, 2), range(3, 9, 1), range(12, 0, 16_384)]),
            reset(3),
            remove(&[range(3, 3, 2), range(3, 0, 1), range(12, 5, 1)]),
            reset(7),
            insert(4),
        ];
        let expected = Ended {
            sources: vec![SourceId(3), SourceId(7)],
            removed: vec![
                range(2, 0, 1),
                range(3, 0, 1),
                range(3, 2, 4),
                range(3, 9, 1),
                range(12, 0, 16_384),
            ],
        };
        assert_eq!(ended(12, 11, &ops), expected);
        assert_eq!(
            ended(19, 11, &ops),
            Ended::default(),
            "an insert ends nothing"
        );
    }

    /// Whether ops 1,000.. are looked into when asked for from the first of them on.
    fn may_shrink(ops: &[Op]) -> bool {
        let batch = Stretch {
            bytes: Batch::encode_ops(ops).len() as u64,
            ..Stretch::of(Seq(1_000), ops)
        };
        let mut stretch = Stretch::default();
        stretch.join(batch, ops.len() as u64);
        stretch.may_shrink()
    }

    #[test]
    fn only_a_stretch_that_may_come_to_half_is_looked_into() {
        let reset = Op::ResetSource {
            source: SourceId(0),
        };
        assert!(!may_shrink(&[insert(100)]), "nothing died");
        assert!(!may_shrink(&[insert(100), remove(&[range(1_000, 0, 40)])]));
        assert!(may_shrink(&[insert(100), remove(&[range(1_000, 0, 60)])]));
        assert!(
            !may_shrink(&[insert(100), remove(&[range(10, 0, 60)])]),
            "of before"
        );
        assert!(may_shrink(&[insert(100), reset]));
        assert!(may_shrink(&[remove(&[range(1, 0, 1)])]));
        let mixed = [range(1_000, 0, 90), range(10, 0, 10)];
        assert!(
            may_shrink(&[insert(100), remove(&mixed)]),
            "most of it inside"
        );
    }
}
