//! The blocks of one source, by name and by path.
//!
//! Tokens are the key: a block is known by its tokens behind its parent's, and the engine's hash is a name for it. Pages
//! of the mesh and blocks of the engine may have different sizes: a page belongs to the block in which it ends, and
//! is held where every block is held that it overlaps.
//!
//! ```text
//! blocks of 6   |     0     |     1     |     2     |
//! pages of 4    |   a   |   b   |   c   |   d   |        a ends in 0, b and c in 1 (b overlaps 0), d in 2
//! ```
//! A block whose parent is not known is an *orphan*: it keeps its tokens and is told to nobody until the parent comes. A
//! block that is not held any more but that others continue stays as a bare name.

mod content;
mod orphans;

use std::collections::VecDeque;

use radix_core::id::{Namespace, Tier};
use radix_core::page::{Fingerprint, FingerprintKey};

use crate::event::{EngineHash, Stored};
use crate::limits::{BLOCK_TOKENS_MAX, PATH_PAGES_MAX, SIBLINGS_MAX};
use crate::source::block::{Block, Held, Mark, NONE};
use crate::source::counters::Counters;
use crate::source::names::{Names, Slot};
use crate::source::pages::PageTree;
use crate::source::refs::Refs;

/// What a block continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Root(Namespace),
    Under(Slot),
    Missing(EngineHash),
}

/// How copies are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counting {
    pub(crate) group: u8,
    pub(crate) tier: Tier,
    /// Some copies may have gone unseen: a second report of a block is no second copy, and what is continued is held.
    pub(crate) loose: bool,
}

/// All blocks of one source.
#[derive(Clone, Debug)]
pub(crate) struct Forest {
    key: FingerprintKey,
    /// Unit: tokens.
    page_size: u32,
    blocks_max: usize,
    seed: u64,
    pub(crate) blocks: Vec<Block>,
    pub(crate) pages: PageTree,
    free: Vec<Slot>,
    names: Names<EngineHash>,
    /// First orphan that waits for a name; the others follow along `next`.
    waiting: Names<EngineHash>,
    /// Orphans without a parent, oldest first; some are gone or adopted by now.
    waiting_since: VecDeque<(Slot, EngineHash)>,
    orphans: usize,
    orphan_tokens: usize,
    pub(crate) touched: Vec<Slot>,
    /// The pages of the block at hand; here so that their memory is used again.
    ending: Vec<Fingerprint>,
    /// The present claim: counts that were written in an older one are void.
    claim: u32,
    /// Blocks made since dead names were last looked for.
    made: usize,
}

impl Forest {
    pub(crate) fn new(key: FingerprintKey, page_size: u16, blocks_max: usize) -> Self {
        let seed = key.page(&[0x6e61_6d65, 0x7365_6564]).0;
        Forest {
            key,
            page_size: u32::from(page_size.max(1)),
            blocks_max: blocks_max.min(NONE as usize),
            seed,
            blocks: Vec::new(),
            pages: PageTree::new(seed),
            free: Vec::new(),
            names: Names::new(seed),
            waiting: Names::new(seed),
            waiting_since: VecDeque::new(),
            orphans: 0,
            orphan_tokens: 0,
            touched: Vec::new(),
            ending: Vec::new(),
            claim: 1,
            made: blocks_max,
        }
    }

    pub(crate) fn page_size(&self) -> u32 {
        self.page_size
    }

    pub(crate) fn get(&self, slot: Slot) -> &Block {
        &self.blocks[slot as usize]
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> &mut Block {
        &mut self.blocks[slot as usize]
    }

    /// Blocks that are remembered: held, waiting, or only named.
    pub(crate) fn len(&self) -> usize {
        self.blocks.len() - self.free.len()
    }

    pub(crate) fn orphans(&self) -> usize {
        self.orphans
    }

    pub(crate) fn blocks_max(&self) -> usize {
        self.blocks_max
    }

    pub(crate) fn is_named(&self, name: EngineHash) -> bool {
        self.names.get(name).is_some()
    }

    /// Whether a block can still be found by its name.
    pub(crate) fn owns_its_name(&self, slot: Slot) -> bool {
        self.names.get(self.get(slot).name) == Some(slot)
    }

    /// Puts back a block whose place and content are set.
    pub(crate) fn restore_block(
        &mut self,
        block: Block,
        parent: Slot,
        name: Option<EngineHash>,
    ) -> Option<Slot> {
        if !self.has_room_below(parent) {
            return None;
        }
        let slot = self.make(block)?;
        let at = match parent {
            NONE => At::Root(Namespace::DEFAULT),
            parent => At::Under(parent),
        };
        self.link(slot, at);
        if let Some(name) = name {
            self.names.insert(name, slot);
        }
        self.touch(slot);
        Some(slot)
    }

    pub(crate) fn touch(&mut self, slot: Slot) {
        let block = self.get_mut(slot);
        if !block.is(Mark::TOUCHED) {
            block.mark(Mark::TOUCHED);
            self.touched.push(slot);
        }
    }

    /// Takes blocks in. `namespace` is that of a path which begins here.
    pub(crate) fn store(
        &mut self,
        stored: &Stored,
        namespace: Namespace,
        counting: Counting,
        counters: &mut Counters,
    ) {
        if stored.tokens.is_empty() {
            for &name in &stored.hashes {
                match self.names.get(name) {
                    Some(slot) => self.count(slot, counting),
                    None => counters.unknown_stored += 1,
                }
            }
            return;
        }
        let Some(size) = block_size(stored) else {
            counters.odd_stored += 1;
            return;
        };
        let mut at = match stored.parent {
            None => At::Root(namespace),
            Some(name) => self.names.get(name).map_or(At::Missing(name), At::Under),
        };
        if let At::Under(parent) = at {
            // A name that nothing continues yet must outlive what is done here.
            self.touch(parent);
            if counting.loose && counting.tier == Tier::Device {
                self.infer(parent, counting, counters);
            }
        }
        let tokens = stored.tokens.chunks(size);
        for (block, (&name, tokens)) in stored.hashes.iter().zip(tokens).enumerate() {
            let extra = stored.extra.get(block).copied().unwrap_or(0);
            let Some(slot) = self.put(at, name, tokens, extra, counters) else {
                counters.refused_blocks += (stored.hashes.len() - block) as u64;
                return;
            };
            self.count(slot, counting);
            at = At::Under(slot);
        }
    }

    /// The counts of a block, for writing.
    pub(crate) fn refs(&mut self, slot: Slot) -> &mut Refs {
        let claim = self.claim;
        self.get_mut(slot).claim(claim).0
    }

    /// Lets the pages that end in a block know where it holds them.
    pub(crate) fn hold(&mut self, slot: Slot) {
        let claim = self.claim;
        // The first may begin in blocks before this one.
        let now = Held {
            first: self.tiers(slot),
            rest: self.get(slot).tiers(claim),
        };
        let block = self.get_mut(slot);
        let before = std::mem::replace(block.claim(claim).1, now);
        let (page, pages) = (block.page, block.pages);
        if before == now || pages == 0 {
            return;
        }
        let (rest, first) = ((before.rest, now.rest), (before.first, now.first));
        let up = self.pages.hold(page, pages - 1, rest, claim);
        self.pages.hold(up, 1, first, claim);
    }

    /// The present claim.
    pub(crate) fn present(&self) -> u32 {
        self.claim
    }

    fn count(&mut self, slot: Slot, counting: Counting) {
        let Counting { group, tier, loose } = counting;
        self.refs(slot).add(group, tier, loose);
        self.touch(slot);
    }

    /// An engine that continues a block holds it and all before it.
    fn infer(&mut self, slot: Slot, counting: Counting, counters: &mut Counters) {
        let mut slot = slot;
        while slot != NONE {
            let block = self.get(slot);
            let parent = block.parent;
            let counted = |refs: &Refs| refs.counts(counting.group, counting.tier);
            if !block.refs(self.claim).is_some_and(counted) {
                self.count(slot, counting);
                counters.inferred_blocks += 1;
            }
            slot = parent;
        }
    }

    /// One copy of a block is gone; `tier` is `None` where the engine does not say from where.
    pub(crate) fn remove(
        &mut self,
        name: EngineHash,
        group: u8,
        tier: Option<Tier>,
        counters: &mut Counters,
    ) {
        let Some(slot) = self.names.get(name) else {
            counters.unknown_removed += 1;
            return;
        };
        let refs = self.refs(slot);
        let known = match tier {
            Some(tier) => refs.sub(group, tier),
            None => refs.sub_anywhere(group),
        };
        counters.unknown_removed += u64::from(!known);
        self.touch(slot);
    }

    /// A copy went from one tier to another; `None` is outside the engine.
    pub(crate) fn shift(
        &mut self,
        name: EngineHash,
        group: u8,
        from: Option<Tier>,
        to: Option<Tier>,
        counters: &mut Counters,
    ) {
        let Some(slot) = self.names.get(name) else {
            counters.unknown_removed += 1;
            return;
        };
        let refs = self.refs(slot);
        let known = from.is_some_and(|from| refs.sub(group, from));
        if let Some(to) = to {
            refs.add(group, to, !known);
        }
        self.touch(slot);
    }

    /// Finds or makes the block of a name at a place. `None`: a limit is reached.
    fn put(
        &mut self,
        at: At,
        name: EngineHash,
        tokens: &[u32],
        extra: u64,
        counters: &mut Counters,
    ) -> Option<Slot> {
        if let Some(slot) = self.names.get(name) {
            if self.is_the_same(slot, at, tokens, extra) {
                return Some(slot);
            }
            let block = self.get(slot);
            let waits = block.missing().is_some() && !matches!(at, At::Missing(_));
            if waits && block.tail() == tokens && block.extra() == extra {
                self.unlink(slot);
                let adopted = self.adopt(slot, at, counters);
                return adopted.then_some(slot);
            }
            // Another block has the name now: the old one can never be removed by it again.
            counters.renamed_blocks += 1;
            self.names.remove(name, slot);
            *self.refs(slot) = Refs::default();
            self.touch(slot);
        }
        let len = u32::try_from(tokens.len()).ok()?;
        let slot = self.make(Block::new(name, len))?;
        self.names.insert(name, slot);
        self.touch(slot);
        let orphaned = match at {
            At::Root(_) => false,
            At::Under(parent) => self.get(parent).is(Mark::ORPHAN),
            At::Missing(_) => true,
        };
        if orphaned {
            let missing = match at {
                At::Missing(parent) => Some(parent),
                At::Root(_) | At::Under(_) => None,
            };
            self.get_mut(slot).set_rare(tokens.into(), extra, missing);
            self.get_mut(slot).mark(Mark::ORPHAN);
            self.orphans += 1;
            self.orphan_tokens += tokens.len();
            self.link(slot, at);
            self.forget_oldest_orphans(slot, counters);
            if self.get(slot).is(Mark::FREE) {
                return None;
            }
        } else if !self.place(slot, at, tokens, extra) {
            self.names.remove(name, slot);
            self.release(slot);
            return None;
        }
        if !self.waiting.is_empty() {
            self.adopt_waiting(slot, counters);
        }
        (!self.get(slot).is(Mark::FREE)).then_some(slot)
    }

    /// Whether a named block is what an event describes.
    fn is_the_same(&self, slot: Slot, at: At, tokens: &[u32], extra: u64) -> bool {
        let block = self.get(slot);
        let place = match at {
            At::Root(namespace) => {
                let root = || self.pages.namespace(block.page) == namespace;
                block.parent == NONE && !block.is(Mark::ORPHAN) && root()
            }
            At::Under(parent) => block.parent == parent,
            At::Missing(parent) => block.missing().is_none_or(|missing| missing == parent),
        };
        if !place || block.extra() != extra || block.len as usize != tokens.len() {
            return false;
        }
        if block.is(Mark::ORPHAN) {
            return block.tail() == tokens;
        }
        let mut pages = Vec::new();
        let tail = self.content(block.parent, block.start, tokens, extra, &mut pages);
        *tail == *block.tail() && pages == self.pages.last(block.page, block.pages)
    }

    /// Gives a block its place in a path, its pages and its parent. `false`: a limit is reached, nothing was changed.
    fn place(&mut self, slot: Slot, at: At, tokens: &[u32], extra: u64) -> bool {
        let (parent, start, depth) = match at {
            At::Root(_) => (NONE, 0, 0),
            At::Under(parent) => {
                let block = self.get(parent);
                (parent, block.end(), self.pages.depth(block.page))
            }
            At::Missing(_) => return false,
        };
        let len = self.get(slot).len;
        if start.checked_add(len).is_none() || !self.has_room_below(parent) {
            return false;
        }
        let mut pages = std::mem::take(&mut self.ending);
        pages.clear();
        let tail = self.content(parent, start, tokens, extra, &mut pages);
        let number = count(&pages);
        let short = depth + number <= PATH_PAGES_MAX;
        let page = if short {
            self.page_below(at, &pages)
        } else {
            NONE
        };
        self.ending = pages;
        if !short {
            return false;
        }
        let block = self.get_mut(slot);
        block.start = start;
        block.page = page;
        block.pages = number;
        block.set_rare(tail, extra, None);
        self.link(slot, at);
        true
    }

    /// The page at the end of a block that continues `at`.
    pub(crate) fn page_below(&mut self, at: At, pages: &[Fingerprint]) -> Slot {
        match at {
            At::Root(namespace) => {
                let root = self.pages.root(namespace);
                let page = self.pages.below(root, pages);
                self.pages.release(root);
                page
            }
            At::Under(parent) => self.pages.below(self.get(parent).page, pages),
            At::Missing(_) => NONE,
        }
    }

    /// Blocks below one that ends inside a page are looked at whenever it changes: they are bounded.
    fn has_room_below(&self, parent: Slot) -> bool {
        if parent == NONE || self.get(parent).end().is_multiple_of(self.page_size) {
            return true;
        }
        let rare = self.get(parent).rare.as_ref();
        rare.is_none_or(|rare| rare.children < SIBLINGS_MAX)
    }

    fn link(&mut self, slot: Slot, at: At) {
        let first = match at {
            At::Root(_) => {
                self.get_mut(slot).parent = NONE;
                return;
            }
            At::Under(parent) => {
                let page_size = self.page_size;
                let block = self.get_mut(parent);
                if !block.end().is_multiple_of(page_size) {
                    block.rare.get_or_insert_default().children += 1;
                }
                let first = std::mem::replace(&mut block.child, slot);
                self.get_mut(slot).parent = parent;
                first
            }
            At::Missing(name) => {
                let first = self.waiting.get(name).unwrap_or(NONE);
                self.waiting.insert(name, slot);
                self.waiting_since.push_back((slot, name));
                self.get_mut(slot).parent = NONE;
                first
            }
        };
        let block = self.get_mut(slot);
        (block.next, block.prev) = (first, NONE);
        if first != NONE {
            self.get_mut(first).prev = slot;
        }
    }

    fn unlink(&mut self, slot: Slot) {
        let block = self.get(slot);
        let (next, prev, parent, missing) = (block.next, block.prev, block.parent, block.missing());
        if prev != NONE {
            self.get_mut(prev).next = next;
        } else if let Some(name) = missing {
            match next {
                NONE => self.waiting.remove(name, slot),
                next => self.waiting.insert(name, next),
            }
        } else if parent != NONE {
            self.get_mut(parent).child = next;
        }
        if next != NONE {
            self.get_mut(next).prev = prev;
        }
        if parent != NONE
            && let Some(rare) = &mut self.get_mut(parent).rare
        {
            rare.children = rare.children.saturating_sub(1);
        }
        let block = self.get_mut(slot);
        (block.next, block.prev, block.parent) = (NONE, NONE, NONE);
    }

    pub(crate) fn children(&self, slot: Slot) -> Vec<Slot> {
        let mut children = Vec::new();
        self.list_children(slot, &mut children);
        children
    }

    /// Appends the blocks that continue one.
    pub(crate) fn list_children(&self, slot: Slot, children: &mut Vec<Slot>) {
        let mut child = self.get(slot).child;
        while child != NONE {
            children.push(child);
            child = self.get(child).next;
        }
    }

    fn make(&mut self, block: Block) -> Option<Slot> {
        self.made += 1;
        if self.len() >= self.blocks_max {
            // Looked for at most once in so many blocks: the cost of each stays bounded.
            if self.made <= self.blocks_max / 8 {
                return None;
            }
            self.made = 0;
            (0..self.blocks.len()).rev().for_each(|slot| {
                let slot = Slot::try_from(slot).expect("slots are 32 bits wide");
                if !self.get(slot).is(Mark::TOUCHED) {
                    self.reclaim(slot);
                }
            });
            if self.len() >= self.blocks_max {
                return None;
            }
        }
        if let Some(slot) = self.free.pop() {
            *self.get_mut(slot) = block;
            return Some(slot);
        }
        let slot = Slot::try_from(self.blocks.len()).ok()?;
        self.blocks.push(block);
        Some(slot)
    }

    fn release(&mut self, slot: Slot) {
        self.pages.release(self.get(slot).page);
        let mut empty = Block::new(EngineHash::int(0), 0);
        empty.mark(Mark::FREE);
        *self.get_mut(slot) = empty;
        self.free.push(slot);
    }

    /// Frees a dead block, and what is dead before it then.
    pub(crate) fn reclaim(&mut self, slot: Slot) {
        let mut slot = slot;
        while slot != NONE
            && self.get(slot).is_dead(self.claim)
            && !self.get(slot).is(Mark::TOUCHED)
        {
            let block = self.get(slot);
            let (parent, name, len) = (block.parent, block.name, block.len as usize);
            if block.is(Mark::ORPHAN) {
                self.orphans -= 1;
                self.orphan_tokens -= len;
            }
            self.unlink(slot);
            self.names.remove(name, slot);
            self.release(slot);
            slot = parent;
        }
    }

    /// Forgets everything.
    pub(crate) fn forget(&mut self) {
        self.blocks = Vec::new();
        self.free = Vec::new();
        self.pages = PageTree::new(self.seed);
        self.names = Names::new(self.seed);
        self.waiting = Names::new(self.seed);
        self.waiting_since = VecDeque::new();
        (self.orphans, self.orphan_tokens) = (0, 0);
        self.touched = Vec::new();
        self.made = self.blocks_max;
    }

    /// Forgets who holds what, and keeps the names: what is stored next can still say what it continues.
    pub(crate) fn unclaim(&mut self) {
        for (slot, name) in std::mem::take(&mut self.waiting_since) {
            if !self.get(slot).is(Mark::FREE) && self.get(slot).missing() == Some(name) {
                self.unlink(slot);
                self.forget_tree(slot);
            }
        }
        self.claim += 1;
        for slot in std::mem::take(&mut self.touched) {
            self.get_mut(slot).unmark(Mark::TOUCHED);
        }
        self.pages.hush();
    }
}

fn count(pages: &[Fingerprint]) -> u32 {
    u32::try_from(pages.len()).expect("a block has at most BLOCK_TOKENS_MAX tokens")
}

/// The size of an event's blocks, when its names and tokens fit together: all whole but the last.
fn block_size(stored: &Stored) -> Option<usize> {
    let (blocks, tokens) = (stored.hashes.len(), stored.tokens.len());
    if blocks == 0 {
        return None;
    }
    let size = match stored.block_size as usize {
        0 if tokens.is_multiple_of(blocks) => tokens / blocks,
        size => size,
    };
    let fits = size > 0 && size <= BLOCK_TOKENS_MAX as usize && tokens.div_ceil(size) == blocks;
    fits.then_some(size)
}
