//! What a replica lacks of one log, who is known to have it, and how far asking for it has come.

use radix_core::id::{Rank, Seq};
use radix_core::mutation::{self, Mutation};
use radix_core::time::Timestamp;

use crate::assembly::Assembly;
use crate::limits::PEERS_AHEAD_MAX;

/// The fetching of one log. At most one pull is under way.
// spec: OPLOG-7
#[derive(Debug, Default)]
pub(crate) struct Fetch {
    /// The last op that somebody claimed to exist.
    pub(crate) wanted: Seq,
    /// Rounds over all peers without progress.
    pub(crate) rounds: u32,
    pub(crate) stage: Stage,
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

    /// Begins another round; returns how many were in vain.
    pub(crate) fn end_round(&mut self) -> u32 {
        self.tried.clear();
        self.rounds += 1;
        self.rounds
    }

    /// Returns whom to ask: the newest claim first, the origin itself last; `None` when this round is over.
    pub(crate) fn choose(&self, origin: Rank, have: Seq) -> Option<Rank> {
        let untried = |peer: &Rank| !self.tried.contains(peer);
        let claims = self
            .ahead
            .iter()
            .rev()
            .filter(|(_, seq)| *seq > have && !mutation::is_on(Mutation::PullOnlyOrigin))
            .map(|(peer, _)| *peer);
        claims.chain([origin]).find(untried)
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
        let mut asked = Vec::new();
        while let Some(peer) = fetch.choose(Rank(7), Seq(2)) {
            asked.push(peer.0);
            fetch.fail(peer);
        }
        assert_eq!(asked, [2, 1, 7], "rank 3 has nothing new");
        assert_eq!(fetch.end_round(), 1);
        assert_eq!(fetch.choose(Rank(7), Seq(2)), Some(Rank(2)));
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
