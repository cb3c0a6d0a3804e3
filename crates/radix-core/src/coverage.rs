//! What readers see of a run's holders: one bit for each that has all of it on the device, and spans for the
//! others that have its head. So a run that 64 ranks hold is a word, and one that drops part of it is a span.

use crate::holders::Piece;
use crate::id::{Holder, Rank, SourceId, Tier};
use crate::rcu::prefetch;
use crate::sync::{AtomicU64, Ordering};
use crate::value::{Adopted, View};

/// 64 ranks of one source number: `(rank / 64) << 16 | source`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Block(u32);

impl Block {
    /// Returns where a holder's bit is.
    #[inline]
    pub(crate) fn of(holder: Holder) -> (Block, u32) {
        let rank = u32::from(holder.rank.0);
        (
            Block((rank >> 6) << 16 | u32::from(holder.source.0)),
            rank & 63,
        )
    }

    /// Returns the holder of a bit.
    pub(crate) fn holder(self, bit: u32) -> Holder {
        let narrow = |number: u32| u16::try_from(number).expect("a block is made of two u16");
        Holder {
            rank: Rank(narrow((self.0 >> 16) << 6 | bit)),
            source: SourceId(narrow(self.0 & 0xffff)),
        }
    }

    /// Returns whether both are of the same ranks, at whatever source.
    pub(crate) fn is_beside(self, other: Block) -> bool {
        self.0 >> 16 == other.0 >> 16
    }
}

/// The holders of a block that have the whole run.
struct Word {
    block: Block,
    bits: AtomicU64,
}

impl Word {
    #[inline]
    fn get(&self) -> (Block, u64) {
        (self.block, self.bits.load(Ordering::Relaxed))
    }
}

/// Pages `start .. end` of a run at one holder and tier. 10 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u16,
    pub(crate) end: u16,
    rank: Rank,
    source: SourceId,
    pub(crate) tier: Tier,
}

impl Span {
    /// Returns where the holder's bit is.
    #[inline]
    pub(crate) fn place(&self) -> (Block, u32) {
        Block::of(Holder {
            rank: self.rank,
            source: self.source,
        })
    }

    /// By start, then holder and tier. One number, as spans are sorted often.
    fn key(&self) -> u64 {
        let holder = u64::from(self.rank.0) << 16 | u64::from(self.source.0);
        u64::from(self.start) << 48 | holder << 8 | self.tier as u64
    }
}

/// Who holds what of a run.
pub(crate) struct Coverage {
    first: Word,
    /// Further blocks, each after the one before.
    more: Box<[Word]>,
    /// By start: the holders without a bit.
    spans: Box<[Span]>,
}

impl Coverage {
    /// Returns what pieces, by holder and start, cover of a run of `len` pages.
    pub(crate) fn of(pieces: &[Piece], len: u32) -> Coverage {
        let mut words: Vec<(Block, u64)> = Vec::new();
        let mut one = (Block::default(), 0u64);
        let mut spans = Vec::new();
        let mut rest = pieces;
        while let Some(head) = rest.first() {
            let holder = head.holder();
            // How far this holder covers the run on the device.
            let (mut reach, mut count) = (0, 0);
            for piece in rest.iter().take_while(|piece| piece.holder() == holder) {
                if piece.tier == Tier::Device && piece.start() <= reach {
                    reach = reach.max(piece.end());
                }
                count += 1;
            }
            let (pieces, others) = rest.split_at(count);
            rest = others;
            if reach < len {
                add_spans(pieces, &mut spans);
                continue;
            }
            let (block, bit) = Block::of(holder);
            if one.1 != 0 && one.0 != block {
                words.push(one);
                one.1 = 0;
            }
            one = (block, one.1 | 1 << bit);
        }
        spans.sort_unstable_by_key(Span::key);
        if !words.is_empty() {
            // Blocks take turns where ranks have several sources.
            words.push(one);
            words.sort_unstable_by_key(|(block, _)| *block);
            words.dedup_by(|next, word| {
                let same = next.0 == word.0;
                word.1 |= if same { next.1 } else { 0 };
                same
            });
            one = words.remove(0);
        }
        let word = |(block, bits)| Word {
            block,
            bits: AtomicU64::new(bits),
        };
        Coverage {
            first: word(one),
            more: words.into_iter().map(word).collect(),
            spans: spans.into_boxed_slice(),
        }
    }

    /// Returns, by block, the bits of the holders of the whole run.
    #[inline]
    pub(crate) fn whole(&self) -> impl Iterator<Item = (Block, u64)> {
        std::iter::once(self.first.get()).chain(self.more.iter().map(Word::get))
    }

    /// Returns the bits of one block.
    #[inline]
    pub(crate) fn whole_of(&self, block: Block) -> u64 {
        if self.first.block == block {
            return self.first.bits.load(Ordering::Relaxed);
        }
        match self.more.binary_search_by_key(&block, |word| word.block) {
            Ok(at) => self.more[at].bits.load(Ordering::Relaxed),
            Err(_) => 0,
        }
    }

    /// Returns whether a holder has the whole run.
    pub(crate) fn is_whole(&self, holder: Holder) -> bool {
        let (block, bit) = Block::of(holder);
        self.whole_of(block) >> bit & 1 == 1
    }

    /// Returns the spans of all others.
    #[inline]
    pub(crate) fn spans(&self) -> &[Span] {
        &self.spans
    }

    fn words(&self) -> impl Iterator<Item = &Word> {
        std::iter::once(&self.first).chain(&self.more)
    }
}

/// Appends the pieces of one holder as spans, those of a tier that meet as one. What lies behind a hole can
/// count for no prefix and is left out.
fn add_spans(pieces: &[Piece], out: &mut Vec<Span>) {
    let (first, mut reach) = (out.len(), 0);
    for piece in pieces {
        if piece.start() > reach {
            return;
        }
        reach = reach.max(piece.end());
        let holder = piece.holder();
        let narrow = |offset: u32| u16::try_from(offset).expect("offsets of a piece are u16");
        let (start, end) = (narrow(piece.start()), narrow(piece.end()));
        let same_tier = |span: &&mut Span| span.tier == piece.tier;
        match out[first..].iter_mut().rfind(same_tier) {
            Some(span) if start <= span.end => span.end = span.end.max(end),
            _ => out.push(Span {
                start,
                end,
                rank: holder.rank,
                source: holder.source,
                tier: piece.tier,
            }),
        }
    }
}

impl View for Coverage {
    fn adopt(&self, next: &Self, may_write: bool) -> Adopted {
        let same_blocks = self.more.len() == next.more.len()
            && (self.words().zip(next.words())).all(|(old, new)| {
                // A word without bits may stand for any block.
                old.block == new.block || new.get().1 == 0 && old.get().1 == 0
            });
        if !same_blocks || self.spans != next.spans {
            return Adopted::No;
        }
        let differing = |(old, new): &(&Word, &Word)| old.get().1 != new.get().1;
        let mut differing = self.words().zip(next.words()).filter(differing).peekable();
        if differing.peek().is_none() {
            return Adopted::Same;
        }
        if !may_write {
            return Adopted::No;
        }
        for (old, new) in differing {
            old.bits.store(new.get().1, Ordering::Relaxed);
        }
        Adopted::Written
    }

    fn again(&self) -> Self {
        let word = |word: &Word| Word {
            block: word.block,
            bits: AtomicU64::new(word.get().1),
        };
        Coverage {
            first: word(&self.first),
            more: self.more.iter().map(word).collect(),
            spans: self.spans.clone(),
        }
    }

    #[inline]
    fn prefetch(&self) {
        if let Some(first) = self.spans.first() {
            prefetch(first);
        }
    }

    fn heap_bytes(&self) -> usize {
        size_of_val::<[Word]>(&self.more) + size_of_val::<[Span]>(&self.spans)
    }
}
