//! A quick measurement: apply in pages per second and thread, match in nanoseconds, bytes per copy.
//! `cargo run --release -p radix-core --example throughput -- [workers] [replicas]`
//!
//! Workers hold conversations that share system prompts; each conversation is inserted turn by turn at
//! `replicas` workers, and asked for at every turn.

use radix_core::id::{
    CopyRange, Incarnation, Namespace, OpId, OriginId, Rank, Seq, SourceId, Tier,
};
use radix_core::{Fingerprint, Index, IndexConfig, InsertRun, Matches, Place};

const PAGES_PER_WORKER: usize = 16_384;

/// CPU time of this thread, so that a busy machine disturbs less.
#[derive(Clone, Copy)]
struct Cpu(f64);

impl Cpu {
    fn now() -> Cpu {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Cpu(time.tv_sec as f64 * 1e9 + time.tv_nsec as f64)
    }
}

fn main() {
    let mut args = std::env::args()
        .skip(1)
        .map(|arg| arg.parse().expect("a number"));
    let workers: u16 = args.next().unwrap_or(8);
    let replicas: u16 = args.next().unwrap_or(1);
    let mut random = fastrand::Rng::with_seed(1);
    let mut prompts = Vec::new();
    for _ in 0..32 {
        prompts.push(fresh(&mut random, 4..40));
    }
    // (worker, turns) per conversation; a turn is the path so far and how much of it is new.
    let mut ops: Vec<(Rank, Place<'static>, &'static [Fingerprint])> = Vec::new();
    let mut queries: Vec<&'static [Fingerprint]> = Vec::new();
    let mut held = vec![0; workers as usize];
    let mut next_seq = vec![0u64; workers as usize];
    let mut prompt_at = std::collections::BTreeMap::new();
    while held.iter().any(|pages| *pages < PAGES_PER_WORKER) {
        let prompt = random.usize(..prompts.len());
        let mut path = prompts[prompt].clone();
        let mut cuts = vec![path.len()];
        for _ in 0..random.usize(1..5) {
            path.extend(fresh(&mut random, 1..60));
            cuts.push(path.len());
        }
        let path: &'static [Fingerprint] = path.leak();
        for cut in &cuts[1..] {
            queries.push(&path[..*cut]);
        }
        let first = random.u16(..workers);
        for replica in 0..replicas {
            let worker = (first + replica) % workers;
            let seqs = &mut next_seq[worker as usize];
            let (mut above, mut from) = match prompt_at.get(&(worker, prompt)) {
                Some(seq) => (*seq, cuts[0]),
                None => (0, 0),
            };
            for (turn, cut) in cuts.iter().enumerate() {
                if from == *cut {
                    continue;
                }
                let place = if from == 0 {
                    Place::Root(Namespace::DEFAULT)
                } else {
                    let len = if turn == 1 {
                        cuts[0]
                    } else {
                        from - cuts[turn - 2]
                    };
                    Place::Copy {
                        seq: Seq(above),
                        idx: u16::try_from(len - 1).expect("short turns"),
                    }
                };
                *seqs += 1;
                if turn == 0 {
                    prompt_at.insert((worker, prompt), *seqs);
                }
                ops.push((Rank(worker), place, &path[from..*cut]));
                held[worker as usize] += cut - from;
                (above, from) = (*seqs, *cut);
            }
        }
    }
    let mut index = Index::new(IndexConfig::default());
    let pages: usize = ops.iter().map(|op| op.2.len()).sum();
    let mut seqs = vec![0u64; workers as usize];
    let start = Cpu::now();
    for (rank, place, pages) in &ops {
        let at = next(&mut seqs, *rank);
        let run = InsertRun {
            source: SourceId(0),
            tier: Tier::Device,
            place: *place,
            pages,
        };
        index.insert(at, run).expect("ops of a correct log");
    }
    report("insert", start, pages);
    let stats = index.stats();
    let per_copy = stats.bytes as f64 / stats.copies as f64;
    println!(
        "{stats:?}: {per_copy:.1} bytes per copy, {:.1} pages per op",
        pages as f64 / ops.len() as f64
    );

    let reader = index.reader().expect("the first reader");
    let mut out = Matches::new();
    random.shuffle(&mut queries);
    // A query was just computed, so it is in the cache: copy each, and subtract what the copying takes.
    let mut query = Vec::new();
    let mut pass = |ask: bool| {
        let start = Cpu::now();
        for pages in &queries {
            query.clear();
            query.extend_from_slice(pages);
            if ask {
                reader.matches(Namespace::DEFAULT, std::hint::black_box(&query), &mut out);
            }
        }
        Cpu::now().0 - start.0
    };
    let copying = pass(false).min(pass(false)).min(pass(false));
    let asking = pass(true).min(pass(true)).min(pass(true));
    println!(
        "match: {:.1} ns each",
        (asking - copying) / queries.len() as f64
    );

    let hot = queries[0];
    let start = Cpu::now();
    for _ in 0..100_000 {
        reader.matches(Namespace::DEFAULT, std::hint::black_box(hot), &mut out);
    }
    let asking = Cpu::now().0 - start.0;
    println!(
        "the same match again: {:.1} ns each, {} pages, {} holders",
        asking / 1e5,
        out.deepest(),
        out.iter().len()
    );

    // Half of the copies in random order, page by page in batches of 64, then the rest origin by origin.
    let mut copies: Vec<(Rank, CopyRange)> = Vec::new();
    let mut seqs_seen = vec![0u64; workers as usize];
    for (rank, _, pages) in &ops {
        let at = next(&mut seqs_seen, *rank);
        for idx in 0..pages.len() {
            let idx = u16::try_from(idx).expect("short turns");
            copies.push((
                *rank,
                CopyRange {
                    seq: at.seq,
                    idx,
                    len: 1,
                },
            ));
        }
    }
    random.shuffle(&mut copies);
    copies.truncate(copies.len() / 2);
    let ranges = |batch: &[(Rank, CopyRange)]| batch.iter().map(|copy| copy.1).collect::<Vec<_>>();
    copies.sort_by_key(|copy| copy.0);
    let start = Cpu::now();
    let mut dead = 0;
    for batch in copies.chunks(64) {
        for of_rank in batch.chunk_by(|a, b| a.0 == b.0) {
            dead += index.remove(next(&mut seqs, of_rank[0].0), &ranges(of_rank));
        }
    }
    assert_eq!(dead, copies.len() as u64);
    report("remove in random order", start, copies.len());
    index.debug_check();
    println!("{:?}", index.stats());
    let start = Cpu::now();
    let left = index.stats().copies;
    for rank in (0..workers).map(Rank) {
        index.reset_origin(next(&mut seqs, rank).origin, Seq::ZERO);
    }
    report("reset origins", start, usize::try_from(left).expect("fits"));
    println!("{:?}", index.stats());
}

fn fresh(random: &mut fastrand::Rng, len: std::ops::Range<usize>) -> Vec<Fingerprint> {
    (0..random.usize(len))
        .map(|_| Fingerprint(random.u64(..)))
        .collect()
}

fn next(seqs: &mut [u64], rank: Rank) -> OpId {
    let seq = &mut seqs[rank.0 as usize];
    *seq += 1;
    OpId {
        origin: OriginId {
            rank,
            inc: Incarnation(1),
        },
        seq: Seq(*seq),
    }
}

fn report(what: &str, start: Cpu, count: usize) {
    let nanos = Cpu::now().0 - start.0;
    println!(
        "{what}: {count} in {:.1} ms, {:.1} ns each, {:.1} M/s",
        nanos / 1e6,
        nanos / count as f64,
        count as f64 * 1e3 / nanos
    );
}
