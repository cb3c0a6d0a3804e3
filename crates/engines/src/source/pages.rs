//! The pages of one source by path, and what the mesh was told of them.
//!
//! Several blocks may hold one page: engines' blocks that are longer than pages and differ behind it, blocks of two sizes
//! in two tiers, blocks with the same tokens and several names. So pages are counted, per tier, by the blocks in which they
//! end.
//!
//! Levels, not edges: what is told is the difference between what a page is now and what was last told. What was
//! dropped and stored again within a batch says nothing. Pages that follow each other go into one command, and drops come
//! before stores.

use radix_core::id::{Namespace, Tier};
use radix_core::page::Fingerprint;

use crate::source::block::NONE;
use crate::source::names::{Names, Slot};
use crate::source::refs::Tiers;

/// Pages of one path: `pages[from..]` are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) namespace: Namespace,
    pub(crate) pages: Vec<Fingerprint>,
    pub(crate) from: u32,
}

/// A change of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Held nowhere any more.
    Evict(Path),
    /// Held in this tier, too.
    Store(Tier, Path),
}

/// It is in the list of pages that may have changed.
const QUEUED: u8 = 1;
/// It is in the set that is being made into commands.
const IN_SET: u8 = 2;
/// A page below it is in that set, too.
const INNER: u8 = 4;

/// A page, or the root of a namespace (at depth 0, with the namespace in place of a fingerprint).
#[derive(Clone, Debug)]
struct Page {
    content: u64,
    up: Slot,
    /// Blocks that end in it or behind it, and pages that continue it.
    uses: u32,
    /// Pages from the root; 0 is the root itself.
    depth: u32,
    /// How many blocks hold it, per tier; of the present claim only.
    holders: [u32; Tier::COUNT],
    /// Where the mesh was told that it is; of the present claim only.
    told: Tiers,
    marks: u8,
    claim: u32,
}

/// All pages of one source.
#[derive(Clone, Debug)]
pub(crate) struct PageTree {
    pages: Vec<Page>,
    free: Vec<Slot>,
    /// By what they continue and what they are.
    index: Names<(Slot, u64)>,
    changed: Vec<Slot>,
}

impl PageTree {
    pub(crate) fn new(seed: u64) -> Self {
        PageTree {
            pages: Vec::new(),
            free: Vec::new(),
            index: Names::new(seed),
            changed: Vec::new(),
        }
    }

    fn get(&self, slot: Slot) -> &Page {
        &self.pages[slot as usize]
    }

    fn get_mut(&mut self, slot: Slot) -> &mut Page {
        &mut self.pages[slot as usize]
    }

    pub(crate) fn depth(&self, slot: Slot) -> u32 {
        self.get(slot).depth
    }

    /// The namespace whose root a page is below.
    pub(crate) fn namespace(&self, slot: Slot) -> Namespace {
        let mut page = self.get(slot);
        while page.up != NONE {
            page = self.get(page.up);
        }
        Namespace(page.content)
    }

    /// Finds or makes the root of a namespace, for one more use.
    pub(crate) fn root(&mut self, namespace: Namespace) -> Slot {
        self.find(NONE, namespace.0)
    }

    /// Finds or makes the page at the end of a path from a page on, for one more use. Without pages it is that page.
    pub(crate) fn below(&mut self, slot: Slot, pages: &[Fingerprint]) -> Slot {
        self.get_mut(slot).uses += 1;
        let mut slot = slot;
        for page in pages {
            let next = self.find(slot, page.0);
            // The use went on to the next page, which uses this one itself.
            self.get_mut(slot).uses -= 1;
            slot = next;
        }
        slot
    }

    fn find(&mut self, up: Slot, content: u64) -> Slot {
        if let Some(slot) = self.index.get((up, content)) {
            self.get_mut(slot).uses += 1;
            return slot;
        }
        let depth = match up {
            NONE => 0,
            up => {
                let page = self.get_mut(up);
                page.uses += 1;
                page.depth + 1
            }
        };
        let page = Page {
            content,
            up,
            uses: 1,
            depth,
            holders: [0; Tier::COUNT],
            told: Tiers::NONE,
            marks: 0,
            claim: 0,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                *self.get_mut(slot) = page;
                slot
            }
            None => {
                let slot = Slot::try_from(self.pages.len());
                self.pages.push(page);
                slot.expect("a source has far fewer blocks than slots, and each brings few pages")
            }
        };
        self.index.insert((up, content), slot);
        slot
    }

    /// Gives up one use; a page without uses is freed, and what only it used.
    pub(crate) fn release(&mut self, slot: Slot) {
        let mut slot = slot;
        while slot != NONE {
            let page = self.get_mut(slot);
            page.uses -= 1;
            if page.uses > 0 {
                return;
            }
            let (up, content) = (page.up, page.content);
            self.index.remove((up, content), slot);
            self.free.push(slot);
            slot = up;
        }
    }

    /// The last `pages` pages of the path that ends at a page.
    pub(crate) fn last(&self, slot: Slot, pages: u32) -> Vec<Fingerprint> {
        let mut path = vec![Fingerprint::default(); pages as usize];
        let mut slot = slot;
        for page in path.iter_mut().rev() {
            *page = Fingerprint(self.get(slot).content);
            slot = self.get(slot).up;
        }
        path
    }

    /// A block holds the last `pages` pages of a path in the tiers `now` and no longer in those `before`. Returns the page
    /// before them.
    pub(crate) fn hold(
        &mut self,
        slot: Slot,
        pages: u32,
        (before, now): (Tiers, Tiers),
        claim: u32,
    ) -> Slot {
        let (new, old) = (now.without(before), before.without(now));
        let mut slot = slot;
        for _ in 0..pages {
            let page = self.get_mut(slot);
            if page.claim != claim {
                page.claim = claim;
                page.holders = [0; Tier::COUNT];
                page.told = Tiers::NONE;
            }
            for tier in Tier::ALL {
                let holders = &mut page.holders[tier as usize];
                *holders += u32::from(new.has(tier));
                *holders -= u32::from(old.has(tier));
            }
            let up = page.up;
            if page.marks & QUEUED == 0 {
                page.marks |= QUEUED;
                self.changed.push(slot);
            }
            slot = up;
        }
        slot
    }

    /// Tells what changed since this was last called.
    pub(crate) fn tell(&mut self, mut tell: impl FnMut(Change)) {
        let mut evicted = Vec::new();
        let mut stored: [Vec<Slot>; Tier::COUNT] = Default::default();
        let mut changed = std::mem::take(&mut self.changed);
        for slot in changed.drain(..) {
            let page = self.get_mut(slot);
            page.marks &= !QUEUED;
            let held = Tier::ALL
                .into_iter()
                .filter(|&tier| page.holders[tier as usize] > 0);
            let now = held.fold(Tiers::NONE, |tiers, tier| tiers.with(Tiers::of(tier)));
            let before = std::mem::replace(&mut page.told, now);
            let mut new = now.without(before);
            if before.without(now) != Tiers::NONE {
                // A drop is one of all tiers: where the page still is, is told again.
                evicted.push(slot);
                new = now;
            }
            for tier in Tier::ALL {
                if new.has(tier) {
                    stored[tier as usize].push(slot);
                }
            }
        }
        self.changed = changed;
        self.runs(&evicted, |path| tell(Change::Evict(path)));
        for tier in Tier::ALL {
            self.runs(&stored[tier as usize], |path| {
                tell(Change::Store(tier, path));
            });
        }
    }

    /// Forgets what was to be told.
    pub(crate) fn hush(&mut self) {
        for slot in std::mem::take(&mut self.changed) {
            self.get_mut(slot).marks &= !QUEUED;
        }
    }

    /// Cuts a set of pages into runs: each page is in one, and a run follows one path.
    fn runs(&mut self, set: &[Slot], mut tell: impl FnMut(Path)) {
        for &slot in set {
            self.get_mut(slot).marks |= IN_SET;
        }
        for &slot in set {
            let up = self.get(slot).up;
            let above = self.get_mut(up);
            if above.marks & IN_SET != 0 {
                above.marks |= INNER;
            }
        }
        for &slot in set {
            let page = self.get_mut(slot);
            if page.marks & INNER != 0 {
                page.marks &= !INNER;
                continue;
            }
            page.marks &= !IN_SET;
            let mut top = slot;
            loop {
                let up = self.get(top).up;
                let above = self.get_mut(up);
                if above.marks & IN_SET == 0 {
                    break;
                }
                above.marks &= !IN_SET;
                top = up;
            }
            let from = self.get(top).depth - 1;
            tell(self.path(slot, from));
        }
    }

    fn path(&self, slot: Slot, from: u32) -> Path {
        let depth = self.get(slot).depth;
        let mut pages = vec![Fingerprint::default(); depth as usize];
        let mut page = self.get(slot);
        for place in pages.iter_mut().rev() {
            *place = Fingerprint(page.content);
            page = self.get(page.up);
        }
        Path {
            namespace: Namespace(page.content),
            pages,
            from,
        }
    }
}
