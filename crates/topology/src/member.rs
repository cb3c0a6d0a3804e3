//! A member of the ring as this node sees it.

use std::fmt;

use radix_core::id::{Incarnation, Rank, Seq};
use radix_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::record::{Role, Status};

/// How this node reaches a member: its own finding, told to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// Over a link that works in both directions.
    Direct,
    /// Not directly, but others do: only the link between the two is bad.
    Degraded,
    /// Not directly, and whether others do is not known (yet).
    Unknown,
}

impl Reach {
    /// Returns the lower-case name: `direct`, `degraded` or `unknown`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Reach::Direct => "direct",
            Reach::Degraded => "degraded",
            Reach::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A member at one instant, for people and for routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberView<'a> {
    /// Its place in the ring.
    pub rank: Rank,
    /// What it does.
    pub role: Role,
    /// Where it is dialed; empty when nobody said.
    pub address: &'a str,
    /// What the cluster believes of it.
    pub status: Status,
    /// Its latest life known; 0 when none was ever seen.
    pub inc: Incarnation,
    /// How often it objected to what others said of this life.
    pub counter: u32,
    /// How this node reaches it. Direct for this node itself.
    pub reach: Reach,
    /// Whether the link to it is open. True for this node itself.
    pub linked: bool,
    /// Whether it takes frames too slowly to pass broadcasts on.
    pub slow: bool,
    /// The highest life and end of log heard from it directly; zeros when nothing was.
    pub position: (Incarnation, Seq),
    /// When a frame last came from it; none for this node itself.
    pub last_heard: Option<Timestamp>,
}

impl MemberView<'_> {
    /// Returns whether requests may be sent there: alive for the cluster, and reached by this node or by others.
    #[must_use]
    pub fn is_routable(&self) -> bool {
        match self.reach {
            Reach::Direct | Reach::Degraded => self.status == Status::Alive,
            Reach::Unknown => false,
        }
    }

    /// Returns whether this node can exchange frames with it now: alive for the cluster, over a link that works.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.status == Status::Alive && self.reach == Reach::Direct
    }
}
