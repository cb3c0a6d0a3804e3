//! An answer: how many leading pages each holder has. Reused from query to query, so that a warm one
//! allocates nothing.

use crate::holders::Span;
use crate::id::{Holder, Tier};

/// Pages by tier. Signed and padded to four columns, so that a row is one vector of the smallest kind.
type Row = [i32; 4];

/// The columns that a span of each tier counts for: its own and all slower ones.
const COUNTS_FOR: [Row; Tier::COUNT] = [[-1, -1, -1, 0], [0, -1, -1, 0], [0, 0, -1, 0]];

/// What [`crate::Reader::matches`] found.
#[derive(Clone, Debug, Default)]
pub struct Matches {
    /// Sorted by holder.
    found: Vec<(Holder, [u32; Tier::COUNT])>,
    deepest: i32,
    /// Pages so far by holder index and tier; all zero between queries.
    scratch: Vec<Row>,
    /// Holder indices with something in `scratch`.
    touched: Vec<u16>,
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
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Holder, [u32; Tier::COUNT])> + '_ {
        self.found.iter().copied()
    }

    /// Returns the leading pages of one holder at whatever tier. Cost: a binary search.
    #[must_use]
    pub fn pages(&self, holder: Holder) -> u32 {
        match self
            .found
            .binary_search_by_key(&holder, |(holder, _)| *holder)
        {
            Ok(at) => self.found[at].1[Tier::COUNT - 1],
            Err(_) => 0,
        }
    }

    /// Forgets the last answer.
    pub(crate) fn begin(&mut self) {
        self.found.clear();
        self.deepest = 0;
        // A query that ended as it should leaves nothing behind; one that panicked may.
        for index in self.touched.drain(..) {
            self.scratch[index as usize] = Row::default();
        }
    }

    /// Takes in the spans of a run at `depth` of which the first `matched` pages match. Runs come in order of
    /// depth and spans in order of start, so one pass finds each holder's end of the part without a hole.
    #[inline]
    pub(crate) fn take(&mut self, spans: &[Span], depth: u32, matched: u32) {
        // Depths are at most DEPTH_PAGES_MAX, so they fit.
        let (base, matched) = (depth.cast_signed(), matched.cast_signed());
        let mut deepest = self.deepest;
        for span in spans {
            let (start, end) = (i32::from(span.start), i32::from(span.end));
            if start >= matched {
                break;
            }
            let (start, end) = (base + start, base + end.min(matched));
            let index = span.holder as usize;
            if index >= self.scratch.len() {
                self.widen(index);
            }
            let row = &mut self.scratch[index];
            if start == 0 && row[Tier::COUNT - 1] == 0 {
                self.touched.push(span.holder);
            }
            // Short of `start` there is a hole, which later spans cannot fill. Branch-free over whole rows.
            let (old, counts) = (*row, COUNTS_FOR[span.tier as usize]);
            let reaches: Row = std::array::from_fn(|tier| -i32::from(old[tier] >= start));
            let ends: Row = std::array::from_fn(|tier| end & counts[tier] & reaches[tier]);
            *row = std::array::from_fn(|tier| ends[tier].max(old[tier]));
            deepest = deepest.max(row[Tier::COUNT - 1]);
        }
        self.deepest = deepest;
    }

    #[cold]
    fn widen(&mut self, index: usize) {
        self.scratch
            .resize((index + 1).next_power_of_two(), Row::default());
    }

    /// Completes the answer. Holders were touched in order: their spans at page 0 all lie in one run.
    pub(crate) fn end(&mut self, name: impl Fn(u16) -> Holder) {
        let scratch = &mut self.scratch;
        self.found.extend(self.touched.iter().map(|index| {
            let [device, host, disk, _] = std::mem::take(&mut scratch[*index as usize]);
            (name(*index), [device, host, disk].map(i32::cast_unsigned))
        }));
        self.touched.clear();
    }
}
