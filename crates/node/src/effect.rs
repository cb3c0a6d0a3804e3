//! Everything that a node asks of its driver.

use oplog::Batch;
use radix_core::id::{OriginId, Rank, Seq};

use crate::input::{PublishError, Receipt};
use crate::wire::Encoded;

/// Priority class of a frame; a driver sends all of a lower class first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Heartbeats, offers, pulls.
    Control,
    /// Ops.
    Data,
    /// Snapshots.
    Bulk,
}

/// One thing to do, in order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send a frame to a neighbour. It may be dropped when the lane is full: every frame is repaired by anti-entropy.
    Send {
        /// Who.
        to: Rank,
        /// How urgent.
        lane: Lane,
        /// What.
        frame: Encoded,
    },
    /// This node's own log grew; comes before the sends that carry it.
    Logged(Batch),
    /// Ops `first..=last` of `origin` are in the tree now.
    Applied {
        /// Whose log.
        origin: OriginId,
        /// First op.
        first: Seq,
        /// Last op.
        last: Seq,
    },
    /// What became of the [`Input::Publish`](crate::Input::Publish) of this call.
    Published(Result<Receipt, PublishError>),
    /// Member states changed: readers of [`Node::members`](crate::Node::members) look again.
    MembersChanged,
    /// Something an operator may want to know.
    Event(Event),
}

/// Where [`Node::handle`](crate::Node::handle) puts its effects. The driver drains it after each call.
pub type Effects = Vec<Effect>;

/// Something an operator may want to know. Counted, logged, never acted upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// From the logs.
    Log(oplog::Event),
    /// From the topology.
    Topology(topology::Event),
    /// A frame did not decode; it was dropped.
    BadFrame {
        /// The neighbour that sent it.
        from: Rank,
        /// What was wrong.
        reason: crate::wire::WireError,
    },
    /// A broadcast ran out of hops; it was applied but not relayed.
    TtlExpired {
        /// The neighbour that sent it.
        from: Rank,
        /// Whose batch.
        origin: OriginId,
    },
    /// The node caught up and may be routed to.
    Ready,
    /// Another life of this rank is known to be newer; this one took a higher incarnation.
    Reincarnated {
        /// The new name of this node's log.
        origin: OriginId,
    },
}
