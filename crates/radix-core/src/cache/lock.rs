//! Holding on to a prefix: while a receipt is out, nothing on its path is evicted.

use crate::body::NodeId;
use crate::cache::Cache;
use crate::cache::unit::{CacheUnit, SlotIndex};

/// The end of a cached prefix: the last page of a [`Match`](crate::cache::Match), or of what was inserted.
///
/// It means the same page for as long as that page is cached; after that it is stale and never means another.
/// Lock it to keep the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    cache: u64,
    stamp: u64,
    pub(crate) node: NodeId,
}

/// One hold on a prefix, given back by [`Cache::unlock`]. A receipt that is dropped holds on for ever.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what a dropped receipt locks can never be evicted"]
pub struct Receipt(Handle);

/// Why a handle was refused. State: unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// The page it means was evicted, or the cache was reset. Caller: match again.
    #[error("the handle is stale: its page is not cached any more")]
    StaleHandle,
    /// Another cache gave it.
    #[error("the handle is another cache's")]
    ForeignHandle,
}

/// A receipt that another cache gave.
///
/// State: unchanged. Caller: unlock it there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the receipt is another cache's")]
pub struct ForeignReceipt {
    /// The receipt, which still holds what it held.
    pub receipt: Receipt,
}

impl<K: CacheUnit, S: SlotIndex> Cache<K, S> {
    /// Keeps a prefix from eviction until its receipt is given back. Locks add up.
    ///
    /// Cost: O(runs of the path).   Errors: [`HandleError`]; state unchanged.
    pub fn lock(&mut self, handle: Handle) -> Result<Receipt, HandleError> {
        let mut node = self.resolve(handle)?;
        while self.tree.is_run(node) {
            let value = self.tree.value_mut(node);
            value.locks += 1;
            if value.locks == 1 {
                let pages = self.pages_of(node);
                self.evictable -= pages;
                self.protected += pages;
                self.order.remove(node);
            }
            node = self.tree.parent(node);
        }
        Ok(Receipt(handle))
    }

    /// Ends a hold. A receipt from before a [`reset`](Cache::reset) holds nothing, and nothing happens.
    ///
    /// Cost: O(runs of the path).   Errors: [`ForeignReceipt`] with the receipt in it; state unchanged.
    pub fn unlock(&mut self, receipt: Receipt) -> Result<(), ForeignReceipt> {
        let mut node = match self.resolve(receipt.0) {
            Ok(node) => node,
            Err(HandleError::ForeignHandle) => return Err(ForeignReceipt { receipt }),
            // What is locked is not evicted, so only a reset can have come between.
            Err(HandleError::StaleHandle) => return Ok(()),
        };
        while self.tree.is_run(node) {
            let value = self.tree.value_mut(node);
            value.locks -= 1;
            if value.locks == 0 {
                let pages = self.pages_of(node);
                self.evictable += pages;
                self.protected -= pages;
                self.enlist(node);
            }
            node = self.tree.parent(node);
        }
        Ok(())
    }

    /// Returns a handle to the end of a run.
    pub(crate) fn handle(&self, node: NodeId) -> Handle {
        Handle {
            cache: self.id,
            stamp: self.tree.value(node).stamp,
            node,
        }
    }

    /// Returns the run whose end a handle means. The top, which has stamp 0, is the end of an empty prefix.
    pub(crate) fn resolve(&self, handle: Handle) -> Result<NodeId, HandleError> {
        if handle.cache != self.id {
            return Err(HandleError::ForeignHandle);
        }
        let Handle { node, stamp, .. } = handle;
        if !self.tree.is_alive(node) || self.tree.value(node).stamp != stamp {
            return Err(HandleError::StaleHandle);
        }
        Ok(node)
    }

    fn pages_of(&self, node: NodeId) -> u64 {
        u64::from(self.tree.body(node).len()) / self.units_per_page as u64
    }
}
