//! What a topology wants done or known.

use std::time::Duration;

use radix_core::id::Rank;

use crate::heartbeat::Heartbeat;
use crate::member::Status;

/// Everything that comes out of [`Topology::handle`](crate::Topology::handle), in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a heartbeat over the direct link.
    SendHeartbeat {
        /// Receiver.
        to: Rank,
        /// What to say.
        beat: Heartbeat,
    },
    /// Compare version vectors with a peer.
    Exchange {
        /// The peer; it was up when this was said.
        with: Rank,
    },
    /// A member went up or down in this node's view; the revision grew by one.
    StatusChanged {
        /// The member.
        rank: Rank,
        /// What it is now.
        status: Status,
    },
    /// Something to count and perhaps to log.
    Event(Event),
}

/// Something that an operator may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A linked member said nothing, not even when asked directly. It is down until heard again.
    Silent {
        /// The member.
        rank: Rank,
        /// For how long.
        silence: Duration,
    },
    /// A silent member was heard again.
    HeardAgain {
        /// The member.
        rank: Rank,
    },
    /// An input named a rank that is not another member of this ring; it had no effect.
    UnknownPeer {
        /// The rank.
        peer: Rank,
    },
    /// A heartbeat came whose hops were used up; what it said was ignored.
    SpentHeartbeat {
        /// The sender.
        from: Rank,
    },
}
