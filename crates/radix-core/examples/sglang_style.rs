//! A scheduler in the manner of SGLang: a slot per token, a row of slots per request.
//! `cargo run -p radix-core --example sglang_style`

use radix_core::cache::{Cache, CacheConfig, Receipt};
use radix_core::id::Namespace;

const PAGE: usize = 4;
const NS: Namespace = Namespace::DEFAULT;

/// A request that runs: the KV slot of each token, and the hold on the prefix that was found.
struct Request {
    tokens: Vec<u32>,
    row: Vec<u32>,
    hold: Receipt,
}

struct Scheduler {
    cache: Cache,
    free: Vec<u32>,
}

impl Scheduler {
    /// Matches, locks what was found, and makes room for the rest.
    fn begin(&mut self, tokens: Vec<u32>) -> Request {
        let found = self.cache.match_prefix(NS, &tokens);
        let hold = self.cache.lock(found.handle).expect("just matched");
        let mut row = Vec::with_capacity(tokens.len());
        self.cache.slots(found.handle, &mut row).expect("locked");
        let missing = tokens.len() - found.len;
        if self.free.len() < missing {
            let pages = (missing - self.free.len()).div_ceil(PAGE);
            let evicted = self.cache.evict(pages, &mut self.free);
            println!("  evicted {evicted} pages");
        }
        row.extend(self.free.drain(self.free.len() - missing..));
        println!("  {} tokens cached, {missing} to compute", found.len);
        Request { tokens, row, hold }
    }

    /// Hands the computed KV to the cache, frees what it does not need, and lets go.
    fn end(&mut self, request: Request) {
        let Request { tokens, row, hold } = request;
        let whole = tokens.len() / PAGE * PAGE;
        let before = self.free.len();
        self.cache
            .insert(NS, &tokens, &row[..whole], 0, &mut self.free)
            .expect("a slot for every token of a whole page");
        println!("  {} slots were duplicates", self.free.len() - before);
        self.free.extend(&row[whole..]);
        self.cache.unlock(hold).expect("this cache's receipt");
    }
}

fn main() {
    let config = CacheConfig {
        page_size: PAGE,
        ..CacheConfig::default()
    };
    let cache = Cache::new(config).expect("a page size in range");
    let mut scheduler = Scheduler {
        cache,
        free: (0..40).rev().collect(),
    };
    let system: Vec<u32> = (100..116).collect();
    let prompt = |user: std::ops::Range<u32>| [&system[..], &user.collect::<Vec<_>>()].concat();

    println!("two requests with one system prompt, at the same time");
    let first = scheduler.begin(prompt(1..4));
    let second = scheduler.begin(prompt(1..5));
    scheduler.end(first);
    scheduler.end(second);
    println!("a third finds it");
    let third = scheduler.begin(prompt(7..20));
    scheduler.end(third);
    println!("another needs room");
    let fourth = scheduler.begin((200..230).collect());
    scheduler.end(fourth);
    let (cached, free) = (scheduler.cache.total_len(), scheduler.free.len());
    println!("{cached} slots cached, {free} free");
    assert_eq!(cached + free, 40, "no slot is lost");
}
