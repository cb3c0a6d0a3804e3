//! Measures an engine's cache: time per request and bytes per token.
//! `cargo run --release -p radix-core --example cache_throughput -- [page_size]`
//!
//! 10,000 requests: 64 system prompts of 256 to 2,048 tokens, chosen by Zipf's law; 512 to 4,096 tokens in all; a
//! quarter of the requests go on with an earlier one. Times are means of CPU time; "cold" reads each prompt
//! from memory, the others have it in the processor's cache, as an engine has that was just handed it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

use radix_core::cache::{Cache, CacheConfig, CacheUnit, Policy, SlotsPer};
use radix_core::id::Namespace;
use radix_core::{Fingerprint, FingerprintKey};

const REQUESTS: usize = 10_000;
const NS: Namespace = Namespace::DEFAULT;

/// Counts what is allocated.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is the system's allocator; only a counter is kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as promised to this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as promised to this function.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// CPU time of this thread, so that a busy machine disturbs less. Unit: ns.
fn now() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn main() {
    let page_size: usize = std::env::args()
        .nth(1)
        .map_or(16, |arg| arg.parse().expect("a page size"));
    let prompts = workload();
    let tokens: usize = prompts.iter().map(Vec::len).sum();
    let mean = tokens as f64 / REQUESTS as f64;
    println!("{REQUESTS} requests of {mean:.0} tokens in the mean, page size {page_size}");
    let config = CacheConfig {
        page_size,
        ..CacheConfig::default()
    };
    measure("token ids, a slot per token", &prompts, config);
    let config = CacheConfig {
        slots: SlotsPer::Page,
        ..config
    };
    measure("token ids, a slot per page", &prompts, config);
    let key = FingerprintKey::new(1);
    let pages: Vec<Vec<Fingerprint>> = prompts
        .iter()
        .map(|tokens| {
            let mut pages = Vec::new();
            key.pages(tokens, page_size, &mut pages);
            pages
        })
        .collect();
    measure("fingerprints, a slot per page", &pages, config);
    let config = CacheConfig {
        slots: SlotsPer::Token,
        policy: Policy::Slru,
        ..config
    };
    measure("token ids, a slot per token, SLRU", &prompts, config);
}

fn workload() -> Vec<Vec<u32>> {
    let mut random = fastrand::Rng::with_seed(1);
    let systems: Vec<Vec<u32>> = (0..64).map(|_| fresh(&mut random, 256, 2_048)).collect();
    let weights: Vec<f64> = (1..=64).map(|rank| 1.0 / f64::from(rank)).collect();
    let sum: f64 = weights.iter().sum();
    let mut prompts: Vec<Vec<u32>> = Vec::new();
    for _ in 0..REQUESTS {
        let mut tokens = if random.f64() < 0.25 && !prompts.is_empty() {
            prompts[random.usize(..prompts.len())].clone()
        } else {
            let mut at = random.f64() * sum;
            let chosen = weights.iter().position(|weight| {
                at -= weight;
                at <= 0.0
            });
            systems[chosen.unwrap_or(63)].clone()
        };
        let total = random.usize(512..=4_096).max(tokens.len() + 32).min(4_096);
        while tokens.len() < total {
            tokens.push(random.u32(..128_000));
        }
        prompts.push(tokens);
    }
    prompts
}

fn fresh(random: &mut fastrand::Rng, min: usize, max: usize) -> Vec<u32> {
    (0..random.usize(min..=max))
        .map(|_| random.u32(..128_000))
        .collect()
}

fn measure<K: CacheUnit>(what: &str, prompts: &[Vec<K>], config: CacheConfig) {
    println!("\n{what}");
    let page_size = config.page_size;
    let before = HELD.load(Ordering::Relaxed);
    let mut cache: Cache<K, u32> = Cache::new(config).expect("in range");
    let mut given = 0;
    let (mut slots, mut out, mut freed) = (Vec::new(), Vec::with_capacity(8_192), Vec::new());
    let units_per_page = K::units_per_page(page_size);
    let slots_per_page = match config.slots {
        SlotsPer::Token => page_size,
        SlotsPer::Page => 1,
    };
    let mut inserting = 0.0;
    for prompt in prompts {
        slots.clear();
        let count = prompt.len() / units_per_page * slots_per_page;
        slots.extend((given..).take(count));
        given += count as u32;
        freed.clear();
        let start = now();
        cache
            .insert(NS, prompt, &slots, 0, &mut freed)
            .expect("as many slots as pages need");
        inserting += now() - start;
    }
    let timer = (0..10_000).fold(0.0, |sum, _| {
        let start = now();
        sum + (now() - start)
    }) / 10_000.0;
    let per_request = |nanos: f64| nanos / prompts.len() as f64 / 1e3;
    println!(
        "  insert                     {:5.2} us",
        per_request(inserting) - timer / 1e3
    );
    freed = Vec::new();
    let held = HELD.load(Ordering::Relaxed) - before;
    let stats = cache.stats();
    println!(
        "  {} tokens in {} runs: {:.2} bytes per token allocated, {:.2} estimated",
        cache.total_len(),
        stats.nodes,
        held as f64 / cache.total_len() as f64,
        stats.bytes as f64 / cache.total_len() as f64
    );

    let mut order: Vec<usize> = (0..prompts.len()).collect();
    fastrand::Rng::with_seed(2).shuffle(&mut order);
    let mut prompt = Vec::new();
    let mut pass = |cold: bool, ask: &mut dyn FnMut(&[K])| {
        let start = now();
        for &at in &order {
            if cold {
                ask(&prompts[at]);
            } else {
                prompt.clear();
                prompt.extend_from_slice(&prompts[at]);
                ask(black_box(&prompt));
            }
        }
        per_request(now() - start)
    };
    let mut best = |cold, ask: &mut dyn FnMut(&[K])| {
        (0..5)
            .map(|_| pass(cold, ask))
            .fold(f64::INFINITY, f64::min)
    };
    let copying = best(false, &mut |_| ());
    let matching = best(false, &mut |prompt| {
        black_box(cache.match_prefix(NS, prompt));
    });
    println!("  match                      {:5.2} us", matching - copying);
    let mut cycle = |prompt: &[K]| {
        let found = cache.match_prefix(NS, prompt);
        out.clear();
        cache.slots(found.handle, &mut out).expect("just matched");
        black_box(&out);
        let receipt = cache.lock(found.handle).expect("just matched");
        cache.unlock(receipt).expect("its own");
    };
    let warm = best(false, &mut cycle) - copying;
    println!("  match+slots+lock+unlock    {warm:5.2} us");
    println!(
        "  the same, cold             {:5.2} us",
        best(true, &mut cycle)
    );

    let pages = 2_048 / page_size;
    let mut evicting = 0.0;
    for _ in 0..200 {
        freed.clear();
        freed.reserve(2_048);
        let start = now();
        assert_eq!(cache.evict(pages, &mut freed), pages);
        evicting += now() - start;
    }
    println!(
        "  evict 2,048 tokens         {:5.2} us",
        (evicting / 200.0 - timer) / 1e3
    );
    let total = cache.total_len() / page_size;
    let start = now();
    freed = Vec::new();
    for _ in 0..total.div_ceil(pages) {
        freed.clear();
        cache.evict(pages, &mut freed);
    }
    let each = (now() - start) / total.div_ceil(pages) as f64 / 1e3;
    println!("  evict all, 2,048 at a time {each:5.2} us");
    let (held, freed) = (HELD.load(Ordering::Relaxed) - before, freed.capacity() * 4);
    println!(
        "  left when empty            {} bytes",
        held - freed
            - out.capacity() * 4
            - slots.capacity() * 4
            - prompt_bytes(&prompt)
            - order.capacity() * 8
    );
}

fn prompt_bytes<K>(prompt: &Vec<K>) -> usize {
    prompt.capacity() * size_of::<K>()
}
