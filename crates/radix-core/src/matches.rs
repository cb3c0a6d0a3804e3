//! An answer: how many leading pages each holder has. Reused from query to query, so that a warm one
//! allocates nothing.

use crate::coverage::{Block, Coverage, Span};
use crate::id::{Holder, Tier};

/// Pages by tier. Signed and padded to four columns, so that a row is one vector of the smallest kind.
type Row = [i32; 4];

/// The columns that a span of each tier counts for: its own and all slower ones.
const COUNTS_FOR: [Row; Tier::COUNT] = [[-1, -1, -1, 0], [0, -1, -1, 0], [0, 0, -1, 0]];

/// The holders of one block that have the first page. Bits by rank; `steady` and `odd` have none in common.
#[derive(Clone, Copy, Debug)]
struct Candidates {
    block: Block,
    all: u64,
    /// Had every run so far whole, on the device: they stand at `Matches::reach` and have no row yet.
    steady: u64,
    /// Have less at some tier, and may still go on at another.
    odd: u64,
}

/// What [`crate::Reader::matches`] found.
#[derive(Clone, Debug, Default)]
pub struct Matches {
    /// By block.
    candidates: Vec<Candidates>,
    /// `[candidates][64]`: what was found of those that are not steady; else left over from another query.
    rows: Vec<Row>,
    /// Pages of the runs taken in so far.
    reach: i32,
    deepest: i32,
}

impl Matches {
    /// Returns an empty answer.
    #[must_use]
    pub fn new() -> Self {
        Matches::default()
    }

    /// Returns the most leading pages that any one holder has, at whatever tier.
    #[must_use]
    pub fn deepest(&self) -> u32 {
        self.deepest.cast_unsigned()
    }

    /// Returns every holder of at least the first page, sorted, with its leading pages without a hole:
    /// `[t]` counts pages that are all held at tier `t` or a faster one.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        let all = self.candidates.iter().map(|these| these.all.count_ones());
        Iter {
            matches: self,
            group: 0,
            next: 0,
            end: 0,
            ranks: 0,
            left: all.sum::<u32>() as usize,
        }
    }

    /// Returns the leading pages of one holder at whatever tier. Cost: a binary search.
    #[must_use]
    pub fn pages(&self, holder: Holder) -> u32 {
        let (block, bit) = Block::of(holder);
        match self.find(block) {
            Some(at) if self.candidates[at].all >> bit & 1 == 1 => {
                self.depths(at, bit)[Tier::COUNT - 1]
            }
            _ => 0,
        }
    }

    fn depths(&self, at: usize, bit: u32) -> [u32; Tier::COUNT] {
        let row = if self.candidates[at].steady >> bit & 1 == 1 {
            [self.reach; 4]
        } else {
            self.rows[at * 64 + bit as usize]
        };
        [row[0], row[1], row[2]].map(i32::cast_unsigned)
    }

    #[inline]
    fn find(&self, block: Block) -> Option<usize> {
        match self.candidates.as_slice() {
            [] => None,
            // Fleets of up to 64 ranks with one engine each.
            [one] => (one.block == block).then_some(0),
            many => many.binary_search_by_key(&block, |these| these.block).ok(),
        }
    }

    /// Forgets the last answer.
    #[inline]
    pub(crate) fn begin(&mut self) {
        self.candidates.clear();
        (self.reach, self.deepest) = (0, 0);
    }

    /// Takes in a run of which the first `matched` pages match, below those taken in before. Returns whether
    /// any holder has all of these.
    #[inline]
    pub(crate) fn take(&mut self, run: &Coverage, matched: u32) -> bool {
        let depth = self.reach;
        // Depths are at most DEPTH_PAGES_MAX, so they fit.
        let end = depth + matched.cast_signed();
        let (steady, odd) = if depth == 0 {
            self.enter(run)
        } else {
            self.narrow(run, depth, end)
        };
        self.reach = end;
        if steady != 0 {
            self.deepest = end;
        }
        if odd != 0 {
            self.take_odd(run.spans(), depth, end);
        }
        self.deepest == end
    }

    /// Follows the candidates through the holders of all of a run; returns, all blocks together, who is steady
    /// and who is odd.
    #[inline]
    fn narrow(&mut self, run: &Coverage, depth: i32, end: i32) -> (u64, u64) {
        let may_go_on = if run.spans().is_empty() { 0 } else { u64::MAX };
        let (mut steady, mut odd) = (0, 0);
        for (at, these) in self.candidates.iter_mut().enumerate() {
            let whole = run.whole_of(these.block);
            let leaving = these.steady & !whole;
            let rows = &mut self.rows[at * 64..(at + 1) * 64];
            for bit in bits(leaving) {
                rows[bit as usize] = [depth; 4];
            }
            for bit in bits(these.odd & whole) {
                let row = &mut rows[bit as usize];
                *row = row.map(|pages| if pages == depth { end } else { pages });
            }
            these.steady &= whole;
            these.odd |= leaving & may_go_on;
            steady |= these.steady;
            odd |= these.odd;
        }
        (steady, odd)
    }

    /// Makes the holders of the first page candidates; returns what [`Matches::narrow`] does.
    fn enter(&mut self, run: &Coverage) -> (u64, u64) {
        let whole = |(block, bits)| Candidates {
            block,
            all: bits,
            steady: bits,
            odd: 0,
        };
        let words = run.whole().filter(|(_, bits)| *bits != 0);
        self.candidates.extend(words.map(whole));
        for span in run.spans().iter().take_while(|span| span.start == 0) {
            let (block, bit) = span.place();
            let place = (self.candidates).binary_search_by_key(&block, |these| these.block);
            let at = place.unwrap_or_else(|at| {
                self.candidates.insert(at, whole((block, 0)));
                at
            });
            let these = &mut self.candidates[at];
            these.odd |= (1 << bit) & !these.steady;
            these.all |= 1 << bit;
        }
        if self.rows.len() < self.candidates.len() * 64 {
            self.rows.resize(self.candidates.len() * 64, Row::default());
        }
        let (mut steady, mut odd) = (0, 0);
        for (at, these) in self.candidates.iter().enumerate() {
            for bit in bits(these.odd) {
                self.rows[at * 64 + bit as usize] = Row::default();
            }
            steady |= these.steady;
            odd |= these.odd;
        }
        (steady, odd)
    }

    /// Takes in the spans of a run from `depth` to `end`. They come in order of start, so one pass finds each
    /// holder's end of the part without a hole.
    fn take_odd(&mut self, spans: &[Span], depth: i32, end: i32) {
        let mut deepest = self.deepest;
        for span in spans {
            let start = depth + i32::from(span.start);
            if start >= end {
                break;
            }
            let (block, bit) = span.place();
            let Some(at) = self.find(block) else { continue };
            if self.candidates[at].odd >> bit & 1 == 0 {
                continue;
            }
            let stop = end.min(depth + i32::from(span.end));
            let row = &mut self.rows[at * 64 + bit as usize];
            // Short of `start` there is a hole, which later spans cannot fill. Branch-free over whole rows.
            let (old, counts) = (*row, COUNTS_FOR[span.tier as usize]);
            let reaches: Row = std::array::from_fn(|tier| -i32::from(old[tier] >= start));
            let stops: Row = std::array::from_fn(|tier| stop & counts[tier] & reaches[tier]);
            *row = std::array::from_fn(|tier| stops[tier].max(old[tier]));
        }
        for (at, these) in self.candidates.iter_mut().enumerate() {
            for bit in bits(these.odd) {
                let reach = self.rows[at * 64 + bit as usize][Tier::COUNT - 1];
                deepest = deepest.max(reach);
                if reach < end {
                    these.odd &= !(1 << bit);
                }
            }
        }
        self.deepest = deepest;
    }
}

/// The holders of an answer, sorted. See [`Matches::iter`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    matches: &'a Matches,
    /// Blocks of the same 64 ranks: from `group` to `end`, of which `next` comes next.
    group: usize,
    next: usize,
    end: usize,
    /// Ranks of these blocks that are still to come, the present one included.
    ranks: u64,
    left: usize,
}

impl Iter<'_> {
    /// Goes to the next ranks; returns false when there are none.
    fn open(&mut self) -> bool {
        let rest = &self.matches.candidates[self.end..];
        let Some(first) = rest.first() else {
            return false;
        };
        let beside = |these: &&Candidates| these.block.is_beside(first.block);
        let group = rest.iter().take_while(beside);
        self.ranks = group.clone().fold(0, |ranks, these| ranks | these.all);
        (self.group, self.next) = (self.end, self.end);
        self.end += group.count();
        true
    }
}

impl Iterator for Iter<'_> {
    type Item = (Holder, [u32; Tier::COUNT]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.ranks == 0 && !self.open() {
                return None;
            }
            let (at, bit) = (self.next, self.ranks.trailing_zeros());
            self.next += 1;
            if self.next == self.end {
                self.next = self.group;
                self.ranks &= self.ranks - 1;
            }
            let these = &self.matches.candidates[at];
            if these.all >> bit & 1 == 1 {
                self.left -= 1;
                return Some((these.block.holder(bit), self.matches.depths(at, bit)));
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }

    /// Visits the rest in one go, at half the cost per holder of asking for one after the other.
    #[inline]
    fn fold<B, F: FnMut(B, Self::Item) -> B>(mut self, mut folded: B, mut visit: F) -> B {
        while self.ranks != 0 || self.open() {
            if self.end - self.group > 1 {
                match self.next() {
                    Some(item) => folded = visit(folded, item),
                    None => break,
                }
                continue;
            }
            // One source: its ranks follow each other.
            let (at, these) = (self.group, self.matches.candidates[self.group]);
            for bit in bits(these.all & self.ranks) {
                let depths = self.matches.depths(at, bit);
                folded = visit(folded, (these.block.holder(bit), depths));
            }
            self.ranks = 0;
        }
        folded
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl<'a> IntoIterator for &'a Matches {
    type Item = (Holder, [u32; Tier::COUNT]);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Returns the places of the bits of a word.
#[inline]
fn bits(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        (word != 0).then(|| {
            let bit = word.trailing_zeros();
            word &= word - 1;
            bit
        })
    })
}
