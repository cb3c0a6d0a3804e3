//! Dynamo's `PositionalIndexer` with jumps of 32, called directly: lock-free readers, and the writer's own map of
//! each worker's blocks.

use std::hint::black_box;
use std::sync::Arc;

use dynamo_kv_router::PositionalIndexer;
use dynamo_kv_router::indexer::SyncIndexer;
use dynamo_kv_router::indexer::positional::LevelIndex;
use dynamo_kv_router::protocols::{LocalBlockHash, RouterEvent, WorkerWithDpRank};
use rustc_hash::FxHashMap;

use super::{Applied, Peer, Reader, SharedReader, dynamo};
use crate::clock::timed;
use crate::stream::Event;

/// Its authors' recommendation.
const JUMP_PAGES: usize = 32;

/// The index and the map of its writer.
pub(crate) struct Positional {
    index: Arc<PositionalIndexer>,
    blocks: FxHashMap<WorkerWithDpRank, LevelIndex>,
}

impl Peer for Positional {
    type Op = RouterEvent;
    type Publisher = u64;
    type Reader = PositionalReader;

    fn new(_workers: u16) -> Self {
        Positional {
            index: Arc::new(PositionalIndexer::new(JUMP_PAGES)),
            blocks: FxHashMap::default(),
        }
    }

    fn op(last_id: &mut u64, event: &Event) -> RouterEvent {
        dynamo::event(last_id, event)
    }

    fn apply(&mut self, ops: Vec<RouterEvent>, begin: &dyn Fn()) -> Applied {
        begin();
        let (refused, cpu) = timed(|| {
            let mut refused = 0;
            for event in ops {
                let applied = self.index.apply_event(&mut self.blocks, event, None);
                refused += u64::from(applied.is_err());
            }
            refused
        });
        Applied { cpu, refused }
    }

    fn reader(&mut self) -> PositionalReader {
        PositionalReader(Arc::clone(&self.index))
    }
}

/// A reader.
pub(crate) struct PositionalReader(Arc<PositionalIndexer>);

impl Reader for PositionalReader {
    type Query = Vec<LocalBlockHash>;

    fn query(pages: &[u64]) -> Self::Query {
        dynamo::query(pages)
    }

    fn ask(&mut self, query: &mut Self::Query, _: &mut [u32]) {
        black_box(self.0.find_matches(query, false));
    }

    fn depths(&mut self, query: &mut Self::Query, depths: &mut [u32]) {
        dynamo::write(&self.0.find_matches(query, false), depths);
    }
}

impl SharedReader for PositionalReader {}
