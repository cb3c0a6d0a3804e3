//! What a cache does, said in the plainest way: every page is an entry of its own under its whole path, and
//! whatever is to be found is found by looking at all of them.

use std::collections::BTreeMap;

use radix_core::cache::Policy;

/// A namespace and the pages from its root, as small numbers.
pub(crate) type Path = (u64, Vec<u32>);

/// One page.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// Unlike that of any other page, also of one on the same path at another time.
    pub(crate) birth: u64,
    pub(crate) slots: Vec<u64>,
    access: u64,
    created: u64,
    hits: u64,
    priority: i64,
    locks: u64,
}

/// A path whose last page was cached when this was made, and that page's birth; 0 for an empty path.
pub(crate) type Held = (Path, u64);

/// The cache.
pub(crate) struct Model {
    pub(crate) policy: Policy,
    pub(crate) pages: BTreeMap<Path, Page>,
    clock: u64,
    births: u64,
}

impl Model {
    pub(crate) fn new(policy: Policy) -> Self {
        Model {
            policy,
            pages: BTreeMap::new(),
            clock: 0,
            births: 0,
        }
    }

    /// Returns how many leading pages of a path are cached.
    pub(crate) fn peek(&self, (namespace, path): &Path) -> usize {
        let is_cached = |len: &usize| {
            self.pages
                .contains_key(&(*namespace, path[..*len].to_vec()))
        };
        (1..=path.len()).take_while(is_cached).count()
    }

    pub(crate) fn match_prefix(&mut self, path: &Path) -> (usize, Held) {
        self.clock += 1;
        let now = self.clock;
        let len = self.peek(path);
        self.on_path(path, len, |page| {
            page.access = now;
            page.hits += 1;
        });
        (len, self.held(path, len))
    }

    /// Returns the pages that were there, the slots that are not needed, and the end.
    pub(crate) fn insert(
        &mut self,
        path: &Path,
        rows: &[Vec<u64>],
        priority: i32,
    ) -> (usize, Vec<u64>, Held) {
        if path.1.is_empty() {
            return (0, Vec::new(), self.held(path, 0));
        }
        self.clock += 1;
        let (now, priority) = (self.clock, i64::from(priority));
        let present = self.peek(path);
        self.on_path(path, present, |page| {
            page.access = now;
            page.priority = page.priority.max(priority);
        });
        let mut duplicates = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            let key = (path.0, path.1[..=at].to_vec());
            if at < present {
                let pairs = row.iter().zip(&self.pages[&key].slots);
                duplicates.extend(
                    pairs
                        .filter(|(brought, kept)| brought != kept)
                        .map(|pair| pair.0),
                );
                continue;
            }
            self.births += 1;
            let page = Page {
                birth: self.births,
                slots: row.clone(),
                access: now,
                created: now,
                hits: 1,
                priority,
                locks: 0,
            };
            self.pages.insert(key, page);
        }
        (present, duplicates, self.held(path, path.1.len()))
    }

    pub(crate) fn is_stale(&self, (path, birth): &Held) -> bool {
        *birth != 0 && self.pages.get(path).is_none_or(|page| page.birth != *birth)
    }

    pub(crate) fn lock(&mut self, held: &Held) {
        self.on_path(&held.0, held.0.1.len(), |page| page.locks += 1);
    }

    pub(crate) fn unlock(&mut self, held: &Held) {
        // Only a reset takes a page under a lock.
        if !self.is_stale(held) {
            self.on_path(&held.0, held.0.1.len(), |page| page.locks -= 1);
        }
    }

    /// Returns the slots of up to `count` pages that went.
    pub(crate) fn evict(&mut self, count: usize) -> (usize, Vec<u64>) {
        let mut freed = Vec::new();
        for gone in 0..count {
            let leaves = self
                .pages
                .iter()
                .filter(|(path, page)| page.locks == 0 && self.is_leaf(path));
            let Some((path, _)) = leaves.min_by_key(|(_, page)| self.key(page)) else {
                return (gone, freed);
            };
            let path = path.clone();
            freed.extend(self.pages.remove(&path).expect("just found").slots);
        }
        (count, freed)
    }

    pub(crate) fn reset(&mut self) {
        self.pages.clear();
    }

    /// Returns the slots of a path, which is cached.
    pub(crate) fn slots(&self, (namespace, path): &Path) -> Vec<u64> {
        let row = |len| {
            self.pages[&(*namespace, path[..len].to_vec())]
                .slots
                .clone()
        };
        (1..=path.len()).flat_map(row).collect()
    }

    /// Returns how many pages no lock covers, and how many one does.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        let free = self.pages.values().filter(|page| page.locks == 0).count();
        (free, self.pages.len() - free)
    }

    /// The table in the documentation of `Policy`.
    fn key(&self, page: &Page) -> (i128, i128) {
        let (access, created) = (i128::from(page.access), i128::from(page.created));
        match self.policy {
            Policy::Lru => (0, access),
            Policy::Lfu => (i128::from(page.hits), access),
            Policy::Fifo => (0, created),
            Policy::Mru => (0, -access),
            Policy::Filo => (0, -created),
            Policy::Priority => (i128::from(page.priority), access),
            Policy::Slru => (i128::from(page.hits >= 2), access),
        }
    }

    fn is_leaf(&self, path: &Path) -> bool {
        let mut behind = self.pages.range(path.clone()..).skip(1);
        !behind
            .next()
            .is_some_and(|(next, _)| next.0 == path.0 && next.1.starts_with(&path.1))
    }

    fn held(&self, path: &Path, len: usize) -> Held {
        let path = (path.0, path.1[..len].to_vec());
        let birth = self.pages.get(&path).map_or(0, |page| page.birth);
        (path, birth)
    }

    fn on_path(&mut self, (namespace, path): &Path, len: usize, change: impl Fn(&mut Page)) {
        for len in 1..=len {
            let page = self.pages.get_mut(&(*namespace, path[..len].to_vec()));
            change(page.expect("the path is cached"));
        }
    }
}
