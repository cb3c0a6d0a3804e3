//! What the operations work on: pages from a seed, and an index that is written to as nodes would.

use radixmesh::radix_core::id::{
    CopyRange, Incarnation, Namespace, OpId, OriginId, Rank, Seq, SourceId, Tier,
};
use radixmesh::radix_core::{Fingerprint, Index, IndexConfig, InsertRun, Place};

const SYSTEM_PROMPTS: usize = 16;
const SYSTEM_PAGES: usize = 20;
const TURNS: usize = 3;
const TURN_PAGES: usize = 30;

/// Returns fresh pages.
pub(crate) fn pages(random: &mut fastrand::Rng, count: usize) -> Vec<Fingerprint> {
    (0..count).map(|_| Fingerprint(random.u64(..))).collect()
}

/// Returns that many runs of that many fresh pages.
pub(crate) fn runs(seed: u64, count: usize, pages_each: usize) -> Vec<Vec<Fingerprint>> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| pages(&mut random, pages_each)).collect()
}

/// Returns the prompts of conversations that share system prompts: 110 pages, asked in three turns.
pub(crate) fn conversations(count: usize) -> Vec<Vec<Fingerprint>> {
    let mut random = fastrand::Rng::with_seed(1);
    let systems = runs(2, SYSTEM_PROMPTS, SYSTEM_PAGES);
    let prompt = |_| {
        let system = random.usize(..systems.len());
        let mut prompt = systems[system].clone();
        prompt.append(&mut pages(&mut random, TURNS * TURN_PAGES));
        prompt
    };
    (0..count).map(prompt).collect()
}

pub(crate) fn origin(rank: u16) -> OriginId {
    OriginId {
        rank: Rank(rank),
        inc: Incarnation(1),
    }
}

/// An index, and the ends of the logs that are folded into it.
pub(crate) struct Folded {
    pub(crate) index: Index,
    seqs: Vec<u64>,
}

impl Folded {
    /// Returns an empty index for so many ranks.
    pub(crate) fn new(ranks: u16) -> Folded {
        Folded {
            index: Index::new(IndexConfig::default()),
            seqs: vec![0; usize::from(ranks)],
        }
    }

    /// Returns an index in which every rank holds every conversation, told turn by turn.
    pub(crate) fn of_conversations(ranks: u16, prompts: &[Vec<Fingerprint>]) -> Folded {
        Folded::of_turns(ranks, prompts, |_| TURNS)
    }

    /// Returns an index in which rank `r` holds each conversation for `turns(r)` turns.
    pub(crate) fn of_turns(
        ranks: u16,
        prompts: &[Vec<Fingerprint>],
        turns: impl Fn(u16) -> usize,
    ) -> Folded {
        let mut folded = Folded::new(ranks);
        for prompt in prompts {
            for rank in 0..ranks {
                let (system, rest) = prompt.split_at(SYSTEM_PAGES);
                let mut above = folded.insert(rank, Place::Root(Namespace::DEFAULT), system);
                let mut depth = SYSTEM_PAGES;
                for turn in rest.chunks(TURN_PAGES).take(turns(rank)) {
                    above = folded.insert(rank, behind(above, depth), turn);
                    depth = TURN_PAGES;
                }
            }
        }
        folded
    }

    /// Inserts each run at the root, by rank 0. The op of run `i` is `first + i`; the first is returned.
    pub(crate) fn with_runs(&mut self, runs: &[Vec<Fingerprint>]) -> Seq {
        let first = self.end(0).next();
        for pages in runs {
            self.insert(0, Place::Root(Namespace::DEFAULT), pages);
        }
        first
    }

    /// Returns the last op of a rank.
    pub(crate) fn end(&self, rank: u16) -> Seq {
        Seq(self.seqs[usize::from(rank)])
    }

    /// Inserts at one rank and returns the name of the op.
    pub(crate) fn insert(&mut self, rank: u16, place: Place<'_>, pages: &[Fingerprint]) -> Seq {
        let at = self.next(rank);
        let run = InsertRun {
            source: SourceId(0),
            tier: Tier::Device,
            place,
            pages,
        };
        self.index.insert(at, run).expect("the parent is live");
        at.seq
    }

    /// Removes one copy of rank 0.
    pub(crate) fn remove(&mut self, seq: Seq, idx: usize) {
        let at = self.next(0);
        let idx = u16::try_from(idx).expect("runs are short");
        let dead = self.index.remove(at, &[CopyRange { seq, idx, len: 1 }]);
        assert_eq!(dead, 1, "the copy is live");
    }

    fn next(&mut self, rank: u16) -> OpId {
        let seq = &mut self.seqs[usize::from(rank)];
        *seq += 1;
        OpId {
            origin: origin(rank),
            seq: Seq(*seq),
        }
    }
}

/// Returns the place behind the first `pages` pages of an op.
pub(crate) fn behind(seq: Seq, pages: usize) -> Place<'static> {
    let idx = u16::try_from(pages - 1).expect("runs are short");
    Place::Copy { seq, idx }
}
