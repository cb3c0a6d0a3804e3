//! A cache and the model side by side: every answer is compared, everything is checked after every call, and no
//! slot is ever in two places or in none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use radix_core::Fingerprint;
use radix_core::cache::{
    Cache, CacheConfig, CacheUnit, Event, Handle, HandleError, InsertError, Receipt, SlotIndex,
    SlotsPer,
};
use radix_core::id::Namespace;

use crate::model::{Held, Model, Path};
use crate::ops::{Op, Prompt, Setup};

/// What prompts are made of in tests.
pub(crate) trait Units: CacheUnit + Debug + Ord {
    /// Appends the page of a small number. Pages differ in one place and agree elsewhere.
    fn page(number: u32, page_size: usize, out: &mut Vec<Self>);
    /// Returns the number of a page.
    fn number(page: &[Self]) -> u32;
}

impl Units for u32 {
    fn page(number: u32, page_size: usize, out: &mut Vec<u32>) {
        let first = out.len();
        out.resize(first + page_size, 0);
        out[first + number as usize * 31 % page_size] = number + 1;
    }

    fn number(page: &[u32]) -> u32 {
        page.iter().sum::<u32>() - 1
    }
}

impl Units for Fingerprint {
    fn page(number: u32, _page_size: usize, out: &mut Vec<Fingerprint>) {
        // Fingerprint 0 is one like any other.
        out.push(Fingerprint(u64::from(number)));
    }

    fn number(page: &[Fingerprint]) -> u32 {
        u32::try_from(page[0].0).expect("as the model says")
    }
}

/// Slots that are made of numbers in tests.
pub(crate) trait Numbered: SlotIndex {
    fn of(number: u64) -> Self;
    fn number(self) -> u64;
}

impl Numbered for u32 {
    fn of(number: u64) -> Self {
        u32::try_from(number).expect("as the model says")
    }

    fn number(self) -> u64 {
        u64::from(self)
    }
}

impl Numbered for i64 {
    fn of(number: u64) -> Self {
        // Negative ones are slots too.
        500 - i64::try_from(number).expect("as the model says")
    }

    fn number(self) -> u64 {
        u64::try_from(500 - self).expect("as the model says")
    }
}

/// Does everything to a cache and to the model, and panics where they differ.
pub(crate) fn compare(setup: Setup, ops: &[Op]) {
    if setup.fingerprints {
        Pair::<Fingerprint, i64>::new(setup).run(ops);
    } else {
        Pair::<u32, u32>::new(setup).run(ops);
    }
}

/// What somebody knows who only listens to events.
#[derive(Default)]
struct Listener {
    /// Pages by their last slot, and by path.
    by_slot: BTreeMap<u64, Path>,
    by_path: BTreeMap<Path, Vec<u64>>,
}

struct Pair<K: Units, S: Numbered> {
    setup: Setup,
    row: usize,
    cache: Cache<K, S>,
    foreign: Cache<K, S>,
    model: Model,
    handles: Vec<(Handle, Held)>,
    receipts: Vec<(Receipt, Held)>,
    listener: Listener,
    /// Slots that were given so far, and those the cache has now.
    given: u64,
    inside: BTreeSet<u64>,
}

impl<K: Units, S: Numbered> Pair<K, S> {
    fn new(setup: Setup) -> Self {
        let config = CacheConfig {
            page_size: setup.page_size,
            slots: setup.slots,
            policy: setup.policy,
            events: setup.event_pages_max > 0,
            event_pages_max: setup.event_pages_max.max(1),
        };
        Pair {
            setup,
            row: match setup.slots {
                SlotsPer::Token => setup.page_size,
                SlotsPer::Page => 1,
            },
            cache: Cache::new(config).expect("as the model says"),
            foreign: Cache::new(config).expect("as the model says"),
            model: Model::new(setup.policy),
            handles: Vec::new(),
            receipts: Vec::new(),
            listener: Listener::default(),
            given: 0,
            inside: BTreeSet::new(),
        }
    }

    fn run(mut self, ops: &[Op]) {
        for op in ops {
            self.step(op);
            self.check();
            if self.setup.page_size <= 16 {
                self.check_contents();
            }
        }
        self.take_events();
        self.check_contents();
        for (receipt, held) in std::mem::take(&mut self.receipts) {
            self.cache.unlock(receipt).expect("as the model says");
            self.model.unlock(&held);
            self.check();
        }
        // Without locks everything can go, and then every slot that was given is outside again.
        let all = self.model.pages.len();
        self.evict(all + 1, all);
        assert_eq!(self.cache.total_len(), 0);
        assert!(self.inside.is_empty(), "slots leaked: {:?}", self.inside);
        self.take_events();
        self.check();
    }

    fn step(&mut self, op: &Op) {
        let page_size = self.setup.page_size;
        match op {
            Op::Match(prompt) => {
                let (units, path) = self.prompt(prompt);
                let found = self.cache.match_prefix(Namespace(path.0), &units);
                let (pages, held) = self.model.match_prefix(&path);
                assert_eq!((found.pages, found.len), (pages, pages * page_size));
                self.handles.push((found.handle, held));
            }
            Op::Peek(prompt) => {
                let (units, path) = self.prompt(prompt);
                let pages = self.model.peek(&path);
                assert_eq!(
                    self.cache.peek(Namespace(path.0), &units),
                    pages * page_size
                );
                let mut slots = vec![S::of(0)];
                let len = self.cache.peek_slots(Namespace(path.0), &units, &mut slots);
                assert_eq!(len, pages * page_size);
                let path = (path.0, path.1[..pages].to_vec());
                assert_eq!(numbers(&slots[1..]), self.model.slots(&path));
            }
            Op::Insert {
                prompt,
                reuse,
                priority,
            } => self.insert(prompt, *reuse, *priority),
            Op::InsertWrong { prompt, more } => {
                let (units, path) = self.prompt(prompt);
                let expected = path.1.len() * self.row;
                let got = if *more || expected == 0 {
                    expected + 1
                } else {
                    expected - 1
                };
                let slots = vec![S::of(0); got];
                let mut duplicates = Vec::new();
                let namespace = Namespace(path.0);
                let refused = self
                    .cache
                    .insert(namespace, &units, &slots, 9, &mut duplicates);
                let pages = path.1.len();
                assert_eq!(
                    refused,
                    Err(InsertError::WrongSlots {
                        pages,
                        expected,
                        got
                    })
                );
                assert!(duplicates.is_empty());
            }
            Op::Slots { handle } => {
                if let Some((handle, held)) = choose(&self.handles, *handle) {
                    let mut slots = vec![S::of(0)];
                    let got = self.cache.slots(*handle, &mut slots);
                    if self.model.is_stale(held) {
                        assert_eq!(got, Err(HandleError::StaleHandle));
                        assert_eq!(slots.len(), 1);
                    } else {
                        assert_eq!(got, Ok(slots.len() - 1));
                        assert_eq!(numbers(&slots[1..]), self.model.slots(&held.0));
                    }
                }
            }
            Op::Lock { handle } => {
                if let Some((handle, held)) = choose(&self.handles, *handle) {
                    match self.cache.lock(*handle) {
                        Ok(receipt) => {
                            assert!(!self.model.is_stale(held));
                            self.model.lock(held);
                            self.receipts.push((receipt, held.clone()));
                        }
                        Err(error) => {
                            assert_eq!(error, HandleError::StaleHandle);
                            assert!(self.model.is_stale(held));
                        }
                    }
                }
            }
            Op::Unlock { receipt } => {
                if !self.receipts.is_empty() {
                    let at = receipt % self.receipts.len();
                    let (receipt, held) = self.receipts.swap_remove(at);
                    let refused = self.foreign.unlock(receipt).expect_err("another cache's");
                    self.cache
                        .unlock(refused.receipt)
                        .expect("as the model says");
                    self.model.unlock(&held);
                }
            }
            Op::Evict { pages } => {
                let possible = self.model.sizes().0;
                self.evict(*pages, possible);
            }
            Op::TakeEvents => {
                self.take_events();
                self.check_contents();
            }
            Op::Foreign => {
                if let Some((handle, _)) = self.handles.last() {
                    let refused = Err(HandleError::ForeignHandle);
                    assert_eq!(self.foreign.slots(*handle, &mut Vec::new()), refused);
                    assert_eq!(self.foreign.lock(*handle).map(|_| 0), refused);
                }
            }
            Op::Reset => {
                self.cache.reset();
                self.model.reset();
                self.inside.clear();
            }
        }
    }

    fn insert(&mut self, prompt: &Prompt, reuse: usize, priority: i32) {
        let (units, path) = self.prompt(prompt);
        let pages = path.1.len();
        let reuse = reuse.min(self.model.peek(&path));
        let mut slots = self.model.slots(&(path.0, path.1[..reuse].to_vec()));
        let fresh = ((pages - reuse) * self.row) as u64;
        let brought: BTreeSet<u64> = (self.given..self.given + fresh).collect();
        slots.extend(&brought);
        self.given += fresh;
        let rows: Vec<Vec<u64>> = slots.chunks(self.row).map(<[u64]>::to_vec).collect();
        let slots: Vec<S> = slots.into_iter().map(S::of).collect();
        let mut duplicates = vec![S::of(0)];
        let inserted = self
            .cache
            .insert(Namespace(path.0), &units, &slots, priority, &mut duplicates)
            .expect("as the model says");
        let (present, expected, held) = self.model.insert(&path, &rows, priority);
        let page_size = self.setup.page_size;
        assert_eq!(inserted.present, present * page_size);
        assert_eq!(inserted.added, (pages - present) * page_size);
        let left_over = units.len() - pages * K::units_per_page(page_size);
        assert_eq!(inserted.left_out, left_over);
        let duplicates = numbers(&duplicates[1..]);
        assert_eq!(duplicates, expected);
        self.inside.extend(brought);
        for slot in duplicates {
            assert!(
                self.inside.remove(&slot),
                "slot {slot} was handed back, but not brought"
            );
        }
        self.handles.push((inserted.handle, held));
    }

    fn evict(&mut self, pages: usize, possible: usize) {
        let mut freed = vec![S::of(0)];
        let gone = self.cache.evict(pages, &mut freed);
        assert_eq!(
            gone,
            pages.min(possible),
            "exactly as many as asked for or possible"
        );
        let mut freed = numbers(&freed[1..]);
        let (expected_gone, mut expected) = self.model.evict(pages);
        assert_eq!(gone, expected_gone);
        for slot in &freed {
            assert!(self.inside.remove(slot), "slot {slot} was freed twice");
        }
        // Within one call only the order of the pages of a run depends on how runs are cut.
        freed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(freed, expected, "evicted by {:?}", self.model.policy);
    }

    /// Follows the events; what the listener then knows is what is cached.
    fn take_events(&mut self) {
        let listener = &mut self.listener;
        for event in self.cache.take_events() {
            match event {
                Event::Stored {
                    namespace,
                    start,
                    parent,
                    units,
                    slots,
                } => {
                    let mut path = match parent {
                        Some(slot) => listener.by_slot[&slot.number()].clone(),
                        None => (namespace.0, Vec::new()),
                    };
                    assert_eq!(
                        (path.0, path.1.len() * self.setup.page_size),
                        (namespace.0, start)
                    );
                    let per_page = K::units_per_page(self.setup.page_size);
                    for (page, row) in units.chunks(per_page).zip(slots.chunks(self.row)) {
                        path.1.push(K::number(page));
                        listener.by_slot.insert(
                            row.last().expect("as the model says").number(),
                            path.clone(),
                        );
                        listener.by_path.insert(path.clone(), numbers(row));
                    }
                }
                Event::Removed { namespace, slots } => {
                    for row in slots.chunks(self.row) {
                        let path = listener
                            .by_slot
                            .remove(&row.last().expect("as the model says").number())
                            .expect("as the model says");
                        assert_eq!(path.0, namespace.0);
                        assert_eq!(listener.by_path.remove(&path), Some(numbers(row)));
                    }
                }
                Event::Cleared => *listener = Listener::default(),
                Event::Lost { pages } => {
                    assert!(pages > 0);
                    *listener = Listener::default();
                    let per_page = K::units_per_page(self.setup.page_size);
                    self.cache.for_each(|entry| {
                        let pages = entry
                            .path
                            .chunks(per_page)
                            .map(K::number)
                            .collect::<Vec<_>>();
                        let above = entry.above.0 / per_page;
                        let rows = entry.own_slots().chunks(self.row);
                        for (len, row) in (above + 1..).zip(rows) {
                            let path = (entry.namespace.0, pages[..len].to_vec());
                            listener.by_slot.insert(
                                row.last().expect("as the model says").number(),
                                path.clone(),
                            );
                            listener.by_path.insert(path, numbers(row));
                        }
                    });
                }
            }
        }
        if self.setup.event_pages_max > 0 {
            let cached = self
                .model
                .pages
                .iter()
                .map(|(path, page)| (path, &page.slots));
            assert!(
                listener.by_path.iter().eq(cached),
                "events tell what is cached"
            );
        }
    }

    fn check(&self) {
        self.cache.debug_check();
        let (evictable, protected) = self.model.sizes();
        let page_size = self.setup.page_size;
        assert_eq!(self.cache.evictable_len(), evictable * page_size);
        assert_eq!(self.cache.protected_len(), protected * page_size);
        assert_eq!(self.cache.total_len(), (evictable + protected) * page_size);
    }

    /// Compares every page and every slot, and looks where each slot is.
    fn check_contents(&self) {
        let per_page = K::units_per_page(self.setup.page_size);
        let mut found: BTreeMap<Path, Vec<u64>> = BTreeMap::new();
        let mut inside = BTreeSet::new();
        self.cache.for_each(|entry| {
            let pages: Vec<u32> = entry.path.chunks(per_page).map(K::number).collect();
            for (len, row) in (1..).zip(entry.slots.chunks(self.row)) {
                let path = (entry.namespace.0, pages[..len].to_vec());
                let before = found.insert(path, numbers(row));
                let is_new = (len - 1) * per_page >= entry.above.0;
                assert_eq!(before.is_none(), is_new, "an entry's own pages are new");
                assert!(before.is_none_or(|before| before == numbers(row)));
                if is_new {
                    for slot in numbers(row) {
                        assert!(inside.insert(slot), "slot {slot} is in two places");
                    }
                }
            }
        });
        let cached = self
            .model
            .pages
            .iter()
            .map(|(path, page)| (path, &page.slots));
        assert!(found.iter().eq(cached), "what is cached");
        assert_eq!(inside, self.inside, "slots that the cache has");
        let stats = self.cache.stats();
        assert_eq!(stats.pages as usize, found.len());
        assert!(stats.nodes <= stats.pages);
    }

    fn prompt(&self, prompt: &Prompt) -> (Vec<K>, Path) {
        let page_size = self.setup.page_size;
        let mut units = Vec::new();
        for page in &prompt.pages {
            K::page(*page, page_size, &mut units);
        }
        let left_over = prompt.left_over % K::units_per_page(page_size);
        let mut more = Vec::new();
        K::page(0, page_size, &mut more);
        units.extend_from_slice(&more[..left_over]);
        (units, (prompt.namespace, prompt.pages.clone()))
    }
}

fn numbers<S: Numbered>(slots: &[S]) -> Vec<u64> {
    slots.iter().map(|slot| slot.number()).collect()
}

fn choose<T>(from: &[T], at: usize) -> Option<&T> {
    // The latest are the most interesting.
    from.len()
        .checked_sub(1 + at % from.len().clamp(1, 12))
        .map(|at| &from[at])
}
