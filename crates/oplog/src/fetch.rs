//! What a replica lacks of one log, who is known to have it, and how far asking for it has come.

use std::collections::BTreeSet;

use radix_core::id::{Rank, Seq};
use radix_core::mutation::{self, Mutation};
use radix_core::time::Timestamp;

use crate::assembly::Assembly;
use crate::limits::{PEERS_AHEAD_MAX, SNAPSHOT_HALTS_MAX, SNAPSHOT_STALLS_MAX};
use crate::message::Message;

/// The fetching of one log. At most one pull is under way.
// spec: OPLOG-7
#[derive(Debug, Default)]
pub(crate) struct Fetch {
    /// The last op that somebody claimed to exist.
    pub(crate) wanted: Seq,
    /// Rounds over all peers without progress.
    pub(crate) rounds: u32,
    pub(crate) stage: Stage,
    /// A peer has what lacks and had no room to send it, in this round.
    pub(crate) busy: bool,
    /// Peers and the last op each claimed to have; the newest claim last.
    ahead: Vec<(Rank, Seq)>,
    /// Peers asked in vain in this round.
    tried: Vec<Rank>,
}

/// How far asking has come.
#[derive(Debug, Default)]
pub(crate) enum Stage {
    /// Nothing is lacking.
    #[default]
    Idle,
    /// Something is; it may come by itself until `at`. The wait began when the log went to `seen`.
    Waiting { at: Timestamp, seen: Seq },
    /// Something is, and the log waits for its turn to ask.
    Queued,
    /// A peer was asked.
    Asked {
        peer: Rank,
        from: Seq,
        deadline: Timestamp,
        assembly: Option<Box<Assembly>>,
    },
}

impl Fetch {
    /// Notes how far a peer is; a later word replaces an earlier one.
    ///
    /// Returns whether this makes it worth asking now: a peer not asked in vain that has more than was known.
    pub(crate) fn heard(&mut self, peer: Rank, seq: Seq) -> bool {
        let before = self
            .ahead
            .iter()
            .position(|(known, _)| *known == peer)
            .map(|at| self.ahead.remove(at).1);
        if self.ahead.len() == PEERS_AHEAD_MAX {
            self.ahead.remove(0);
        }
        self.ahead.push((peer, seq));
        before.is_none_or(|before| before < seq) && !self.tried.contains(&peer)
    }

    /// Forgets a peer that cannot be reached.
    pub(crate) fn lost(&mut self, peer: Rank) {
        self.ahead.retain(|(known, _)| *known != peer);
        self.fail(peer);
    }

    /// Notes that asking `peer` was in vain.
    pub(crate) fn fail(&mut self, peer: Rank) {
        if !self.tried.contains(&peer) {
            self.tried.push(peer);
        }
    }

    /// Notes that ops arrived: everybody may be asked again.
    pub(crate) fn progress(&mut self) {
        self.tried.clear();
        self.rounds = 0;
        self.busy = false;
    }

    /// Notes that the log is empty again: net changes of what it was are of no use.
    pub(crate) fn rebase(&mut self) {
        if self
            .assembly()
            .is_some_and(|assembly| assembly.head.base > Seq::ZERO)
        {
            self.stage = Stage::Idle;
        }
    }

    /// Begins the same round again if one of its peers was merely busy; returns whether it does.
    pub(crate) fn end_busy_round(&mut self) -> bool {
        let busy = std::mem::take(&mut self.busy);
        if busy {
            self.tried.clear();
        }
        busy
    }

    /// Begins another round; returns how many were in vain.
    pub(crate) fn end_round(&mut self) -> u32 {
        self.tried.clear();
        self.rounds += 1;
        self.rounds
    }

    /// Takes that the peer that was asked sent nothing in time. Returns what to ask it again for, with `again` as the new
    /// deadline; `None` when it had its chances. A peer that loses some of all it sends would have them for ever: it
    /// is left for one that has as much and is not known for the same.
    // spec: OPLOG-11
    pub(crate) fn halted(
        &mut self,
        again: Timestamp,
        halting: &BTreeSet<Rank>,
    ) -> Option<(Rank, Message)> {
        let (tried, ahead) = (&self.tried, &self.ahead);
        let Stage::Asked {
            peer,
            deadline,
            assembly: Some(assembly),
            ..
        } = &mut self.stage
        else {
            return None;
        };
        assembly.stalls += 1;
        assembly.halts += 1;
        let elsewhere = ahead.iter().any(|(other, seq)| {
            let is_fresh = !tried.contains(other) && !halting.contains(other);
            other != peer && *seq >= assembly.seq() && is_fresh
        });
        if assembly.stalls > SNAPSHOT_STALLS_MAX
            || (assembly.halts > SNAPSHOT_HALTS_MAX && elsewhere)
        {
            return None;
        }
        *deadline = again;
        let (session, next) = (assembly.session, assembly.ask());
        Some((*peer, Message::SnapshotMore { session, next }))
    }

    /// Returns whom to ask: the newest claim first, then the origin itself, then likewise those that were `halting`;
    /// `None` when this round is over.
    pub(crate) fn choose(&self, origin: Rank, have: Seq, halting: &BTreeSet<Rank>) -> Option<Rank> {
        let claims = || {
            let ahead = self.ahead.iter().rev();
            let worth = ahead
                .filter(|(_, seq)| *seq > have && !mutation::is_on(Mutation::PullOnlyOrigin))
                .map(|(peer, _)| *peer);
            worth
                .chain([origin])
                .filter(|peer| !self.tried.contains(peer))
        };
        claims()
            .find(|peer| !halting.contains(peer))
            .or_else(|| claims().next())
    }

    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Idle | Stage::Queued => None,
            Stage::Waiting { at, .. } => Some(*at),
            Stage::Asked { deadline, .. } => Some(*deadline),
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle)
    }

    pub(crate) fn is_queued(&self) -> bool {
        matches!(self.stage, Stage::Queued)
    }

    /// Returns the peer that was asked.
    pub(crate) fn asked(&self) -> Option<Rank> {
        match &self.stage {
            Stage::Asked { peer, .. } => Some(*peer),
            Stage::Idle | Stage::Waiting { .. } | Stage::Queued => None,
        }
    }

    pub(crate) fn assembly(&self) -> Option<&Assembly> {
        match &self.stage {
            Stage::Asked { assembly, .. } => assembly.as_deref(),
            Stage::Idle | Stage::Waiting { .. } | Stage::Queued => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_claim_is_asked_first_and_the_origin_last() {
        let mut fetch = Fetch::default();
        fetch.heard(Rank(1), Seq(5));
        fetch.heard(Rank(2), Seq(9));
        fetch.heard(Rank(3), Seq(2));
        let (mut asked, mut halting) = (Vec::new(), BTreeSet::new());
        while let Some(peer) = fetch.choose(Rank(7), Seq(2), &halting) {
            asked.push(peer.0);
            fetch.fail(peer);
        }
        assert_eq!(asked, [2, 1, 7], "rank 3 has nothing new");
        assert_eq!(fetch.end_round(), 1);
        halting.extend([Rank(2), Rank(7)]);
        assert_eq!(fetch.choose(Rank(7), Seq(2), &halting), Some(Rank(1)));
        halting.insert(Rank(1));
        assert_eq!(fetch.choose(Rank(7), Seq(2), &halting), Some(Rank(2)));
    }

    #[test]
    fn claims_are_bounded_and_the_oldest_goes() {
        let mut fetch = Fetch::default();
        for rank in 0..20 {
            fetch.heard(Rank(rank), Seq(9));
        }
        assert_eq!(fetch.ahead.len(), PEERS_AHEAD_MAX);
        assert_eq!(fetch.ahead[0].0, Rank(12));
    }
}
