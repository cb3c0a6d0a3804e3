//! One block of an engine: its place in the chain, and the pages of the mesh that end in it.

use crate::event::EngineHash;
use crate::source::names::Slot;
use crate::source::refs::{Refs, Tiers};

/// No block, no page.
pub(crate) const NONE: Slot = Slot::MAX;

/// What few blocks have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rare {
    /// Tokens behind the last page that ends in the block; of an orphan all tokens.
    pub(crate) tail: Box<[u32]>,
    /// What the KV depends on besides tokens and path; 0 for nothing.
    pub(crate) extra: u64,
    /// How many blocks continue this one; counted only where the block ends inside a page.
    pub(crate) children: u32,
    /// Of an orphan without a parent: the name of the block that it waits for.
    pub(crate) missing: Option<EngineHash>,
}

/// In which tiers a block holds the pages that end in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// The first, which may begin in blocks before it.
    pub(crate) first: Tiers,
    /// The others.
    pub(crate) rest: Tiers,
}

/// A mark on a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u8);

impl Mark {
    /// Its counts changed since the last flush.
    pub(crate) const TOUCHED: Mark = Mark(1);
    /// It is in the list of blocks whose pages may be held otherwise than before.
    pub(crate) const QUEUED: Mark = Mark(2);
    /// It was looked at in this flush.
    pub(crate) const SEEN: Mark = Mark(4);
    /// Its path to the root is not known.
    pub(crate) const ORPHAN: Mark = Mark(8);
    /// The slot holds no block.
    pub(crate) const FREE: Mark = Mark(16);
}

/// A block. Links are slots; [`NONE`] is no link.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) name: EngineHash,
    pub(crate) rare: Option<Box<Rare>>,
    /// Of the present claim only: see [`Block::claim`].
    refs: Refs,
    /// The block that it continues.
    pub(crate) parent: Slot,
    /// The blocks that continue it: first child, then along `next`.
    pub(crate) child: Slot,
    pub(crate) next: Slot,
    pub(crate) prev: Slot,
    /// The last page that ends in it or before it, or the root of its namespace; none of an orphan.
    pub(crate) page: Slot,
    /// How many pages end in it.
    pub(crate) pages: u32,
    /// Where it begins, from the root. Unit: tokens.
    pub(crate) start: u32,
    /// Unit: tokens.
    pub(crate) len: u32,
    /// Where its pages count it as a holder; of the present claim only.
    held: Held,
    /// When its counts were written. All counts of older claims are void, without a walk over the blocks.
    claim: u32,
    marks: u8,
}

impl Block {
    pub(crate) fn new(name: EngineHash, len: u32) -> Self {
        Block {
            name,
            rare: None,
            refs: Refs::default(),
            parent: NONE,
            child: NONE,
            next: NONE,
            prev: NONE,
            page: NONE,
            pages: 0,
            start: 0,
            len,
            held: Held::default(),
            claim: 0,
            marks: 0,
        }
    }

    /// Its counts in a claim; `None` when they are of an older one, which is as good as none.
    pub(crate) fn refs(&self, claim: u32) -> Option<&Refs> {
        (self.claim == claim).then_some(&self.refs)
    }

    /// The tiers where it is held whole.
    pub(crate) fn tiers(&self, claim: u32) -> Tiers {
        self.refs(claim).map_or(Tiers::NONE, Refs::tiers)
    }

    /// Its counts, and where its pages count it as a holder, for writing.
    pub(crate) fn claim(&mut self, claim: u32) -> (&mut Refs, &mut Held) {
        if self.claim != claim {
            self.claim = claim;
            self.refs = Refs::default();
            self.held = Held::default();
        }
        (&mut self.refs, &mut self.held)
    }

    pub(crate) fn is(&self, mark: Mark) -> bool {
        self.marks & mark.0 != 0
    }

    pub(crate) fn mark(&mut self, mark: Mark) {
        self.marks |= mark.0;
    }

    /// Takes a mark away; whether it was there.
    pub(crate) fn unmark(&mut self, mark: Mark) -> bool {
        let had = self.is(mark);
        self.marks &= !mark.0;
        had
    }

    pub(crate) fn end(&self) -> u32 {
        self.start + self.len
    }

    pub(crate) fn tail(&self) -> &[u32] {
        self.rare.as_ref().map_or(&[], |rare| &rare.tail)
    }

    pub(crate) fn extra(&self) -> u64 {
        self.rare.as_ref().map_or(0, |rare| rare.extra)
    }

    pub(crate) fn missing(&self) -> Option<EngineHash> {
        self.rare.as_ref().and_then(|rare| rare.missing)
    }

    /// Keeps what few blocks have, and nothing where there is nothing to keep.
    pub(crate) fn set_rare(&mut self, tail: Box<[u32]>, extra: u64, missing: Option<EngineHash>) {
        let children = self.rare.as_ref().map_or(0, |rare| rare.children);
        let needed = !tail.is_empty() || extra != 0 || missing.is_some() || children > 0;
        self.rare = needed.then(|| {
            Box::new(Rare {
                tail,
                extra,
                children,
                missing,
            })
        });
    }

    /// Nobody holds it, no page counts it and nothing continues it.
    pub(crate) fn is_dead(&self, claim: u32) -> bool {
        let held = self.claim == claim && !(self.refs.is_empty() && self.held == Held::default());
        self.child == NONE && !held && !self.is(Mark::FREE)
    }
}
