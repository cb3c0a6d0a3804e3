//! The dense numbers of holders, so that a span needs two bytes for one and a reader's scratch is an array.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::id::{Holder, Rank, SourceId};
use crate::limits::HOLDERS_MAX;
use crate::rcu::{Guard, Slot, Writer};
use crate::sync::{AtomicU32, Ordering};

/// `[rank << 16 | source]` by index. Grown by replacing it.
struct Table {
    cells: Box<[AtomicU32]>,
}

/// What readers see: the holder behind an index.
pub(crate) struct HolderTable {
    table: Slot<Table>,
}

impl HolderTable {
    /// Returns an empty table.
    pub(crate) fn new() -> Self {
        HolderTable {
            table: Slot::new(None),
        }
    }

    /// Returns the holders behind indices, for as long as the guard lives.
    pub(crate) fn names<'g>(&'g self, guard: &'g Guard<'_>) -> impl Fn(u16) -> Holder + use<'g> {
        let cells = self.table.load(guard).map_or(&[][..], |table| &table.cells);
        |index| unpack(cells[index as usize].load(Ordering::Relaxed))
    }
}

/// The writer's side: which indices are free.
pub(crate) struct HolderNumbers {
    /// Indices below this were given out at least once.
    next: usize,
    /// Indices given back, with the epoch that must be over before readers have forgotten them.
    freed: VecDeque<(u64, u16)>,
}

impl HolderNumbers {
    /// Returns a numbering without holders.
    pub(crate) fn new() -> Self {
        HolderNumbers {
            next: 0,
            freed: VecDeque::new(),
        }
    }

    /// Gives `holder` an index, or `None` when all are taken.
    pub(crate) fn assign(
        &mut self,
        holder: Holder,
        shared: &HolderTable,
        writer: &mut Writer,
    ) -> Option<u16> {
        let reused = self
            .freed
            .front()
            .filter(|(epoch, _)| writer.is_over(*epoch));
        let index = if let Some((_, index)) = reused {
            let index = *index;
            self.freed.pop_front();
            index
        } else if self.next < HOLDERS_MAX {
            self.next += 1;
            u16::try_from(self.next - 1).expect("HOLDERS_MAX indices fit into u16")
        } else {
            return None;
        };
        let size = shared
            .table
            .load(&writer.guard())
            .map_or(0, |table| table.cells.len());
        if index as usize >= size {
            let guard = writer.guard();
            let old: Vec<u32> = match shared.table.load(&guard) {
                Some(table) => table
                    .cells
                    .iter()
                    .map(|cell| cell.load(Ordering::Relaxed))
                    .collect(),
                None => Vec::new(),
            };
            drop(guard);
            let padded = old
                .into_iter()
                .chain(std::iter::repeat(0))
                .take((size * 2).max(8));
            let cells = padded.map(AtomicU32::new).collect();
            shared
                .table
                .replace(Some(Arc::new(Table { cells })), writer);
        }
        let guard = writer.guard();
        let table = shared
            .table
            .load(&guard)
            .expect("the table was grown to hold the index");
        table.cells[index as usize].store(pack(holder), Ordering::Relaxed);
        Some(index)
    }

    /// Takes an index back whose holder has no span left.
    pub(crate) fn release(&mut self, index: u16, writer: &mut Writer) {
        self.freed.push_back((writer.advance(), index));
    }

    /// Returns the bytes held on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.freed.capacity() * size_of::<(u64, u16)>()
            + self.next.next_power_of_two().max(8) * size_of::<u32>()
    }
}

fn pack(holder: Holder) -> u32 {
    u32::from(holder.rank.0) << 16 | u32::from(holder.source.0)
}

fn unpack(cell: u32) -> Holder {
    Holder {
        rank: Rank((cell >> 16) as u16),
        source: SourceId(cell as u16),
    }
}
