//! Readers beside a writer on real threads: every answer is one that some instant allows.
#![cfg(not(radixmesh_loom))]
#![expect(clippy::unwrap_used, reason = "helpers of a test")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use radix_core::id::{
    CopyRange, Holder, Incarnation, Namespace, OpId, OriginId, Rank, Seq, SourceId, Tier,
};
use radix_core::{Fingerprint, Index, IndexConfig, InsertRun, Matches, Place};

const NS: Namespace = Namespace::DEFAULT;
/// Pages of the path that rank 0 holds from beginning to end.
const PATH: u64 = 24;
/// Rounds of the writer.
const ROUNDS: u64 = 6_000;
/// Ops of rank 1 in a round, and the depth it holds after each.
const OPS: u64 = 4;
const DEPTH_AFTER: [u32; OPS as usize] = [8, 20, 13, 0];

fn op(rank: u16, seq: u64) -> OpId {
    OpId {
        origin: OriginId {
            rank: Rank(rank),
            inc: Incarnation(1),
        },
        seq: Seq(seq),
    }
}

fn holder(rank: u16) -> Holder {
    Holder {
        rank: Rank(rank),
        source: SourceId(0),
    }
}

fn run<'a>(place: Place<'a>, pages: &'a [Fingerprint]) -> InsertRun<'a> {
    InsertRun {
        source: SourceId(0),
        tier: Tier::Device,
        place,
        pages,
    }
}

/// Rank 1 stores 8 pages, 12 more, loses 7 of the tail, then all. Rank 2 branches off here and there, so that
/// runs split and join under the readers.
fn write(index: &mut Index, path: &[Fingerprint]) {
    for round in 0..ROUNDS {
        let seq = |step| round * OPS + step;
        index
            .insert(op(1, seq(1)), run(Place::Root(NS), &path[..8]))
            .unwrap();
        let branch = usize::try_from(round % PATH).unwrap();
        let mut side = path[..branch].to_vec();
        side.extend([Fingerprint(1_000 + round), Fingerprint(5)]);
        index
            .insert(op(2, 2 * round + 1), run(Place::Root(NS), &side))
            .unwrap();
        let place = Place::Copy {
            seq: Seq(seq(1)),
            idx: 7,
        };
        index
            .insert(op(1, seq(2)), run(place, &path[8..20]))
            .unwrap();
        let range = |of, idx, len| CopyRange {
            seq: Seq(seq(of)),
            idx,
            len,
        };
        assert_eq!(index.remove(op(1, seq(3)), &[range(2, 5, 7)]), 7);
        let of_two = CopyRange {
            seq: Seq(2 * round + 1),
            idx: 0,
            len: 100,
        };
        index.remove(op(2, 2 * round + 2), &[of_two]);
        assert_eq!(
            index.remove(op(1, seq(4)), &[range(2, 0, 5), range(1, 0, 8)]),
            13
        );
    }
}

#[test]
fn every_answer_beside_a_writer_is_possible() {
    let path: Vec<Fingerprint> = (1..=PATH).map(Fingerprint).collect();
    let mut index = Index::new(IndexConfig {
        readers_max: 3,
        run_pages_max: 16,
    });
    index.insert(op(0, 1), run(Place::Root(NS), &path)).unwrap();
    let (done, exact) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let reader = index.reader().unwrap();
            scope.spawn(|| {
                let (reader, path) = (reader, &path);
                let (mut out, mut at) = (Matches::new(), Vec::new());
                while !done.load(Ordering::Relaxed) {
                    reader.matches(NS, path, &mut out);
                    assert_eq!(
                        out.pages(holder(0)),
                        24,
                        "what nobody touches is always whole"
                    );
                    // Between two runs the writer may be an op further, which only rank 1's own ops show.
                    assert!(out.pages(holder(1)) <= 20);
                    assert!(out.pages(holder(2)) < 24);
                    if reader.matches_at(NS, path, &mut out, &mut at) {
                        exact.fetch_add(1, Ordering::Relaxed);
                        let position = at.iter().find(|position| position.rank == Rank(1));
                        let seq = position.map_or(0, |position| position.seq.0);
                        let expect = match seq {
                            0 => 0,
                            seq => DEPTH_AFTER[usize::try_from((seq - 1) % OPS).unwrap()],
                        };
                        assert_eq!(out.pages(holder(1)), expect, "at op {seq}");
                        assert_eq!(out.pages(holder(0)), 24);
                    }
                }
            });
        }
        write(&mut index, &path);
        while exact.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        done.store(true, Ordering::Relaxed);
    });
    index.debug_check();
    assert_eq!(index.stats().copies, PATH);
}
