//! When a starting node may be routed to: it has caught up with a Ready peer, or it is the one that
//! begins a cold cluster. Holds no logs; it only compares version vectors.

use std::collections::BTreeMap;
use std::time::Duration;

use oplog::VersionVector;
use radix_core::id::Rank;
use radix_core::mutation::{self, Mutation};
use radix_core::time::Timestamp;

/// Joining, then Ready for good.
#[derive(Debug)]
pub(crate) struct Readiness {
    ready: bool,
    /// When a cold cluster begins without those who are missing; None once that time has come.
    deadline: Option<Timestamp>,
    /// What each linked peer said of itself.
    peers: BTreeMap<Rank, bool>,
    /// The first offer of each Ready peer. One of them must be reached; which one is not known beforehand,
    /// because a peer may stand still with ops that nobody else has.
    targets: BTreeMap<Rank, VersionVector>,
}

/// Peers whose offers are remembered by a node that joins. More would help nobody.
const TARGETS_MAX: usize = 8;

/// What the decision looks at.
pub(crate) struct Surroundings<'a> {
    pub(crate) me: Rank,
    pub(crate) applied: &'a VersionVector,
    /// Lowest other member whose link is up.
    pub(crate) lowest_up: Option<Rank>,
    /// How many other members there are.
    pub(crate) others: usize,
}

impl Readiness {
    pub(crate) fn new(now: Timestamp, cold_start: Duration) -> Self {
        Readiness {
            ready: false,
            deadline: Some(now.after(cold_start)),
            peers: BTreeMap::new(),
            targets: BTreeMap::new(),
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready
    }

    pub(crate) fn is_peer_ready(&self, peer: Rank) -> bool {
        self.peers.get(&peer).is_some_and(|ready| *ready)
    }

    /// Returns whether this changed what is known of `peer`.
    pub(crate) fn peer_says(&mut self, peer: Rank, ready: bool) -> bool {
        self.peers.insert(peer, ready).unwrap_or(false) != ready
    }

    /// A peer whose link is down is no base to join from: the next Ready one is.
    pub(crate) fn peer_lost(&mut self, peer: Rank) {
        self.peers.remove(&peer);
        self.targets.remove(&peer);
    }

    /// The first offer of a Ready peer is what must be reached; later ones would move the goal for ever.
    pub(crate) fn offered(&mut self, peer: Rank, vector: &VersionVector) {
        if !self.ready && self.targets.len() < TARGETS_MAX && self.is_peer_ready(peer) {
            self.targets.entry(peer).or_insert_with(|| vector.clone());
        }
    }

    /// Returns true when the node became Ready just now.
    pub(crate) fn check(&mut self, now: Timestamp, around: &Surroundings<'_>) -> bool {
        if self.ready {
            return false;
        }
        self.deadline.take_if(|at| *at <= now);
        let reached = |target: &VersionVector| {
            target.0.iter().all(|(rank, want)| {
                *rank == around.me
                    || around
                        .applied
                        .0
                        .get(rank)
                        .is_some_and(|have| (have.inc, have.seq) >= (want.inc, want.seq))
            })
        };
        self.ready = if self.targets.is_empty() {
            // A cold cluster: the lowest reachable rank begins, at once when everybody said not to be Ready.
            // A link alone says nothing: its peer may be Ready and its word on the way.
            !self.peers.values().any(|ready| *ready)
                && around.lowest_up.is_none_or(|rank| around.me < rank)
                && (self.peers.len() == around.others || self.deadline.is_none())
        } else {
            self.targets.values().any(reached) || mutation::is_on(Mutation::ReadyAtOnce)
        };
        self.ready
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadline.filter(|_| !self.ready)
    }
}

#[cfg(test)]
mod tests {
    use oplog::Entry;
    use radix_core::id::{Incarnation, Seq};

    use super::*;

    fn vector(entries: &[(u16, u64)]) -> VersionVector {
        let entry = |&(rank, seq)| {
            let (inc, seq) = (Incarnation(1), Seq(seq));
            (
                Rank(rank),
                Entry {
                    inc,
                    seq,
                    ..Entry::default()
                },
            )
        };
        VersionVector(entries.iter().map(entry).collect())
    }

    #[test]
    fn a_peer_that_stands_still_with_ops_of_its_own_does_not_keep_a_node_from_joining() {
        let mut readiness = Readiness::new(Timestamp(0), Duration::from_secs(3));
        for (peer, seq) in [(1, 9), (2, 5)] {
            readiness.peer_says(Rank(peer), true);
            readiness.offered(Rank(peer), &vector(&[(3, seq)]));
        }
        let check = |readiness: &mut Readiness, seq| {
            let around = Surroundings {
                me: Rank(0),
                applied: &vector(&[(3, seq)]),
                lowest_up: Some(Rank(1)),
                others: 3,
            };
            readiness.check(Timestamp(1), &around)
        };
        assert!(!check(&mut readiness, 4));
        assert!(check(&mut readiness, 5), "what rank 2 offered is here");
    }
}
