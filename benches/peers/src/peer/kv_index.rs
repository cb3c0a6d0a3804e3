//! `kv_index::ChainIndex`: lock-free readers, any number of writers as long as each worker has one.

use std::sync::Arc;

use kv_index::{ChainBlockMap, ChainIndex, ContentHash, SequenceHash, StoredBlock};

use super::{Applied, Peer, Reader, SharedReader};
use crate::clock::timed;
use crate::stream::{Change, Event};

/// The index, and the map of each worker's blocks that its writer keeps.
pub(crate) struct KvIndex {
    index: Arc<ChainIndex>,
    workers: Vec<(u32, ChainBlockMap)>,
}

/// One event.
#[derive(Clone)]
pub(crate) struct Op {
    worker: u16,
    change: OpChange,
}

#[derive(Clone)]
enum OpChange {
    Store(Option<SequenceHash>, Box<[StoredBlock]>),
    Remove(Box<[SequenceHash]>),
}

impl Peer for KvIndex {
    type Op = Op;
    type Publisher = ();
    type Reader = KvReader;

    fn new(workers: u16) -> Self {
        let index = Arc::new(ChainIndex::new());
        let intern = |worker: u16| {
            let id = index
                .intern_worker(&worker.to_string())
                .expect("there is room for some thousand workers");
            assert_eq!(id, u32::from(worker), "workers are counted from 0");
            (id, ChainBlockMap::new())
        };
        let workers = (0..workers).map(intern).collect();
        KvIndex { index, workers }
    }

    fn op(_: &mut (), event: &Event) -> Op {
        let change = match &*event.change {
            Change::Store { parent, blocks } => {
                let blocks = blocks.iter().map(|block| StoredBlock {
                    seq_hash: SequenceHash(block.name),
                    content_hash: ContentHash(block.page),
                });
                OpChange::Store(parent.map(SequenceHash), blocks.collect())
            }
            Change::Remove(names) => {
                OpChange::Remove(names.iter().copied().map(SequenceHash).collect())
            }
        };
        Op {
            worker: event.worker,
            change,
        }
    }

    fn apply(&mut self, ops: Vec<Op>, begin: &dyn Fn()) -> Applied {
        begin();
        let (refused, cpu) = timed(|| {
            let mut refused = 0;
            for op in &ops {
                let (id, map) = &mut self.workers[usize::from(op.worker)];
                match &op.change {
                    OpChange::Store(parent, blocks) => {
                        let stored = self.index.apply_stored(*id, blocks, *parent, map);
                        refused += u64::from(stored.is_err());
                    }
                    OpChange::Remove(names) => self.index.apply_removed(*id, names, map),
                }
            }
            refused
        });
        Applied { cpu, refused }
    }

    fn reader(&mut self) -> KvReader {
        KvReader(Arc::clone(&self.index))
    }
}

/// A reader.
pub(crate) struct KvReader(Arc<ChainIndex>);

impl Reader for KvReader {
    type Query = Vec<u64>;

    fn query(pages: &[u64]) -> Vec<u64> {
        pages.to_vec()
    }

    fn ask(&mut self, query: &mut Vec<u64>, depths: &mut [u32]) {
        depths.fill(0);
        let report = |worker: u32, depth| depths[worker as usize] = depth;
        self.0.score_into(query, |page| *page, false, report);
    }
}

impl SharedReader for KvReader {}
