//! What must hold after any ops.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::naive::Naive;
use super::ops::{Op, Shape, apply, op_id, prints, resolve, shape};
use crate::id::{CopyId, Holder, Namespace, Rank, Seq, SourceId};
use crate::{Fingerprint, Index, IndexConfig, Matches, PathCopies, SnapshotDelta};

const RANKS: u16 = 4;

fn index(run_pages_max: usize) -> Index {
    Index::new(IndexConfig {
        readers_max: 2,
        run_pages_max,
    })
}

fn found(
    index: &Index,
    namespace: Namespace,
    pages: &[Fingerprint],
    out: &mut Matches,
) -> Vec<(Holder, [u32; 3])> {
    index.matches(namespace, pages, out);
    let found: Vec<_> = out.iter().collect();
    assert_eq!(
        out.deepest(),
        found.iter().map(|(_, depths)| depths[2]).max().unwrap_or(0)
    );
    assert!(
        found
            .iter()
            .all(|(holder, depths)| out.pages(*holder) == depths[2])
    );
    found
}

/// Queries that meet something: paths of copies, shortened, lengthened and bent.
fn queries(model: &Naive, salt: usize) -> Vec<(Namespace, Vec<Fingerprint>)> {
    let paths: Vec<_> = model.copies.values().collect();
    let mut all = vec![
        (Namespace(0), prints(&[0; 12])),
        (Namespace(1), prints(&[1])),
    ];
    for step in 0..paths.len().min(5) {
        let copy = paths[(salt * 31 + step * 17) % paths.len()];
        let mut path = copy.path.clone();
        path.extend(prints(&[0, 0, 1]));
        all.push((copy.namespace, path.clone()));
        let bent = (salt + step) % path.len();
        path[bent] = Fingerprint(path[bent].0 ^ 1);
        all.push((copy.namespace, path));
    }
    all
}

fn check(index: &Index, model: &Naive, salt: usize, out: &mut Matches) {
    index.debug_check();
    for rank in (0..RANKS).map(Rank) {
        assert_eq!(
            index.digest(rank),
            model.digest(rank),
            "digest of rank {rank}"
        );
        let copies = model.copies.keys().filter(|key| key.0 == rank).count();
        assert_eq!(index.copies(rank), u64::try_from(copies).unwrap());
    }
    for (namespace, pages) in queries(model, salt) {
        assert_eq!(
            found(index, namespace, &pages, out),
            model.matches(namespace, &pages),
            "query {namespace:?} {pages:?}"
        );
        check_path(index, model, namespace, &pages);
    }
    for ((rank, seq, idx), _) in model.copies.iter().step_by(7) {
        let copy = |idx| CopyId {
            origin: op_id(*rank, 0).origin,
            seq: *seq,
            idx,
        };
        assert!(index.is_live(copy(*idx)));
        assert_eq!(
            index.is_live(copy(idx + 1)),
            model.copies.contains_key(&(*rank, *seq, idx + 1))
        );
    }
    assert_eq!(
        index.stats().copies,
        u64::try_from(model.copies.len()).unwrap()
    );
    if model.copies.is_empty() {
        assert_eq!(
            (index.stats().nodes, index.stats().pages),
            (0, 0),
            "an empty index holds nothing"
        );
    }
}

fn check_path(index: &Index, model: &Naive, namespace: Namespace, pages: &[Fingerprint]) {
    let holder = Holder {
        rank: Rank(1),
        source: SourceId(0),
    };
    let mut out = Vec::new();
    index.copies_on_path(holder, namespace, pages, &mut out);
    let one = |run: &PathCopies| {
        let run = *run;
        (0..run.len).map(move |at| (run.seq, u32::from(run.idx) + at, run.page + at, run.tier))
    };
    let mut flat: Vec<_> = out.iter().flat_map(one).collect();
    flat.sort_unstable();
    let on_path = model.copies.iter().filter(|((rank, _, _), copy)| {
        *rank == holder.rank
            && copy.source == holder.source
            && copy.namespace == namespace
            && pages.starts_with(&copy.path)
    });
    let expect: Vec<_> = on_path
        .map(|((_, seq, idx), copy)| {
            (
                *seq,
                u32::from(*idx),
                u32::try_from(copy.path.len() - 1).unwrap(),
                copy.tier,
            )
        })
        .collect();
    assert_eq!(flat, expect);
}

fn run(shapes: &[Shape], run_pages_max: usize) -> (Index, Naive, Vec<(Rank, u64, Op)>) {
    let (mut index, mut model, mut log) = (index(run_pages_max), Naive::default(), Vec::new());
    let mut out = Matches::new();
    let mut seqs = [0; RANKS as usize];
    for (step, shape) in shapes.iter().enumerate() {
        let (rank, op) = resolve(shape, &model);
        let seq = &mut seqs[rank.0 as usize];
        *seq += 1;
        apply(&mut index, &mut model, op_id(rank, *seq), &op);
        check(&index, &model, step, &mut out);
        log.push((rank, *seq, op));
    }
    (index, model, log)
}

proptest! {
    #[test]
    fn any_ops_agree_with_the_model(
        shapes in prop::collection::vec(shape(), 1..60),
        run_pages_max in prop_oneof![Just(1), Just(2), Just(4), Just(5), Just(1024)],
    ) {
        run(&shapes, run_pages_max);
    }

    #[test]
    fn any_interleaving_gives_the_same_answers(
        shapes in prop::collection::vec(shape(), 1..60),
        order in prop::collection::vec(any::<u16>(), 60),
    ) {
        let (first, model, log) = run(&shapes, 4);
        // The same logs, each in order, folded in another interleaving into a tree of other runs.
        let mut second = index(1024);
        let mut logs: BTreeMap<Rank, Vec<_>> = BTreeMap::new();
        for (rank, seq, op) in log.into_iter().rev() {
            logs.entry(rank).or_default().push((seq, op));
        }
        for pick in order.iter().cycle() {
            let Some(rank) = logs.keys().nth(*pick as usize % logs.len().max(1)).copied() else { break };
            match logs.get_mut(&rank).unwrap().pop() {
                // The model only answers whether an insert's parent lives, which is the rank's own affair.
                Some((seq, op)) => {
                    let mut own = own_copies(&second, rank);
                    apply(&mut second, &mut own, op_id(rank, seq), &op);
                }
                None => drop(logs.remove(&rank)),
            }
        }
        let mut out = Matches::new();
        check(&second, &model, 0, &mut out);
        for rank in (0..RANKS).map(Rank) {
            prop_assert_eq!(first.digest(rank), second.digest(rank));
            prop_assert_eq!(first.snapshot(rank), second.snapshot(rank));
            prop_assert_eq!(first.position(rank), second.position(rank));
        }
    }

    #[test]
    fn snapshots_build_the_same_index(shapes in prop::collection::vec(shape(), 1..60)) {
        let (index_one, model, _) = run(&shapes, 4);
        let mut fresh = index(3);
        for rank in (0..RANKS).map(Rank) {
            if let Some((inc, seq)) = index_one.position(rank) {
                let origin = crate::id::OriginId { rank, inc };
                prop_assert_eq!(fresh.load(origin, seq, &index_one.snapshot(rank)), Ok(()));
            }
        }
        check(&fresh, &model, 3, &mut Matches::new());
        for rank in (0..RANKS).map(Rank) {
            prop_assert_eq!(fresh.digest(rank), index_one.digest(rank));
            prop_assert_eq!(fresh.position(rank), index_one.position(rank));
        }
    }

    #[test]
    fn a_delta_from_any_base_takes_any_place_behind_it_to_the_end(
        shapes in prop::collection::vec(shape(), 1..60),
        picks in prop::collection::vec((any::<usize>(), any::<usize>()), RANKS as usize),
    ) {
        let (end, model, log) = run(&shapes, 4);
        let mut behind = index(3);
        for (rank, (base, place)) in (0..RANKS).map(Rank).zip(picks) {
            let ops: Vec<_> = log.iter().filter(|(of, _, _)| *of == rank).collect();
            let base = base % (ops.len() + 1);
            let place = base + place % (ops.len() - base + 1);
            for (_, seq, op) in &ops[..place] {
                let mut own = own_copies(&behind, rank);
                apply(&mut behind, &mut own, op_id(rank, *seq), op);
            }
            let Some((inc, seq)) = end.position(rank) else { continue };
            let delta = delta(&end, rank, Seq(base as u64), ops[base..].iter().map(|(_, _, op)| op));
            prop_assert_eq!(behind.load_delta(crate::id::OriginId { rank, inc }, seq, &delta), Ok(()));
        }
        check(&behind, &model, 3, &mut Matches::new());
        for rank in (0..RANKS).map(Rank) {
            prop_assert_eq!(behind.digest(rank), end.digest(rank));
            prop_assert_eq!(behind.position(rank), end.position(rank));
            prop_assert_eq!(behind.snapshot(rank), end.snapshot(rank));
        }
    }
}

/// What the ops behind `base` made of a rank's copies.
fn delta<'a>(
    end: &Index,
    rank: Rank,
    base: Seq,
    ops: impl Iterator<Item = &'a Op>,
) -> SnapshotDelta {
    let mut delta = SnapshotDelta {
        base,
        runs: end.snapshot_behind(rank, base),
        ..SnapshotDelta::default()
    };
    for op in ops {
        match op {
            Op::Remove(ranges) => delta
                .removed
                .extend(ranges.iter().filter(|range| range.seq <= base)),
            Op::ResetSource(source) => delta.sources.push(*source),
            Op::ResetOrigin => delta.sources.extend((0..2).map(SourceId)),
            Op::Insert { .. } | Op::Reload => {}
        }
    }
    delta
}

/// A model of one rank's copies, read back from its snapshot.
fn own_copies(index: &Index, rank: Rank) -> Naive {
    let mut model = Naive::default();
    for run in index.snapshot(rank) {
        let mut own = Naive {
            copies: model.copies.clone(),
        };
        let insert = crate::InsertRun {
            source: run.source,
            tier: run.tier,
            place: run.place.as_place(),
            pages: &run.pages,
        };
        // Under a seq of its own, then renamed: the model numbers from 0.
        assert!(own.insert(rank, Seq(u64::MAX), insert));
        for ((_, seq, idx), copy) in own.copies {
            let key = if seq == Seq(u64::MAX) {
                (rank, run.seq, run.idx + idx)
            } else {
                (rank, seq, idx)
            };
            model.copies.insert(key, copy);
        }
    }
    model
}
