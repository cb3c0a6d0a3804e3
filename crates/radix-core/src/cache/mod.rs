//! An engine's own prefix cache: which KV slots hold which token prefix, who uses them, and what goes first when
//! slots run out. The second class of values on the tree that the replicated [`Index`](crate::Index) stands on.
//!
//! One owner, no readers beside it, no clock and no randomness: the same calls give the same answers, slot for
//! slot, on every rank of a tensor-parallel group. The cache decides nothing about the pool itself: slots come
//! from the caller and go back to the caller.
//!
//! ```text
//! match_prefix -> lock -> (evict) -> compute -> insert -> free duplicates -> unlock
//! ```
//! See [`Cache`] for the operations and [`Policy`] for the order of eviction.

mod check;
mod config;
mod copy;
mod entries;
mod event;
mod evict;
mod insert;
mod lock;
mod lookup;
mod order;
mod slots;
mod unit;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

pub use config::{CacheConfig, ConfigError, Policy, SlotsPer};
pub use entries::Entry;
pub use event::Event;
pub use insert::{InsertError, Inserted};
pub use lock::{ForeignReceipt, Handle, HandleError, Receipt};
pub use lookup::Match;
pub use unit::{CacheUnit, SlotIndex};

use crate::body::{NodeId, to_u32};
use crate::cache::event::Events;
use crate::cache::order::Order;
use crate::cache::slots::Slots;
use crate::limits::CACHE_RUN_UNITS_MAX;
use crate::rcu::Domain;
use crate::tree::{Shape, Tree};

/// How large a cache is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Runs in the tree.
    pub nodes: u64,
    /// Pages in the tree.
    pub pages: u64,
    /// An estimate of the heap held, events included. Unit: bytes.
    pub bytes: u64,
}

/// An engine's prefix cache.
///
/// `K` is what prompts are made of: token ids (`u32`) or a [`Fingerprint`](crate::Fingerprint) per page. `S` is a
/// KV slot. Prompts are taken in whole pages; all lengths are in tokens.
///
/// | operation | what it does |
/// | --- | --- |
/// | [`match_prefix`](Cache::match_prefix) | finds the cached prefix and counts it as used |
/// | [`peek`](Cache::peek), [`peek_slots`](Cache::peek_slots) | look without leaving a mark |
/// | [`slots`](Cache::slots) | the slots of what was found |
/// | [`lock`](Cache::lock), [`unlock`](Cache::unlock) | keep it from eviction |
/// | [`insert`](Cache::insert) | adds a prompt; hands back slots that are not needed |
/// | [`evict`](Cache::evict) | frees pages, leaf first |
/// | [`take_events`](Cache::take_events) | what was stored and removed since |
///
/// Memory at `u32` ids and slots: 8 bytes per token and about 250 per run.
pub struct Cache<K: CacheUnit = u32, S: SlotIndex = u32> {
    config: CacheConfig,
    tree: Tree<Slots<K, S>>,
    /// All leaves that no lock covers.
    order: Order,
    events: Events<K, S>,
    /// Which cache of this process it is: handles and receipts of another are refused.
    id: u64,
    /// Operations so far.
    clock: u64,
    /// Stamps given so far.
    stamps: u64,
    units_per_page: usize,
    slots_per_page: usize,
    /// Pages under no lock, and under one.
    evictable: u64,
    protected: u64,
}

impl<K: CacheUnit, S: SlotIndex> Cache<K, S> {
    /// Returns an empty cache.
    ///
    /// Errors: [`ConfigError`] names the value and its range.
    pub fn new(config: CacheConfig) -> Result<Self, ConfigError> {
        /// Never decides anything but whose a handle is.
        static CACHES: AtomicU64 = AtomicU64::new(0);
        config.check()?;
        let units_per_page = K::units_per_page(config.page_size);
        Ok(Cache {
            config,
            tree: empty_tree(units_per_page),
            order: Order::default(),
            events: Events::new(config),
            id: CACHES.fetch_add(1, Ordering::Relaxed),
            clock: 0,
            stamps: 0,
            units_per_page,
            slots_per_page: match config.slots {
                SlotsPer::Token => config.page_size,
                SlotsPer::Page => 1,
            },
            evictable: 0,
            protected: 0,
        })
    }

    /// Returns what the cache was built with.
    #[must_use]
    pub fn config(&self) -> &CacheConfig {
        &self.config
    }

    /// Returns how much could be evicted now. Unit: tokens. Cost: O(1).
    #[must_use]
    pub fn evictable_len(&self) -> usize {
        self.tokens(self.evictable)
    }

    /// Returns how much is covered by locks. Unit: tokens. Cost: O(1).
    #[must_use]
    pub fn protected_len(&self) -> usize {
        self.tokens(self.protected)
    }

    /// Returns how much is cached. Unit: tokens. Cost: O(1).
    #[must_use]
    pub fn total_len(&self) -> usize {
        self.tokens(self.evictable + self.protected)
    }

    /// Forgets everything; all slots are the caller's again. Handles become stale; receipts are spent, and
    /// unlocking them does nothing. Cost: O(runs).
    pub fn reset(&mut self) {
        self.tree = empty_tree(self.units_per_page);
        self.order = Order::default();
        self.events.cleared();
        (self.evictable, self.protected) = (0, 0);
    }

    /// Returns sizes. Cost: a look at every run.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let wide = |len: usize| u64::try_from(len).expect("usize is at most 64 bits");
        let bytes = self.tree.heap_bytes() + self.order.heap_bytes() + self.events.heap_bytes();
        CacheStats {
            nodes: wide(self.tree.runs().count()),
            pages: self.evictable + self.protected,
            bytes: wide(bytes),
        }
    }

    /// Returns the part of `units` that is whole pages.
    fn whole<'a>(&self, units: &'a [K]) -> &'a [K] {
        &units[..units.len() - units.len() % self.units_per_page]
    }

    /// Returns how many pages so many units of whole pages are.
    fn pages(&self, units: usize) -> usize {
        units / self.units_per_page
    }

    fn tokens(&self, pages: u64) -> usize {
        usize::try_from(pages).expect("cached pages are in memory") * self.config.page_size
    }

    /// Returns the number of a new operation.
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn stamp(&mut self) -> u64 {
        self.stamps += 1;
        self.stamps
    }

    /// Makes the first `at` units of a run a run of their own and returns it. The other keeps its end, and so
    /// its stamp.
    fn split(&mut self, node: NodeId, at: u32) -> NodeId {
        let stamp = self.stamp();
        let head = self.tree.split(node, at, &mut ());
        self.tree.value_mut(head).stamp = stamp;
        head
    }

    /// Counts a run and all above it as used by operation `now`.
    fn touch(&mut self, mut node: NodeId, mut mark: impl FnMut(&mut slots::Use)) {
        while self.tree.is_run(node) {
            let value = self.tree.value_mut(node);
            value.prefetch();
            mark(&mut value.marks);
            let rank = self.config.policy.rank(&value.marks);
            self.order.update(node, rank);
            node = self.tree.parent(node);
        }
    }

    /// Puts a run into the order of eviction when it is a leaf under no lock.
    fn enlist(&mut self, node: NodeId) {
        let value = self.tree.value(node);
        if value.locks == 0 && self.tree.children(node) == 0 {
            self.order
                .insert(node, self.config.policy.rank(&value.marks));
        }
    }
}

/// Says how large it is; the content is [`Cache::for_each`]'s to tell.
impl<K: CacheUnit, S: SlotIndex> fmt::Debug for Cache<K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("config", &self.config)
            .field("evictable_len", &self.evictable_len())
            .field("protected_len", &self.protected_len())
            .finish_non_exhaustive()
    }
}

fn empty_tree<K: CacheUnit, S: SlotIndex>(units_per_page: usize) -> Tree<Slots<K, S>> {
    let (_, writer) = Domain::new(0);
    let page = to_u32(units_per_page);
    let shape = Shape {
        page,
        run_max: CACHE_RUN_UNITS_MAX / page * page,
    };
    Tree::new(writer, shape)
}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Cache<u32, i64>>();
};
