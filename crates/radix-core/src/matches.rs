//! An answer: how many leading pages each holder has. Reused from query to query, so that a warm one
//! allocates nothing.

use crate::holders::Span;
use crate::id::{Holder, Tier};

/// What [`crate::Reader::matches`] found.
#[derive(Clone, Debug, Default)]
pub struct Matches {
    /// Sorted by holder.
    found: Vec<(Holder, [u32; Tier::COUNT])>,
    deepest: u32,
    /// Pages so far by holder index and tier; all zero between queries. The fourth column is padding.
    scratch: Vec<[u32; 4]>,
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
        self.deepest
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
            self.scratch[index as usize] = [0; 4];
        }
    }

    /// Takes in the spans of a run at `depth` of which the first `matched` pages match. Runs come in order of
    /// depth and spans in order of start, so one pass finds each holder's end of the part without a hole.
    #[inline]
    pub(crate) fn take(&mut self, spans: &[Span], depth: u32, matched: u32) {
        for span in spans {
            if u32::from(span.start) >= matched {
                break;
            }
            let start = depth + u32::from(span.start);
            let end = depth + matched.min(u32::from(span.end));
            let index = span.holder as usize;
            if index >= self.scratch.len() {
                self.scratch.resize(index + 1, [0; 4]);
            }
            let row = &mut self.scratch[index];
            if start == 0 && row[Tier::COUNT - 1] == 0 {
                self.touched.push(span.holder);
            }
            for tier in Tier::ALL {
                let pages = &mut row[tier as usize];
                // Short of `start` there is a hole, which later spans cannot fill.
                let reaches = tier >= span.tier && start <= *pages;
                *pages = if reaches { end.max(*pages) } else { *pages };
            }
            self.deepest = self.deepest.max(row[Tier::COUNT - 1]);
        }
    }

    /// Completes the answer. Holders were touched in order: their spans at page 0 all lie in one run.
    pub(crate) fn end(&mut self, name: impl Fn(u16) -> Holder) {
        for index in self.touched.drain(..) {
            let row = &mut self.scratch[index as usize];
            self.found.push((name(index), [row[0], row[1], row[2]]));
            *row = [0; 4];
        }
    }
}
