//! The value of the replicated index: who holds which part of a run. A holder that drops part of a run
//! only gets shorter spans; the run stays whole.

use crate::body::Value;
use crate::id::{Holder, Rank, Seq, Tier};
use crate::limits::SPANS_CROWDED;
use crate::rcu::prefetch;

/// Pages `start .. end` of a run at one holder and tier: what a reader needs, 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u16,
    pub(crate) end: u16,
    /// Index in the holder table.
    pub(crate) holder: u16,
    pub(crate) tier: Tier,
}

/// The names of a span's copies: what only the writer needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dot {
    seq: Seq,
    holder: Holder,
    /// The page inside the op at the span's start.
    idx: u16,
}

/// A span with its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) holder: Holder,
    pub(crate) holder_index: u16,
    pub(crate) tier: Tier,
    pub(crate) seq: Seq,
    pub(crate) idx: u16,
}

impl Piece {
    /// Returns the page inside the op behind the last one.
    pub(crate) fn idx_end(&self) -> u32 {
        u32::from(self.idx) + (self.end - self.start)
    }

    /// Returns the part between two offsets, if there is one.
    pub(crate) fn clipped(&self, start: u32, end: u32) -> Option<Piece> {
        let (start, end) = (start.max(self.start), end.min(self.end));
        (start < end).then(|| Piece {
            start,
            end,
            idx: narrow(u32::from(self.idx) + (start - self.start)),
            ..*self
        })
    }

    /// The order inside a node. Holders come in order among equal starts, so a reader's result needs no sort.
    fn key(&self) -> (u32, Holder, Tier, Seq, u16) {
        (self.start, self.holder, self.tier, self.seq, self.idx)
    }
}

/// The spans of a run, sorted by start, then holder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holders {
    spans: Box<[Span]>,
    dots: Box<[Dot]>,
}

impl Holders {
    /// Returns what a reader needs.
    #[inline]
    pub(crate) fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Returns all spans with their names, in order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Piece> {
        (0..self.spans.len()).map(|at| self.piece(at))
    }

    /// Returns the spans of one op, in order.
    pub(crate) fn pieces_of(&self, rank: Rank, seq: Seq) -> impl Iterator<Item = Piece> {
        let dots = self.dots.iter().enumerate();
        dots.filter(move |(_, dot)| dot.seq == seq && dot.holder.rank == rank)
            .map(|(at, _)| self.piece(at))
    }

    fn piece(&self, at: usize) -> Piece {
        assemble(self.spans[at], self.dots[at])
    }

    /// Returns these spans and one more.
    pub(crate) fn with(&self, piece: Piece) -> Holders {
        let mut edit = Edit::of(self);
        edit.insert(&piece);
        edit.done()
    }

    /// Returns the spans without copies `idx` of `ranges` (sorted, apart) of one op, or `None` when it has
    /// none of them. What goes is handed to `killed`.
    pub(crate) fn without(
        &self,
        rank: Rank,
        seq: Seq,
        ranges: &[(u32, u32)],
        mut killed: impl FnMut(&Piece),
    ) -> Option<Holders> {
        let mut edit: Option<Edit> = None;
        for piece in self.pieces_of(rank, seq) {
            // From indices inside the op to offsets inside the run.
            let offset = |idx: u32| (piece.start + idx).saturating_sub(u32::from(piece.idx));
            let first = ranges.partition_point(|(_, to)| *to <= u32::from(piece.idx));
            let mut from = piece.start;
            for range in ranges[first..]
                .iter()
                .take_while(|range| range.0 < piece.idx_end())
            {
                let edit = edit.get_or_insert_with(|| Edit::of(self));
                if from == piece.start {
                    edit.remove(&piece);
                }
                let dead = piece.clipped(offset(range.0), offset(range.1));
                let dead = dead.expect("the range meets the span");
                killed(&dead);
                if let Some(left) = piece.clipped(from, dead.start) {
                    edit.insert(&left);
                }
                from = dead.end;
            }
            if let (Some(edit), true) = (&mut edit, from > piece.start)
                && let Some(left) = piece.clipped(from, piece.end)
            {
                edit.insert(&left);
            }
        }
        edit.map(Edit::done)
    }

    /// Returns the spans of `pieces` in order.
    fn from_pieces(mut pieces: Vec<Piece>) -> Holders {
        if !pieces.is_sorted_by_key(Piece::key) {
            pieces.sort_unstable_by_key(Piece::key);
        }
        Holders {
            spans: pieces.iter().map(span).collect(),
            dots: pieces.iter().map(dot).collect(),
        }
    }

    /// Returns the spans that end at `at`, for [`continued`]: `(name, idx behind the last, place)`, sorted.
    fn open_at(&self, at: u32) -> Vec<(Name, u32, usize)> {
        let ends = self
            .pieces()
            .enumerate()
            .filter(|(_, piece)| piece.end == at);
        let mut open: Vec<_> = ends
            .map(|(place, piece)| (name(&piece), piece.idx_end(), place))
            .collect();
        open.sort_unstable();
        open
    }

    /// Returns how many spans cross offset `at`.
    fn crossing(&self, at: u32) -> usize {
        let crosses = |span: &&Span| u32::from(span.start) < at && at < u32::from(span.end);
        self.spans.iter().filter(crosses).count()
    }
}

/// A copy of a node's spans that is being changed.
struct Edit {
    spans: Vec<Span>,
    dots: Vec<Dot>,
}

impl Edit {
    fn of(holders: &Holders) -> Edit {
        // One cut in the middle of a span makes two of it.
        let room = holders.spans.len() + 1;
        let (mut spans, mut dots) = (Vec::with_capacity(room), Vec::with_capacity(room));
        spans.extend_from_slice(&holders.spans);
        dots.extend_from_slice(&holders.dots);
        Edit { spans, dots }
    }

    /// Returns the place of `piece`, or where it would be.
    fn place(&self, piece: &Piece) -> usize {
        let first = self
            .spans
            .partition_point(|span| u32::from(span.start) < piece.start);
        let tie = |at: &usize| {
            let (span, dot) = (self.spans[*at], self.dots[*at]);
            u32::from(span.start) == piece.start && assemble(span, dot).key() < piece.key()
        };
        first + (first..self.spans.len()).take_while(tie).count()
    }

    fn insert(&mut self, piece: &Piece) {
        let at = self.place(piece);
        self.spans.insert(at, span(piece));
        self.dots.insert(at, dot(piece));
    }

    fn remove(&mut self, piece: &Piece) {
        let at = self.place(piece);
        self.spans.remove(at);
        self.dots.remove(at);
    }

    fn done(self) -> Holders {
        Holders {
            spans: self.spans.into_boxed_slice(),
            dots: self.dots.into_boxed_slice(),
        }
    }
}

impl Value for Holders {
    fn split(&self, at: u32) -> (Self, Self) {
        let head = self
            .pieces()
            .filter_map(|piece| piece.clipped(0, at))
            .collect();
        let behind = |piece: Piece| {
            piece.clipped(at, u32::MAX).map(|piece| Piece {
                start: piece.start - at,
                end: piece.end - at,
                ..piece
            })
        };
        let tail = self.pieces().filter_map(behind).collect();
        (Holders::from_pieces(head), Holders::from_pieces(tail))
    }

    fn join(&self, behind: &Self, at: u32) -> Self {
        let mut pieces: Vec<Piece> = self.pieces().collect();
        let open = self.open_at(at);
        for piece in behind.pieces() {
            let before = if piece.start == 0 {
                continued(&open, &piece)
            } else {
                None
            };
            let (start, end) = (piece.start + at, piece.end + at);
            match before {
                Some(found) => pieces[found].end = end,
                None => pieces.push(Piece {
                    start,
                    end,
                    ..piece
                }),
            }
        }
        Holders::from_pieces(pieces)
    }

    fn is_joinable(&self, behind: &Self, at: u32) -> bool {
        let (head, tail) = (self.spans.len(), behind.spans.len());
        if head + tail <= SPANS_CROWDED / 2 {
            return true;
        }
        // Otherwise only two parts of one story: nearly all of the tail goes on from the head.
        let at_head = behind.spans.partition_point(|span| span.start == 0);
        if at_head * 8 < tail * 7 {
            return false;
        }
        let open = self.open_at(at);
        let goes_on = behind
            .pieces()
            .take(at_head)
            .filter(|piece| continued(&open, piece).is_some())
            .count();
        goes_on * 8 >= tail * 7
    }

    fn covered(&self) -> u32 {
        self.spans
            .iter()
            .map(|span| u32::from(span.end))
            .max()
            .unwrap_or(0)
    }

    fn crowded(&self) -> Option<u32> {
        if self.spans.len() <= SPANS_CROWDED {
            return None;
        }
        let first = self.spans.partition_point(|span| span.start == 0);
        let inner = &self.spans[first..];
        let at = u32::from(inner.get(inner.len() / 2)?.start);
        // A cut helps when few spans cross it and many begin behind it; else the halves would be as crowded.
        (inner.len() >= first && self.crossing(at) * 4 <= self.spans.len()).then_some(at)
    }

    #[inline]
    fn prefetch(&self) {
        if let Some(first) = self.spans.first() {
            prefetch(first);
        }
    }

    fn heap_bytes(&self) -> usize {
        size_of_val::<[Span]>(&self.spans) + size_of_val::<[Dot]>(&self.dots)
    }
}

/// What two spans must share to be one.
type Name = (Holder, Tier, Seq);

fn name(piece: &Piece) -> Name {
    (piece.holder, piece.tier, piece.seq)
}

/// Returns the place of the span that `piece`, at the head of the next run, goes on from.
fn continued(open: &[(Name, u32, usize)], piece: &Piece) -> Option<usize> {
    let key = (name(piece), u32::from(piece.idx));
    let found = open
        .binary_search_by_key(&key, |(name, idx, _)| (*name, *idx))
        .ok()?;
    Some(open[found].2)
}

fn assemble(span: Span, dot: Dot) -> Piece {
    Piece {
        start: u32::from(span.start),
        end: u32::from(span.end),
        holder: dot.holder,
        holder_index: span.holder,
        tier: span.tier,
        seq: dot.seq,
        idx: dot.idx,
    }
}

fn span(piece: &Piece) -> Span {
    Span {
        start: narrow(piece.start),
        end: narrow(piece.end),
        holder: piece.holder_index,
        tier: piece.tier,
    }
}

fn dot(piece: &Piece) -> Dot {
    Dot {
        seq: piece.seq,
        holder: piece.holder,
        idx: piece.idx,
    }
}

/// Returns an offset in a run, or a page in an op, as stored.
fn narrow(offset: u32) -> u16 {
    u16::try_from(offset).expect("runs hold at most RUN_PAGES_MAX pages, ops INSERT_PAGES_MAX")
}
