//! What a node tells of itself. Plain data; nothing here changes state.

use std::fmt;

use radix_core::id::{Incarnation, Rank, Seq};
use radix_core::time::Timestamp;
use serde::Serialize;
use topology::{Reach, Role, ViewId};

use crate::check::CheckReport;
use crate::lag::{Behind, Lag};

/// What this node believes of one member: all that routing looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Who.
    pub rank: Rank,
    /// What it does.
    pub role: Role,
    /// What the cluster believes of it.
    pub status: topology::Status,
    /// How this node reaches it. Direct for the node itself.
    pub reach: Reach,
    /// Whether the link to it is open. True for the node itself.
    pub linked: bool,
    /// Whether it takes frames too slowly to pass broadcasts on.
    pub slow: bool,
    /// It said that it caught up.
    pub ready: bool,
    /// Its latest life that the cluster knows of; 0 when none was ever seen.
    pub life: Incarnation,
    /// Incarnation of its log here.
    pub inc: Incarnation,
    /// Last op of its log here.
    pub seq: Seq,
}

impl MemberView {
    /// Returns whether requests may be sent there. Copies of others are hidden, not deleted.
    // spec: WIRE-10
    #[must_use]
    pub fn routable(&self) -> bool {
        self.not_routable().is_none()
    }

    /// Returns whether it takes part and its link works.
    #[must_use]
    pub fn direct(&self) -> bool {
        self.status == topology::Status::Alive && self.reach == Reach::Direct
    }

    /// Returns why no requests are sent there.
    // spec: WIRE-10
    #[must_use]
    pub fn not_routable(&self) -> Option<NotRoutable> {
        match (self.status, self.reach) {
            (topology::Status::Suspect, _) => Some(NotRoutable::Suspect),
            (topology::Status::Down, _) if self.life == Incarnation(0) => {
                Some(NotRoutable::NeverSeen)
            }
            (topology::Status::Down, _) => Some(NotRoutable::Down),
            (topology::Status::Left, _) => Some(NotRoutable::Left),
            (topology::Status::Alive, Reach::Unknown) => Some(NotRoutable::Unreached),
            (topology::Status::Alive, Reach::Direct | Reach::Degraded) => {
                (!self.ready).then_some(NotRoutable::NotReady)
            }
        }
    }
}

/// Why no requests are sent to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotRoutable {
    /// It is configured, and no life of it was ever heard of.
    NeverSeen,
    /// Neither this node nor those it asked reach it; it has not objected yet.
    Suspect,
    /// It is down for the cluster.
    Down,
    /// It said goodbye.
    Left,
    /// This node does not reach it, and has not heard yet whether others do.
    Unreached,
    /// It has not said to be Ready: it starts, or it drains before it leaves.
    NotReady,
}

impl NotRoutable {
    /// Returns the reason in a few words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            NotRoutable::NeverSeen => "never seen",
            NotRoutable::Suspect => "suspect",
            NotRoutable::Down => "down",
            NotRoutable::Left => "left",
            NotRoutable::Unreached => "not reached from here; others are asked",
            NotRoutable::NotReady => "has not said to be ready",
        }
    }
}

impl fmt::Display for NotRoutable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why this node itself is not Ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReady {
    /// No link is up.
    NoPeerReachable {
        /// When it begins alone, should it be the lowest living rank; `None` when that time has come.
        begins_at: Option<Timestamp>,
    },
    /// Peers are linked, and none of them is Ready: a cold cluster.
    NoPeerReady {
        /// The lowest living rank: the one that begins.
        first: Rank,
        /// Who may still come, or has not said yet whether it is Ready.
        awaited: Vec<Rank>,
        /// When `first` begins without them; `None` when that time has come.
        begins_at: Option<Timestamp>,
    },
    /// A peer is Ready and has not said yet what it has.
    WaitingForOffer {
        /// The peer.
        from: Rank,
    },
    /// It lacks something of what a Ready peer had. [`Status::behind`] says how much.
    CatchingUp {
        /// The peer.
        from: Rank,
        /// Ranks whose logs lack.
        logs: Vec<Rank>,
    },
    /// It was told to leave.
    Draining {
        /// When it says goodbye.
        until: Timestamp,
    },
    /// It said goodbye.
    Left,
}

/// One member for people: what routing looks at, and what explains it.
#[derive(Clone, Debug)]
pub struct MemberStatus {
    /// What routing looks at.
    pub view: MemberView,
    /// Where it is dialed; empty when nobody said.
    pub address: String,
    /// When a frame last came from it; none for the node itself.
    pub last_heard: Option<Timestamp>,
    /// What it lacked of what this node has, when it last said what it has.
    pub lag: Option<Lag>,
}

/// What came of the ring checks.
#[derive(Clone, Debug)]
pub struct CheckStatus {
    /// The view that every member is known to have, when that is so.
    pub stable_view: Option<ViewId>,
    /// When a check last agreed: as old is what is known of what every member has.
    pub agreed_at: Option<Timestamp>,
    /// The last check, agreed or not.
    pub last: Option<CheckReport>,
}

/// Counters of the node itself; those of its parts stand beside them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Frames received.
    pub frames_in: u64,
    /// Frames handed to the driver.
    pub frames_out: u64,
    /// Bytes of frames handed to the driver that carry ops (broadcast or pulled).
    pub data_bytes_out: u64,
    /// Bytes of frames handed to the driver that carry snapshots.
    pub snapshot_bytes_out: u64,
    /// Bytes of all other frames handed to the driver.
    pub control_bytes_out: u64,
    /// Frames that did not decode.
    pub frames_bad: u64,
    /// Broadcasts that ran out of hops.
    pub ttl_expired: u64,
    /// Pages published by the engines behind this node.
    pub pages_published: u64,
    /// Copies removed by the engines behind this node.
    pub copies_removed: u64,
    /// Ring checks in which every member of the view was there and had the same view.
    pub checks_agreed: u64,
    /// Ring checks in which one was missing or had another view.
    pub checks_differing: u64,
    /// Ring checks begun here whose token was lost.
    pub checks_lost: u64,
}

/// A node at a glance.
#[derive(Clone, Debug)]
pub struct Status {
    /// Who.
    pub rank: Rank,
    /// In which life.
    pub inc: Incarnation,
    /// Whether it caught up and stays.
    pub ready: bool,
    /// Why it is not Ready, when it is not.
    pub not_ready: Option<NotReady>,
    /// The logs of which it lacks something that somebody has, farthest behind first; the first 64.
    pub behind: Vec<Behind>,
    /// The view it has: the set of members that take part.
    pub view: ViewId,
    /// How much it doubts itself, 0 ..= 8: its verdicts on others take `1 + health` times as long.
    pub health: u32,
    /// Every member.
    pub members: Vec<MemberStatus>,
    /// The ring checks.
    pub check: CheckStatus,
    /// Counters of the node.
    pub counters: Counters,
    /// Counters of the logs.
    pub log: oplog::Counters,
    /// Size of the tree.
    pub index: radix_core::IndexStats,
}
