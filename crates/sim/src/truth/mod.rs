//! What really happened: every log as its origin wrote it, folded by the plainest code there is.
//! It shares no code with the tree or the logs under test, except the decoder of ops.

mod life;
mod trie;

use oplog::Batch;
use radix_core::id::{CopyId, Holder, Incarnation, Namespace, OriginId, Rank, Seq, Tier};
use radix_core::page::Fingerprint;
use rustc_hash::FxHashMap;

pub(crate) use self::life::Digests;
use self::life::Life;
use self::trie::Trie;
use crate::violation::Violation;

/// Pages of a question that a holder has without a hole, per tier; as [`radix_core::Matches`] tells it.
pub(crate) type Answer = Vec<(Holder, [u32; Tier::COUNT])>;

/// All logs of all lives of all ranks.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    trie: Trie,
    lives: Vec<Life>,
    /// Numbers into `lives`.
    numbers: FxHashMap<OriginId, u32>,
}

impl Truth {
    /// A life begins with an empty log.
    pub(crate) fn begin(&mut self, origin: OriginId) {
        let number = self.next_number();
        self.lives.push(Life::new(origin, number));
        self.numbers.insert(origin, number);
    }

    /// A life goes on under a new incarnation, with the same copies at the same position.
    pub(crate) fn rename(&mut self, before: OriginId, origin: OriginId) {
        let number = self.next_number();
        let life = match self.life(before) {
            Some(index) => {
                let (lives, trie) = (&self.lives, &mut self.trie);
                lives[index].renamed(origin, number, trie)
            }
            None => Life::new(origin, number),
        };
        self.lives.push(life);
        self.numbers.insert(origin, number);
    }

    /// The origin wrote this.
    pub(crate) fn append(&mut self, batch: &Batch) -> Result<(), Violation> {
        let Some(index) = self.life(batch.origin) else {
            return Err(Violation::UnknownLog {
                origin: batch.origin,
            });
        };
        self.lives[index].append(batch, &mut self.trie)
    }

    /// Returns whether that rank ever lived in that incarnation.
    pub(crate) fn knows(&self, origin: OriginId) -> bool {
        self.numbers.contains_key(&origin)
    }

    /// Returns the last op the origin wrote.
    pub(crate) fn last(&self, origin: OriginId) -> Option<Seq> {
        self.life(origin).map(|index| self.lives[index].last())
    }

    /// Returns what every replica must report after that op.
    pub(crate) fn after(&self, origin: OriginId, seq: Seq) -> Option<Digests> {
        self.lives[self.life(origin)?].after(seq)
    }

    /// Returns copies that the log named, and whether they are live after `seq`; of those long dead each eighth.
    pub(crate) fn copies_after(
        &self,
        origin: OriginId,
        seq: Seq,
        phase: usize,
    ) -> impl Iterator<Item = (CopyId, bool)> + '_ {
        self.life(origin)
            .into_iter()
            .flat_map(move |index| self.lives[index].copies_after(seq, phase))
    }

    /// Returns who has how much of a path, seen from a replica at `positions` (by rank).
    pub(crate) fn matches(
        &self,
        positions: &[Option<(Incarnation, Seq)>],
        namespace: Namespace,
        pages: &[Fingerprint],
    ) -> Answer {
        let mut holders: std::collections::BTreeMap<Holder, [u32; Tier::COUNT]> =
            std::collections::BTreeMap::new();
        let mut place = None;
        for (depth, &page) in (0u32..).zip(pages) {
            place = self.trie.find(namespace, place, page);
            let Some(place) = place else { break };
            for resident in self.trie.residents(place) {
                let life = &self.lives[resident.life as usize];
                let Some(Some((inc, seq))) = positions.get(usize::from(resident.rank)) else {
                    continue;
                };
                let copy = life.copy(resident.copy);
                if life.origin.inc != *inc || !copy.is_live_after(*seq) {
                    continue;
                }
                let holder = Holder {
                    rank: Rank(resident.rank),
                    source: copy.source,
                };
                let held = holders.entry(holder).or_default();
                for pages in &mut held[copy.tier as usize..] {
                    if *pages == depth {
                        *pages += 1;
                    }
                }
            }
        }
        holders.retain(|_, held| held[Tier::COUNT - 1] > 0);
        holders.into_iter().collect()
    }

    /// Returns how many places were ever stored.
    pub(crate) fn places(&self) -> usize {
        self.trie.len()
    }

    /// Returns the path to the `index`-th place ever stored.
    pub(crate) fn path(&self, index: usize) -> (Namespace, Vec<Fingerprint>) {
        self.trie.path(index)
    }

    fn life(&self, origin: OriginId) -> Option<usize> {
        self.numbers.get(&origin).map(|number| *number as usize)
    }

    fn next_number(&self) -> u32 {
        u32::try_from(self.lives.len()).expect("a run has far fewer lives")
    }
}
