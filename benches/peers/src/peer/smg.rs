//! `smg-radix-tree`'s `RadixTree`: one thread for everything.

use std::cell::RefCell;
use std::rc::Rc;

use radix_tree::{BlockKey, ContentHash, HolderId, Overlap, OverlapScratch, RadixTree};

use super::{Applied, Peer, Reader};
use crate::clock::timed;
use crate::stream::{Change, Event};

/// The tree, and its names for the workers.
pub(crate) struct Smg {
    tree: Rc<RefCell<RadixTree>>,
    holders: Vec<HolderId>,
}

/// One event.
#[derive(Clone)]
pub(crate) struct Op {
    worker: u16,
    change: OpChange,
}

#[derive(Clone)]
enum OpChange {
    Store(Option<BlockKey>, Box<[(BlockKey, ContentHash)]>),
    Remove(Box<[BlockKey]>),
}

impl Peer for Smg {
    type Op = Op;
    type Publisher = ();
    type Reader = SmgReader;

    fn new(workers: u16) -> Self {
        let mut tree = RadixTree::new(radix_tree::Config::default());
        let create = |worker: u16| {
            let holder = tree.create_holder(&worker.to_string());
            assert_eq!(
                holder.parts().0,
                u32::from(worker),
                "workers are counted from 0"
            );
            holder
        };
        let holders = (0..workers).map(create).collect();
        Smg {
            tree: Rc::new(RefCell::new(tree)),
            holders,
        }
    }

    fn op(_: &mut (), event: &Event) -> Op {
        let change = match &*event.change {
            Change::Store { parent, blocks } => {
                let blocks = blocks.iter().map(|block| (block.name, block.page));
                OpChange::Store(*parent, blocks.collect())
            }
            Change::Remove(names) => OpChange::Remove(names.as_slice().into()),
        };
        Op {
            worker: event.worker,
            change,
        }
    }

    fn apply(&mut self, ops: Vec<Op>, begin: &dyn Fn()) -> Applied {
        let mut tree = self.tree.borrow_mut();
        begin();
        let (refused, cpu) = timed(|| {
            let mut refused = 0;
            for op in &ops {
                let holder = self.holders[usize::from(op.worker)];
                match &op.change {
                    OpChange::Store(parent, blocks) => {
                        refused += u64::from(tree.store(holder, *parent, blocks).is_err());
                    }
                    OpChange::Remove(names) => {
                        tree.remove(holder, names);
                    }
                }
            }
            refused
        });
        Applied { cpu, refused }
    }

    fn reader(&mut self) -> SmgReader {
        SmgReader {
            tree: Rc::clone(&self.tree),
            scratch: OverlapScratch::default(),
            found: Vec::new(),
        }
    }
}

/// A reader with its reused buffers.
pub(crate) struct SmgReader {
    tree: Rc<RefCell<RadixTree>>,
    scratch: OverlapScratch,
    found: Vec<Overlap>,
}

impl Reader for SmgReader {
    type Query = Vec<u64>;

    fn query(pages: &[u64]) -> Vec<u64> {
        pages.to_vec()
    }

    fn ask(&mut self, query: &mut Vec<u64>, depths: &mut [u32]) {
        depths.fill(0);
        let tree = self.tree.borrow();
        tree.overlap(query, &mut self.scratch, &mut self.found);
        for overlap in &self.found {
            depths[overlap.holder.parts().0 as usize] = overlap.depth;
        }
    }
}
