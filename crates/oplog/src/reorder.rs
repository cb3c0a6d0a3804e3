//! Batches that arrived in front of a gap and wait for it to be filled.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use radix_core::id::Seq;
use radix_core::mutation::{self, Mutation};

use crate::batch::Batch;
use crate::limits::BATCH_OVERHEAD_BYTES;

/// Bounded in ops and bytes. Where there is no room the farthest batch goes, because it is needed last.
#[derive(Debug)]
pub(crate) struct Reorder {
    batches: BTreeMap<Seq, Batch>,
    ops: usize,
    bytes: usize,
    ops_max: usize,
    bytes_max: usize,
}

impl Reorder {
    pub(crate) fn new(ops_max: usize, bytes_max: usize) -> Reorder {
        Reorder {
            batches: BTreeMap::new(),
            ops: 0,
            bytes: 0,
            ops_max,
            bytes_max,
        }
    }

    /// Keeps a batch; returns false when one had to go for it, be it this one.
    pub(crate) fn insert(&mut self, batch: Batch) -> bool {
        match self.batches.entry(batch.first) {
            Entry::Occupied(held) if held.get().count >= batch.count => return true,
            Entry::Occupied(mut held) => {
                self.ops += batch.count as usize;
                self.bytes += cost(&batch);
                let old = held.insert(batch);
                self.discount(&old);
            }
            Entry::Vacant(room) => {
                self.ops += batch.count as usize;
                self.bytes += cost(&batch);
                room.insert(batch);
            }
        }
        let mut kept = true;
        while (self.ops > self.ops_max || self.bytes > self.bytes_max)
            && !mutation::is_on(Mutation::ReorderUnbounded)
        {
            let Some((_, batch)) = self.batches.pop_last() else {
                break;
            };
            self.discount(&batch);
            kept = false;
        }
        kept
    }

    /// Takes the first batch out if it begins at or below `next`.
    pub(crate) fn take(&mut self, next: Seq) -> Option<Batch> {
        let first = self.batches.first_entry()?;
        if *first.key() > next {
            return None;
        }
        let batch = first.remove();
        self.discount(&batch);
        Some(batch)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(crate) fn ops(&self) -> usize {
        self.ops
    }

    fn discount(&mut self, batch: &Batch) {
        self.ops -= batch.count as usize;
        self.bytes -= cost(batch);
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

    fn batch(first: u64, count: u32) -> Batch {
        Batch {
            origin: OriginId::default(),
            first: Seq(first),
            count,
            ops: Bytes::new(),
        }
    }

    #[test]
    fn batches_come_out_in_order_and_only_without_a_gap() {
        let mut reorder = Reorder::new(100, 10_000);
        assert!(reorder.insert(batch(9, 1)) && reorder.insert(batch(5, 2)));
        assert_eq!(reorder.take(Seq(4)), None);
        assert_eq!(reorder.take(Seq(5)), Some(batch(5, 2)));
        assert_eq!(reorder.take(Seq(7)), None);
        assert_eq!(reorder.take(Seq(12)), Some(batch(9, 1)));
        assert!(reorder.is_empty() && reorder.ops() == 0);
    }

    #[test]
    fn the_longer_of_two_batches_with_one_begin_is_kept() {
        let mut reorder = Reorder::new(100, 10_000);
        reorder.insert(batch(5, 2));
        reorder.insert(batch(5, 4));
        reorder.insert(batch(5, 3));
        assert_eq!(reorder.take(Seq(5)), Some(batch(5, 4)));
        assert!(reorder.is_empty() && reorder.bytes == 0);
    }

    #[test]
    fn the_farthest_batch_makes_room() {
        let mut reorder = Reorder::new(4, 10_000);
        assert!(reorder.insert(batch(10, 2)));
        assert!(reorder.insert(batch(20, 2)));
        assert!(!reorder.insert(batch(5, 2)));
        assert!(!reorder.insert(batch(30, 1)) || reorder.ops() <= 4);
        assert_eq!(reorder.take(Seq(5)), Some(batch(5, 2)));
        assert_eq!(reorder.take(Seq(10)), Some(batch(10, 2)));
    }
}
