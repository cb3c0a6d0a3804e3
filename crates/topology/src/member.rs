//! A member of the ring as this node sees it.

use std::fmt;

use radix_core::id::{Incarnation, Rank, Seq};
use radix_core::time::Timestamp;
use serde::{Deserialize, Serialize};

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

/// Whether arcs are delegated to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Linked, and not silent.
    Up,
    /// Not linked, or silent.
    Down,
}

impl Status {
    /// Returns the lower-case name: `up` or `down`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Up => "up",
            Status::Down => "down",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A member at one instant, for people and for routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Its place in the ring.
    pub rank: Rank,
    /// What it does.
    pub role: Role,
    /// Whether arcs are delegated to it. This node itself is always up.
    pub status: Status,
    /// Whether the link to it is open. True for this node itself.
    pub linked: bool,
    /// Whether it is down because it said nothing over an open link.
    pub silent: bool,
    /// Its highest life heard of; 0 when none was.
    pub inc: Incarnation,
    /// The end of that life's log as last heard directly; 0 when nothing was.
    pub position: Seq,
    /// When a frame last came from it; none for this node itself.
    pub last_heard: Option<Timestamp>,
}

/// What is kept of one member other than this node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) role: Role,
    pub(crate) linked: bool,
    pub(crate) silent: bool,
    /// Highest (life, end of log) heard directly.
    pub(crate) position: (Incarnation, Seq),
    pub(crate) last_heard: Option<Timestamp>,
}

impl Member {
    pub(crate) fn new(role: Role) -> Member {
        let position = (Incarnation::default(), Seq::ZERO);
        Member {
            role,
            linked: false,
            silent: false,
            position,
            last_heard: None,
        }
    }

    pub(crate) fn status(&self) -> Status {
        if self.linked && !self.silent {
            Status::Up
        } else {
            Status::Down
        }
    }

    pub(crate) fn view(&self, rank: Rank) -> MemberView {
        MemberView {
            rank,
            role: self.role,
            status: self.status(),
            linked: self.linked,
            silent: self.silent,
            inc: self.position.0,
            position: self.position.1,
            last_heard: self.last_heard,
        }
    }
}
