//! The value of the replicated index as the writer keeps it: which copies lie on which part of a run. A
//! holder that drops part of a run only gets shorter pieces; the run stays whole.

use crate::coverage::Coverage;
use crate::id::{Holder, Rank, Seq, SourceId, Tier};
use crate::limits::PIECES_CROWDED;
use crate::page::Fingerprint;
use crate::value::Value;

/// Copies `(seq, idx ..)` of one holder and tier on pages `start .. end` of a run. 24 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) seq: Seq,
    rank: Rank,
    source: SourceId,
    start: u16,
    end: u16,
    idx: u16,
    pub(crate) tier: Tier,
}

impl Piece {
    /// Returns the piece of one op on pages `start .. end`, of which the first is copy `idx`.
    pub(crate) fn new(
        holder: Holder,
        tier: Tier,
        seq: Seq,
        idx: u32,
        start: u32,
        end: u32,
    ) -> Self {
        Piece {
            seq,
            rank: holder.rank,
            source: holder.source,
            start: narrow(start),
            end: narrow(end),
            idx: narrow(idx),
            tier,
        }
    }

    /// Returns whose copies these are.
    pub(crate) fn holder(&self) -> Holder {
        Holder {
            rank: self.rank,
            source: self.source,
        }
    }

    /// Returns the offset of the first page.
    pub(crate) fn start(&self) -> u32 {
        u32::from(self.start)
    }

    /// Returns the offset behind the last page.
    pub(crate) fn end(&self) -> u32 {
        u32::from(self.end)
    }

    /// Returns how many pages there are.
    pub(crate) fn len(&self) -> u32 {
        self.end() - self.start()
    }

    /// Returns the first page inside the op.
    pub(crate) fn idx(&self) -> u32 {
        u32::from(self.idx)
    }

    /// Returns the same as part of a copy's name.
    pub(crate) fn idx_in_op(&self) -> u16 {
        self.idx
    }

    /// Returns the page inside the op behind the last one.
    pub(crate) fn idx_end(&self) -> u32 {
        self.idx() + self.len()
    }

    /// Returns the part between two offsets, if there is one.
    pub(crate) fn clipped(&self, start: u32, end: u32) -> Option<Piece> {
        let (start, end) = (start.max(self.start()), end.min(self.end()));
        (start < end).then(|| Piece {
            start: narrow(start),
            end: narrow(end),
            idx: narrow(self.idx() + (start - self.start())),
            ..*self
        })
    }

    /// Returns the same copies `at` pages further down, or up.
    fn moved(&self, at: i32) -> Piece {
        let shifted = |offset: u32| narrow(offset.wrapping_add_signed(at));
        Piece {
            start: shifted(self.start()),
            end: shifted(self.end()),
            ..*self
        }
    }

    /// Returns whether `next`, on the pages that follow, is the next part of the same op.
    fn goes_on_as(&self, next: &Piece) -> bool {
        (self.rank, self.source, self.tier, self.seq)
            == (next.rank, next.source, next.tier, next.seq)
            && self.idx_end() == next.idx()
    }

    /// The order inside a run.
    pub(crate) fn key(&self) -> (Rank, SourceId, u16, Tier, Seq, u16) {
        (
            self.rank,
            self.source,
            self.start,
            self.tier,
            self.seq,
            self.idx,
        )
    }
}

/// The pieces of a run, by holder and then by start.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    pieces: Vec<Piece>,
}

impl Holders {
    /// Returns all pieces in order.
    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Returns the pieces of one rank.
    fn of_rank(&self, rank: Rank) -> std::ops::Range<usize> {
        let first = self.pieces.partition_point(|piece| piece.rank < rank);
        if self.pieces.last().is_some_and(|last| last.rank == rank) {
            return first..self.pieces.len();
        }
        let behind = &self.pieces[first..];
        // Mostly there are few: looking is faster than another search.
        let len = behind.iter().take_while(|piece| piece.rank == rank);
        first..first + len.count()
    }

    /// Returns the pieces of one op, by start.
    pub(crate) fn pieces_of(&self, rank: Rank, seq: Seq) -> impl Iterator<Item = &Piece> {
        let of_rank = self.pieces[self.of_rank(rank)].iter();
        of_rank.filter(move |piece| piece.seq == seq)
    }

    /// Returns the piece that has one copy.
    pub(crate) fn piece_with(&self, rank: Rank, seq: Seq, idx: u32) -> Option<&Piece> {
        let has = |piece: &&Piece| piece.seq == seq && piece.idx() <= idx && idx < piece.idx_end();
        // A request goes on where it last came to, so that is where to look first.
        self.pieces[self.of_rank(rank)].iter().rfind(has)
    }

    /// Takes in one more piece.
    pub(crate) fn insert(&mut self, piece: Piece) {
        let at = match self.pieces.last() {
            Some(last) if last.key() > piece.key() => {
                (self.pieces).partition_point(|other| other.key() < piece.key())
            }
            _ => self.pieces.len(),
        };
        if self.pieces.len() == self.pieces.capacity() {
            // Doubling would waste more than most runs hold.
            self.pieces.reserve_exact(1 + self.pieces.len() / 4);
        }
        self.pieces.insert(at, piece);
    }

    /// Drops copies `idx` of `ranges` (sorted, apart) of one op and returns whether there were any. What goes
    /// is handed to `killed`.
    pub(crate) fn remove(
        &mut self,
        rank: Rank,
        seq: Seq,
        ranges: &[(u32, u32)],
        mut killed: impl FnMut(&Piece),
    ) -> bool {
        let of_rank = self.of_rank(rank);
        let mut any = false;
        // From behind, so that a place stays a place while pieces before it are still to be looked at.
        for at in of_rank.rev() {
            let piece = self.pieces[at];
            let first = ranges.partition_point(|(_, to)| *to <= piece.idx());
            let meets = |range: &&(u32, u32)| range.0 < piece.idx_end();
            let mut meeting = ranges[first..].iter().take_while(meets).peekable();
            if piece.seq != seq || meeting.peek().is_none() {
                continue;
            }
            any = true;
            self.pieces.remove(at);
            let offset = |idx: u32| (piece.start() + idx).saturating_sub(piece.idx());
            let mut from = piece.start();
            for range in meeting {
                let dead = piece.clipped(offset(range.0), offset(range.1));
                let dead = dead.expect("the range meets the piece");
                killed(&dead);
                if let Some(left) = piece.clipped(from, dead.start()) {
                    self.insert(left);
                }
                from = dead.end();
            }
            if let Some(left) = piece.clipped(from, piece.end()) {
                self.insert(left);
            }
        }
        if any && self.pieces.len() * 2 < self.pieces.capacity() {
            self.pieces.shrink_to_fit();
        }
        any
    }

    /// Returns how many pieces cross offset `at`.
    fn crossing(&self, at: u32) -> usize {
        let crosses = |piece: &&Piece| piece.start() < at && at < piece.end();
        self.pieces.iter().filter(crosses).count()
    }
}

impl Value for Holders {
    type Unit = Fingerprint;
    type View = Coverage;

    fn view(&self, len: u32) -> Coverage {
        Coverage::of(&self.pieces, len)
    }

    fn is_shown(&self, view: &Coverage, shown: u32, len: u32) -> bool {
        let (Some(first), Some(last)) = (self.pieces.first(), self.pieces.last()) else {
            return false;
        };
        // The only holder had all of the run and has what came behind it.
        first.holder() == last.holder()
            && view.is_whole(last.holder())
            && last.tier == Tier::Device
            && last.start() <= shown
            && last.end() == len
    }

    fn split_off(&mut self, at: u32) -> Self {
        let at_i32 = at.cast_signed();
        let behind = |piece: &Piece| Some(piece.clipped(at, u32::MAX)?.moved(-at_i32));
        let mut tail: Vec<Piece> = self.pieces.iter().filter_map(behind).collect();
        // Pieces that began before the cut now begin at it, so those of one holder may be out of order.
        sort(&mut tail);
        let mut head: Vec<Piece> = self
            .pieces
            .iter()
            .filter_map(|p| p.clipped(0, at))
            .collect();
        head.shrink_to_fit();
        tail.shrink_to_fit();
        self.pieces = head;
        Holders { pieces: tail }
    }

    fn join(&mut self, behind: Self, at: u32) {
        let mut rest = Vec::new();
        for piece in behind.pieces {
            let goes_on = |other: &Piece| other.end() == at && other.goes_on_as(&piece);
            let before = self
                .of_rank(piece.rank)
                .find(|at| goes_on(&self.pieces[*at]));
            match before {
                Some(before) if piece.start == 0 => {
                    self.pieces[before].end = narrow(piece.end() + at);
                }
                _ => rest.push(piece.moved(at.cast_signed())),
            }
        }
        self.pieces.reserve_exact(rest.len());
        self.pieces.append(&mut rest);
        sort(&mut self.pieces);
    }

    fn is_joinable(&self, behind: &Self, at: u32) -> bool {
        let (head, tail) = (self.pieces.len(), behind.pieces.len());
        if head + tail <= PIECES_CROWDED / 2 {
            return true;
        }
        // Otherwise only two parts of one story: nearly all of the tail goes on from the head.
        let most = |count: usize| count * 8 >= tail * 7;
        let at_head = |piece: &&Piece| piece.start == 0;
        let goes_on = |piece: &&Piece| {
            let mut of_rank = self.pieces[self.of_rank(piece.rank)].iter();
            of_rank.any(|other| other.end() == at && other.goes_on_as(piece))
        };
        most(behind.pieces.iter().filter(at_head).count())
            && most(behind.pieces.iter().filter(at_head).filter(goes_on).count())
    }

    fn covered(&self) -> u32 {
        let ends = self.pieces.iter().map(Piece::end);
        ends.max().unwrap_or(0)
    }

    fn crowded(&self) -> Option<u32> {
        let all = self.pieces.len();
        if all <= PIECES_CROWDED {
            return None;
        }
        let inside = self
            .pieces
            .iter()
            .map(Piece::start)
            .filter(|start| *start > 0);
        let mut inside: Vec<u32> = inside.collect();
        if inside.len() * 2 < all {
            return None;
        }
        let middle = inside.len() / 2;
        let (_, at, _) = inside.select_nth_unstable(middle);
        // A cut helps when few pieces cross it and many begin behind it; else the halves would be as crowded.
        (self.crossing(*at) * 4 <= all).then_some(*at)
    }

    fn heap_bytes(&self) -> usize {
        self.pieces.capacity() * size_of::<Piece>()
    }
}

fn sort(pieces: &mut [Piece]) {
    if !pieces.is_sorted_by_key(Piece::key) {
        pieces.sort_unstable_by_key(Piece::key);
    }
}

/// Returns an offset in a run, or a page in an op, as stored.
fn narrow(offset: u32) -> u16 {
    u16::try_from(offset).expect("runs hold at most RUN_PAGES_MAX pages, ops INSERT_PAGES_MAX")
}
