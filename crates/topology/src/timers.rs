//! Deadlines by name. A timer that fired or was cancelled is gone until it is set again.

use std::collections::{BTreeMap, BTreeSet};

use radix_core::id::Rank;
use radix_core::time::Timestamp;

/// What a deadline is for. At one instant they fire in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The next heartbeats.
    Heartbeat,
    /// The next exchange.
    Exchange,
    /// Questions of others about silent members have waited long enough.
    Questions,
    /// Others are to be asked about a member.
    Ask(Rank),
    /// They have had their time to answer.
    Verdict(Rank),
    /// A suspected member has had its time to object.
    Suspicion(Rank),
    /// A member has been down for long.
    Forget(Rank),
    /// A slow member that has caught up may pass broadcasts on again.
    CaughtUp(Rank),
}

impl Timer {
    /// Returns whether firing is a verdict about others, which a node that slept must not pronounce at once.
    fn is_verdict(self) -> bool {
        match self {
            Timer::Questions | Timer::Verdict(_) | Timer::Suspicion(_) | Timer::Forget(_) => true,
            Timer::Heartbeat | Timer::Exchange | Timer::Ask(_) | Timer::CaughtUp(_) => false,
        }
    }
}

/// At most a few timers for each member.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers {
    by_time: BTreeSet<(Timestamp, Timer)>,
    at: BTreeMap<Timer, Timestamp>,
}

impl Timers {
    /// Sets a timer, in place of its earlier deadline.
    pub(crate) fn set(&mut self, timer: Timer, at: Timestamp) {
        self.cancel(timer);
        self.at.insert(timer, at);
        self.by_time.insert((at, timer));
    }

    pub(crate) fn cancel(&mut self, timer: Timer) {
        if let Some(at) = self.at.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    pub(crate) fn clear(&mut self) {
        self.by_time.clear();
        self.at.clear();
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.at.contains_key(&timer)
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|&(at, _)| at)
    }

    /// Takes the earliest timer that is due.
    pub(crate) fn pop(&mut self, now: Timestamp) -> Option<Timer> {
        let &(at, timer) = self.by_time.first()?;
        if at > now {
            return None;
        }
        self.by_time.pop_first();
        self.at.remove(&timer);
        Some(timer)
    }

    /// Lets no verdict fall before `until`.
    pub(crate) fn postpone_verdicts(&mut self, until: Timestamp) {
        let early: Vec<Timer> = self
            .by_time
            .iter()
            .take_while(|&&(at, _)| at < until)
            .filter(|(_, timer)| timer.is_verdict())
            .map(|&(_, timer)| timer)
            .collect();
        for timer in early {
            self.set(timer, until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_once_in_order_of_time_and_at_their_latest_deadline() {
        let mut timers = Timers::default();
        timers.set(Timer::Exchange, Timestamp(5));
        timers.set(Timer::Ask(Rank(1)), Timestamp(3));
        timers.set(Timer::Heartbeat, Timestamp(3));
        timers.set(Timer::Exchange, Timestamp(4));
        timers.set(Timer::Forget(Rank(1)), Timestamp(1));
        timers.cancel(Timer::Forget(Rank(1)));
        assert_eq!(timers.next(), Some(Timestamp(3)));
        let mut fired = || timers.pop(Timestamp(4));
        assert_eq!(fired(), Some(Timer::Heartbeat));
        assert_eq!(fired(), Some(Timer::Ask(Rank(1))));
        assert_eq!(fired(), Some(Timer::Exchange));
        assert_eq!(fired(), None);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn only_verdicts_are_postponed() {
        let mut timers = Timers::default();
        timers.set(Timer::Heartbeat, Timestamp(1));
        timers.set(Timer::Verdict(Rank(1)), Timestamp(1));
        timers.set(Timer::Suspicion(Rank(2)), Timestamp(9));
        timers.postpone_verdicts(Timestamp(5));
        assert_eq!(timers.pop(Timestamp(1)), Some(Timer::Heartbeat));
        assert_eq!(timers.pop(Timestamp(4)), None);
        assert_eq!(timers.pop(Timestamp(5)), Some(Timer::Verdict(Rank(1))));
        assert_eq!(timers.next(), Some(Timestamp(9)));
    }
}
