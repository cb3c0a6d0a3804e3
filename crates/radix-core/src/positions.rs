//! How far each log is folded, and the stamp by which a reader knows that what it saw was one instant.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{Incarnation, Rank, Seq};
use crate::limits::EXACT_READ_TRIES_MAX;
use crate::rcu::{Guard, Slot, Writer};
use crate::sync::{AtomicU64, Ordering, fence, pause};

/// How far the log of one rank is part of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Whose log.
    pub rank: Rank,
    /// In which life.
    pub inc: Incarnation,
    /// The last op folded.
    pub seq: Seq,
}

struct Cell {
    rank: Rank,
    inc: AtomicU64,
    seq: AtomicU64,
}

impl Cell {
    fn new(position: Position) -> Cell {
        Cell {
            rank: position.rank,
            inc: AtomicU64::new(position.inc.0),
            seq: AtomicU64::new(position.seq.0),
        }
    }

    fn position(&self) -> Position {
        Position {
            rank: self.rank,
            inc: Incarnation(self.inc.load(Ordering::Relaxed)),
            seq: Seq(self.seq.load(Ordering::Relaxed)),
        }
    }
}

/// Sorted by rank; another rank is another table.
struct Table {
    cells: Box<[Cell]>,
}

/// The positions of all ranks ever seen, under a stamp that is odd while the writer is inside an op.
pub(crate) struct Positions {
    stamp: AtomicU64,
    table: Slot<Table>,
}

impl Positions {
    /// Returns a table without ranks.
    pub(crate) fn new() -> Self {
        Positions {
            stamp: AtomicU64::new(0),
            table: Slot::new(None),
        }
    }

    /// Marks that an op begins: what readers see from now on is not one instant.
    pub(crate) fn begin(&self) {
        let stamp = self.stamp.load(Ordering::Relaxed);
        self.stamp.store(stamp.wrapping_add(1), Ordering::Relaxed);
        // Whoever sees a change of this op sees the odd stamp: pairs with the fence in `exact`.
        fence(Ordering::Release);
    }

    /// Marks that the op is over.
    pub(crate) fn end(&self) {
        let stamp = self.stamp.load(Ordering::Relaxed);
        self.stamp.store(stamp.wrapping_add(1), Ordering::Release);
    }

    /// Moves the position of a rank. Between [`Positions::begin`] and [`Positions::end`].
    pub(crate) fn set(&self, position: Position, writer: &mut Writer) {
        let guard = writer.guard();
        let cells = self
            .table
            .load(&guard)
            .map_or(&[][..], |table| &table.cells);
        match cells.binary_search_by_key(&position.rank, |cell| cell.rank) {
            Ok(at) => {
                cells[at].inc.store(position.inc.0, Ordering::Relaxed);
                cells[at].seq.store(position.seq.0, Ordering::Relaxed);
            }
            Err(at) => {
                let mut all: Vec<Cell> = cells
                    .iter()
                    .map(|cell| Cell::new(cell.position()))
                    .collect();
                all.insert(at, Cell::new(position));
                drop(guard);
                let cells = all.into_boxed_slice();
                self.table.replace(Some(Arc::new(Table { cells })), writer);
            }
        }
    }

    /// Returns the position of a rank, as the writer or inside [`Positions::exact`].
    pub(crate) fn get(&self, rank: Rank, guard: &Guard<'_>) -> Option<Position> {
        let cells = &self.table.load(guard)?.cells;
        let at = cells.binary_search_by_key(&rank, |cell| cell.rank).ok()?;
        Some(cells[at].position())
    }

    /// Writes all positions to `out`, sorted by rank. Inside [`Positions::exact`].
    pub(crate) fn list(&self, guard: &Guard<'_>, out: &mut Vec<Position>) {
        out.clear();
        if let Some(table) = self.table.load(guard) {
            out.extend(table.cells.iter().map(Cell::position));
        }
    }

    /// Runs `read` until no op began or ended meanwhile, a bounded number of times; returns whether one run
    /// was undisturbed.
    pub(crate) fn exact(&self, mut read: impl FnMut()) -> bool {
        for _ in 0..EXACT_READ_TRIES_MAX {
            let before = self.stamp.load(Ordering::Acquire);
            if before.is_multiple_of(2) {
                read();
                fence(Ordering::Acquire);
                if self.stamp.load(Ordering::Relaxed) == before {
                    return true;
                }
            }
            pause();
        }
        false
    }

    /// Returns the bytes held on the heap.
    pub(crate) fn heap_bytes(&self, guard: &Guard<'_>) -> usize {
        self.table
            .load(guard)
            .map_or(0, |table| size_of_val::<[Cell]>(&table.cells))
    }
}
