//! The tree on a chat-like load: how long a lookup, an insert and a remove take.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use radixmesh::engines::workload::chats;
use radixmesh::radix_core::id::{
    CopyRange, Holder, Incarnation, Namespace, OpId, OriginId, Rank, Seq, SourceId, Tier,
};
use radixmesh::radix_core::{
    Fingerprint, FingerprintKey, Index, IndexConfig, InsertRun, Matches, Place,
};

const PAGE_TOKENS: usize = 16;

/// Prompts of 400 chat requests as pages.
fn prompts() -> Vec<Vec<Fingerprint>> {
    let key = FingerprintKey::new(7);
    let pages = |tokens: &[u32]| {
        let mut pages = Vec::new();
        key.pages(tokens, PAGE_TOKENS, &mut pages);
        pages
    };
    chats(1, 400)
        .map(|request| pages(&request.tokens))
        .collect()
}

fn op(rank: u16, seq: u64) -> OpId {
    OpId {
        origin: OriginId {
            rank: Rank(rank),
            inc: Incarnation(1),
        },
        seq: Seq(seq),
    }
}

/// Inserts what `rank` does not hold yet, as its node would.
fn insert(index: &mut Index, rank: u16, seq: u64, pages: &[Fingerprint]) {
    let source = SourceId(0);
    let mut held = Vec::new();
    index.copies_on_path(
        Holder {
            rank: Rank(rank),
            source,
        },
        Namespace::DEFAULT,
        pages,
        &mut held,
    );
    let deepest = held.iter().max_by_key(|run| run.page);
    let (place, from) = match deepest {
        None => (Place::Root(Namespace::DEFAULT), 0),
        Some(run) => {
            let last = u16::try_from(run.len - 1).expect("prompts of the chats are short");
            (
                Place::Copy {
                    seq: run.seq,
                    idx: run.idx + last,
                },
                (run.page + run.len) as usize,
            )
        }
    };
    let pages = &pages[from..];
    if pages.is_empty() {
        return index.skip(op(rank, seq));
    }
    let run = InsertRun {
        source,
        tier: Tier::Device,
        place,
        pages,
    };
    index
        .insert(op(rank, seq), run)
        .expect("the parent is live");
}

/// Every rank holds every prompt: the widest answer.
fn filled(ranks: u16, prompts: &[Vec<Fingerprint>]) -> Index {
    let mut index = Index::new(IndexConfig::default());
    for (seq, pages) in (1..).zip(prompts) {
        for rank in 0..ranks {
            insert(&mut index, rank, seq, pages);
        }
    }
    index
}

fn matching(c: &mut Criterion) {
    let prompts = prompts();
    let mut group = c.benchmark_group("tree::match");
    for ranks in [1u16, 8, 64] {
        let index = filled(ranks, &prompts);
        let reader = index.reader().expect("one reader");
        let mut out = Matches::new();
        let mut next = prompts.iter().cycle();
        group.bench_function(
            BenchmarkId::from_parameter(format!("holders={ranks}")),
            |b| {
                b.iter(|| {
                    let pages = next.next().expect("endless");
                    reader.matches(Namespace::DEFAULT, black_box(pages), &mut out);
                    out.deepest()
                });
            },
        );
    }
    group.finish();
}

fn applying(c: &mut Criterion) {
    let prompts = prompts();
    let pages = filled(1, &prompts).stats().copies;
    let mut group = c.benchmark_group("tree::apply");
    group
        .throughput(Throughput::Elements(pages))
        .sample_size(20);
    group.bench_function("insert", |b| {
        b.iter_batched(
            || Index::new(IndexConfig::default()),
            |mut index| {
                for (seq, pages) in (1..).zip(&prompts) {
                    insert(&mut index, 0, seq, pages);
                }
                index
            },
            BatchSize::LargeInput,
        );
    });
    group.bench_function("remove", |b| {
        b.iter_batched(
            || filled(1, &prompts),
            |mut index| {
                for (seq, pages) in (1..).zip(&prompts) {
                    let len = u16::try_from(pages.len()).expect("prompts of the chats are short");
                    let copies = [CopyRange {
                        seq: Seq(seq),
                        idx: 0,
                        len,
                    }];
                    index.remove(op(0, prompts.len() as u64 + seq), &copies);
                }
                index
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, matching, applying);
criterion_main!(benches);
