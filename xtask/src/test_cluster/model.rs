//! The fold of all logs, done naively: a map from copies to the prefixes they end, and for every holder a multiset of
//! prefixes. No tree, no runs, no code of the index that it is held against.

use std::collections::BTreeMap;

use oplog::{Op, Parent};
use radix_core::id::{Seq, Tier};
use rustc_hash::FxHashMap;

use super::chain::Key;

/// Leading pages held, by tier: `[t]` counts pages that are held at tier `t` or faster.
pub(crate) type Depths = [u32; Tier::COUNT];

/// What one life of one rank published so far.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Which life.
    pub(crate) inc: u64,
    /// Last op.
    pub(crate) seq: u64,
    inserts: FxHashMap<u64, Run>,
    held: BTreeMap<u16, FxHashMap<Key, [u32; Tier::COUNT]>>,
}

/// The copies that one insert named.
#[derive(Debug)]
struct Run {
    source: u16,
    tier: Tier,
    /// The prefix that ends with each copy; `None` when the copy died.
    copies: Vec<Option<Key>>,
    live: usize,
}

impl Log {
    /// Begins another life: nothing is held.
    pub(crate) fn begin(&mut self, inc: u64) {
        *self = Log {
            inc,
            ..Log::default()
        };
    }

    /// Applies the next op.
    pub(crate) fn apply(&mut self, op: &Op) {
        self.seq += 1;
        match op {
            Op::Insert(insert) => {
                let parent = match &insert.parent {
                    Parent::Root(namespace) => Some(Key::root(*namespace)),
                    Parent::Copy { seq, idx } => self.copy(*seq, *idx),
                    Parent::Path { namespace, pages } => {
                        Key::root(*namespace).walk(&pages.0).last()
                    }
                };
                // A parent that is not live makes the insert one without effect, here as at every node.
                let Some(parent) = parent else { return };
                let copies: Vec<Option<Key>> = parent.walk(&insert.pages.0).map(Some).collect();
                let held = self.held.entry(insert.source.0).or_default();
                for key in copies.iter().flatten() {
                    held.entry(*key).or_default()[insert.tier as usize] += 1;
                }
                let live = copies.len();
                self.inserts.insert(
                    self.seq,
                    Run {
                        source: insert.source.0,
                        tier: insert.tier,
                        copies,
                        live,
                    },
                );
            }
            Op::Remove { copies } => {
                for range in copies {
                    let from = usize::from(range.idx);
                    self.remove(range.seq.0, from..from + usize::from(range.len));
                }
            }
            Op::ResetSource { source } => {
                self.held.remove(&source.0);
                self.inserts.retain(|_, run| run.source != source.0);
            }
            Op::Checkpoint { .. } => {}
        }
    }

    fn copy(&self, seq: Seq, idx: u16) -> Option<Key> {
        *self.inserts.get(&seq.0)?.copies.get(usize::from(idx))?
    }

    fn remove(&mut self, seq: u64, copies: std::ops::Range<usize>) {
        let Some(run) = self.inserts.get_mut(&seq) else {
            return;
        };
        let held = self.held.entry(run.source).or_default();
        let end = copies.end.min(run.copies.len());
        for copy in run.copies.iter_mut().take(end).skip(copies.start) {
            let Some(key) = copy.take() else { continue };
            run.live -= 1;
            let counts = held.get_mut(&key).expect("a live copy is counted");
            counts[run.tier as usize] -= 1;
            if *counts == [0; Tier::COUNT] {
                held.remove(&key);
            }
        }
        if run.live == 0 {
            self.inserts.remove(&seq);
        }
    }

    /// Returns the sources that ever held something and were not reset since.
    pub(crate) fn sources(&self) -> impl Iterator<Item = u16> {
        self.held.keys().copied()
    }

    /// Returns how many copies live.
    pub(crate) fn live(&self) -> u64 {
        self.inserts.values().map(|run| run.live as u64).sum()
    }

    /// Walks a path from its root until the first page that `source` does not hold, for every tier.
    pub(crate) fn depths(&self, source: u16, path: &[Key]) -> Depths {
        let mut depths = [0; Tier::COUNT];
        let Some(held) = self.held.get(&source) else {
            return depths;
        };
        let mut open = [true; Tier::COUNT];
        for key in path {
            let Some(counts) = held.get(key) else { break };
            let mut here = false;
            for tier in 0..Tier::COUNT {
                here |= counts[tier] > 0;
                open[tier] &= here;
                depths[tier] += u32::from(open[tier]);
            }
        }
        depths
    }
}

#[cfg(test)]
mod tests {
    use oplog::{Insert, Pages};
    use radix_core::Fingerprint;
    use radix_core::id::{CopyRange, Namespace, SourceId};

    use super::*;

    const NS: Namespace = Namespace::DEFAULT;

    fn pages(pages: &[u64]) -> Vec<Fingerprint> {
        pages.iter().copied().map(Fingerprint).collect()
    }

    fn insert(parent: Parent, tier: Tier, new: &[u64]) -> Op {
        Op::Insert(Insert {
            source: SourceId(0),
            tier,
            parent,
            pages: Pages(pages(new)),
        })
    }

    fn remove(seq: u64, idx: u16, len: u16) -> Op {
        Op::Remove {
            copies: vec![CopyRange {
                seq: Seq(seq),
                idx,
                len,
            }],
        }
    }

    fn behind(seq: u64, idx: u16) -> Parent {
        Parent::Copy { seq: Seq(seq), idx }
    }

    fn depths(log: &Log, path: &[u64]) -> Depths {
        let keys: Vec<Key> = Key::root(NS).walk(&pages(path)).collect();
        log.depths(0, &keys)
    }

    fn fold(ops: &[Op]) -> Log {
        let mut log = Log::default();
        log.begin(9);
        ops.iter().for_each(|op| log.apply(op));
        log
    }

    #[test]
    fn an_insert_continues_at_the_root_behind_a_copy_or_behind_a_path() {
        let path = Parent::Path {
            namespace: NS,
            pages: Pages(pages(&[1, 2, 3, 4])),
        };
        let log = fold(&[
            insert(Parent::Root(NS), Tier::Device, &[1, 2]),
            insert(behind(1, 1), Tier::Device, &[3, 4]),
            insert(path, Tier::Device, &[5]),
        ]);
        assert_eq!(depths(&log, &[1, 2, 3, 4, 5, 6]), [5; 3]);
        assert_eq!(depths(&log, &[1, 2, 9]), [2; 3]);
        assert_eq!(log.seq, 3);
    }

    #[test]
    fn a_hole_ends_the_depth_though_pages_behind_it_live_on() {
        let mut log = fold(&[
            insert(Parent::Root(NS), Tier::Device, &[1, 2, 3]),
            remove(1, 1, 1),
        ]);
        assert_eq!(depths(&log, &[1, 2, 3]), [1; 3]);
        log.apply(&insert(behind(1, 0), Tier::Device, &[2]));
        assert_eq!(depths(&log, &[1, 2, 3]), [3; 3]);
    }

    #[test]
    fn a_page_held_twice_is_held_until_both_copies_died() {
        let mut log = fold(&[
            insert(Parent::Root(NS), Tier::Device, &[1, 2]),
            insert(Parent::Root(NS), Tier::Host, &[1]),
            insert(Parent::Root(NS), Tier::Device, &[1]),
            remove(1, 0, 2),
        ]);
        assert_eq!(depths(&log, &[1, 2]), [1; 3]);
        log.apply(&remove(3, 0, 1));
        assert_eq!(depths(&log, &[1, 2]), [0, 1, 1]);
        log.apply(&remove(2, 0, 1));
        assert_eq!(depths(&log, &[1, 2]), [0; 3]);
    }

    #[test]
    fn a_slower_tier_in_the_middle_ends_only_the_faster_depths() {
        let log = fold(&[
            insert(Parent::Root(NS), Tier::Device, &[1]),
            insert(behind(1, 0), Tier::Disk, &[2]),
            insert(behind(2, 0), Tier::Device, &[3]),
        ]);
        assert_eq!(depths(&log, &[1, 2, 3]), [1, 1, 3]);
    }

    #[test]
    fn an_insert_behind_a_dead_copy_has_no_effect_and_takes_its_place_in_the_log() {
        let log = fold(&[
            insert(Parent::Root(NS), Tier::Device, &[1]),
            remove(1, 0, 1),
            insert(behind(1, 0), Tier::Device, &[2]),
            insert(Parent::Root(NS), Tier::Device, &[1]),
        ]);
        assert_eq!(depths(&log, &[1, 2]), [1; 3]);
        assert_eq!(log.seq, 4);
    }

    #[test]
    fn ranges_that_name_nothing_are_skipped() {
        let log = fold(&[
            insert(Parent::Root(NS), Tier::Device, &[1, 2]),
            remove(7, 0, 5),
            remove(1, 1, 900),
            remove(1, 1, 1),
        ]);
        assert_eq!(depths(&log, &[1, 2]), [1; 3]);
    }

    #[test]
    fn a_reset_forgets_one_source_and_a_new_life_everything() {
        let mut other = insert(Parent::Root(NS), Tier::Device, &[1]);
        if let Op::Insert(insert) = &mut other {
            insert.source = SourceId(4);
        }
        let reset = Op::ResetSource {
            source: SourceId(0),
        };
        let mut log = fold(&[insert(Parent::Root(NS), Tier::Device, &[1]), other, reset]);
        assert_eq!(log.sources().collect::<Vec<_>>(), [4]);
        assert_eq!(depths(&log, &[1]), [0; 3]);
        log.begin(10);
        assert_eq!((log.inc, log.seq, log.sources().count()), (10, 0, 0));
    }
}
