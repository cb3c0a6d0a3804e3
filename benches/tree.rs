//! The tree on a chat-like load: how long a lookup, an insert and a remove take, each also in the way that is
//! special to us. See benches/README.md.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};

use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use radixmesh::engines::workload::chats;
use radixmesh::radix_core::id::{
    CopyRange, Holder, Incarnation, Namespace, OpId, OriginId, Rank, Seq, SourceId, Tier,
};
use radixmesh::radix_core::{
    Fingerprint, FingerprintKey, Index, IndexConfig, InsertRun, Matches, Place,
};

const PAGE_TOKENS: usize = 16;
/// The rank that is written to beside a reader.
const WRITER: u16 = 63;
/// Pages that decoding completes one by one.
const APPENDED: u64 = 1_000;

type Group<'a> = BenchmarkGroup<'a, WallTime>;

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

fn range(seq: u64, idx: usize, len: usize) -> CopyRange {
    CopyRange {
        seq: Seq(seq),
        idx: u16::try_from(idx).expect("prompts of the chats are short"),
        len: u16::try_from(len).expect("prompts of the chats are short"),
    }
}

/// Returns the ops of rank 0 that have copies, and how many: all live, from idx 0.
fn lengths(index: &Index) -> Vec<(u64, usize)> {
    let mut lengths = BTreeMap::new();
    for run in index.snapshot(Rank(0)) {
        *lengths.entry(run.seq.0).or_insert(0) += run.pages.len();
    }
    lengths.into_iter().collect()
}

/// Appends a page at a time behind the first prompt.
fn append(index: &mut Index) {
    let (seq, len) = lengths(index)[0];
    let mut parent = range(seq, len - 1, 1);
    for seq in 2..APPENDED + 2 {
        let run = InsertRun {
            source: SourceId(0),
            tier: Tier::Device,
            place: Place::Copy {
                seq: parent.seq,
                idx: parent.idx,
            },
            pages: &[Fingerprint(seq.wrapping_mul(0x9e37_79b9_7f4a_7c15))],
        };
        index.insert(op(0, seq), run).expect("the parent is live");
        parent = range(seq, 0, 1);
    }
}

/// Removes copies of rank 0, so many ranges an op.
fn remove(index: &mut Index, copies: &[CopyRange], ranges_per_op: usize) {
    let (_, Seq(last)) = index.position(Rank(0)).expect("rank 0 is filled");
    for (seq, copies) in (last + 1..).zip(copies.chunks(ranges_per_op)) {
        black_box(index.remove(op(0, seq), copies));
    }
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

/// A reader asks while a writer stores a prompt at one rank and drops it again, without a pause.
fn beside(c: &mut Criterion) {
    let prompts = prompts();
    let mut index = filled(8, &prompts);
    let reader = index.reader().expect("one reader");
    let mut out = Matches::new();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut pairs = (1..).step_by(2).zip(prompts.iter().cycle());
            while !stop.load(Ordering::Relaxed) {
                let (seq, pages) = pairs.next().expect("endless");
                insert(&mut index, WRITER, seq, pages);
                index.remove(op(WRITER, seq + 1), &[range(seq, 0, pages.len())]);
            }
        });
        let mut next = prompts.iter().cycle();
        c.bench_function("tree::match/beside a writer", |b| {
            b.iter(|| {
                let pages = next.next().expect("endless");
                reader.matches(Namespace::DEFAULT, black_box(pages), &mut out);
                out.deepest()
            });
        });
        stop.store(true, Ordering::Relaxed);
    });
}

/// Measures a change of a tree; what it changes is made anew each time.
fn change<'a, I>(
    group: &mut Group<'a>,
    name: &str,
    elements: u64,
    setup: impl Fn() -> I,
    mut routine: impl FnMut(&mut I),
) {
    group.throughput(Throughput::Elements(elements));
    group.bench_function(name, |b| {
        b.iter_batched(
            &setup,
            |mut changed| {
                routine(&mut changed);
                changed
            },
            BatchSize::LargeInput,
        );
    });
}

fn applying(c: &mut Criterion) {
    let prompts = prompts();
    let pages = filled(1, &prompts).stats().copies;
    let mut group = c.benchmark_group("tree::apply");
    group.sample_size(20);
    let empty = || Index::new(IndexConfig::default());
    let one = || filled(1, &prompts);
    let store = |index: &mut Index, rank| {
        for (seq, pages) in (1..).zip(&prompts) {
            insert(index, rank, seq, pages);
        }
    };
    change(&mut group, "insert", pages, empty, |index| store(index, 0));
    change(&mut group, "second holder", pages, one, |index| {
        store(index, 1)
    });
    change(
        &mut group,
        "append",
        APPENDED,
        || filled(1, &prompts[..1]),
        append,
    );
    let whole: Vec<CopyRange> = (1..)
        .zip(&prompts)
        .map(|(seq, pages)| range(seq, 0, pages.len()))
        .collect();
    change(&mut group, "remove", pages, one, |index| {
        remove(index, &whole, 1);
    });
    let lengths = lengths(&one());
    let every = |(seq, len): &(u64, usize)| {
        let seq = *seq;
        (0..*len).map(move |idx| range(seq, idx, 1))
    };
    let mut single: Vec<CopyRange> = lengths.iter().flat_map(every).collect();
    fastrand::Rng::with_seed(3).shuffle(&mut single);
    change(&mut group, "remove random", pages, one, |index| {
        remove(index, &single, 64);
    });
    let middle: Vec<CopyRange> = lengths
        .iter()
        .map(|(seq, len)| range(*seq, len / 2, 1))
        .collect();
    change(
        &mut group,
        "cut inside",
        middle.len() as u64,
        one,
        |index| {
            remove(index, &middle, 1);
        },
    );
    group.finish();
}

criterion_group!(benches, matching, beside, applying);
criterion_main!(benches);
