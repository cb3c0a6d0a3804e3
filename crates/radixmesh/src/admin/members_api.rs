//! The JSON about members: who they are, how this node reaches them, who is behind, and what the ring check found.

use serde::{Deserialize, Serialize};

/// One member as a node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Who.
    pub rank: u16,
    /// `prefill`, `decode` or `router`.
    pub role: String,
    /// Its mesh address.
    pub address: String,
    /// The cluster takes it for alive, and this node's link to it works.
    pub up: bool,
    /// It said that it caught up.
    pub ready: bool,
    /// What the cluster believes: `alive`, `suspect`, `down` or `left`.
    #[serde(default)]
    pub status: String,
    /// How this node reaches it: `direct`; `degraded`, when only others do; `unknown`, when that is not known (yet).
    #[serde(default)]
    pub reach: String,
    /// Its latest life; 0 when none was ever seen.
    #[serde(default)]
    pub incarnation: u64,
    /// The link to it: `open`; `slow`, when it does not keep up; `closed`; `self` for the node that answers.
    #[serde(default)]
    pub link: String,
    /// Requests may be routed to it.
    #[serde(default)]
    pub routable: bool,
    /// Why not; absent when they may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_routable: Option<String>,
    /// How long ago a frame came from it; absent for the node itself and where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_ms_ago: Option<u64>,
    /// What it lacked of what this node has; absent where it has not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<LagStatus>,
}

/// How far a member was behind the node that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LagStatus {
    /// Ops that it lacked, of all logs.
    pub ops: u64,
    /// Logs of which it lacked something.
    pub logs: u32,
    /// How long ago it said what it has.
    pub said_ms_ago: u64,
}

/// Answer of `GET /members`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembersResponse {
    /// The node that answers.
    pub rank: u16,
    /// The set of members that it takes for part of the cluster, as one number. Hexadecimal.
    pub view: String,
    /// Every member, by rank.
    pub members: Vec<MemberStatus>,
}

/// Body of `POST /members/leave`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaveRequest {
    /// How long work that is under way may still take.
    #[serde(default)]
    pub drain_ms: u64,
}

/// Answer of `POST /members/leave`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaveResponse {
    /// The node that leaves.
    pub rank: u16,
    /// After how long it is gone.
    pub drain_ms: u64,
}

/// Answer of `POST /members/RANK/forget`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetResponse {
    /// Who is forgotten.
    pub rank: u16,
    /// Its last life that is.
    pub incarnation: u64,
}

/// A log of which the node that answers lacks something that somebody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BehindStatus {
    /// Whose log.
    pub rank: u16,
    /// In which life.
    pub incarnation: u64,
    /// Last applied op.
    pub have: u64,
    /// Last op known to exist.
    pub want: u64,
    /// How many lack.
    pub ops: u64,
    /// Who was asked for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<u16>,
    /// Pieces of a snapshot that are here, where one is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_pieces: Option<u32>,
    /// Pieces that it has in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_pieces_all: Option<u32>,
}

/// What came of the ring checks, in which every member of the view is asked whether it has the same view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingCheckStatus {
    /// The view that every member is known to have, when that is so. Hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable_view: Option<String>,
    /// How long ago a check agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreed_ms_ago: Option<u64>,
    /// The last check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<RingCheck>,
}

/// One ring check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingCheck {
    /// Who began it.
    pub begun_by: u16,
    /// How long ago it ended.
    pub ms_ago: u64,
    /// Time of one lap; absent where it ended in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lap_us: Option<u64>,
    /// Every member of the view was there and has that view.
    pub agreed: bool,
    /// Who has another view.
    pub differs: Vec<OtherView>,
    /// Who could not be reached by anybody.
    pub missing: Vec<u16>,
    /// Links that are bad though both ends live.
    pub degraded_links: Vec<BadLink>,
    /// Who lacked how many ops, farthest behind first.
    pub lagging: Vec<Lagging>,
}

/// A member with another view than that of a ring check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherView {
    /// Who.
    pub rank: u16,
    /// Which. Hexadecimal.
    pub view: String,
}

/// A link that is bad though both ends live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadLink {
    /// Who finds so.
    pub from: u16,
    /// The other end.
    pub to: u16,
}

/// A member that lacked ops when a ring check passed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lagging {
    /// Who.
    pub rank: u16,
    /// How many, of all logs.
    pub ops: u64,
}
