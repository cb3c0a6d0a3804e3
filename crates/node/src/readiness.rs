//! When a starting node may be routed to: it has caught up with a Ready peer, or it is the one that
//! begins a cold cluster. Holds no logs; it only compares version vectors.

use std::collections::BTreeMap;
use std::time::Duration;

use oplog::VersionVector;
use radix_core::id::{Incarnation, Rank};
use radix_core::time::Timestamp;
use topology::Status;

use crate::status::NotReady;

/// Times `cold_start` that a cold cluster waits for living members from which nothing is heard.
const PATIENCE: u32 = 4;

/// Joining, then Ready for good.
#[derive(Debug)]
pub(crate) struct Readiness {
    ready: bool,
    /// When a cold cluster begins without those who are missing; None once that time has come.
    deadline: Option<Timestamp>,
    /// When it begins without living members that cannot be heard, too; None once that time has come.
    late_deadline: Option<Timestamp>,
    peers: BTreeMap<Rank, Peer>,
    /// What must be reached, and whose offer it was.
    target: Option<(Rank, VersionVector)>,
}

/// What is known of a peer's readiness.
#[derive(Clone, Copy, Debug)]
struct Peer {
    /// The life that the link was opened with.
    inc: Incarnation,
    linked: bool,
    /// What it said of itself, in this life.
    word: Option<bool>,
}

/// Another member, as the decision sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Other {
    pub(crate) rank: Rank,
    pub(crate) status: Status,
    /// No life of it was ever heard of.
    pub(crate) never_seen: bool,
}

/// What the decision looks at.
pub(crate) struct Surroundings<'a> {
    pub(crate) me: Rank,
    pub(crate) applied: &'a VersionVector,
    pub(crate) others: &'a [Other],
}

impl Readiness {
    pub(crate) fn new(now: Timestamp, cold_start: Duration) -> Self {
        Readiness {
            ready: false,
            deadline: Some(now.after(cold_start)),
            late_deadline: Some(now.after(cold_start.saturating_mul(PATIENCE))),
            peers: BTreeMap::new(),
            target: None,
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Returns whether `peer` said to be Ready, over this link or over one that broke since.
    pub(crate) fn is_peer_ready(&self, peer: Rank) -> bool {
        self.word(peer) == Some(true)
    }

    pub(crate) fn peer_linked(&mut self, peer: Rank, inc: Incarnation) {
        let known = self.peers.get(&peer).filter(|known| known.inc == inc);
        let word = known.and_then(|known| known.word);
        let linked = true;
        self.peers.insert(peer, Peer { inc, linked, word });
    }

    /// Returns whether this changed what is known of `peer`. Who is not linked says nothing.
    pub(crate) fn peer_says(&mut self, peer: Rank, ready: bool) -> bool {
        let Some(known) = self.peers.get_mut(&peer) else {
            return false;
        };
        known.word.replace(ready).unwrap_or(false) != ready
    }

    /// A peer whose link is down is no base to join from: the next Ready one is. What it said stays: others
    /// may reach it.
    pub(crate) fn peer_lost(&mut self, peer: Rank) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.linked = false;
        }
        self.target.take_if(|(from, _)| *from == peer);
    }

    /// What a member said in a life that is over counts no more.
    pub(crate) fn life_over(&mut self, peer: Rank) {
        match self.peers.get_mut(&peer) {
            Some(known) if known.linked => known.word = None,
            Some(_) | None => drop(self.peers.remove(&peer)),
        }
    }

    /// Takes word of a life that others told of. A link shows a new life by itself.
    pub(crate) fn life_begun(&mut self, peer: Rank, inc: Incarnation) {
        self.peers
            .get_mut(&peer)
            .filter(|known| !known.linked && known.inc < inc)
            .map(|known| known.word.take());
    }

    /// The first offer of a Ready peer is what must be reached; later ones would move the goal for ever.
    pub(crate) fn offered(&mut self, peer: Rank, vector: &VersionVector) {
        if !self.ready && self.target.is_none() && self.is_peer_ready(peer) {
            self.target = Some((peer, vector.clone()));
        }
    }

    /// Returns true when the node became Ready just now.
    // spec: WIRE-9
    pub(crate) fn check(&mut self, now: Timestamp, around: &Surroundings<'_>) -> bool {
        if self.ready {
            return false;
        }
        self.deadline.take_if(|at| *at <= now);
        self.late_deadline.take_if(|at| *at <= now);
        self.ready = match &self.target {
            Some((_, target)) => lacking(target, around).next().is_none(),
            None => self.begins_cold(around),
        };
        self.ready
    }

    /// A cold cluster: the lowest living rank begins, at once when everybody said not to be Ready.
    fn begins_cold(&self, around: &Surroundings<'_>) -> bool {
        let first = self.living(around).all(|rank| around.me < rank);
        // Though its link may be gone: a cluster with a Ready member is not cold.
        let cold = self.peers.values().all(|peer| peer.word != Some(true));
        // A link alone says nothing: its peer may be Ready and its word on the way.
        let waits = match (self.deadline, self.late_deadline) {
            (Some(_), _) => self.awaited(around).next().is_some(),
            (None, Some(_)) => self.unheard(around).next().is_some(),
            (None, None) => false,
        };
        first && cold && !waits
    }

    /// Returns why the node is not Ready.
    pub(crate) fn reason(&self, around: &Surroundings<'_>) -> NotReady {
        if let Some((from, target)) = &self.target {
            let logs = lacking(target, around).map(|(rank, _)| rank).collect();
            return NotReady::CatchingUp { from: *from, logs };
        }
        if let Some(from) = self.first_ready() {
            return NotReady::WaitingForOffer { from };
        }
        let begins_at = self.deadline.or(self.late_deadline);
        if !self.peers.values().any(|peer| peer.linked) {
            return NotReady::NoPeerReachable { begins_at };
        }
        NotReady::NoPeerReady {
            first: self.living(around).fold(around.me, Rank::min),
            awaited: self.awaited(around).collect(),
            begins_at,
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadline.or(self.late_deadline).filter(|_| !self.ready)
    }

    fn word(&self, peer: Rank) -> Option<bool> {
        self.peers.get(&peer).and_then(|known| known.word)
    }

    fn first_ready(&self) -> Option<Rank> {
        let ready = |(_, peer): &(&Rank, &Peer)| peer.linked && peer.word == Some(true);
        self.peers.iter().find(ready).map(|(rank, _)| *rank)
    }

    /// Members that may come yet, or live and said nothing.
    fn awaited(&self, around: &Surroundings<'_>) -> impl Iterator<Item = Rank> {
        let comes = |other: &&Other| other.never_seen || other.status == Status::Alive;
        let others = around.others.iter().filter(comes);
        others
            .map(|other| other.rank)
            .filter(|rank| self.word(*rank).is_none())
    }

    /// Members that live and said nothing.
    fn unheard(&self, around: &Surroundings<'_>) -> impl Iterator<Item = Rank> {
        self.living(around)
            .filter(|rank| self.word(*rank).is_none())
    }

    /// Members that live; those, too, whose link is open and whose record is on its way.
    fn living(&self, around: &Surroundings<'_>) -> impl Iterator<Item = Rank> {
        let linked = |rank| self.peers.get(&rank).is_some_and(|peer| peer.linked);
        let lives = move |other: &&Other| {
            other.status == Status::Alive || other.never_seen && linked(other.rank)
        };
        around.others.iter().filter(lives).map(|other| other.rank)
    }
}

/// The logs of the goal that are not reached. One that was forgotten meanwhile need not be.
fn lacking<'a>(
    target: &'a VersionVector,
    around: &'a Surroundings<'_>,
) -> impl Iterator<Item = (Rank, oplog::Entry)> + 'a {
    let reached = |(rank, want): &(&Rank, &oplog::Entry)| {
        let have = around.applied.entry(**rank);
        (have.inc, have.seq) >= (want.inc, want.seq) || have.floor >= want.inc
    };
    target
        .0
        .iter()
        .filter(|(rank, _)| **rank != around.me)
        .filter(move |log| !reached(log))
        .map(|(rank, want)| (*rank, *want))
}
