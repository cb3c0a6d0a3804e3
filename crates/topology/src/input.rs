//! What can happen to a topology.

use radix_core::id::{Incarnation, Rank, Seq};

use crate::heartbeat::Heartbeat;

/// The only way in: everything that a [`Topology`](crate::Topology) reacts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// A frame of any kind came from a peer.
    Heard {
        /// The directly linked sender.
        peer: Rank,
    },
    /// A heartbeat came; counts as [`Input::Heard`], too.
    Heartbeat {
        /// The directly linked sender.
        from: Rank,
        /// What it said.
        beat: Heartbeat,
    },
    /// Our own log ends here now; heartbeats will say so.
    Position(Incarnation, Seq),
}
