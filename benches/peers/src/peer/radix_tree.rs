//! Dynamo's `RadixTree`: one thread for everything.

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;

use dynamo_kv_router::RadixTree;
use dynamo_kv_router::protocols::{LocalBlockHash, RouterEvent};

use super::{Applied, Peer, Reader, dynamo};
use crate::clock::timed;
use crate::stream::Event;

/// The tree.
pub(crate) struct DynamoTree(Rc<RefCell<RadixTree>>);

impl Peer for DynamoTree {
    type Op = RouterEvent;
    type Publisher = u64;
    type Reader = TreeReader;

    fn new(_workers: u16) -> Self {
        DynamoTree(Rc::new(RefCell::new(RadixTree::new())))
    }

    fn op(last_id: &mut u64, event: &Event) -> RouterEvent {
        dynamo::event(last_id, event)
    }

    fn apply(&mut self, ops: Vec<RouterEvent>, begin: &dyn Fn()) -> Applied {
        let mut tree = self.0.borrow_mut();
        begin();
        let (refused, cpu) = timed(|| {
            let mut refused = 0;
            for event in ops {
                refused += u64::from(tree.apply_event(event).is_err());
            }
            refused
        });
        Applied { cpu, refused }
    }

    fn reader(&mut self) -> TreeReader {
        TreeReader(Rc::clone(&self.0))
    }
}

/// A reader.
pub(crate) struct TreeReader(Rc<RefCell<RadixTree>>);

impl Reader for TreeReader {
    type Query = Vec<LocalBlockHash>;

    fn query(pages: &[u64]) -> Self::Query {
        dynamo::query(pages)
    }

    fn ask(&mut self, query: &mut Self::Query, _: &mut [u32]) {
        black_box(self.0.borrow().find_matches(std::mem::take(query), false));
    }

    fn depths(&mut self, query: &mut Self::Query, depths: &mut [u32]) {
        let scores = self.0.borrow().find_matches(std::mem::take(query), false);
        dynamo::write(&scores, depths);
    }
}
