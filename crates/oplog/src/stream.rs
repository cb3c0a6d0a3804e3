//! A snapshot as one stream of bytes: postcard of (seq, index, insert), one run behind the other.

use radix_core::id::Seq;
use radix_core::{SnapshotPlace, SnapshotRun};

use crate::limits::OP_PAGES_MAX;
use crate::op::{Insert, Pages, Parent};

/// Writes runs as bytes and counts their copies.
// spec: OPLOG-9
pub(crate) fn encode(runs: Vec<SnapshotRun>) -> (Vec<u8>, u64) {
    let mut copies = 0;
    let mut out = Vec::new();
    for run in runs {
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

/// Reads runs and counts their copies; `None` when the bytes are no runs of a log that ends at `last`.
pub(crate) fn decode(mut bytes: &[u8], last: Seq) -> Option<(Vec<SnapshotRun>, u64)> {
    let mut copies = 0;
    let mut runs = Vec::new();
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
        if !(Seq(1)..=last).contains(&seq)
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
        runs.push(SnapshotRun {
            source,
            tier,
            place,
            seq,
            idx,
            pages,
        });
    }
    Some((runs, copies))
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
        let (bytes, copies) = encode(runs.clone());
        assert_eq!(copies, 204);
        assert_eq!(decode(&bytes, Seq(9)), Some((runs, 204)));
        assert_eq!(decode(&bytes, Seq(8)), None, "a copy from the future");
        assert_eq!(decode(&bytes[..bytes.len() - 1], Seq(9)), None);
    }

    #[test]
    fn runs_have_these_bytes() {
        let (bytes, _) = encode(vec![run(500, SnapshotPlace::Root(Namespace(7)), 1)]);
        let expected = [0xf4, 0x03, 2, 1, 1, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_run_that_no_op_can_have_named_is_refused() {
        let (bytes, _) = encode(vec![run(
            1,
            SnapshotPlace::Root(Namespace(0)),
            OP_PAGES_MAX,
        )]);
        assert_eq!(decode(&bytes, Seq(9)), None);
    }
}
