//! RadixMesh's tree. Its copies are named by the op that brought them; the map from block names to copy names is the
//! publisher's, as in RadixMesh it lives beside the engine and not in the replicas of the tree.

use radix_core::id::{
    CopyRange, Incarnation, Namespace, OpId, OriginId, Rank, Seq, SourceId, Tier,
};
use radix_core::{Fingerprint, Index, IndexConfig, InsertRun, Matches, Place};
use rustc_hash::FxHashMap;

use super::{Applied, Peer, Reader, SharedReader};
use crate::clock::timed;
use crate::stream::{Change, Event};

/// The index, and one rank for each worker.
pub(crate) struct RadixMesh {
    index: Index,
}

/// One op of a log.
#[derive(Clone)]
pub(crate) struct Op {
    at: OpId,
    change: OpChange,
}

#[derive(Clone)]
enum OpChange {
    Insert(Place<'static>, Box<[Fingerprint]>),
    Remove(Box<[CopyRange]>),
}

/// What each engine's node remembers: how far its log is, and its blocks' copies.
#[derive(Default)]
pub(crate) struct Publisher {
    seqs: FxHashMap<u16, u64>,
    copies: FxHashMap<(u16, u64), (Seq, u16)>,
}

impl Peer for RadixMesh {
    type Op = Op;
    type Publisher = Publisher;
    type Reader = MeshReader;

    fn new(_workers: u16) -> Self {
        RadixMesh {
            index: Index::new(IndexConfig::default()),
        }
    }

    fn op(publisher: &mut Publisher, event: &Event) -> Op {
        let worker = event.worker;
        let seq = publisher.seqs.entry(worker).or_default();
        *seq += 1;
        let seq = Seq(*seq);
        let copies = &mut publisher.copies;
        let change = match &*event.change {
            Change::Store { parent, blocks } => {
                let place = match parent {
                    None => Place::Root(Namespace::DEFAULT),
                    Some(parent) => {
                        let (seq, idx) = copies[&(worker, *parent)];
                        Place::Copy { seq, idx }
                    }
                };
                for (block, idx) in blocks.iter().zip(0..) {
                    copies.insert((worker, block.name), (seq, idx));
                }
                let pages = blocks.iter().map(|block| Fingerprint(block.page));
                OpChange::Insert(place, pages.collect())
            }
            Change::Remove(names) => {
                let mut ranges: Vec<CopyRange> = Vec::new();
                for name in names {
                    if let Some((seq, idx)) = copies.remove(&(worker, *name)) {
                        join(&mut ranges, seq, idx);
                    }
                }
                OpChange::Remove(ranges.into())
            }
        };
        let origin = OriginId {
            rank: Rank(worker),
            inc: Incarnation(1),
        };
        Op {
            at: OpId { origin, seq },
            change,
        }
    }

    fn apply(&mut self, ops: Vec<Op>, begin: &dyn Fn()) -> Applied {
        begin();
        let (refused, cpu) = timed(|| {
            let mut refused = 0;
            for Op { at, change } in &ops {
                match change {
                    OpChange::Insert(place, pages) => {
                        let run = InsertRun {
                            source: SourceId(0),
                            tier: Tier::Device,
                            place: *place,
                            pages,
                        };
                        refused += u64::from(self.index.insert(*at, run).is_err());
                    }
                    OpChange::Remove(ranges) => {
                        self.index.remove(*at, ranges);
                    }
                }
            }
            refused
        });
        Applied { cpu, refused }
    }

    fn reader(&mut self) -> MeshReader {
        MeshReader {
            reader: self.index.reader().expect("two readers at a time at most"),
            matches: Matches::new(),
        }
    }
}

/// Appends a copy, to the last range where it continues that at either end.
fn join(ranges: &mut Vec<CopyRange>, seq: Seq, idx: u16) {
    if let Some(last) = ranges.last_mut()
        && last.seq == seq
    {
        if idx.checked_add(1) == Some(last.idx) {
            last.idx = idx;
            last.len += 1;
            return;
        }
        if last.idx.checked_add(last.len) == Some(idx) {
            last.len += 1;
            return;
        }
    }
    ranges.push(CopyRange { seq, idx, len: 1 });
}

/// A reader with its reused answer.
pub(crate) struct MeshReader {
    reader: radix_core::Reader,
    matches: Matches,
}

impl Reader for MeshReader {
    type Query = Vec<Fingerprint>;

    fn query(pages: &[u64]) -> Self::Query {
        pages.iter().copied().map(Fingerprint).collect()
    }

    fn ask(&mut self, query: &mut Self::Query, depths: &mut [u32]) {
        depths.fill(0);
        self.reader
            .matches(Namespace::DEFAULT, query, &mut self.matches);
        self.matches.iter().for_each(|(holder, pages)| {
            depths[usize::from(holder.rank.0)] = pages[Tier::COUNT - 1];
        });
    }
}

impl SharedReader for MeshReader {}
