//! What the cluster says of one member: the unit that spreads and merges.

use std::cmp::Ordering;
use std::fmt;

use radix_core::id::{Incarnation, Rank};
use serde::{Deserialize, Serialize};

use crate::limits;

/// What a node does for the cluster. For the ring all roles are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Next to an engine that computes prompts.
    Prefill,
    /// Next to an engine that generates tokens.
    Decode,
    /// Decides where requests go; holds no KV.
    Router,
}

impl Role {
    /// Returns the lower-case name: `prefill`, `decode` or `router`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Prefill => "prefill",
            Role::Decode => "decode",
            Role::Router => "router",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the cluster believes of one life of a member, mildest first. The order is that of the merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Takes part.
    Alive,
    /// Somebody can reach it neither directly nor through others. Hidden from routing, still in the view.
    Suspect,
    /// Suspected, and it did not object in time. Out of the view; forgotten after a while.
    Down,
    /// It said goodbye. Final for this life.
    Left,
}

impl Status {
    /// Returns the lower-case name: `alive`, `suspect`, `down` or `left`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Alive => "alive",
            Status::Suspect => "suspect",
            Status::Down => "down",
            Status::Left => "left",
        }
    }

    /// Returns whether such a member belongs to the view.
    #[must_use]
    pub const fn in_view(self) -> bool {
        match self {
            Status::Alive | Status::Suspect => true,
            Status::Down | Status::Left => false,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One member as the cluster knows it.
///
/// Of two records of one rank the greater one holds, by [`precedence`](Record::precedence): merging is
/// taking the maximum, so that order and repetition of what is heard do not matter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// Its place in the ring.
    pub rank: Rank,
    /// What it does.
    pub role: Role,
    /// Where it is dialed; at most [`limits::ADDRESS_BYTES_MAX`] bytes. Opaque here.
    pub address: String,
    /// The life this record is about; 0 means that none was ever seen.
    pub inc: Incarnation,
    /// Raised by the member alone, to object to what others say of this life.
    pub counter: u32,
    /// What is said of this life at this counter.
    pub status: Status,
}

impl Record {
    /// Returns the record of a configured member of which nothing was heard yet.
    #[must_use]
    pub fn never_seen(rank: Rank, role: Role, address: String) -> Record {
        Record {
            rank,
            role,
            address,
            inc: Incarnation(0),
            counter: 0,
            status: Status::Down,
        }
    }

    /// Returns whether no life of this member was ever heard of.
    #[must_use]
    pub fn is_never_seen(&self) -> bool {
        self.inc == Incarnation(0)
    }

    /// Compares two records of one rank: life, then counter, then severity; role and address only break ties.
    // spec: TOPO-15
    #[must_use]
    pub fn precedence(&self, other: &Record) -> Ordering {
        let key = |record: &Record| (record.inc, record.counter, record.status, record.role);
        key(self)
            .cmp(&key(other))
            .then_with(|| self.address.cmp(&other.address))
    }

    /// Returns whether a peer may say this: a life that was seen, and an address within its bound.
    pub(crate) fn is_sound(&self) -> bool {
        !self.is_never_seen() && self.address.len() <= limits::ADDRESS_BYTES_MAX
    }
}
