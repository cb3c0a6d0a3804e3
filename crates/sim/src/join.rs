//! What a node that is not Ready was told, to judge whether it becomes Ready too early.

use oplog::VersionVector;
use radix_core::id::{Incarnation, Rank, Seq};

/// The Ready peers of a joining node and the first offer of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Join {
    ready: Vec<Rank>,
    lives: Vec<(Rank, Incarnation)>,
    linked: Vec<Rank>,
    offers: Vec<(Rank, VersionVector)>,
}

impl Join {
    /// A link to a peer is there. What it said in another life counts no more.
    pub(crate) fn linked(&mut self, peer: Rank, inc: Incarnation) {
        self.linked.retain(|known| *known != peer);
        self.linked.push(peer);
        if !self.lives.contains(&(peer, inc)) {
            self.lives.retain(|(rank, _)| *rank != peer);
            self.lives.push((peer, inc));
            self.ready.retain(|known| *known != peer);
            self.offers.retain(|(known, _)| *known != peer);
        }
    }

    /// Others tell of a life of a peer. What it said in an earlier one counts no more; a link shows a new life by itself.
    pub(crate) fn reborn(&mut self, peer: Rank, inc: Incarnation) {
        if self.linked.contains(&peer) {
            return;
        }
        let known = self.lives.iter().find(|(rank, _)| *rank == peer);
        if known.is_none_or(|(_, known)| *known < inc) {
            self.ready.retain(|known| *known != peer);
        }
    }

    /// A peer says whether it is Ready.
    pub(crate) fn said(&mut self, peer: Rank, ready: bool) {
        self.ready.retain(|known| *known != peer);
        if ready {
            self.ready.push(peer);
        }
    }

    /// A peer says what it has; what a Ready one says first is what must be reached.
    pub(crate) fn offered(&mut self, peer: Rank, vector: VersionVector) {
        let first = self.offers.iter().all(|(known, _)| *known != peer);
        if first && self.ready.contains(&peer) {
            self.offers.push((peer, vector));
        }
    }

    /// The link to a peer is gone. What it said of itself stays: others may reach it.
    pub(crate) fn lost(&mut self, peer: Rank) {
        self.linked.retain(|known| *known != peer);
        self.offers.retain(|(known, _)| *known != peer);
    }

    /// Returns whether no peer that takes part said to be Ready.
    pub(crate) fn is_cold(&self, takes_part: impl Fn(Rank) -> bool) -> bool {
        !self.ready.iter().any(|rank| takes_part(*rank))
    }

    /// Returns what lacks to be Ready like one of the Ready peers; nothing where one was reached.
    pub(crate) fn lacks(
        &self,
        me: Rank,
        has: impl Fn(Rank) -> Option<(Incarnation, Seq)>,
        floor: impl Fn(Rank) -> Incarnation,
    ) -> Option<String> {
        let mut lacking = String::from("no Ready peer said yet what it has");
        for (peer, vector) in &self.offers {
            let behind = vector.0.iter().find(|(rank, want)| {
                let has = has(**rank).unwrap_or_default();
                **rank != me && has < (want.inc, want.seq) && floor(**rank) < want.inc
            });
            let (rank, want) = behind?;
            let (inc, seq) = (want.inc, want.seq);
            lacking = format!(
                "rank {peer} offered rank {rank} at incarnation {inc} op {seq}, here it is {:?}",
                has(*rank)
            );
        }
        Some(lacking)
    }
}
