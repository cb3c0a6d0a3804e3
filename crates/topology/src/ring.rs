//! The ring seen from one of its members, and the arcs along which a broadcast travels.
//! Order and up-flags only; how a member comes to be up is not known here.

use radix_core::id::Rank;

/// A delegated piece of a broadcast: send to `to`, who then is responsible for the open arc (`to`, `end`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Arc {
    /// Receiver; up in the sender's view.
    pub to: Rank,
    /// First rank behind the receiver's arc, in ring order; not part of it.
    pub end: Rank,
}

/// The ranks in ring order, beginning behind `me`, with a flag each: up or not.
///
/// Ring order is numerical order of the ranks, wrapping at 65535. It needs no agreement: arcs are
/// ranges of rank *ids*, so nodes with different lists still own disjoint ranges.
#[derive(Clone, Debug)]
pub struct Ring {
    me: Rank,
    /// All others by their distance from `me`, nearest successor first.
    others: Vec<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    rank: Rank,
    up: bool,
}

impl Ring {
    /// Builds the ring around `me`, with everybody else down. `me` itself and duplicates in `ranks` are skipped.
    #[must_use]
    pub fn new(me: Rank, ranks: impl IntoIterator<Item = Rank>) -> Ring {
        let mut others: Vec<Place> = ranks
            .into_iter()
            .filter(|&rank| rank != me)
            .map(|rank| Place { rank, up: false })
            .collect();
        others.sort_unstable_by_key(|place| distance(me, place.rank));
        others.dedup_by_key(|place| place.rank);
        Ring { me, others }
    }

    /// Returns how many others there are, up or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.others.len()
    }

    /// Returns whether this node is alone.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.others.is_empty()
    }

    /// Adds a rank, down; `me` and who is there already are skipped. Cost: O(n).
    pub fn insert(&mut self, rank: Rank) {
        if let Err(at) = self.find(rank)
            && rank != self.me
        {
            self.others.insert(at, Place { rank, up: false });
        }
    }

    /// Removes a rank, if it is there. Cost: O(n).
    pub fn remove(&mut self, rank: Rank) {
        if let Ok(at) = self.find(rank) {
            self.others.remove(at);
        }
    }

    /// Where a rank stands, or would stand.
    fn find(&self, rank: Rank) -> Result<usize, usize> {
        let wanted = distance(self.me, rank);
        self.others
            .binary_search_by_key(&wanted, |place| distance(self.me, place.rank))
    }

    /// Marks a rank up or down; returns whether that changed anything. Cost: O(log n).
    pub fn set_up(&mut self, rank: Rank, up: bool) -> bool {
        let Ok(at) = self.find(rank) else {
            return false;
        };
        let changed = self.others[at].up != up;
        self.others[at].up = up;
        changed
    }

    /// Returns the first rank behind `me` that is up.
    #[must_use]
    pub fn successor(&self) -> Option<Rank> {
        self.up().next()
    }

    /// Returns the last rank before `me` that is up: the one whose successor `me` should be.
    #[must_use]
    pub fn predecessor(&self) -> Option<Rank> {
        self.others
            .iter()
            .rev()
            .find(|place| place.up)
            .map(|place| place.rank)
    }

    /// Returns the ranks that are up, in ring order behind `me`.
    pub fn up(&self) -> impl Iterator<Item = Rank> + '_ {
        self.others
            .iter()
            .filter(|place| place.up)
            .map(|place| place.rank)
    }

    /// Splits the open arc (`me`, `end`) and replaces `out` by its delegates; `end == me` is the whole ring.
    ///
    /// With the known ranks of the arc numbered 1, 2, .. from `me`, the sub-arcs begin at the offsets
    /// {1} for fan-out 1 (or 0), and at {j * k^l : 1 <= j < k, l >= 0} for fan-out k:
    ///
    /// ```text
    /// k = 2   me [1] [2 3] [4 5 6 7] [8 ..          k = 4   me [1] [2] [3] [4 5 6 7] [8 ..
    /// ```
    ///
    /// Each goes to its first rank that is up; one without any is left out.
    /// Cost: O(log n + delegates + ranks that are down), no allocation once `out` is warm.
    ///
    /// spec: TOPO-3, TOPO-4, TOPO-5
    pub fn arcs(&self, fanout: u16, end: Rank, out: &mut Vec<Arc>) {
        out.clear();
        let reach = match distance(self.me, end) {
            0 => u32::from(u16::MAX) + 1,
            reach => u32::from(reach),
        };
        let len = self
            .others
            .partition_point(|p| u32::from(distance(self.me, p.rank)) < reach);
        let arc = &self.others[..len];
        let fanout = usize::from(fanout);
        // Positions count from 0 here, offsets from 1.
        let (mut begin, mut step) = (0, 1);
        while begin < len {
            let stop = if fanout < 2 { len } else { begin + step };
            if stop + 1 == step * fanout {
                step *= fanout;
            }
            let (sub_arc, sub_end) = arc
                .get(stop)
                .map_or((&arc[begin..], end), |next| (&arc[begin..stop], next.rank));
            if let Some(first) = sub_arc.iter().find(|place| place.up) {
                out.push(Arc {
                    to: first.rank,
                    end: sub_end,
                });
            }
            begin = stop;
        }
    }
}

/// Steps from `from` to `to` in ring order over all rank ids; 0 only for the same rank.
// spec: TOPO-1
fn distance(from: Rank, to: Rank) -> u16 {
    to.0.wrapping_sub(from.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(me: u16, ranks: &[u16], down: &[u16]) -> Ring {
        let mut ring = Ring::new(Rank(me), ranks.iter().map(|&rank| Rank(rank)));
        for &rank in ranks {
            ring.set_up(Rank(rank), !down.contains(&rank));
        }
        ring
    }

    fn arcs(ring: &Ring, fanout: u16, end: u16) -> Vec<(u16, u16)> {
        let mut out = vec![Arc {
            to: Rank(7),
            end: Rank(7),
        }];
        ring.arcs(fanout, Rank(end), &mut out);
        out.iter().map(|arc| (arc.to.0, arc.end.0)).collect()
    }

    // spec: TOPO-3
    #[test]
    fn arcs_are_cut_at_the_offsets() {
        let all: Vec<u16> = (0..10).collect();
        let check = |fanout, end, expect: &[(u16, u16)]| {
            assert_eq!(
                arcs(&ring(0, &all, &[]), fanout, end),
                expect,
                "k={fanout} end={end}"
            );
        };
        check(1, 0, &[(1, 0)]);
        check(2, 0, &[(1, 2), (2, 4), (4, 8), (8, 0)]);
        check(3, 0, &[(1, 2), (2, 3), (3, 6), (6, 9), (9, 0)]);
        check(4, 0, &[(1, 2), (2, 3), (3, 4), (4, 8), (8, 0)]);
        check(u16::MAX, 4, &[(1, 2), (2, 3), (3, 4)]);
        check(2, 4, &[(1, 2), (2, 4)]);
        check(2, 1, &[]);
    }

    #[test]
    fn arcs_wrap_at_the_highest_rank() {
        let ring = ring(65_530, &[0, 3, 65_530, 65_535], &[]);
        assert_eq!(arcs(&ring, 2, 65_530), [(65_535, 0), (0, 65_530)]);
        assert_eq!(arcs(&ring, 1, 2), [(65_535, 2)]);
        assert_eq!(arcs(&ring, 2, 65_533), []);
    }

    // spec: TOPO-4
    #[test]
    fn a_rank_that_is_down_is_skipped_inside_its_sub_arc_only() {
        let all: Vec<u16> = (0..8).collect();
        assert_eq!(arcs(&ring(0, &all, &[1, 2]), 2, 0), [(3, 4), (4, 0)]);
        assert_eq!(arcs(&ring(0, &all, &[1, 2, 3]), 1, 0), [(4, 0)]);
        assert_eq!(arcs(&ring(0, &all, &all), 1, 0), []);
    }

    #[test]
    fn an_end_that_is_no_member_still_bounds_the_arc() {
        let ring = ring(10, &[10, 20, 30, 40], &[]);
        assert_eq!(arcs(&ring, 2, 35), [(20, 30), (30, 35)]);
        assert_eq!(arcs(&ring, 2, 5), [(20, 30), (30, 5)]);
    }

    #[test]
    fn neighbours_are_the_nearest_that_are_up() {
        let ring = ring(4, &[1, 4, 6, 9], &[6]);
        assert_eq!(
            (ring.successor(), ring.predecessor()),
            (Some(Rank(9)), Some(Rank(1)))
        );
        assert_eq!(Ring::new(Rank(4), []).successor(), None);
    }

    #[test]
    fn ranks_come_and_go_in_their_places() {
        let mut grown = Ring::new(Rank(10), []);
        for rank in [40, 5, 10, 20, 40, 30] {
            grown.insert(Rank(rank));
            grown.set_up(Rank(rank), true);
        }
        grown.remove(Rank(30));
        grown.remove(Rank(31));
        assert_eq!(grown.len(), 3);
        assert_eq!(
            arcs(&grown, 4, 10),
            arcs(&ring(10, &[5, 20, 40], &[]), 4, 10)
        );
    }

    #[test]
    fn unknown_ranks_cannot_be_marked() {
        let mut ring = ring(4, &[1, 4], &[1]);
        assert!(ring.set_up(Rank(1), true));
        assert!(!ring.set_up(Rank(1), true));
        assert!(!ring.set_up(Rank(4), true));
        assert!(!ring.set_up(Rank(2), true));
    }
}
