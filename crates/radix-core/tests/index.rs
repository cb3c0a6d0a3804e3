//! Claims about the replicated index that are worth a name.
#![cfg(not(radixmesh_loom))]

use radix_core::id::{
    CopyId, CopyRange, Holder, Incarnation, Namespace, OpId, OriginId, Rank, Seq, SourceId, Tier,
};
use radix_core::{
    Fingerprint, Index, IndexConfig, InsertError, InsertRun, Matches, PathCopies, Place, Position,
    SnapshotDelta, SnapshotPlace, SnapshotRun,
};

const NS: Namespace = Namespace::DEFAULT;

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

fn pages(pages: &[u64]) -> Vec<Fingerprint> {
    pages.iter().copied().map(Fingerprint).collect()
}

fn run<'a>(tier: Tier, place: Place<'a>, pages: &'a [Fingerprint]) -> InsertRun<'a> {
    InsertRun {
        source: SourceId(0),
        tier,
        place,
        pages,
    }
}

fn store(index: &mut Index, rank: u16, seq: u64, path: &[u64]) {
    index
        .insert(
            op(rank, seq),
            run(Tier::Device, Place::Root(NS), &pages(path)),
        )
        .expect("a run that fits");
    index.debug_check();
}

fn lose(index: &mut Index, rank: u16, seq: u64, of: u64, idx: u16, len: u16) -> u64 {
    let range = CopyRange {
        seq: Seq(of),
        idx,
        len,
    };
    let dead = index.remove(op(rank, seq), &[range]);
    index.debug_check();
    dead
}

fn found(index: &Index, path: &[u64]) -> Vec<(Holder, u32)> {
    let mut out = Matches::new();
    index.matches(NS, &pages(path), &mut out);
    out.iter()
        .map(|(holder, depths)| (holder, depths[Tier::COUNT - 1]))
        .collect()
}

#[test]
fn head_first_eviction_is_never_over_counted() {
    let mut index = Index::new(IndexConfig::default());
    store(&mut index, 0, 1, &[1, 2]);
    store(&mut index, 1, 1, &[1, 2, 3, 4]);
    assert_eq!(lose(&mut index, 1, 2, 1, 0, 2), 2);
    store(&mut index, 2, 1, &[1, 2, 9]);
    index.reset_origin(op(2, 0).origin, Seq(2));
    assert_eq!(found(&index, &[1, 2, 3, 4]), [(holder(0), 2)]);
}

#[test]
fn a_hole_ends_the_prefix_and_a_second_copy_fills_it() {
    let mut index = Index::new(IndexConfig::default());
    store(&mut index, 0, 1, &[1, 2, 3, 4, 5]);
    assert_eq!(lose(&mut index, 0, 2, 1, 2, 1), 1);
    assert_eq!(found(&index, &[1, 2, 3, 4, 5]), [(holder(0), 2)]);
    let place = Place::Copy {
        seq: Seq(1),
        idx: 1,
    };
    index
        .insert(op(0, 3), run(Tier::Host, place, &pages(&[3, 7])))
        .unwrap();
    index.debug_check();
    assert_eq!(found(&index, &[1, 2, 3, 4, 5]), [(holder(0), 5)]);
    assert_eq!(found(&index, &[1, 2, 3, 7, 5]), [(holder(0), 4)]);
}

#[test]
fn each_tier_counts_pages_of_itself_and_faster_ones() {
    let mut index = Index::new(IndexConfig::default());
    store(&mut index, 0, 1, &[1, 2]);
    let place = Place::Copy {
        seq: Seq(1),
        idx: 1,
    };
    index
        .insert(op(0, 2), run(Tier::Disk, place, &pages(&[3])))
        .unwrap();
    let place = Place::Copy {
        seq: Seq(2),
        idx: 0,
    };
    index
        .insert(op(0, 3), run(Tier::Host, place, &pages(&[4])))
        .unwrap();
    let mut out = Matches::new();
    index.matches(NS, &pages(&[1, 2, 3, 4, 5]), &mut out);
    assert_eq!(out.iter().collect::<Vec<_>>(), [(holder(0), [2, 2, 4])]);
    assert_eq!(
        (out.deepest(), out.pages(holder(0)), out.pages(holder(1))),
        (4, 4, 0)
    );
}

#[test]
fn a_refused_insert_adds_nothing_but_moves_the_position() {
    let mut index = Index::new(IndexConfig::default());
    store(&mut index, 0, 1, &[1, 2]);
    let mut refused = |seq, place, path: &[Fingerprint], error: InsertError| {
        assert_eq!(
            index.insert(op(0, seq), run(Tier::Device, place, path)),
            Err(error)
        );
        assert_eq!(index.position(Rank(0)), Some((Incarnation(1), Seq(seq))));
        assert_eq!(index.copies(Rank(0)), 2);
        index.debug_check();
    };
    let parent = |seq, idx| InsertError::UnknownParent {
        rank: Rank(0),
        seq: Seq(seq),
        idx,
    };
    refused(
        2,
        Place::Copy {
            seq: Seq(1),
            idx: 2,
        },
        &pages(&[3]),
        parent(1, 2),
    );
    refused(
        3,
        Place::Copy {
            seq: Seq(2),
            idx: 0,
        },
        &pages(&[3]),
        parent(2, 0),
    );
    refused(4, Place::Root(NS), &[], InsertError::Empty);
    let long = InsertError::TooLong {
        pages: 65_536,
        pages_max: 65_535,
    };
    refused(5, Place::Root(NS), &vec![Fingerprint(1); 65_536], long);
    let misplaced = InsertError::Misplaced {
        rank: Rank(0),
        seq: Seq(1),
    };
    refused(1, Place::Root(NS), &pages(&[5]), misplaced);
}

#[test]
fn a_crooked_snapshot_leaves_the_rank_empty() {
    let part = |seq, idx, place, path: &[u64]| SnapshotRun {
        source: SourceId(0),
        tier: Tier::Device,
        place,
        seq: Seq(seq),
        idx,
        pages: pages(path),
    };
    let root = || SnapshotPlace::Root(NS);
    let path = |path: &[u64]| SnapshotPlace::Path(NS, pages(path));
    let crooked = [
        // The same copy twice.
        vec![
            part(1, 0, root(), &[1, 2, 3]),
            part(1, 2, path(&[1, 2]), &[3]),
        ],
        // Two parts of one op on different paths, or apart by another distance than their idx.
        vec![
            part(1, 0, root(), &[1, 2, 3]),
            part(1, 4, path(&[1, 2, 4, 4]), &[5]),
        ],
        vec![
            part(1, 0, root(), &[1, 2, 3]),
            part(1, 5, path(&[1, 2, 3, 4]), &[5]),
        ],
        vec![
            part(1, 4, path(&[1, 2, 3, 4]), &[5]),
            part(1, 0, root(), &[1, 2]),
        ],
        // A page whose op would begin above the root.
        vec![part(1, 1, root(), &[1, 2])],
    ];
    for runs in crooked {
        let mut index = Index::new(IndexConfig::default());
        store(&mut index, 0, 1, &[1, 2, 3, 4]);
        store(&mut index, 1, 1, &[1, 2]);
        let misplaced = InsertError::Misplaced {
            rank: Rank(0),
            seq: Seq(1),
        };
        assert_eq!(index.load(op(0, 0).origin, Seq(9), &runs), Err(misplaced));
        index.debug_check();
        store(&mut index, 0, 1, &[1, 2, 3, 4]);
        let delta = SnapshotDelta {
            runs,
            ..SnapshotDelta::default()
        };
        assert_eq!(
            index.load_delta(op(0, 0).origin, Seq(9), &delta),
            Err(misplaced)
        );
        index.debug_check();
        assert_eq!((index.copies(Rank(0)), index.digest(Rank(0))), (0, 0));
        assert_eq!(found(&index, &[1, 2, 3, 4]), [(holder(1), 2)]);
    }
}

#[test]
fn a_new_life_keeps_copies_only_when_renamed() {
    let mut index = Index::new(IndexConfig::default());
    store(&mut index, 0, 1, &[1, 2]);
    let copy = |inc| CopyId {
        origin: OriginId {
            rank: Rank(0),
            inc: Incarnation(inc),
        },
        seq: Seq(1),
        idx: 1,
    };
    assert!(index.is_live(copy(1)) && !index.is_live(copy(2)));
    let digest = index.digest(Rank(0));
    index.rename_incarnation(Rank(0), Incarnation(2));
    assert!(!index.is_live(copy(1)) && index.is_live(copy(2)));
    assert_eq!(
        (index.digest(Rank(0)), index.position(Rank(0))),
        (digest, Some((Incarnation(2), Seq(1))))
    );
    index.reset_origin(copy(3).origin, Seq(0));
    assert!(!index.is_live(copy(2)) && !index.is_live(copy(3)));
}

#[test]
fn copies_on_a_path_are_listed_across_nodes() {
    let mut index = Index::new(IndexConfig {
        readers_max: 1,
        run_pages_max: 2,
    });
    store(&mut index, 0, 1, &[1, 2, 3, 4, 5]);
    store(&mut index, 0, 2, &[1, 2, 3]);
    lose(&mut index, 0, 3, 1, 1, 1);
    let mut out = Vec::new();
    index.copies_on_path(holder(0), NS, &pages(&[1, 2, 3, 4, 8]), &mut out);
    let part = |page, len, seq, idx| PathCopies {
        page,
        len,
        seq: Seq(seq),
        idx,
        tier: Tier::Device,
    };
    assert_eq!(out, [part(0, 1, 1, 0), part(0, 3, 2, 0), part(2, 2, 1, 2)]);
}

#[test]
fn ten_thousand_children_come_and_go_and_leave_nothing() {
    let mut index = Index::new(IndexConfig::default());
    let empty = index.stats().bytes;
    let prompt = [1, 2, 3];
    store(&mut index, 0, 1, &prompt);
    let children = 10_000;
    for child in 0..children {
        let path = pages(&[100 + child, 7, 8]);
        let place = Place::Copy {
            seq: Seq(1),
            idx: 2,
        };
        index
            .insert(op(0, 2 + child), run(Tier::Device, place, &path))
            .unwrap();
    }
    index.debug_check();
    assert_eq!(index.stats().nodes, 1 + children);
    assert_eq!(found(&index, &[1, 2, 3, 100, 7, 9]), [(holder(0), 5)]);
    for child in 0..children {
        // In another order than they came.
        let seq = 2 + (child * 7_919) % children;
        let range = CopyRange {
            seq: Seq(seq),
            idx: 0,
            len: 3,
        };
        assert_eq!(index.remove(op(0, 20_000 + child), &[range]), 3);
    }
    index.debug_check();
    assert_eq!(index.stats().nodes, 1);
    assert_eq!(index.reset_source(op(0, 40_000), SourceId(0)), 3);
    let stats = index.stats();
    assert_eq!((stats.nodes, stats.pages, stats.copies), (0, 0, 0));
    assert!(
        stats.bytes < empty + 1_000,
        "{} bytes held, {empty} when new",
        stats.bytes
    );
}

#[test]
fn pages_zero_and_one_are_different_children() {
    let mut index = Index::new(IndexConfig::default());
    store(&mut index, 0, 1, &[0, 5]);
    store(&mut index, 1, 1, &[1, 5]);
    assert_eq!(found(&index, &[0, 5]), [(holder(0), 2)]);
    assert_eq!(found(&index, &[1, 5]), [(holder(1), 2)]);
    lose(&mut index, 0, 2, 1, 0, 2);
    assert_eq!(found(&index, &[0, 5]), []);
    assert_eq!(found(&index, &[1, 5]), [(holder(1), 2)]);
}

#[test]
fn a_very_long_path_of_tiny_runs_is_freed_without_recursion() {
    let mut index = Index::new(IndexConfig {
        readers_max: 1,
        run_pages_max: 1,
    });
    let mut above = Place::Root(NS);
    let run_of = vec![Fingerprint(3); 50_000];
    for seq in 1..=10 {
        index
            .insert(op(0, seq), run(Tier::Device, above, &run_of))
            .unwrap();
        above = Place::Copy {
            seq: Seq(seq),
            idx: 49_999,
        };
    }
    let reader = index.reader().unwrap();
    drop(index);
    let mut out = Matches::new();
    reader.matches(NS, &run_of, &mut out);
    assert_eq!(
        out.deepest(),
        0,
        "a reader that outlives its index finds nothing"
    );
}

#[test]
fn readers_are_counted_and_their_slots_come_back() {
    let index = Index::new(IndexConfig {
        readers_max: 2,
        run_pages_max: 4,
    });
    let (one, two) = (index.reader().unwrap(), index.reader().unwrap());
    assert_eq!(index.reader().err().unwrap().readers_max, 2);
    drop(one);
    let again = index.reader().unwrap();
    assert!(index.reader().is_err());
    drop((two, again));
}

#[test]
fn sources_are_limited_per_rank_and_their_numbers_come_back() {
    let mut index = Index::new(IndexConfig::default());
    let path = pages(&[1]);
    let of = |source| InsertRun {
        source: SourceId(source),
        ..run(Tier::Device, Place::Root(NS), &path)
    };
    for source in 0..1_024 {
        index
            .insert(op(0, 1 + u64::from(source)), of(source))
            .unwrap();
    }
    assert_eq!(
        index.insert(op(0, 2_000), of(5_000)),
        Err(InsertError::TooManyHolders)
    );
    assert_eq!(index.reset_source(op(0, 2_001), SourceId(3)), 1);
    assert_eq!(index.insert(op(0, 2_002), of(5_000)), Ok(()));
    index.debug_check();
    // Far more sources than numbers, one after the other.
    for seq in 0..70_000u64 {
        let source = u16::try_from(seq % 60_000).unwrap();
        index.insert(op(1, 1 + 2 * seq), of(source)).unwrap();
        assert_eq!(index.reset_source(op(1, 2 + 2 * seq), SourceId(source)), 1);
    }
    index.debug_check();
}

#[test]
fn positions_come_sorted_and_exact() {
    let mut index = Index::new(IndexConfig::default());
    let reader = index.reader().unwrap();
    let mut at = vec![];
    assert!(reader.positions(&mut at) && at.is_empty());
    index.skip(op(5, 3));
    store(&mut index, 2, 9, &[1]);
    let (mut out, two) = (Matches::new(), |rank, seq| Position {
        rank: Rank(rank),
        inc: Incarnation(1),
        seq: Seq(seq),
    });
    assert!(reader.matches_at(NS, &pages(&[1, 2]), &mut out, &mut at));
    assert_eq!(at, [two(2, 9), two(5, 3)]);
    assert_eq!(out.pages(holder(2)), 1);
}
