//! The simulated engine: a page pool under a prefix cache, and a model of prefill time. It computes no KV, and it
//! knows no node: it returns what its host must publish.

use radix_core::cache::{Cache, CacheConfig, SlotsPer};
use radix_core::id::{CopyRange, Namespace, Seq, SourceId};
use radix_core::page::Fingerprint;

use crate::limits::POOL_PAGES_MAX;
use crate::pool::{Name, Pool};

/// What a [`SimulatedEngine`] is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimulatedEngineConfig {
    /// How many pages the pool holds, cut to [`POOL_PAGES_MAX`]. 0 is a cache that keeps nothing.
    pub capacity_pages: usize,
    /// Time that computing the KV of one token takes. Unit: ns. A large model on one accelerator: 50,000 to 200,000.
    pub prefill_ns_per_token: u64,
    /// Unit: tokens. Only the prefill time depends on it.
    pub page_size: usize,
    /// Under which source of its node the engine publishes.
    pub source: SourceId,
}

/// What one prompt did to an engine.
///
/// The host publishes in this order: the copies in `evicted` died; the pages
/// `pages[stored_from .. stored_from + stored_len]` were born. What its node calls the new copies goes back
/// through [`SimulatedEngine::stored`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Leading pages of the prompt that were held before.
    pub hit_pages: u32,
    /// Pages of which the KV was computed: the rest of the prompt, or 0 when it was received.
    pub computed_pages: u32,
    /// The first page that is new in the pool; equal to `hit_pages`.
    pub stored_from: u32,
    /// How many new pages were kept. Less than the rest of the prompt when the pool is smaller than the prompt.
    pub stored_len: u32,
    /// Modelled time to compute `computed_pages`. Unit: ns. A partial last page is not in it.
    pub prefill_ns: u64,
    /// The named copies that died to make room. Pages that never got a name are not in it.
    pub evicted: Vec<CopyRange>,
    /// The pool slots of the prompt's leading `hit_pages + stored_len` pages.
    pub slots: Vec<u32>,
    /// Which run of the engine this was.
    id: u64,
}

/// What a node called consecutive pages of a prompt: page `page + i` is copy `(seq, idx + i)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRun {
    /// The first page, counted from the prompt's beginning.
    pub page: u32,
    /// How many pages.
    pub len: u32,
    /// The insert op.
    pub seq: Seq,
    /// The first page's place in that op.
    pub idx: u16,
}

/// A simulated engine: exact prefix reuse over page fingerprints, least recently used leaf evicted first.
///
/// Slots are numbered from 0 in each engine. Cost: O(pages of the prompt + pages evicted), some nanoseconds each;
/// memory about 40 bytes a page ever held at once, and 250 a run of pages.
#[derive(Clone, Debug)]
pub struct SimulatedEngine {
    config: SimulatedEngineConfig,
    capacity: usize,
    cache: Cache<Fingerprint, u32>,
    pool: Pool,
    /// The id of the next run.
    next_run: u64,
    /// Empty between runs; here so that its memory is used again.
    freed: Vec<u32>,
}

impl SimulatedEngine {
    /// Returns an engine with an empty pool. Memory grows with use, not with the capacity.
    #[must_use]
    pub fn new(config: SimulatedEngineConfig) -> Self {
        SimulatedEngine {
            config,
            capacity: config.capacity_pages.min(POOL_PAGES_MAX),
            cache: empty_cache(),
            pool: Pool::default(),
            next_run: 0,
            freed: Vec::new(),
        }
    }

    /// Prefills a prompt: reuses the held prefix, computes the rest and keeps as much of it as the pool can hold.
    ///
    /// Pages of this prompt are never evicted for it; when it is longer than the pool, its end is not kept.
    pub fn run(&mut self, namespace: Namespace, pages: &[Fingerprint]) -> Run {
        let mut run = Run::default();
        self.run_into(namespace, pages, &mut run);
        run
    }

    /// Does what [`run`](SimulatedEngine::run) does into a `Run` whose memory is used again.
    pub fn run_into(&mut self, namespace: Namespace, pages: &[Fingerprint], run: &mut Run) {
        self.admit(namespace, pages, run);
        run.computed_pages = count(pages.len()) - run.hit_pages;
        run.prefill_ns = u64::from(run.computed_pages)
            .saturating_mul(self.config.page_size as u64)
            .saturating_mul(self.config.prefill_ns_per_token);
    }

    /// Stores a prompt whose KV another engine computed and sent: the decode side. Nothing is computed.
    pub fn receive(&mut self, namespace: Namespace, pages: &[Fingerprint]) -> Run {
        let mut run = Run::default();
        self.admit(namespace, pages, &mut run);
        run
    }

    fn admit(&mut self, namespace: Namespace, pages: &[Fingerprint], run: &mut Run) {
        run.evicted.clear();
        run.slots.clear();
        let found = self.cache.match_prefix(namespace, pages);
        let prefix = self.cache.lock(found.handle).expect("just matched");
        let slots = self.cache.slots(found.handle, &mut run.slots);
        let hit = slots.expect("just matched");
        let new = (pages.len() - hit).min(self.capacity - hit);
        let over = (self.held_pages() + new).saturating_sub(self.capacity);
        let gone = self.cache.evict(over, &mut self.freed);
        debug_assert_eq!(gone, over, "prefix and new pages fit, so others are held");
        for &slot in &self.freed {
            if let Name::Copy { seq, idx } = self.pool.name(slot) {
                push_copy(&mut run.evicted, seq, idx);
            }
        }
        // Backwards, so that slots are given again in the order of the prompt they held.
        for slot in self.freed.drain(..).rev() {
            self.pool.give_back(slot);
        }
        let name = Name::Unnamed { run: self.next_run };
        run.slots.extend((0..new).map(|_| self.pool.take(name)));
        let kept = &pages[..hit + new];
        let inserted = (self.cache).insert(namespace, kept, &run.slots, 0, &mut self.freed);
        inserted.expect("a slot for every page");
        debug_assert!(self.freed.is_empty(), "what was there has the slots it had");
        self.cache.unlock(prefix).expect("this cache's receipt");
        run.id = self.next_run;
        self.next_run += 1;
        run.hit_pages = count(hit);
        run.stored_from = run.hit_pages;
        run.stored_len = count(new);
        run.computed_pages = 0;
        run.prefill_ns = 0;
    }

    /// Learns what the node called the pages that `run` stored, so that their eviction can name them.
    ///
    /// Returns names that belong to no page any more, because other runs evicted it since, or because it already
    /// has another name; the host publishes that these copies died. Pages outside the new ones are ignored, so the
    /// copies of the whole path may be passed. Best called before the next run; until then evictions are silent.
    #[must_use = "copies that are already gone must be published as removed"]
    pub fn stored(
        &mut self,
        run: &Run,
        names: impl IntoIterator<Item = StoredRun>,
    ) -> Vec<CopyRange> {
        let mut gone = Vec::new();
        let new = run.stored_from..run.stored_from.saturating_add(run.stored_len);
        for StoredRun {
            page,
            len,
            seq,
            idx,
        } in names
        {
            for (page, idx) in (page..page.saturating_add(len)).zip(idx..=u16::MAX) {
                if !new.contains(&page) {
                    continue;
                }
                let Some(&slot) = run.slots.get(page as usize) else {
                    continue;
                };
                let name = Name::Copy { seq, idx };
                if self.pool.name(slot) == (Name::Unnamed { run: run.id }) {
                    self.pool.set_name(slot, name);
                } else if self.pool.name(slot) != name {
                    push_copy(&mut gone, seq, idx);
                }
            }
        }
        gone
    }

    /// Returns how many leading pages are held. Recency is not touched.
    #[must_use]
    pub fn holds(&self, namespace: Namespace, pages: &[Fingerprint]) -> u32 {
        count(self.cache.peek(namespace, pages))
    }

    /// Returns the pool slot of the last page of a path, or `None` when a page of the path is not held.
    #[must_use]
    pub fn slot_of(&self, namespace: Namespace, path: &[Fingerprint]) -> Option<u32> {
        let mut slots = Vec::new();
        let held = self.cache.peek_slots(namespace, path, &mut slots);
        slots.pop().filter(|_| held == path.len())
    }

    /// Returns how many pages are held.
    #[must_use]
    pub fn held_pages(&self) -> usize {
        self.cache.total_len()
    }

    /// Returns how many pages can be held.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns the source under which the engine publishes.
    #[must_use]
    pub fn source(&self) -> SourceId {
        self.config.source
    }

    /// Forgets every page, as a restart or a cache reset does. The host publishes that the source was reset.
    pub fn clear(&mut self) {
        self.cache.reset();
        self.pool = Pool::default();
    }

    /// Walks the pool and panics when an invariant is broken. For tests; cost: O(pages).
    pub fn debug_check(&self) {
        assert!(
            self.held_pages() <= self.capacity,
            "{} pages in a pool of {}",
            self.held_pages(),
            self.capacity
        );
        self.cache.debug_check();
        let mut slots = Vec::new();
        self.cache
            .for_each(|entry| slots.extend_from_slice(entry.own_slots()));
        self.pool.debug_check(slots);
    }
}

/// Returns an empty cache with a slot per page. The engine thinks in pages, so a page is one token to it.
fn empty_cache() -> Cache<Fingerprint, u32> {
    Cache::new(CacheConfig {
        page_size: 1,
        slots: SlotsPer::Page,
        ..CacheConfig::default()
    })
    .expect("a page size in range")
}

/// Appends a copy, to the last range where it continues that at either end. Evictions run from leaf to root.
fn push_copy(ranges: &mut Vec<CopyRange>, seq: Seq, idx: u16) {
    if let Some(last) = ranges.last_mut()
        && last.seq == seq
        && last.len < u16::MAX
    {
        if idx.checked_add(1) == Some(last.idx) {
            last.idx = idx;
            last.len += 1;
            return;
        }
        if last.idx.checked_add(last.len) == Some(idx) {
            last.len += 1;
            return;
        }
    }
    ranges.push(CopyRange { seq, idx, len: 1 });
}

/// Page counts are 32 bits wide; a slice of more pages than that does not occur.
fn count(pages: usize) -> u32 {
    u32::try_from(pages).expect("a prompt has fewer than 2^32 pages")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NS: Namespace = Namespace::DEFAULT;

    fn engine(capacity_pages: usize) -> SimulatedEngine {
        let config = SimulatedEngineConfig {
            capacity_pages,
            prefill_ns_per_token: 10,
            page_size: 16,
            source: SourceId(0),
        };
        SimulatedEngine::new(config)
    }

    fn pages(values: &[u64]) -> Vec<Fingerprint> {
        values.iter().copied().map(Fingerprint).collect()
    }

    /// Runs a prompt and names its new pages `(seq, 0 ..)`.
    fn run(engine: &mut SimulatedEngine, values: &[u64], seq: u64) -> Run {
        let run = engine.run(NS, &pages(values));
        let name = StoredRun {
            page: run.stored_from,
            len: run.stored_len,
            seq: Seq(seq),
            idx: 0,
        };
        assert!(engine.stored(&run, [name]).is_empty());
        engine.debug_check();
        run
    }

    fn range(seq: u64, idx: u16, len: u16) -> CopyRange {
        CopyRange {
            seq: Seq(seq),
            idx,
            len,
        }
    }

    #[test]
    fn a_second_run_hits_what_the_first_stored() {
        let mut engine = engine(8);
        let first = run(&mut engine, &[1, 2, 3], 1);
        assert_eq!(
            (first.hit_pages, first.computed_pages, first.prefill_ns),
            (0, 3, 3 * 16 * 10)
        );
        assert_eq!(first.slots, [0, 1, 2]);
        let second = run(&mut engine, &[1, 2, 4, 5], 2);
        assert_eq!((second.hit_pages, second.computed_pages), (2, 2));
        assert_eq!((second.stored_from, second.stored_len), (2, 2));
        assert_eq!(second.slots, [0, 1, 3, 4]);
        assert_eq!(engine.slot_of(NS, &pages(&[1, 2, 4])), Some(3));
        assert_eq!(engine.slot_of(NS, &[]), None);
    }

    #[test]
    fn namespaces_share_no_page() {
        let mut engine = engine(8);
        run(&mut engine, &[1, 2], 1);
        assert_eq!(engine.holds(Namespace(7), &pages(&[1, 2])), 0);
    }

    #[test]
    fn the_least_recent_leaf_goes_first_and_ranges_are_joined() {
        let mut engine = engine(6);
        run(&mut engine, &[1, 2, 3, 4], 1);
        run(&mut engine, &[1, 8], 2);
        let third = run(&mut engine, &[9, 10, 11], 3);
        assert_eq!(third.evicted, [range(1, 2, 2)]);
        assert_eq!(engine.holds(NS, &pages(&[1, 2])), 2);
        assert_eq!(engine.holds(NS, &pages(&[1, 8])), 2);
    }

    #[test]
    fn a_prompt_longer_than_the_pool_keeps_its_beginning_and_its_own_prefix() {
        let mut engine = engine(4);
        run(&mut engine, &[1, 2], 1);
        run(&mut engine, &[5, 6], 2);
        let long = run(&mut engine, &[1, 2, 3, 4, 5, 6, 7], 3);
        assert_eq!(
            (long.hit_pages, long.computed_pages, long.stored_len),
            (2, 5, 2)
        );
        assert_eq!(long.evicted, [range(2, 0, 2)]);
        assert_eq!(engine.held_pages(), 4);
    }

    #[test]
    fn a_pool_of_no_pages_keeps_nothing() {
        let mut engine = engine(0);
        let run = run(&mut engine, &[1, 2], 1);
        assert_eq!((run.computed_pages, run.stored_len), (2, 0));
    }

    #[test]
    fn a_received_prompt_is_stored_without_computing() {
        let mut engine = engine(8);
        let run = engine.receive(NS, &pages(&[1, 2, 3]));
        assert_eq!(
            (run.computed_pages, run.stored_len, run.prefill_ns),
            (0, 3, 0)
        );
    }

    #[test]
    fn a_name_that_comes_after_the_eviction_is_returned_as_gone() {
        let mut engine = engine(3);
        let late = engine.run(NS, &pages(&[1, 2, 3]));
        let next = engine.run(NS, &pages(&[4, 5]));
        assert!(next.evicted.is_empty(), "nobody outside knows these pages");
        let gone = engine.stored(
            &late,
            [StoredRun {
                page: 0,
                len: 3,
                seq: Seq(1),
                idx: 7,
            }],
        );
        assert_eq!(gone, [range(1, 8, 2)]);
        assert_eq!(engine.run(NS, &pages(&[6, 7, 8])).evicted, [range(1, 7, 1)]);
    }

    #[test]
    fn the_same_name_twice_is_harmless_and_a_second_name_is_gone() {
        let mut engine = engine(3);
        let run = engine.run(NS, &pages(&[1, 2]));
        let name = StoredRun {
            page: 0,
            len: 2,
            seq: Seq(1),
            idx: 0,
        };
        assert!(engine.stored(&run, [name, name]).is_empty());
        assert_eq!(
            engine.stored(
                &run,
                [StoredRun {
                    seq: Seq(2),
                    ..name
                }]
            ),
            [range(2, 0, 2)]
        );
    }

    #[test]
    fn names_outside_the_new_pages_are_ignored() {
        let mut engine = engine(8);
        run(&mut engine, &[1, 2], 1);
        let second = engine.run(NS, &pages(&[1, 2, 3]));
        let names = [
            StoredRun {
                page: 0,
                len: 2,
                seq: Seq(1),
                idx: 0,
            },
            StoredRun {
                page: 2,
                len: 9,
                seq: Seq(2),
                idx: u16::MAX,
            },
            StoredRun {
                page: u32::MAX,
                len: u32::MAX,
                seq: Seq(3),
                idx: 0,
            },
        ];
        assert!(engine.stored(&second, names).is_empty());
    }

    #[test]
    fn names_given_before_a_clear_are_gone_after_it() {
        let mut engine = engine(8);
        let run = engine.run(NS, &pages(&[1, 2]));
        engine.clear();
        assert_eq!(engine.held_pages(), 0);
        assert_eq!(
            engine.stored(
                &run,
                [StoredRun {
                    page: 0,
                    len: 2,
                    seq: Seq(1),
                    idx: 0
                }]
            ),
            [range(1, 0, 2)]
        );
        assert_eq!(
            engine.run(NS, &pages(&[3])).slots,
            [0],
            "the pool starts again at slot 0"
        );
    }
}
