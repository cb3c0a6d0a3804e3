//! A snapshot as one stream of bytes: postcard of (seq, index, insert), one run behind the other; in front of
//! the runs of net changes, which sources and copies died.

use radix_core::id::{CopyRange, Seq, SourceId};
use radix_core::{SnapshotDelta, SnapshotPlace, SnapshotRun};

use crate::limits::OP_PAGES_MAX;
use crate::op::{Insert, Pages, Parent};

/// Writes a snapshot as bytes and counts the copies of its runs.
// spec: OPLOG-9, OPLOG-18
pub(crate) fn encode(delta: SnapshotDelta) -> (Vec<u8>, u64) {
    let mut copies = 0;
    let mut out = Vec::new();
    if delta.base > Seq::ZERO {
        out = postcard::to_extend(&(delta.sources, delta.removed), out)
            .expect("a Vec grows, and every length is known");
    }
    for run in delta.runs {
        copies += run.pages.len() as u64;
        let parent = match run.place {
            SnapshotPlace::Root(namespace) => Parent::Root(namespace),
            SnapshotPlace::Copy { seq, idx } => Parent::Copy { seq, idx },
            SnapshotPlace::Path(namespace, pages) => Parent::Path {
                namespace,
                pages: Pages(pages),
            },
        };
        let insert = Insert {
            source: run.source,
            tier: run.tier,
            parent,
            pages: Pages(run.pages),
        };
        out = postcard::to_extend(&(run.seq, run.idx, insert), out)
            .expect("a Vec grows, and every length in a run is known");
    }
    (out, copies)
}

/// Reads a snapshot behind `base` and counts the copies of its runs; `None` when the bytes are none of a log that
/// ends at `last`.
// spec: OPLOG-11, OPLOG-18
pub(crate) fn decode(mut bytes: &[u8], base: Seq, last: Seq) -> Option<(SnapshotDelta, u64)> {
    let mut copies = 0;
    let mut delta = SnapshotDelta {
        base,
        ..SnapshotDelta::default()
    };
    if base > Seq::ZERO {
        let (dead, rest) =
            postcard::take_from_bytes::<(Vec<SourceId>, Vec<CopyRange>)>(bytes).ok()?;
        (delta.sources, delta.removed) = dead;
        if !dead_are_in_order(&delta) {
            return None;
        }
        bytes = rest;
    }
    while !bytes.is_empty() {
        let (run, rest) = postcard::take_from_bytes::<(Seq, u16, Insert)>(bytes).ok()?;
        bytes = rest;
        let (
            seq,
            idx,
            Insert {
                source,
                tier,
                parent,
                pages: Pages(pages),
            },
        ) = run;
        if !(base.next()..=last).contains(&seq)
            || pages.is_empty()
            || usize::from(idx) + pages.len() > OP_PAGES_MAX
        {
            return None;
        }
        copies += pages.len() as u64;
        let place = match parent {
            Parent::Root(namespace) => SnapshotPlace::Root(namespace),
            Parent::Copy { seq, idx } => SnapshotPlace::Copy { seq, idx },
            Parent::Path { namespace, pages } => SnapshotPlace::Path(namespace, pages.0),
        };
        delta.runs.push(SnapshotRun {
            source,
            tier,
            place,
            seq,
            idx,
            pages,
        });
    }
    Some((delta, copies))
}

/// Returns whether sources ascend, and ranges are such as ops at or below the base can have named, ascending and apart.
fn dead_are_in_order(delta: &SnapshotDelta) -> bool {
    let end = |range: &CopyRange| usize::from(range.idx) + usize::from(range.len);
    let is_range = |range: &CopyRange| {
        (Seq(1)..=delta.base).contains(&range.seq) && range.len > 0 && end(range) <= OP_PAGES_MAX
    };
    delta.sources.is_sorted_by(|a, b| a < b)
        && delta.removed.iter().all(is_range)
        && delta
            .removed
            .is_sorted_by(|a, b| (a.seq, end(a)) < (b.seq, usize::from(b.idx)))
}

#[cfg(test)]
mod tests {
    use radix_core::id::{Namespace, SourceId, Tier};
    use radix_core::page::Fingerprint;

    use super::*;

    fn run(seq: u64, place: SnapshotPlace, pages: usize) -> SnapshotRun {
        let pages = (0..pages as u64).map(Fingerprint).collect();
        SnapshotRun {
            source: SourceId(1),
            tier: Tier::Host,
            place,
            seq: Seq(seq),
            idx: 2,
            pages,
        }
    }

    #[test]
    fn runs_survive_the_way() {
        let runs = vec![
            run(1, SnapshotPlace::Root(Namespace(7)), 3),
            run(
                2,
                SnapshotPlace::Copy {
                    seq: Seq(1),
                    idx: 4,
                },
                200,
            ),
            run(
                9,
                SnapshotPlace::Path(Namespace(7), vec![Fingerprint(5)]),
                1,
            ),
        ];
        let all = SnapshotDelta {
            runs,
            ..SnapshotDelta::default()
        };
        let (bytes, copies) = encode(all.clone());
        assert_eq!(copies, 204);
        assert_eq!(decode(&bytes, Seq(0), Seq(9)), Some((all, 204)));
        assert_eq!(
            decode(&bytes, Seq(0), Seq(8)),
            None,
            "a copy from the future"
        );
        assert_eq!(decode(&bytes[..bytes.len() - 1], Seq(0), Seq(9)), None);
    }

    fn range(seq: u64, idx: u16, len: u16) -> CopyRange {
        CopyRange {
            seq: Seq(seq),
            idx,
            len,
        }
    }

    fn delta() -> SnapshotDelta {
        SnapshotDelta {
            base: Seq(5),
            sources: vec![SourceId(2), SourceId(300)],
            removed: vec![range(1, 0, 2), range(1, 3, 1), range(5, 0, 16_384)],
            runs: vec![run(6, SnapshotPlace::Root(Namespace(7)), 3)],
        }
    }

    #[test]
    fn net_changes_survive_the_way() {
        let (bytes, copies) = encode(delta());
        assert_eq!(copies, 3);
        assert_eq!(decode(&bytes, Seq(5), Seq(6)), Some((delta(), 3)));
        assert_eq!(
            decode(&bytes, Seq(4), Seq(6)),
            None,
            "a death behind the base"
        );
        assert_eq!(
            decode(&bytes, Seq(6), Seq(6)),
            None,
            "a copy before the base"
        );
        for len in 0..bytes.len() - 1 {
            // Whole runs may lack: the count in the head tells.
            let cut = decode(&bytes[..len], Seq(5), Seq(6));
            assert!(cut.is_none_or(|(_, copies)| copies == 0));
        }
    }

    // spec: OPLOG-18
    #[test]
    fn net_changes_have_these_bytes() {
        let (bytes, _) = encode(SnapshotDelta {
            runs: vec![run(500, SnapshotPlace::Root(Namespace(7)), 1)],
            ..delta()
        });
        let expected = [
            [2, 2, 0xac, 2, 3, 1, 0, 2, 1, 3, 1, 5, 0, 0x80, 0x80, 1].as_slice(),
            &[0xf4, 0x03, 2, 1, 1, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn deaths_that_no_stretch_of_a_log_comes_to_are_refused() {
        let check = |change: &dyn Fn(&mut SnapshotDelta)| {
            let mut crooked = delta();
            change(&mut crooked);
            assert_eq!(decode(&encode(crooked).0, Seq(5), Seq(9)), None);
        };
        check(&|delta| delta.sources = vec![SourceId(2), SourceId(2)]);
        check(&|delta| delta.sources = vec![SourceId(2), SourceId(1)]);
        let ranges: [&[CopyRange]; 7] = [
            &[range(0, 0, 1)],
            &[range(6, 0, 1)],
            &[range(1, 0, 0)],
            &[range(1, 16_384, 1)],
            &[range(1, 65_535, 65_535)],
            &[range(2, 0, 1), range(1, 0, 1)],
            &[range(1, 0, 2), range(1, 2, 1)],
        ];
        for removed in ranges {
            check(&|delta| delta.removed = removed.to_vec());
        }
    }

    #[test]
    fn runs_have_these_bytes() {
        let (bytes, _) = encode(SnapshotDelta {
            runs: vec![run(500, SnapshotPlace::Root(Namespace(7)), 1)],
            ..SnapshotDelta::default()
        });
        let expected = [0xf4, 0x03, 2, 1, 1, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_run_that_no_op_can_have_named_is_refused() {
        let (bytes, _) = encode(SnapshotDelta {
            runs: vec![run(1, SnapshotPlace::Root(Namespace(0)), OP_PAGES_MAX)],
            ..SnapshotDelta::default()
        });
        assert_eq!(decode(&bytes, Seq(0), Seq(9)), None);
    }
}
