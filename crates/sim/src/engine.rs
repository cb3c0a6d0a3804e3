//! The engines behind one node: what they say, and their own account of what they hold. The account
//! is kept from what was said and from the receipts, never from the tree.

use std::collections::VecDeque;

use fastrand::Rng;
use node::{Publish, Receipt};
use radix_core::id::{CopyRange, Namespace, Seq, SourceId, Tier};
use radix_core::page::Fingerprint;
use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::profile::Manners;

/// Paths and receipts that an engine remembers to come back to.
const REMEMBERED_MAX: usize = 24;

/// One page at one place of one source.
type PageKey = (SourceId, Namespace, u64);

/// All engines of one life of a node.
#[derive(Debug, Default)]
pub(crate) struct Engines {
    paths: VecDeque<(SourceId, Namespace, Vec<Fingerprint>)>,
    receipts: VecDeque<CopyRange>,
    held: FxHashMap<PageKey, [Option<(Seq, u16)>; Tier::COUNT]>,
    names: FxHashMap<(Seq, u16), (PageKey, Tier)>,
}

impl Engines {
    /// Returns how many pages are held, each tier counted by itself.
    pub(crate) fn pages(&self) -> u64 {
        self.names.len() as u64
    }

    /// Thinks of something to say.
    pub(crate) fn next(&mut self, manners: &Manners, random: &mut Rng) -> Publish {
        let dice = random.u64(0..64);
        let source = SourceId(random.u16(0..manners.sources));
        if dice < manners.evict_64 && !self.paths.is_empty() {
            return self.evict(manners, random);
        }
        let dice = dice.saturating_sub(manners.evict_64);
        if dice < manners.drop_64 && !self.receipts.is_empty() {
            return self.drop_copies(random);
        }
        let dice = dice.saturating_sub(manners.drop_64);
        if dice < manners.reset_64 && random.u8(0..4) == 0 {
            return Publish::Reset { source };
        }
        self.store(source, manners, random)
    }

    fn store(&mut self, source: SourceId, manners: &Manners, random: &mut Rng) -> Publish {
        let longer = |pages: &mut Vec<Fingerprint>, len: usize, random: &mut Rng| {
            while pages.len() < len {
                pages.push(page(random.u64(0..manners.alphabet)));
            }
        };
        let (source, namespace, pages) = if !self.paths.is_empty() && random.bool() {
            // The next turn of a conversation that was held before, perhaps by another engine.
            let (_, namespace, mut pages) = self.paths[random.usize(..self.paths.len())].clone();
            let len = (pages.len() + random.usize(1..=3)).min(manners.pages_max);
            longer(&mut pages, len, random);
            (source, namespace, pages)
        } else {
            let namespace = if random.u8(0..8) == 0 {
                Namespace(7)
            } else {
                Namespace::DEFAULT
            };
            let mut pages = Vec::new();
            longer(&mut pages, random.usize(1..=manners.pages_max), random);
            (source, namespace, pages)
        };
        self.remember(source, namespace, &pages);
        let len = u32::try_from(pages.len()).expect("a path of the workload is short");
        let from = match random.u16(0..256) {
            0 => len, // refused
            1..24 => random.u32(0..len),
            _ => 0,
        };
        let tier = match random.u8(0..8) {
            0 => Tier::Host,
            1 => Tier::Disk,
            _ => Tier::Device,
        };
        let renew = random.u8(0..12) == 0;
        Publish::Store {
            source,
            namespace,
            tier,
            pages,
            from,
            renew,
        }
    }

    fn evict(&mut self, manners: &Manners, random: &mut Rng) -> Publish {
        let (source, namespace, mut pages) = self.paths[random.usize(..self.paths.len())].clone();
        let mut first = 0;
        if manners.head_first && random.bool() {
            // Only the head goes: what lies behind is a hole away from the root.
            pages.truncate(random.usize(1..=pages.len()));
            first = random.usize(..pages.len());
        } else if random.u8(0..4) > 0 {
            first = random.usize(pages.len() / 2..pages.len());
        }
        let from = u32::try_from(first).expect("a path of the workload is short");
        Publish::Evict {
            source,
            namespace,
            pages,
            from,
        }
    }

    fn drop_copies(&mut self, random: &mut Rng) -> Publish {
        let copies = (0..random.u8(1..=3))
            .map(|_| {
                let run = self.receipts[random.usize(..self.receipts.len())];
                let skip = random.u16(0..run.len);
                let len = random.u16(1..=run.len - skip);
                CopyRange {
                    seq: run.seq,
                    idx: run.idx + skip,
                    len,
                }
            })
            .collect();
        Publish::Drop { copies }
    }

    fn remember(&mut self, source: SourceId, namespace: Namespace, pages: &[Fingerprint]) {
        if self.paths.len() == REMEMBERED_MAX {
            self.paths.pop_front();
        }
        self.paths.push_back((source, namespace, pages.to_vec()));
    }

    /// The node accepted what was said.
    ///
    /// Errors: the page of a path that should be held now, but got no copy.
    pub(crate) fn accepted(&mut self, publish: &Publish, receipt: &Receipt) -> Result<(), u32> {
        match publish {
            Publish::Store {
                source,
                namespace,
                tier,
                pages,
                from,
                renew: _,
            } => {
                let keys: Vec<PageKey> = prefixes(pages)
                    .map(|hash| (*source, *namespace, hash))
                    .collect();
                for run in &receipt.stored {
                    self.receipts.push_back(CopyRange {
                        seq: run.seq,
                        idx: run.idx,
                        len: u16::try_from(run.len).unwrap_or(u16::MAX),
                    });
                    for (page, idx) in (run.page..run.page + run.len).zip(run.idx..) {
                        let key = keys[page as usize];
                        self.put(key, *tier, (run.seq, idx));
                    }
                }
                while self.receipts.len() > REMEMBERED_MAX {
                    self.receipts.pop_front();
                }
                let missing = (*from..).zip(&keys[*from as usize..]).find(|(_, key)| {
                    self.held
                        .get(key)
                        .is_none_or(|held| held[*tier as usize].is_none())
                });
                missing.map_or(Ok(()), |(page, _)| Err(page))
            }
            Publish::Evict {
                source,
                namespace,
                pages,
                from,
            } => {
                for hash in prefixes(pages).skip(*from as usize) {
                    for name in self
                        .held
                        .remove(&(*source, *namespace, hash))
                        .into_iter()
                        .flatten()
                        .flatten()
                    {
                        self.names.remove(&name);
                    }
                }
                Ok(())
            }
            Publish::Drop { copies } => {
                for range in copies {
                    for idx in range.idx..range.idx + range.len {
                        if let Some((key, tier)) = self.names.remove(&(range.seq, idx))
                            && let Some(held) = self.held.get_mut(&key)
                        {
                            held[tier as usize] = None;
                        }
                    }
                }
                Ok(())
            }
            Publish::Reset { source } => {
                self.held.retain(|(of, ..), _| of != source);
                self.names.retain(|_, ((of, ..), _)| of != source);
                Ok(())
            }
        }
    }

    fn put(&mut self, key: PageKey, tier: Tier, name: (Seq, u16)) {
        let old = self.held.entry(key).or_default()[tier as usize].replace(name);
        if let Some(old) = old {
            self.names.remove(&old);
        }
        self.names.insert(name, (key, tier));
    }
}

/// Returns the fingerprint of a letter of the alphabet.
pub(crate) fn page(letter: u64) -> Fingerprint {
    Fingerprint(xxh3_64(&letter.to_le_bytes()))
}

/// Returns a hash of each prefix of a path, the shortest first.
fn prefixes(pages: &[Fingerprint]) -> impl Iterator<Item = u64> + '_ {
    pages.iter().scan(0, |hash, page| {
        *hash = xxh3_64_with_seed(&page.0.to_le_bytes(), *hash);
        Some(*hash)
    })
}
