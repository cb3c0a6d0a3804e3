//! What the way through a proxy is like. Plain data; the proxy acts on it.

use std::num::NonZeroU64;
use std::time::Duration;

/// A direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// From the end that dialed to the target.
    Forth,
    /// From the target to the end that dialed.
    Back,
}

impl Side {
    /// Returns the other direction.
    #[must_use]
    pub fn other(self) -> Side {
        match self {
            Side::Forth => Side::Back,
            Side::Back => Side::Forth,
        }
    }
}

/// What becomes of the bytes of one direction, from good to worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flow {
    /// They pass.
    #[default]
    Pass,
    /// Nothing is read or written. The sender's buffers fill, and nothing is lost: it goes on where it stopped.
    Hold,
    /// They are taken and dropped, and so is the news that the sender closed. The stream is reset as soon as bytes
    /// may pass again.
    Swallow,
}

/// One direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Whether bytes pass at all.
    pub flow: Flow,
    /// How late each byte is.
    pub delay: Duration,
    /// Up to how much later than that, drawn for each read. Bytes never overtake each other.
    pub jitter: Duration,
    /// Bytes a second; absent: as many as come.
    pub rate: Option<NonZeroU64>,
    /// What a throttled direction may hold before its sender has to wait, as time at its rate, besides what its delay
    /// keeps under way; absent: 100 ms. At least one read of 16 KiB and at most 256 KiB are held in any case.
    pub queue: Option<Duration>,
}

/// What the way is like, in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Connections are reset, new ones too.
    pub cut: bool,
    /// From the end that dialed to the target. Unless it passes, the target is not dialed either.
    pub forth: Way,
    /// From the target to the end that dialed.
    pub back: Way,
    /// Cut for the first half of each period, and as said above for the second.
    pub flap: Option<Duration>,
}

impl Condition {
    /// Everything passes, at once.
    pub const PASS: Condition = Condition::both(Way::PASS);
    /// Connections are reset, new ones too.
    pub const CUT: Condition = Condition {
        cut: true,
        ..Condition::PASS
    };
    /// Both ends stay connected, and nothing arrives.
    pub const BLACK_HOLE: Condition = Condition::both(Way::of(Flow::Swallow));
    /// Both ends stay connected, and nothing moves until bytes may pass again.
    pub const HELD: Condition = Condition::both(Way::of(Flow::Hold));

    /// Returns a condition with the same for both directions.
    #[must_use]
    pub const fn both(way: Way) -> Condition {
        Condition {
            cut: false,
            forth: way,
            back: way,
            flap: None,
        }
    }

    /// Returns the condition in which only the bytes of `side` arrive.
    #[must_use]
    pub fn one_way(side: Side) -> Condition {
        let mut condition = Condition::PASS;
        condition.way_mut(side.other()).flow = Flow::Swallow;
        condition
    }

    /// Returns the condition of a slow way, the same in both directions. `rate` in bytes a second.
    #[must_use]
    pub fn slow(delay: Duration, jitter: Duration, rate: Option<NonZeroU64>) -> Condition {
        Condition::both(Way {
            delay,
            jitter,
            rate,
            ..Way::PASS
        })
    }

    /// Returns the condition of a way that is only narrow, the same in both directions. `rate` in bytes a second;
    /// `queue` is what may wait in it, as time at that rate: the buffer of a switch.
    #[must_use]
    pub fn narrow(rate: NonZeroU64, queue: Duration) -> Condition {
        Condition::both(Way {
            rate: Some(rate),
            queue: Some(queue),
            ..Way::PASS
        })
    }

    /// Returns the condition that is cut in the first half of each period and passes in the second.
    #[must_use]
    pub fn flapping(period: Duration) -> Condition {
        Condition {
            flap: Some(period),
            ..Condition::PASS
        }
    }

    /// Returns one direction.
    #[must_use]
    pub fn way(&self, side: Side) -> &Way {
        match side {
            Side::Forth => &self.forth,
            Side::Back => &self.back,
        }
    }

    fn way_mut(&mut self, side: Side) -> &mut Way {
        match side {
            Side::Forth => &mut self.forth,
            Side::Back => &mut self.back,
        }
    }

    /// Returns the condition in which both faults are present: of each part the worse.
    #[must_use]
    pub fn worse(self, other: Condition) -> Condition {
        Condition {
            cut: self.cut || other.cut,
            forth: self.forth.worse(other.forth),
            back: self.back.worse(other.back),
            flap: least(self.flap, other.flap),
        }
    }
}

impl Way {
    /// Everything passes, at once.
    pub const PASS: Way = Way::of(Flow::Pass);

    const fn of(flow: Flow) -> Way {
        Way {
            flow,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            rate: None,
            queue: None,
        }
    }

    fn worse(self, other: Way) -> Way {
        Way {
            flow: self.flow.max(other.flow),
            delay: self.delay.max(other.delay),
            jitter: self.jitter.max(other.jitter),
            rate: least(self.rate, other.rate),
            queue: self.queue.max(other.queue),
        }
    }
}

fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_faults_at_once_are_as_bad_as_the_worse_of_each_part() {
        let ms = Duration::from_millis;
        let slow = Condition::slow(ms(5), ms(1), NonZeroU64::new(1_000));
        let slower = Condition::slow(ms(2), ms(9), NonZeroU64::new(500));
        let joined = slow.worse(slower).worse(Condition::one_way(Side::Back));
        assert_eq!(
            (joined.back.delay, joined.back.jitter, joined.back.rate),
            (ms(5), ms(9), NonZeroU64::new(500))
        );
        assert_eq!(
            (joined.forth.flow, joined.back.flow),
            (Flow::Swallow, Flow::Pass)
        );
        assert!(joined.worse(Condition::CUT).cut);
        assert_eq!(joined.worse(Condition::PASS), joined);
        let flap = Condition::flapping(ms(9)).worse(Condition::flapping(ms(3)));
        assert_eq!(flap.flap, Some(ms(3)));
    }
}
