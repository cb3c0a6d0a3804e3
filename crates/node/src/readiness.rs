//! When a starting node may be routed to: it has caught up with a Ready peer, or it is the one that
//! begins a cold cluster. Holds no logs; it only compares version vectors.

use std::collections::BTreeMap;
use std::time::Duration;

use oplog::VersionVector;
use radix_core::id::Rank;
use radix_core::time::Timestamp;

/// Joining, then Ready for good.
#[derive(Debug)]
pub(crate) struct Readiness {
    ready: bool,
    /// When a cold cluster begins without those who are missing; None once that time has come.
    deadline: Option<Timestamp>,
    /// What each linked peer said of itself.
    peers: BTreeMap<Rank, bool>,
    target: Option<(Rank, VersionVector)>,
}

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
            target: None,
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
        self.target.take_if(|(from, _)| *from == peer);
    }

    /// The first offer of a Ready peer is what must be reached; later ones would move the goal for ever.
    pub(crate) fn offered(&mut self, peer: Rank, vector: &VersionVector) {
        if !self.ready && self.target.is_none() && self.is_peer_ready(peer) {
            self.target = Some((peer, vector.clone()));
        }
    }

    /// Returns true when the node became Ready just now.
    pub(crate) fn check(&mut self, now: Timestamp, around: &Surroundings<'_>) -> bool {
        if self.ready {
            return false;
        }
        self.deadline.take_if(|at| *at <= now);
        self.ready = match &self.target {
            Some((_, target)) => target.0.iter().all(|(rank, want)| {
                *rank == around.me
                    || around
                        .applied
                        .0
                        .get(rank)
                        .is_some_and(|have| (have.inc, have.seq) >= (want.inc, want.seq))
            }),
            // A cold cluster: the lowest reachable rank begins, at once when everybody said not to be Ready.
            // A link alone says nothing: its peer may be Ready and its word on the way.
            None => {
                !self.peers.values().any(|ready| *ready)
                    && around.lowest_up.is_none_or(|rank| around.me < rank)
                    && (self.peers.len() == around.others || self.deadline.is_none())
            }
        };
        self.ready
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadline.filter(|_| !self.ready)
    }
}
