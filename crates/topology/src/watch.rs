//! The watch over the one neighbour that should send us heartbeats.

use std::time::Duration;

use radix_core::id::Rank;
use radix_core::time::Timestamp;

/// Observes one peer: first misses, then a direct question, then the verdict.
///
/// The question makes the verdict independent of views: a predecessor that prefers another
/// successor sends us no heartbeats, but it answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    peer: Rank,
    heartbeat: Duration,
    misses: u16,
    /// When the peer was last heard, or when the watch began.
    since: Timestamp,
    asked: Option<Timestamp>,
}

/// What a [`Watch`] finds when it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Nothing to do.
    Fine,
    /// The tolerated heartbeats are missing: ask the peer.
    Ask,
    /// No answer within a heartbeat either: silent for that long.
    Silent(Duration),
}

impl Watch {
    pub(crate) fn new(peer: Rank, heartbeat: Duration, misses: u16, now: Timestamp) -> Watch {
        Watch {
            peer,
            heartbeat,
            misses,
            since: now,
            asked: None,
        }
    }

    pub(crate) fn peer(&self) -> Rank {
        self.peer
    }

    pub(crate) fn heard(&mut self, now: Timestamp) {
        self.since = now;
        self.asked = None;
    }

    /// Looks at the clock. `Ask` is found once for each silence.
    pub(crate) fn look(&mut self, now: Timestamp) -> Finding {
        if now < self.deadline() {
            return Finding::Fine;
        }
        if self.asked.is_none() {
            self.asked = Some(now);
            return Finding::Ask;
        }
        Finding::Silent(now.since(self.since))
    }

    pub(crate) fn deadline(&self) -> Timestamp {
        match self.asked {
            None => self
                .since
                .after(self.heartbeat.saturating_mul(u32::from(self.misses))),
            Some(asked) => asked.after(self.heartbeat),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::default().after(SECOND.saturating_mul(u32::try_from(seconds).unwrap()))
    }

    // spec: TOPO-10
    #[test]
    fn a_silent_peer_is_asked_after_the_misses_and_condemned_one_heartbeat_later() {
        let mut watch = Watch::new(Rank(1), SECOND, 3, at(0));
        assert_eq!(
            (watch.deadline(), watch.look(at(2))),
            (at(3), Finding::Fine)
        );
        assert_eq!(watch.look(at(3)), Finding::Ask);
        assert_eq!(
            (watch.deadline(), watch.look(at(3))),
            (at(4), Finding::Fine)
        );
        assert_eq!(watch.look(at(4)), Finding::Silent(at(4).since(at(0))));
    }

    #[test]
    fn anything_heard_starts_the_count_again() {
        let mut watch = Watch::new(Rank(1), SECOND, 3, at(0));
        assert_eq!(watch.look(at(3)), Finding::Ask);
        watch.heard(at(3));
        assert_eq!(
            (watch.deadline(), watch.look(at(5))),
            (at(6), Finding::Fine)
        );
    }

    #[test]
    fn a_node_that_slept_asks_before_it_condemns() {
        let mut watch = Watch::new(Rank(1), SECOND, 3, at(0));
        assert_eq!(watch.look(at(60)), Finding::Ask);
        assert_eq!(watch.look(at(60)), Finding::Fine);
    }
}
