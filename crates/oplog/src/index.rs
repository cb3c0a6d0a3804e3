//! [`radix_core::Index`] as the state that the logs fold into.

use radix_core::id::{Incarnation, OpId, OriginId, Rank, Seq};
use radix_core::{Index, InsertError, InsertRun, Place, SnapshotDelta, SnapshotRun};

use crate::op::{Insert, Op, Parent};
use crate::state::{ApplyError, State};

impl State for Index {
    fn apply(&mut self, at: OpId, op: &Op) -> Result<(), ApplyError> {
        match op {
            Op::Insert(Insert {
                source,
                tier,
                parent,
                pages,
            }) => {
                let place = match parent {
                    Parent::Root(namespace) => Place::Root(*namespace),
                    Parent::Copy { seq, idx } => Place::Copy {
                        seq: *seq,
                        idx: *idx,
                    },
                    Parent::Path { namespace, pages } => Place::Path(*namespace, &pages.0),
                };
                let run = InsertRun {
                    source: *source,
                    tier: *tier,
                    place,
                    pages: &pages.0,
                };
                self.insert(at, run)?;
            }
            Op::Remove { copies } => {
                self.remove(at, copies);
            }
            Op::ResetSource { source } => {
                self.reset_source(at, *source);
            }
            Op::Checkpoint { .. } => self.skip(at),
        }
        Ok(())
    }

    fn reset(&mut self, origin: OriginId, seq: Seq) {
        self.reset_origin(origin, seq);
    }

    fn rename(&mut self, rank: Rank, inc: Incarnation) {
        self.rename_incarnation(rank, inc);
    }

    fn digest(&self, rank: Rank) -> u64 {
        Index::digest(self, rank)
    }

    fn snapshot(&self, rank: Rank, base: Seq) -> Vec<SnapshotRun> {
        self.snapshot_behind(rank, base)
    }

    fn load(&mut self, origin: OriginId, seq: Seq, delta: SnapshotDelta) -> Result<(), ApplyError> {
        Ok(self.load_delta(origin, seq, &delta)?)
    }
}

impl From<InsertError> for ApplyError {
    fn from(error: InsertError) -> ApplyError {
        match error {
            InsertError::UnknownParent { seq, idx, .. } => ApplyError::UnknownParent { seq, idx },
            InsertError::Empty => ApplyError::Limit {
                limit: "a run has pages",
            },
            InsertError::TooLong { .. } => ApplyError::Limit {
                limit: "pages of a run",
            },
            InsertError::TooManyHolders => ApplyError::Limit { limit: "holders" },
            InsertError::DepthOverflow => ApplyError::Limit {
                limit: "depth of a path",
            },
            InsertError::Misplaced { .. } => ApplyError::Limit {
                limit: "one run per op",
            },
        }
    }
}
