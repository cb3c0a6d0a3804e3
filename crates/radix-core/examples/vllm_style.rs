//! A block manager in the manner of vLLM: blocks of tokens, a free queue, hashed pages, eviction when it runs dry.
//! `cargo run -p radix-core --example vllm_style`

use std::collections::VecDeque;

use radix_core::cache::{Cache, CacheConfig, Event, Receipt, SlotsPer};
use radix_core::id::Namespace;
use radix_core::{Fingerprint, FingerprintKey};

const BLOCK: usize = 4;
const NS: Namespace = Namespace::DEFAULT;

struct BlockManager {
    cache: Cache<Fingerprint, u32>,
    free: VecDeque<u32>,
    key: FingerprintKey,
}

impl BlockManager {
    /// Returns the block table of a prompt and the hold on it, or `None` when no room can be made.
    fn allocate(&mut self, tokens: &[u32]) -> Option<(Vec<u32>, Receipt)> {
        let mut pages = Vec::new();
        self.key.pages(tokens, BLOCK, &mut pages);
        let found = self.cache.match_prefix(NS, &pages);
        let prefix = self.cache.lock(found.handle).expect("just matched");
        let missing = pages.len() - found.pages;
        let mut freed = Vec::new();
        self.cache
            .evict(missing.saturating_sub(self.free.len()), &mut freed);
        self.free.extend(freed);
        if self.free.len() < missing {
            self.cache.unlock(prefix).expect("this cache's receipt");
            return None;
        }
        let mut blocks = Vec::new();
        self.cache.slots(found.handle, &mut blocks).expect("locked");
        blocks.extend(self.free.drain(..missing));
        // The blocks are cached from the start: whoever comes next shares them.
        let mut duplicates = Vec::new();
        let inserted = self.cache.insert(NS, &pages, &blocks, 0, &mut duplicates);
        let inserted = inserted.expect("a block for every page");
        assert!(
            duplicates.is_empty(),
            "nothing happened between match and insert"
        );
        let whole = self.cache.lock(inserted.handle).expect("just inserted");
        self.cache.unlock(prefix).expect("this cache's receipt");
        println!("  {} blocks cached, {missing} new: {blocks:?}", found.pages);
        Some((blocks, whole))
    }
}

fn main() {
    let config = CacheConfig {
        page_size: BLOCK,
        slots: SlotsPer::Page,
        events: true,
        ..CacheConfig::default()
    };
    let mut manager = BlockManager {
        cache: Cache::new(config).expect("a block size in range"),
        free: (0..8).collect(),
        key: FingerprintKey::new(42),
    };
    let prompt = |user: u32| [vec![9; 12], vec![user; 8]].concat();
    println!("two requests share three blocks");
    let (_, first) = manager.allocate(&prompt(1)).expect("an empty pool");
    let (_, second) = manager.allocate(&prompt(2)).expect("three blocks are left");
    println!(
        "no room for a third while they run: {}",
        manager.allocate(&prompt(3)).is_none()
    );
    manager.cache.unlock(first).expect("this cache's receipt");
    println!("the first ended");
    let (_, third) = manager.allocate(&prompt(3)).expect("two blocks can go");
    manager.cache.unlock(second).expect("this cache's receipt");
    manager.cache.unlock(third).expect("this cache's receipt");
    for event in manager.cache.take_events() {
        match event {
            Event::Stored { start, slots, .. } => println!("stored {slots:?} at token {start}"),
            Event::Removed { slots, .. } => println!("removed {slots:?}"),
            Event::Cleared | Event::Lost { .. } => println!("start again"),
        }
    }
}
