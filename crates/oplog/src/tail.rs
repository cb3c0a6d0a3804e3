//! The end of a log, kept as its batches so that a pull is answered with the origin's own bytes.

use std::collections::VecDeque;

use radix_core::id::Seq;

use crate::batch::Batch;
use crate::delta::Stretch;
use crate::limits::BATCH_OVERHEAD_BYTES;

/// A ring of batches without holes; each begins at most one op behind the end of the one before.
#[derive(Debug)]
pub(crate) struct Tail {
    batches: VecDeque<Kept>,
    ops: usize,
    bytes: usize,
    ops_max: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Kept {
    last: Seq,
    batch: Batch,
    says: Stretch,
}

impl Tail {
    pub(crate) fn new(ops_max: usize, bytes_max: usize) -> Tail {
        Tail {
            batches: VecDeque::new(),
            ops: 0,
            bytes: 0,
            ops_max,
            bytes_max,
        }
    }

    /// Appends a batch that ends at `last` and continues the tail; lets the oldest go where there is no room.
    pub(crate) fn push(&mut self, last: Seq, batch: Batch, mut says: Stretch) {
        self.ops += batch.count as usize;
        self.bytes += cost(&batch);
        says.bytes = batch.ops.len() as u64;
        self.batches.push_back(Kept { last, batch, says });
        while self.ops > self.ops_max || self.bytes > self.bytes_max {
            let Some(Kept { batch, .. }) = self.batches.pop_front() else {
                break;
            };
            self.ops -= batch.count as usize;
            self.bytes -= cost(&batch);
        }
    }

    /// Lets batches go that end at or below `stable`, oldest first, as long as `keep` ops stay.
    pub(crate) fn trim(&mut self, stable: Seq, keep: usize) {
        while let Some(Kept { last, batch, .. }) = self.batches.front() {
            let left = self.ops - batch.count as usize;
            if *last > stable || left < keep {
                break;
            }
            self.ops = left;
            self.bytes -= cost(batch);
            self.batches.pop_front();
        }
        // The ring itself is memory, too; it need not follow every batch.
        if self.batches.capacity() / 4 > self.batches.len() {
            self.batches.shrink_to(self.batches.len() * 2);
        }
    }

    /// Returns the bytes held, with what each batch costs beside its ops.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn clear(&mut self) {
        self.batches.clear();
        self.ops = 0;
        self.bytes = 0;
    }

    /// Returns the first op that is still here.
    pub(crate) fn first(&self) -> Option<Seq> {
        self.batches.front().map(|kept| kept.batch.first)
    }

    /// Returns the batches from the one that holds `from` on, or `None` when the tail begins behind it.
    pub(crate) fn since(&self, from: Seq) -> Option<impl Iterator<Item = (Seq, &Batch)>> {
        Some(self.kept(from)?.map(|kept| (kept.last, &kept.batch)))
    }

    /// Returns what the batches of [`since`](Tail::since) say, all together; `from` is at least 1. Cost: O(batches).
    pub(crate) fn weigh(&self, from: Seq) -> Option<Stretch> {
        let mut all = Stretch::default();
        for kept in self.kept(from)? {
            all.join(kept.says, kept.last.next().0 - from.0);
        }
        Some(all)
    }

    fn kept(&self, from: Seq) -> Option<impl Iterator<Item = &Kept>> {
        if self.first()? > from {
            return None;
        }
        let start = self.batches.partition_point(|kept| kept.last < from);
        Some(self.batches.range(start..))
    }
}

fn cost(batch: &Batch) -> usize {
    batch.ops.len() + BATCH_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use radix_core::id::OriginId;

    use super::*;

    fn push(tail: &mut Tail, first: u64, count: u32) {
        let batch = Batch {
            origin: OriginId::default(),
            first: Seq(first),
            count,
            ops: Bytes::from(vec![0; count as usize]),
        };
        let last = Seq(first + u64::from(count) - 1);
        tail.push(last, batch, Stretch::default());
    }

    fn firsts(tail: &Tail, from: u64) -> Option<Vec<u64>> {
        Some(
            tail.since(Seq(from))?
                .map(|(_, batch)| batch.first.0)
                .collect(),
        )
    }

    #[test]
    fn a_pull_inside_a_batch_gets_the_whole_batch() {
        let mut tail = Tail::new(100, 10_000);
        push(&mut tail, 1, 3);
        push(&mut tail, 4, 3);
        push(&mut tail, 7, 1);
        assert_eq!(firsts(&tail, 1), Some(vec![1, 4, 7]));
        assert_eq!(firsts(&tail, 5), Some(vec![4, 7]));
        assert_eq!(firsts(&tail, 7), Some(vec![7]));
        assert_eq!(firsts(&tail, 8), Some(vec![]));
    }

    #[test]
    fn overlapping_batches_are_found_by_their_end() {
        let mut tail = Tail::new(100, 10_000);
        push(&mut tail, 1, 3);
        push(&mut tail, 2, 5);
        assert_eq!(firsts(&tail, 3), Some(vec![1, 2]));
        assert_eq!(firsts(&tail, 4), Some(vec![2]));
    }

    #[test]
    fn what_is_stable_goes_and_the_last_ops_stay() {
        let mut tail = Tail::new(10_000, 1 << 20);
        for first in 0..1_000 {
            push(&mut tail, first * 3 + 1, 3);
        }
        let (room, bytes) = (tail.batches.capacity(), tail.bytes());
        tail.trim(Seq(5), 10);
        assert_eq!(tail.first(), Some(Seq(4)), "op 6 is not stable");
        tail.trim(Seq(4), 10);
        assert_eq!(tail.first(), Some(Seq(4)));
        tail.trim(Seq(9_999), 10);
        assert_eq!(tail.first(), Some(Seq(2_989)), "12 ops: 9 are too few");
        assert_eq!(tail.bytes() * 250, bytes);
        assert!(tail.batches.capacity() < room / 4);
        tail.trim(Seq(9_999), 0);
        assert_eq!((tail.first(), tail.ops, tail.bytes()), (None, 0, 0));
        push(&mut tail, 3_001, 3);
        assert_eq!(firsts(&tail, 3_002), Some(vec![3_001]));
    }

    #[test]
    fn the_oldest_batches_make_room_by_ops_and_by_bytes() {
        let mut tail = Tail::new(4, 10_000);
        push(&mut tail, 1, 3);
        push(&mut tail, 4, 3);
        assert_eq!(firsts(&tail, 1), None);
        assert_eq!(tail.first(), Some(Seq(4)));
        let mut tail = Tail::new(100, BATCH_OVERHEAD_BYTES + 3);
        push(&mut tail, 1, 3);
        push(&mut tail, 4, 3);
        assert_eq!(tail.first(), Some(Seq(4)));
        push(&mut tail, 7, 4);
        assert_eq!(tail.first(), None);
    }
}
