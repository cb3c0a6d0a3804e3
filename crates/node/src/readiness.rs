//! When a starting node may be routed to: it has caught up with a Ready peer, or it is the one that
//! begins a cold cluster. Holds no logs; it only compares version vectors.

use std::collections::BTreeMap;
use std::time::Duration;

use oplog::VersionVector;
use radix_core::id::{Incarnation, Rank};
use radix_core::mutation::{self, Mutation};
use radix_core::time::Timestamp;
use topology::Status;

use crate::status::NotReady;

/// Times `cold_start` that a cold cluster waits for living members from which nothing is heard.
const PATIENCE: u32 = 4;

/// Joining, then Ready for good.
#[derive(Debug)]
pub(crate) struct Readiness {
    ready: bool,
    /// Members were alive when this node was introduced to them: what it cannot reach is no cold cluster yet.
    introduced: bool,
    /// When a cold cluster begins without those who are missing; None once that time has come.
    deadline: Option<Timestamp>,
    /// When it begins without living members that cannot be heard, too; None once that time has come.
    late_deadline: Option<Timestamp>,
    peers: BTreeMap<Rank, Peer>,
    /// The first offer of each Ready peer. One of them must be reached; which one is not known beforehand, since a
    /// peer may stand still with ops that nobody else has.
    targets: BTreeMap<Rank, VersionVector>,
}

/// Peers whose offers a joining node remembers. More would help nobody.
const TARGETS_MAX: usize = 8;

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
    pub(crate) fn new(now: Timestamp, cold_start: Duration, introduced: bool) -> Self {
        let late_deadline = now.after(cold_start.saturating_mul(PATIENCE));
        Readiness {
            ready: false,
            introduced,
            deadline: (!introduced).then(|| now.after(cold_start)),
            late_deadline: Some(late_deadline),
            peers: BTreeMap::new(),
            targets: BTreeMap::new(),
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
        if known.is_none() {
            // What it offered in another life is no goal any more.
            self.targets.remove(&peer);
        }
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
        match self.peers.get_mut(&peer) {
            Some(known) if known.word.is_some() => known.linked = false,
            Some(_) | None => drop(self.peers.remove(&peer)),
        }
        self.targets.remove(&peer);
    }

    /// Who is down for the cluster has no say in what must be reached, though its link may be open.
    pub(crate) fn peer_down(&mut self, peer: Rank) {
        self.targets.remove(&peer);
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
        if !self.ready && self.targets.len() < TARGETS_MAX && self.is_peer_ready(peer) {
            self.targets.entry(peer).or_insert_with(|| vector.clone());
        }
    }

    /// Returns whether there is an offer to be reached.
    pub(crate) fn has_goal(&self) -> bool {
        !self.targets.is_empty()
    }

    /// Returns true when the node became Ready just now.
    // spec: WIRE-9
    pub(crate) fn check(&mut self, now: Timestamp, around: &Surroundings<'_>) -> bool {
        if self.ready {
            return false;
        }
        self.deadline.take_if(|at| *at <= now);
        self.late_deadline.take_if(|at| *at <= now);
        let reached = |target: &VersionVector| lacking(target, around).next().is_none();
        self.ready = if self.targets.is_empty() {
            self.begins_cold(around)
        } else {
            self.targets.values().any(reached) || mutation::is_on(Mutation::ReadyAtOnce)
        };
        self.ready
    }

    /// A cold cluster: the lowest living rank begins, at once when everybody said not to be Ready.
    fn begins_cold(&self, around: &Surroundings<'_>) -> bool {
        let first = self.living(around).all(|rank| around.me < rank);
        // Though its link may be gone: a cluster with a Ready member is not cold.
        let cold = around
            .others
            .iter()
            .filter(|other| other.never_seen || other.status.in_view())
            .all(|other| self.word(other.rank) != Some(true));
        // A link alone says nothing: its peer may be Ready and its word on the way.
        let waits = match (self.deadline, self.late_deadline) {
            (Some(_), _) => self.awaited(around).next().is_some(),
            (None, Some(_)) => self.introduced || self.unheard(around).next().is_some(),
            (None, None) => false,
        };
        first && cold && !waits
    }

    /// Returns why the node is not Ready.
    pub(crate) fn reason(&self, around: &Surroundings<'_>) -> NotReady {
        if let Some((from, target)) = self.targets.first_key_value() {
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

    /// Members that may come yet, or may live, and said nothing.
    fn awaited(&self, around: &Surroundings<'_>) -> impl Iterator<Item = Rank> {
        let comes = |other: &&Other| other.never_seen || other.status.in_view();
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

#[cfg(test)]
mod tests {
    use oplog::Entry;
    use radix_core::id::Seq;

    use super::*;

    const COLD: Duration = Duration::from_secs(3);

    fn at(seconds: u64) -> Timestamp {
        Timestamp(0).after(Duration::from_secs(seconds))
    }

    fn vector(entries: &[(u16, u64, u64, u64)]) -> VersionVector {
        let entry = |&(rank, inc, seq, floor): &(u16, u64, u64, u64)| {
            let entry = Entry {
                inc: Incarnation(inc),
                seq: Seq(seq),
                floor: Incarnation(floor),
            };
            (Rank(rank), entry)
        };
        VersionVector(entries.iter().map(entry).collect())
    }

    fn other(rank: u16, status: Status) -> Other {
        Other {
            rank: Rank(rank),
            status,
            never_seen: false,
        }
    }

    fn never_seen(rank: u16) -> Other {
        Other {
            rank: Rank(rank),
            status: Status::Down,
            never_seen: true,
        }
    }

    fn check(
        readiness: &mut Readiness,
        seconds: u64,
        applied: &VersionVector,
        others: &[Other],
    ) -> bool {
        let around = Surroundings {
            me: Rank(3),
            applied,
            others,
        };
        readiness.check(at(seconds), &around)
    }

    /// Rank 3 among others, of which those linked said whether they are Ready.
    fn begun(linked: &[(u16, Option<bool>)]) -> Readiness {
        let mut readiness = Readiness::new(at(0), COLD, false);
        for (rank, word) in linked {
            readiness.peer_linked(Rank(*rank), Incarnation(1));
            if let Some(ready) = word {
                readiness.peer_says(Rank(*rank), *ready);
            }
        }
        readiness
    }

    /// When rank 3 begins a cluster without a goal; `None`: not within a minute.
    fn begins(linked: &[(u16, Option<bool>)], others: &[Other]) -> Option<u64> {
        let mut readiness = begun(linked);
        let none = VersionVector::default();
        (0..60).find(|seconds| check(&mut readiness, *seconds, &none, others))
    }

    // spec: WIRE-9
    #[test]
    fn a_cold_cluster_begins_when_nobody_else_is_awaited() {
        let alive = |rank| other(rank, Status::Alive);
        assert_eq!(begins(&[], &[]), Some(0), "alone for good");
        assert_eq!(begins(&[(5, Some(false))], &[alive(5)]), Some(0));
        assert_eq!(
            begins(&[(5, Some(false))], &[alive(5), never_seen(4)]),
            Some(3)
        );
        assert_eq!(
            begins(&[(5, None)], &[alive(5)]),
            Some(12),
            "it may be Ready"
        );
        assert_eq!(
            begins(&[], &[alive(5)]),
            Some(12),
            "others reach it, perhaps"
        );
        assert_eq!(begins(&[], &[never_seen(1)]), Some(3));
        assert_eq!(begins(&[], &[other(1, Status::Suspect)]), Some(3));
        for gone in [Status::Down, Status::Left] {
            assert_eq!(begins(&[], &[other(1, gone)]), Some(0), "{gone}");
        }
    }

    // spec: WIRE-9
    #[test]
    fn a_cold_cluster_is_begun_by_its_lowest_rank_and_by_no_other() {
        assert_eq!(
            begins(&[(1, Some(false))], &[other(1, Status::Alive)]),
            None
        );
        assert_eq!(
            begins(&[(1, Some(false))], &[never_seen(1)]),
            None,
            "linked"
        );
        assert_eq!(begins(&[], &[other(1, Status::Alive)]), None);
    }

    // spec: WIRE-9
    #[test]
    fn who_was_introduced_to_living_members_does_not_take_their_silence_for_a_cold_cluster() {
        let mut readiness = Readiness::new(at(0), COLD, true);
        let none = VersionVector::default();
        let gone = [other(5, Status::Down)];
        assert!(!check(&mut readiness, 11, &none, &gone));
        assert_eq!(readiness.next_deadline(), Some(at(12)));
        assert!(check(&mut readiness, 12, &none, &gone));
    }

    // spec: WIRE-9
    #[test]
    fn no_cluster_with_a_ready_member_is_cold() {
        let others = [other(5, Status::Alive)];
        assert_eq!(begins(&[(5, Some(true))], &others), None);
        let mut readiness = begun(&[(5, Some(true))]);
        readiness.peer_lost(Rank(5));
        let none = VersionVector::default();
        assert!(
            !check(&mut readiness, 60, &none, &others),
            "its link may come back"
        );
        assert!(check(&mut readiness, 60, &none, &[other(5, Status::Down)]));
    }

    // spec: WIRE-9
    #[test]
    fn the_first_offer_of_a_ready_peer_is_the_goal_while_its_link_holds() {
        let others = [other(1, Status::Alive), other(2, Status::Alive)];
        let mut readiness = begun(&[(1, Some(true)), (2, Some(true))]);
        readiness.offered(Rank(1), &vector(&[(1, 1, 5, 0), (3, 9, 9, 0)]));
        readiness.offered(Rank(2), &vector(&[(1, 1, 7, 0)]));
        let mut have = vector(&[(1, 1, 4, 0)]);
        assert!(!check(&mut readiness, 1, &have, &others));
        readiness.peer_lost(Rank(1));
        readiness.offered(Rank(2), &vector(&[(1, 1, 7, 0)]));
        have = vector(&[(1, 1, 6, 0)]);
        assert!(!check(&mut readiness, 1, &have, &others));
        have = vector(&[(1, 1, 7, 0)]);
        assert!(check(&mut readiness, 1, &have, &others));
        assert_eq!(readiness.next_deadline(), None);
    }

    // spec: WIRE-9
    #[test]
    fn a_peer_that_stands_still_with_ops_of_its_own_does_not_keep_a_node_from_joining() {
        let others = [other(1, Status::Alive), other(2, Status::Alive)];
        let mut readiness = begun(&[(1, Some(true)), (2, Some(true))]);
        readiness.offered(Rank(1), &vector(&[(1, 1, 9, 0)]));
        readiness.offered(Rank(2), &vector(&[(1, 1, 5, 0)]));
        assert!(!check(&mut readiness, 1, &vector(&[(1, 1, 4, 0)]), &others));
        let have = vector(&[(1, 1, 5, 0)]);
        assert!(check(&mut readiness, 1, &have, &others), "as rank 2 was");
        let mut readiness = begun(&[(1, Some(true))]);
        readiness.offered(Rank(1), &vector(&[(1, 1, 9, 0)]));
        readiness.peer_down(Rank(1));
        assert!(!readiness.has_goal());
    }

    #[test]
    fn a_log_that_is_forgotten_meanwhile_is_no_part_of_the_goal() {
        let mut readiness = begun(&[(1, Some(true))]);
        readiness.offered(Rank(1), &vector(&[(8, 4, 5, 0)]));
        let others = [other(1, Status::Alive)];
        assert!(!check(&mut readiness, 1, &vector(&[(8, 4, 1, 3)]), &others));
        assert!(check(&mut readiness, 1, &vector(&[(8, 0, 0, 4)]), &others));
    }

    #[test]
    fn what_a_peer_said_outlasts_its_link_and_not_its_life() {
        let mut readiness = begun(&[(1, Some(true))]);
        readiness.peer_lost(Rank(1));
        assert!(readiness.is_peer_ready(Rank(1)));
        readiness.life_begun(Rank(1), Incarnation(1));
        assert!(readiness.is_peer_ready(Rank(1)), "the same life");
        readiness.life_begun(Rank(1), Incarnation(2));
        assert!(!readiness.is_peer_ready(Rank(1)));
        readiness.peer_linked(Rank(1), Incarnation(2));
        readiness.peer_says(Rank(1), true);
        readiness.peer_linked(Rank(1), Incarnation(2));
        assert!(readiness.is_peer_ready(Rank(1)), "the link was replaced");
        readiness.peer_linked(Rank(1), Incarnation(3));
        assert!(!readiness.is_peer_ready(Rank(1)));
        readiness.peer_says(Rank(1), true);
        readiness.life_over(Rank(1));
        assert!(!readiness.is_peer_ready(Rank(1)), "it left");
        assert!(!readiness.peer_says(Rank(9), true), "who is not linked");
    }

    #[test]
    fn what_a_peer_offered_in_an_earlier_life_is_no_goal() {
        let mut readiness = begun(&[(1, Some(true))]);
        readiness.offered(Rank(1), &VersionVector::default());
        assert!(readiness.has_goal());
        readiness.peer_linked(Rank(1), Incarnation(1));
        assert!(readiness.has_goal(), "the same life, linked again");
        readiness.peer_linked(Rank(1), Incarnation(2));
        assert!(!readiness.has_goal());
    }
}
