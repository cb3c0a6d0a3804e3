//! Ops folded into a tree. Every call finds a place of the same kind that no call before it has touched.

use std::hint::black_box;

use radixmesh::radix_core::id::{Namespace, Rank, Seq};
use radixmesh::radix_core::{Fingerprint, Place};

use crate::data::{Folded, behind, conversations, origin, runs};
use crate::{Call, Operation};

const ROOT: Place<'static> = Place::Root(Namespace::DEFAULT);
const RUN_PAGES: usize = 100;

pub(crate) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "tree::insert/fresh pages=100",
        calls: 500,
        prepare: insert_fresh,
    },
    Operation {
        name: "tree::insert/second holder pages=100",
        calls: 500,
        prepare: |calls| insert_known(runs(12, calls, RUN_PAGES)),
    },
    Operation {
        name: "tree::insert/digest pages=1000",
        calls: 100,
        prepare: |calls| insert_known(runs(13, calls, 1000)),
    },
    Operation {
        name: "tree::insert/append pages=1",
        calls: 1600,
        prepare: append,
    },
    Operation {
        name: "tree::insert/split pages=50",
        calls: 500,
        prepare: split,
    },
    Operation {
        name: "tree::remove/tail first",
        calls: 1600,
        prepare: remove_tail_first,
    },
    Operation {
        name: "tree::remove/inside",
        calls: 500,
        prepare: remove_inside,
    },
    Operation {
        name: "tree::snapshot/pages=10000",
        calls: 4,
        prepare: |_| snapshot(),
    },
    Operation {
        name: "tree::load/pages=10000",
        calls: 4,
        prepare: load,
    },
];

/// A tree that has other things in it, for two ranks.
fn inhabited() -> Folded {
    Folded::of_conversations(2, &conversations(64))
}

/// One holder stores a prompt that nobody has.
fn insert_fresh(calls: usize) -> Call {
    let fresh = runs(11, calls, RUN_PAGES);
    let mut folded = inhabited();
    Box::new(move |number| {
        black_box(folded.insert(0, ROOT, &fresh[number]));
    })
}

/// A second holder stores what the first has: the pages are compared and go into the digest.
fn insert_known(known: Vec<Vec<Fingerprint>>) -> Call {
    let mut folded = inhabited();
    folded.with_runs(&known);
    Box::new(move |number| {
        black_box(folded.insert(1, ROOT, &known[number]));
    })
}

/// Decoding completes one page after the other, in 16 conversations by turns.
fn append(calls: usize) -> Call {
    const AT_ONCE: usize = 16;
    let fresh = runs(14, calls, 1);
    let mut folded = inhabited();
    let first = folded.with_runs(&runs(15, AT_ONCE, RUN_PAGES));
    let mut ends: Vec<_> = (first.0..)
        .take(AT_ONCE)
        .map(|seq| behind(Seq(seq), RUN_PAGES))
        .collect();
    Box::new(move |number| {
        let end = &mut ends[number % AT_ONCE];
        *end = behind(folded.insert(0, *end, &fresh[number]), 1);
    })
}

/// A prompt leaves a run in its middle.
fn split(calls: usize) -> Call {
    let fresh = runs(16, calls, RUN_PAGES / 2);
    let mut folded = inhabited();
    let first = folded.with_runs(&runs(17, calls, RUN_PAGES));
    Box::new(move |number| {
        let parent = Seq(first.0 + number as u64);
        black_box(folded.insert(0, behind(parent, RUN_PAGES / 2), &fresh[number]));
    })
}

/// A cache evicts a page at a time, from the end of one run and then of the next.
fn remove_tail_first(calls: usize) -> Call {
    let mut folded = inhabited();
    let first = folded.with_runs(&runs(18, calls.div_ceil(RUN_PAGES), RUN_PAGES));
    Box::new(move |number| {
        let run = Seq(first.0 + (number / RUN_PAGES) as u64);
        folded.remove(run, RUN_PAGES - 1 - number % RUN_PAGES);
    })
}

/// A page goes from the middle of a whole run.
fn remove_inside(calls: usize) -> Call {
    let mut folded = inhabited();
    let first = folded.with_runs(&runs(19, calls, RUN_PAGES));
    Box::new(move |number| {
        let run = Seq(first.0 + number as u64);
        folded.remove(run, RUN_PAGES / 2);
    })
}

/// A tree in which rank 0 holds 10,000 pages: conversations and runs of their own.
fn ten_thousand() -> Folded {
    let mut folded = Folded::of_conversations(1, &conversations(48));
    let held = usize::try_from(folded.index.copies(Rank(0))).expect("fits");
    for pages in runs(20, 1, 10_000 - held)[0].chunks(RUN_PAGES) {
        folded.insert(0, ROOT, pages);
    }
    assert_eq!(folded.index.copies(Rank(0)), 10_000);
    folded
}

/// All copies of a rank are listed.
fn snapshot() -> Call {
    let folded = ten_thousand();
    Box::new(move |_| {
        black_box(folded.index.snapshot(Rank(0)));
    })
}

/// A snapshot becomes an index, each time another one.
fn load(calls: usize) -> Call {
    let of = ten_thousand();
    let (snapshot, end) = (of.index.snapshot(Rank(0)), of.end(0));
    let mut empty: Vec<Folded> = (0..calls).map(|_| Folded::new(0)).collect();
    Box::new(move |number| {
        let index = &mut empty[number].index;
        index
            .load(origin(0), end, &snapshot)
            .expect("a snapshot of a live rank");
    })
}
