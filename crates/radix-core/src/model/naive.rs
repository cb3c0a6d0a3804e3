//! The model: a flat list of copies, each with its whole path; answers by brute force.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::{self, CopyRun};
use crate::id::{CopyRange, Holder, Namespace, Rank, Seq, SourceId, Tier};
use crate::{Fingerprint, InsertRun, Place};

#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) source: SourceId,
    pub(crate) tier: Tier,
    pub(crate) namespace: Namespace,
    /// From the root to the copy's page, which is the last one.
    pub(crate) path: Vec<Fingerprint>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Naive {
    pub(crate) copies: BTreeMap<(Rank, Seq, u16), Copy>,
}

impl Naive {
    pub(crate) fn insert(&mut self, rank: Rank, seq: Seq, run: InsertRun<'_>) -> bool {
        let (namespace, mut path) = match run.place {
            Place::Root(namespace) => (namespace, Vec::new()),
            Place::Path(namespace, path) => (namespace, path.to_vec()),
            Place::Copy { seq, idx } => match self.copies.get(&(rank, seq, idx)) {
                Some(copy) => (copy.namespace, copy.path.clone()),
                None => return false,
            },
        };
        for (idx, page) in run.pages.iter().enumerate() {
            path.push(*page);
            let copy = Copy {
                source: run.source,
                tier: run.tier,
                namespace,
                path: path.clone(),
            };
            self.copies
                .insert((rank, seq, u16::try_from(idx).unwrap()), copy);
        }
        true
    }

    pub(crate) fn remove(&mut self, rank: Rank, ranges: &[CopyRange]) -> u64 {
        let before = self.copies.len();
        for range in ranges {
            for idx in u32::from(range.idx)..u32::from(range.idx) + u32::from(range.len) {
                if let Ok(idx) = u16::try_from(idx) {
                    self.copies.remove(&(rank, range.seq, idx));
                }
            }
        }
        u64::try_from(before - self.copies.len()).unwrap()
    }

    pub(crate) fn reset(&mut self, rank: Rank, source: Option<SourceId>) -> u64 {
        let before = self.copies.len();
        self.copies.retain(|(at, _, _), copy| {
            *at != rank || source.is_some_and(|source| source != copy.source)
        });
        u64::try_from(before - self.copies.len()).unwrap()
    }

    pub(crate) fn digest(&self, rank: Rank) -> u64 {
        let of_rank = self.copies.iter().filter(|((at, _, _), _)| *at == rank);
        of_rank.fold(0, |sum, ((_, seq, idx), copy)| {
            let depth = u32::try_from(copy.path.len() - 1).unwrap();
            let run = CopyRun {
                seq: *seq,
                source: copy.source,
                tier: copy.tier,
                namespace: copy.namespace,
                idx: u32::from(*idx),
                depth,
            };
            sum.wrapping_add(digest::sum(run, &copy.path[depth as usize..]))
        })
    }

    pub(crate) fn matches(
        &self,
        namespace: Namespace,
        pages: &[Fingerprint],
    ) -> Vec<(Holder, [u32; Tier::COUNT])> {
        let mut held: BTreeSet<(Holder, Tier, usize)> = BTreeSet::new();
        let mut holders = BTreeSet::new();
        for ((rank, _, _), copy) in &self.copies {
            if copy.namespace == namespace && pages.starts_with(&copy.path) {
                let holder = Holder {
                    rank: *rank,
                    source: copy.source,
                };
                held.insert((holder, copy.tier, copy.path.len()));
                holders.insert(holder);
            }
        }
        let found = holders.into_iter().map(|holder| {
            let depths = Tier::ALL.map(|limit| {
                let has = |len: &usize| {
                    Tier::ALL
                        .iter()
                        .any(|tier| *tier <= limit && held.contains(&(holder, *tier, *len)))
                };
                u32::try_from((1..=pages.len()).take_while(has).count()).unwrap()
            });
            (holder, depths)
        });
        found
            .filter(|(_, depths)| depths[Tier::COUNT - 1] > 0)
            .collect()
    }
}
