//! The end of a log, kept as its batches so that a pull is answered with the origin's own bytes.

use std::collections::VecDeque;

use radix_core::id::Seq;
use radix_core::mutation::{self, Mutation};

use crate::batch::Batch;
use crate::limits::BATCH_OVERHEAD_BYTES;

/// A ring of batches without holes; each begins at most one op behind the end of the one before.
#[derive(Debug)]
pub(crate) struct Tail {
    batches: VecDeque<(Seq, Batch)>,
    ops: usize,
    bytes: usize,
    ops_max: usize,
    bytes_max: usize,
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
    pub(crate) fn push(&mut self, last: Seq, batch: Batch) {
        self.ops += batch.count as usize;
        self.bytes += cost(&batch);
        self.batches.push_back((last, batch));
        while self.ops > self.ops_max || self.bytes > self.bytes_max {
            let Some((_, batch)) = self.batches.pop_front() else {
                break;
            };
            self.ops -= batch.count as usize;
            self.bytes -= cost(&batch);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.batches.clear();
        self.ops = 0;
        self.bytes = 0;
    }

    /// Returns the first op that is still here.
    pub(crate) fn first(&self) -> Option<Seq> {
        self.batches.front().map(|(_, batch)| batch.first)
    }

    /// Returns the batches from the one that holds `from` on, or `None` when the tail begins behind it.
    pub(crate) fn since(&self, from: Seq) -> Option<impl Iterator<Item = (Seq, &Batch)>> {
        if self.first()? > from && !mutation::is_on(Mutation::ServeFromTail) {
            return None;
        }
        let start = self.batches.partition_point(|(last, _)| *last < from);
        Some(
            self.batches
                .range(start..)
                .map(|(last, batch)| (*last, batch)),
        )
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
        tail.push(Seq(first + u64::from(count) - 1), batch);
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
