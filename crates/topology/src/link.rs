//! What this node itself finds out about the way to one member. Never told to others.

use std::collections::BTreeMap;

use radix_core::id::{Incarnation, Rank, Seq};
use radix_core::time::Timestamp;

use crate::member::{MemberView, Reach};
use crate::record::{Record, Status};

/// The way to one member; there is one for each record but this node's own.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// The life at the other end, while the link is open.
    pub(crate) open: Option<Incarnation>,
    /// Nothing is heard over the open link.
    pub(crate) deaf: bool,
    /// It is heard, but what this node sends over the open link is not answered.
    pub(crate) mute: bool,
    /// Others said that they reach it, or it objected to a suspicion, since this node last could.
    pub(crate) others_reach: bool,
    /// It does not take frames fast enough.
    pub(crate) slow: bool,
    /// Highest (life, end of log) heard directly.
    pub(crate) position: (Incarnation, Seq),
    pub(crate) last_heard: Option<Timestamp>,
    /// What was last told of it in outputs.
    pub(crate) shown: Shown,
}

/// The part of a member that outputs tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) status: Status,
    pub(crate) reach: Reach,
    pub(crate) slow: bool,
}

impl Shown {
    /// Whether broadcasts are delegated to it.
    // spec: TOPO-7
    pub(crate) fn in_arcs(self) -> bool {
        self.is_direct() && !self.slow
    }

    pub(crate) fn is_direct(self) -> bool {
        self.status == Status::Alive && self.reach == Reach::Direct
    }
}

impl Link {
    pub(crate) fn new() -> Link {
        Link {
            open: None,
            deaf: false,
            mute: false,
            others_reach: false,
            slow: false,
            position: (Incarnation::default(), Seq::ZERO),
            last_heard: None,
            shown: Shown {
                status: Status::Down,
                reach: Reach::Unknown,
                slow: false,
            },
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The link is there, but nothing comes over it, or there is none.
    pub(crate) fn is_cut(&self) -> bool {
        self.open.is_none() || self.deaf
    }

    /// Begins anew with an open link.
    pub(crate) fn opened(&mut self, now: Timestamp, inc: Incarnation) {
        self.open = Some(inc);
        self.last_heard = Some(now);
        self.position = self.position.max((inc, Seq::ZERO));
        self.begin_anew();
    }

    pub(crate) fn closed(&mut self) {
        self.open = None;
        self.begin_anew();
    }

    fn begin_anew(&mut self) {
        self.slow = false;
        self.deaf = false;
        self.mute = false;
        self.others_reach = false;
    }

    // spec: TOPO-14
    pub(crate) fn reach(&self) -> Reach {
        if self.is_cut() {
            if self.others_reach {
                Reach::Degraded
            } else {
                Reach::Unknown
            }
        } else if self.mute {
            Reach::Degraded
        } else {
            Reach::Direct
        }
    }

    pub(crate) fn show(&self, status: Status) -> Shown {
        Shown {
            status,
            reach: self.reach(),
            slow: self.slow,
        }
    }

    pub(crate) fn view<'a>(&self, record: &'a Record) -> MemberView<'a> {
        MemberView {
            rank: record.rank,
            role: record.role,
            address: &record.address,
            status: record.status,
            inc: record.inc,
            counter: record.counter,
            reach: self.reach(),
            linked: self.is_open(),
            slow: self.slow,
            position: self.position,
            last_heard: self.last_heard,
        }
    }
}

/// Everything but what belongs to `me`, in ring order behind it.
pub(crate) fn behind<T>(map: &BTreeMap<Rank, T>, me: Rank) -> impl Iterator<Item = (Rank, &T)> {
    map.range(me..)
        .chain(map.range(..me))
        .filter(move |&(&rank, _)| rank != me)
        .map(|(&rank, value)| (rank, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: TOPO-14
    #[test]
    fn reach_follows_from_what_is_found() {
        let check = |linked: bool, deaf, mute, others_reach, expect| {
            let link = Link {
                open: linked.then_some(Incarnation(1)),
                deaf,
                mute,
                others_reach,
                ..Link::new()
            };
            assert_eq!(link.reach(), expect, "{link:?}");
        };
        check(true, false, false, false, Reach::Direct);
        check(true, false, true, false, Reach::Degraded);
        check(true, true, false, false, Reach::Unknown);
        check(true, true, true, false, Reach::Unknown);
        check(true, true, false, true, Reach::Degraded);
        check(false, false, false, false, Reach::Unknown);
        check(false, false, false, true, Reach::Degraded);
    }

    #[test]
    fn a_link_that_opens_begins_anew() {
        let mut link = Link {
            slow: true,
            deaf: true,
            mute: true,
            others_reach: true,
            ..Link::new()
        };
        link.opened(Timestamp(3), Incarnation(7));
        assert_eq!((link.reach(), link.slow), (Reach::Direct, false));
        assert_eq!(link.position, (Incarnation(7), Seq::ZERO));
        link.slow = true;
        link.closed();
        assert_eq!((link.reach(), link.slow), (Reach::Unknown, false));
    }
}
