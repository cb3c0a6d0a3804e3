//! What a block means to the mesh: the pages that end in it, and where they are held whole.

use radix_core::page::Fingerprint;

use super::Forest;
use crate::source::block::NONE;
use crate::source::names::Slot;
use crate::source::refs::Tiers;

impl Forest {
    /// Appends the pages that end in a block which begins at `start`; returns its tokens behind the last of them.
    pub(super) fn content(
        &self,
        parent: Slot,
        start: u32,
        tokens: &[u32],
        extra: u64,
        pages: &mut Vec<Fingerprint>,
    ) -> Box<[u32]> {
        let page_size = self.page_size as usize;
        let open = (start % self.page_size) as usize;
        if open == 0 && extra == 0 {
            let whole = tokens.chunks_exact(page_size);
            let tail = whole.remainder().into();
            pages.extend(whole.map(|page| self.key.page(page)));
            return tail;
        }
        if open + tokens.len() < page_size {
            return tokens.into();
        }
        let (mut first, mut extras) = self.carry(parent, open);
        let (head, rest) = tokens.split_at(page_size - open);
        first.extend(head);
        extras.extend((extra != 0).then_some(extra));
        pages.push(self.fingerprint(&first, &extras));
        let own: &[u64] = if extra == 0 { &[] } else { &[extra] };
        let whole = rest.chunks_exact(page_size);
        let tail = whole.remainder().into();
        pages.extend(whole.map(|page| self.fingerprint(page, own)));
        tail
    }

    /// The tokens of the page that is open at the end of `parent`, and what they depend on, in order.
    pub(super) fn carry(&self, parent: Slot, tokens: usize) -> (Vec<u32>, Vec<u64>) {
        let (mut backwards, mut slot, mut left) = (Vec::new(), parent, tokens);
        while left > 0 && slot != NONE {
            let block = self.get(slot);
            backwards.push(slot);
            left = left.saturating_sub(block.tail().len());
            slot = block.parent;
        }
        let (mut carried, mut extras) = (Vec::with_capacity(self.page_size as usize), Vec::new());
        for &slot in backwards.iter().rev() {
            let block = self.get(slot);
            carried.extend(block.tail());
            extras.extend((block.extra() != 0).then_some(block.extra()));
        }
        (carried, extras)
    }

    /// A page that depends on more than its tokens is as if those digests were tokens behind them.
    pub(super) fn fingerprint(&self, tokens: &[u32], extras: &[u64]) -> Fingerprint {
        if extras.is_empty() {
            return self.key.page(tokens);
        }
        let words = extras.iter().flat_map(|&extra| halves(extra));
        let page: Vec<u32> = tokens.iter().copied().chain(words).collect();
        self.key.page(&page)
    }

    /// The tiers where the first page that ends in a block is held whole.
    pub(super) fn tiers(&self, slot: Slot) -> Tiers {
        let block = self.get(slot);
        let mut tiers = block.tiers(self.claim);
        let begin = block.start - block.start % self.page_size;
        let (mut start, mut parent) = (block.start, block.parent);
        while start > begin && parent != NONE {
            let before = self.get(parent);
            tiers = tiers.and(before.tiers(self.claim));
            (start, parent) = (before.start, before.parent);
        }
        tiers
    }
}

fn halves(word: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
    [
        u32::from_le_bytes([a, b, c, d]),
        u32::from_le_bytes([e, f, g, h]),
    ]
}
