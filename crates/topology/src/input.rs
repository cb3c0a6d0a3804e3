//! What can happen to a topology.

use radix_core::id::{Incarnation, Rank, Seq};

use crate::message::Message;
use crate::record::{Record, Role};

/// The only way in: everything that a [`Topology`](crate::Topology) reacts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A deadline may have passed. Late and repeated ticks are harmless.
    Tick,
    /// The link to a peer was opened and its handshake checked.
    LinkUp {
        /// Who is at the other end.
        peer: Rank,
        /// In which life.
        inc: Incarnation,
    },
    /// The link to a peer is gone.
    LinkDown {
        /// Who was at the other end.
        peer: Rank,
    },
    /// Frames to a peer were dropped because it does not take them fast enough.
    LinkSlow {
        /// Who.
        peer: Rank,
    },
    /// Nothing waits for a slow peer any more.
    LinkDrained {
        /// Who.
        peer: Rank,
    },
    /// A frame of any kind came from a peer.
    Heard {
        /// The directly linked sender.
        peer: Rank,
    },
    /// A message came; counts as [`Input::Heard`], too.
    Message {
        /// The directly linked sender.
        from: Rank,
        /// What it said.
        message: Message,
    },
    /// Our own log ends here now; heartbeats will say so. A higher life than before is a new start of this rank.
    Position(Incarnation, Seq),
    /// Records from outside the links: what an introduction was answered with.
    Table(Vec<Record>),
    /// A node wants to join (or join again) through this one. [`Output::Introduced`](crate::Output::Introduced) answers in the same call.
    Introduce {
        /// The rank it claims.
        rank: Rank,
        /// What it will do.
        role: Role,
        /// Where it is dialed.
        address: String,
        /// The life it proposes; the answer names the life it shall take.
        inc: Incarnation,
    },
    /// This node leaves. It says so to everybody linked and does nothing afterwards.
    Leave,
    /// The operator wants a member that is down or has left forgotten now.
    /// [`Output::Forgotten`](crate::Output::Forgotten) answers in the same call.
    Forget {
        /// Who.
        rank: Rank,
    },
    /// Lives of a rank up to this one are forgotten, as the logs know from elsewhere.
    Floor {
        /// Whose.
        rank: Rank,
        /// The last forgotten life.
        floor: Incarnation,
    },
}
