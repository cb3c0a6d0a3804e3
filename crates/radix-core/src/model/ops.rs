//! Random ops: shapes that are resolved against the model when they are applied.

use proptest::prelude::*;

use super::naive::Naive;
use crate::id::{CopyRange, Incarnation, Namespace, OpId, OriginId, Rank, Seq, SourceId, Tier};
use crate::{Fingerprint, Index, InsertError, InsertRun, Place};

/// An op before it is resolved: `usize` picks one of what there is.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    Insert {
        rank: u16,
        source: u16,
        tier: usize,
        place: PlaceShape,
        pages: Vec<u64>,
    },
    Remove {
        rank: u16,
        picks: Vec<(usize, Cut)>,
    },
    ResetSource {
        rank: u16,
        source: u16,
    },
    ResetOrigin {
        rank: u16,
    },
    Reload {
        rank: u16,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum PlaceShape {
    Root(u64),
    Copy(usize),
    Path(u64, Vec<u64>),
    Nowhere,
}

/// Which part of the picked op goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    Tail(u16),
    Head(u16),
    Inside,
    One,
    All,
}

/// An op as a log holds it.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Insert {
        source: SourceId,
        tier: Tier,
        place: OwnedPlace,
        pages: Vec<Fingerprint>,
    },
    Remove(Vec<CopyRange>),
    ResetSource(SourceId),
    ResetOrigin,
    Reload,
}

#[derive(Clone, Debug)]
pub(crate) enum OwnedPlace {
    Root(Namespace),
    Copy(Seq, u16),
    Path(Namespace, Vec<Fingerprint>),
}

impl OwnedPlace {
    fn as_place(&self) -> Place<'_> {
        match self {
            OwnedPlace::Root(namespace) => Place::Root(*namespace),
            OwnedPlace::Copy(seq, idx) => Place::Copy {
                seq: *seq,
                idx: *idx,
            },
            OwnedPlace::Path(namespace, path) => Place::Path(*namespace, path),
        }
    }
}

/// Few different pages, so that paths meet and part often.
fn pages(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(
        prop_oneof![6 => Just(0u64), 2 => Just(1), 1 => Just(2)],
        len,
    )
}

pub(crate) fn shape() -> impl Strategy<Value = Shape> {
    let place = prop_oneof![
        2 => (0..2u64).prop_map(PlaceShape::Root),
        5 => any::<usize>().prop_map(PlaceShape::Copy),
        1 => (0..2u64, pages(0..6)).prop_map(|(namespace, path)| PlaceShape::Path(namespace, path)),
        1 => Just(PlaceShape::Nowhere),
    ];
    let cut = prop_oneof![
        (1..4u16).prop_map(Cut::Tail),
        (1..4u16).prop_map(Cut::Head),
        Just(Cut::Inside),
        Just(Cut::One),
        Just(Cut::All),
    ];
    let rank = 0..4u16;
    prop_oneof![
        10 => (rank.clone(), 0..2u16, 0..3usize, place, pages(1..9))
            .prop_map(|(rank, source, tier, place, pages)| Shape::Insert { rank, source, tier, place, pages }),
        9 => (rank.clone(), prop::collection::vec((any::<usize>(), cut), 1..4))
            .prop_map(|(rank, picks)| Shape::Remove { rank, picks }),
        1 => (rank.clone(), 0..2u16).prop_map(|(rank, source)| Shape::ResetSource { rank, source }),
        1 => rank.clone().prop_map(|rank| Shape::ResetOrigin { rank }),
        1 => rank.prop_map(|rank| Shape::Reload { rank }),
    ]
}

pub(crate) fn prints(pages: &[u64]) -> Vec<Fingerprint> {
    pages.iter().copied().map(Fingerprint).collect()
}

/// Turns a shape into an op of that rank, given the copies there are.
pub(crate) fn resolve(shape: &Shape, model: &Naive) -> (Rank, Op) {
    match shape {
        Shape::Insert {
            rank,
            source,
            tier,
            place,
            pages,
        } => {
            let rank = Rank(*rank);
            let live: Vec<_> = model.copies.keys().filter(|key| key.0 == rank).collect();
            let place = match place {
                PlaceShape::Copy(pick) if !live.is_empty() => {
                    let (_, seq, idx) = live[pick % live.len()];
                    OwnedPlace::Copy(*seq, *idx)
                }
                PlaceShape::Root(namespace) => OwnedPlace::Root(Namespace(*namespace)),
                PlaceShape::Path(namespace, path) => {
                    OwnedPlace::Path(Namespace(*namespace), prints(path))
                }
                PlaceShape::Copy(_) | PlaceShape::Nowhere => OwnedPlace::Copy(Seq(1), 60_000),
            };
            let op = Op::Insert {
                source: SourceId(*source),
                tier: Tier::ALL[*tier],
                place,
                pages: prints(pages),
            };
            (rank, op)
        }
        Shape::Remove { rank, picks } => {
            let rank = Rank(*rank);
            let live: Vec<_> = model.copies.keys().filter(|key| key.0 == rank).collect();
            let range = |(pick, cut): &(usize, Cut)| {
                let Some((_, seq, one)) = live.get(pick % live.len().max(1)) else {
                    return CopyRange {
                        seq: Seq(3),
                        idx: 65_535,
                        len: 65_535,
                    };
                };
                let of_op = live.iter().filter(|key| key.1 == *seq).map(|key| key.2);
                let (first, last) = (of_op.clone().min().unwrap(), of_op.max().unwrap());
                let len = last - first + 1;
                let (idx, len) = match cut {
                    Cut::Tail(n) => (last + 1 - n.min(&len), *n.min(&len)),
                    Cut::Head(n) => (first, *n.min(&len)),
                    Cut::Inside if len > 2 => (first + 1, len - 2),
                    Cut::Inside | Cut::One => (*one, 1),
                    Cut::All => (0, 65_535),
                };
                CopyRange {
                    seq: *seq,
                    idx,
                    len,
                }
            };
            (rank, Op::Remove(picks.iter().map(range).collect()))
        }
        Shape::ResetSource { rank, source } => (Rank(*rank), Op::ResetSource(SourceId(*source))),
        Shape::ResetOrigin { rank } => (Rank(*rank), Op::ResetOrigin),
        Shape::Reload { rank } => (Rank(*rank), Op::Reload),
    }
}

pub(crate) fn op_id(rank: Rank, seq: u64) -> OpId {
    OpId {
        origin: OriginId {
            rank,
            inc: Incarnation(7),
        },
        seq: Seq(seq),
    }
}

/// Applies one op to both and compares what they say at once.
pub(crate) fn apply(index: &mut Index, model: &mut Naive, at: OpId, op: &Op) {
    let rank = at.origin.rank;
    match op {
        Op::Insert {
            source,
            tier,
            place,
            pages,
        } => {
            let run = InsertRun {
                source: *source,
                tier: *tier,
                place: place.as_place(),
                pages,
            };
            let inserted = index.insert(at, run);
            if model.insert(rank, at.seq, run) {
                assert_eq!(inserted, Ok(()));
            } else {
                assert!(matches!(inserted, Err(InsertError::UnknownParent { .. })));
            }
        }
        Op::Remove(ranges) => assert_eq!(index.remove(at, ranges), model.remove(rank, ranges)),
        Op::ResetSource(source) => assert_eq!(
            index.reset_source(at, *source),
            model.reset(rank, Some(*source))
        ),
        Op::ResetOrigin => assert_eq!(
            index.reset_origin(at.origin, at.seq),
            model.reset(rank, None)
        ),
        Op::Reload => {
            let runs = index.snapshot(rank);
            assert_eq!(index.load(at.origin, at.seq, &runs), Ok(()));
            assert_eq!(index.snapshot(rank), runs, "a snapshot loads into itself");
        }
    }
    assert_eq!(index.position(rank), Some((at.origin.inc, at.seq)));
}
