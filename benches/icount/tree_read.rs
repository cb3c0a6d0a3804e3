//! Questions to a tree of 64 conversations, which every rank holds whole unless a name says otherwise.

use std::hint::black_box;

use radixmesh::radix_core::id::Namespace;
use radixmesh::radix_core::{Fingerprint, Matches, Reader};

use crate::data::{Folded, conversations, runs};
use crate::{Call, Operation};

const CONVERSATIONS: usize = 64;
const CALLS: usize = 10 * CONVERSATIONS;

pub(crate) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "tree::match/holders=1",
        calls: CALLS,
        prepare: |_| matches(even(1), prompts()),
    },
    Operation {
        name: "tree::match/holders=8",
        calls: CALLS,
        prepare: |_| matches(even(8), prompts()),
    },
    Operation {
        name: "tree::match/holders=64",
        calls: CALLS,
        prepare: |_| matches(even(64), prompts()),
    },
    Operation {
        name: "tree::match/uneven holders=64",
        calls: CALLS,
        prepare: |_| matches(uneven(64), prompts()),
    },
    Operation {
        name: "tree::match/miss",
        calls: CALLS,
        prepare: |_| matches(even(8), runs(3, CONVERSATIONS, 110)),
    },
    Operation {
        name: "tree::match_at/holders=8",
        calls: CALLS,
        prepare: |_| matches_at(even(8)),
    },
    Operation {
        name: "tree::visit/uneven holders=64",
        calls: CALLS,
        prepare: |_| visit(&uneven(64)),
    },
];

fn prompts() -> Vec<Vec<Fingerprint>> {
    conversations(CONVERSATIONS)
}

fn even(ranks: u16) -> Folded {
    Folded::of_conversations(ranks, &prompts())
}

/// Every fourth rank holds the system prompts only, the next ones a turn more each.
fn uneven(ranks: u16) -> Folded {
    Folded::of_turns(ranks, &prompts(), |rank| usize::from(rank % 4))
}

/// Returns a reader, and an answer that is as large as it gets.
fn warm(folded: &Folded) -> (Reader, Matches) {
    let reader = folded.index.reader().expect("the first reader");
    let mut out = Matches::new();
    for pages in prompts() {
        reader.matches(Namespace::DEFAULT, &pages, &mut out);
        assert_eq!(out.deepest() as usize, pages.len(), "every prompt is held");
    }
    (reader, out)
}

/// Asks one query after the other.
fn matches(folded: Folded, queries: Vec<Vec<Fingerprint>>) -> Call {
    let (reader, mut out) = warm(&folded);
    Box::new(move |number| {
        // A reader may outlive its index, but then finds nothing.
        let _index = &folded;
        let pages = &queries[number % queries.len()];
        reader.matches(Namespace::DEFAULT, black_box(pages), &mut out);
        black_box(out.deepest());
    })
}

/// Asks for answers of one instant, with the positions of all logs.
fn matches_at(folded: Folded) -> Call {
    let (reader, mut out) = warm(&folded);
    let (queries, mut at) = (prompts(), Vec::with_capacity(64));
    Box::new(move |number| {
        let _index = &folded;
        let pages = &queries[number % queries.len()];
        let exact = reader.matches_at(Namespace::DEFAULT, black_box(pages), &mut out, &mut at);
        assert!(exact, "nobody writes");
        black_box(out.deepest());
    })
}

/// Reads an answer holder by holder.
fn visit(folded: &Folded) -> Call {
    let (_, out) = warm(folded);
    Box::new(move |_| {
        let out = black_box(&out);
        out.iter().for_each(|holder| {
            black_box(holder);
        });
    })
}
