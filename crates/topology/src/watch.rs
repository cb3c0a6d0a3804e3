//! The watch over the members that this node probes: which of them is deaf or mute to it.

use std::collections::BTreeMap;
use std::time::Duration;

use radix_core::id::Rank;
use radix_core::time::Timestamp;

/// One probed member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    /// One of the next members in the ring: probed each heartbeat. Others every `misses` heartbeats.
    pub(crate) near: bool,
    /// When the watch began: silence before it means nothing.
    since: Timestamp,
    /// The last probe, until it is answered.
    open: Option<(u32, Timestamp)>,
    /// Probes before the last that were not answered.
    missed: u32,
}

/// What an answer to a probe says of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The last probe's, this long after it.
    Fresh(Duration),
    /// An earlier one's, or nobody's.
    Old,
}

impl Watch {
    fn new(near: bool, now: Timestamp) -> Watch {
        Watch {
            near,
            since: now,
            open: None,
            missed: 0,
        }
    }

    pub(crate) fn probed(&mut self, nonce: u32, now: Timestamp) {
        self.open = Some((nonce, now));
    }

    pub(crate) fn answered(&mut self, nonce: u32, now: Timestamp) -> Answer {
        self.missed = 0;
        match self.open {
            Some((open, at)) if open == nonce => {
                self.open = None;
                Answer::Fresh(now.since(at))
            }
            Some(_) | None => Answer::Old,
        }
    }

    /// Counts the last probe when it was not answered; to be called before the next one.
    pub(crate) fn count(&mut self) {
        if self.open.take().is_some() {
            self.missed = self.missed.saturating_add(1);
        }
    }

    /// Returns whether the last so many probes were not answered.
    pub(crate) fn is_mute(&self, misses: u32) -> bool {
        self.missed >= misses
    }

    /// Returns how long nothing was heard, as far as this watch knows.
    pub(crate) fn silence(&self, now: Timestamp, last_heard: Option<Timestamp>) -> Duration {
        now.since(last_heard.map_or(self.since, |heard| heard.max(self.since)))
    }
}

/// All watches of this node: a few near members, the delegates of its own broadcasts, and whoever was found bad.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watches {
    all: BTreeMap<Rank, Watch>,
}

impl Watches {
    pub(crate) fn get_mut(&mut self, rank: Rank) -> Option<&mut Watch> {
        self.all.get_mut(&rank)
    }

    pub(crate) fn remove(&mut self, rank: Rank) {
        self.all.remove(&rank);
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Rank, &mut Watch)> {
        self.all.iter_mut().map(|(&rank, watch)| (rank, watch))
    }

    /// Watches `near` from now on, and `far` where given; goes on with others only where `keep` says so.
    pub(crate) fn choose(
        &mut self,
        now: Timestamp,
        near: &[Rank],
        far: Option<&[Rank]>,
        keep: impl Fn(Rank) -> bool,
    ) {
        self.all.retain(|&rank, watch| {
            let was_far = !watch.near;
            watch.near = near.contains(&rank);
            let is_far = far.map_or(was_far, |far| far.contains(&rank));
            watch.near || is_far || keep(rank)
        });
        for &rank in near {
            self.all
                .entry(rank)
                .or_insert_with(|| Watch::new(true, now));
        }
        for &rank in far.unwrap_or_default() {
            self.all
                .entry(rank)
                .or_insert_with(|| Watch::new(false, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u32) -> Timestamp {
        Timestamp(0).after(SECOND * seconds)
    }

    // spec: TOPO-23
    #[test]
    fn silence_begins_with_the_watch_and_ends_with_any_frame() {
        let watch = Watch::new(true, at(10));
        assert_eq!(watch.silence(at(12), None), SECOND * 2);
        assert_eq!(watch.silence(at(12), Some(at(3))), SECOND * 2);
        assert_eq!(watch.silence(at(12), Some(at(11))), SECOND);
    }

    // spec: TOPO-25
    #[test]
    fn probes_in_a_row_without_an_answer_make_mute_and_any_answer_ends_it() {
        let mut watch = Watch::new(true, at(0));
        for second in 0..3 {
            watch.count();
            assert!(!watch.is_mute(3));
            watch.probed(second, at(second));
        }
        watch.count();
        assert!(watch.is_mute(3));
        assert_eq!(watch.answered(1, at(4)), Answer::Old);
        assert!(!watch.is_mute(3));
        watch.probed(4, at(4));
        assert_eq!(watch.answered(4, at(5)), Answer::Fresh(SECOND));
        assert_eq!(watch.answered(4, at(5)), Answer::Old);
    }

    #[test]
    fn who_is_no_longer_chosen_is_watched_only_while_it_is_bad() {
        let mut watches = Watches::default();
        let ranks = |watches: &Watches| watches.all.keys().map(|rank| rank.0).collect::<Vec<_>>();
        watches.choose(
            at(0),
            &[Rank(1), Rank(2)],
            Some(&[Rank(2), Rank(9)]),
            |_| false,
        );
        assert_eq!(ranks(&watches), [1, 2, 9]);
        watches.choose(at(1), &[Rank(1)], None, |_| false);
        assert_eq!(ranks(&watches), [1, 9], "2 was watched as a near one");
        watches.choose(at(2), &[Rank(3)], Some(&[]), |rank| rank == Rank(9));
        assert_eq!(ranks(&watches), [3, 9]);
    }
}
