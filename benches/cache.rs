//! An engine's cache on a chat-like load: what a request pays for its prefix, for its insert and for room.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use radixmesh::engines::workload::chats;
use radixmesh::radix_core::cache::{Cache, CacheConfig};
use radixmesh::radix_core::id::Namespace;

const PAGE_TOKENS: usize = 16;
const NS: Namespace = Namespace::DEFAULT;

/// Whole pages of 400 chat requests.
fn prompts() -> Vec<Vec<u32>> {
    chats(1, 400)
        .map(|request| {
            let mut tokens = request.tokens;
            tokens.truncate(tokens.len() / PAGE_TOKENS * PAGE_TOKENS);
            tokens
        })
        .collect()
}

fn empty() -> Cache {
    Cache::new(CacheConfig {
        page_size: PAGE_TOKENS,
        ..CacheConfig::default()
    })
    .expect("a page size in range")
}

/// Inserts everything; slots count up.
fn fill(cache: &mut Cache, prompts: &[Vec<u32>], slots: &[u32]) {
    let (mut given, mut duplicates) = (0, Vec::new());
    for prompt in prompts {
        let slots = &slots[given..given + prompt.len()];
        given += prompt.len();
        duplicates.clear();
        cache
            .insert(NS, prompt, slots, 0, &mut duplicates)
            .expect("a slot for every token");
    }
}

fn cache(c: &mut Criterion) {
    let prompts = prompts();
    let tokens: usize = prompts.iter().map(Vec::len).sum();
    let slots: Vec<u32> = (0..).take(tokens).collect();
    let mut full = empty();
    fill(&mut full, &prompts, &slots);
    let mut group = c.benchmark_group("cache");
    group.throughput(Throughput::Elements(prompts.len() as u64));
    let mut out = Vec::new();
    group.bench_function("match+slots+lock+unlock/400 requests", |b| {
        b.iter(|| {
            for prompt in &prompts {
                let found = full.match_prefix(NS, black_box(prompt));
                out.clear();
                full.slots(found.handle, &mut out).expect("just matched");
                black_box(&out);
                let receipt = full.lock(found.handle).expect("just matched");
                full.unlock(receipt).expect("this cache's receipt");
            }
        });
    });
    group.bench_function("insert/400 requests", |b| {
        b.iter_batched(
            empty,
            |mut cache| {
                fill(&mut cache, &prompts, &slots);
                cache
            },
            BatchSize::LargeInput,
        );
    });
    let pages = full.total_len() / PAGE_TOKENS;
    group.throughput(Throughput::Elements(pages as u64));
    group.bench_function("evict all/128 pages at a time", |b| {
        b.iter_batched(
            || (full.clone(), Vec::new()),
            |(mut cache, mut freed)| {
                while cache.evict(128, &mut freed) > 0 {
                    freed.clear();
                }
                cache
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, cache);
criterion_main!(benches);
