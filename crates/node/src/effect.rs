//! Everything that a node asks of its driver.

use std::time::Duration;

use oplog::Batch;
use radix_core::id::{Incarnation, OriginId, Rank, Seq};
use topology::ring_round::RoundId;
use topology::{ForgetError, IntroduceError, Record, ViewId};

use crate::input::{PublishError, Receipt};
use crate::wire::Encoded;

/// Priority class of a frame; a driver sends all of a lower class first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Heartbeats, records of members, offers, pulls.
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
    /// Who is to be linked, or where, changed: links are made to [`Node::peers`](crate::Node::peers) from now on.
    PeersChanged,
    /// What became of the [`Input::Introduce`](crate::Input::Introduce) of this call. [`wire::Answer`](crate::wire::Answer) is its form on the wire.
    Introduced(Result<Vec<Record>, IntroduceError>),
    /// What became of the [`Input::Forget`](crate::Input::Forget) of this call: the last life forgotten.
    ForgetAnswered(Result<Incarnation, ForgetError>),
    /// This node said goodbye: the driver writes what lies in its lanes, closes its links and ends. Nothing follows.
    Left,
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
    /// The node drains: it is not Ready any more and says goodbye after that time.
    Draining {
        /// How long.
        drain: Duration,
    },
    /// Every member of the view was there and has that view.
    CheckAgreed {
        /// The round.
        round: RoundId,
        /// Time of one lap; `None` where the first ended.
        lap: Option<Duration>,
    },
    /// A ring check ended without agreement.
    CheckDiffers {
        /// The round.
        round: RoundId,
        /// Who has another view; the lowest ranks of them.
        differs: Vec<(Rank, ViewId)>,
        /// Who could not be reached by anybody.
        missing: Vec<Rank>,
    },
    /// The token of a ring check begun here was lost.
    CheckLost {
        /// The round.
        round: RoundId,
    },
    /// Whether every member is known to have the view that this node has changed.
    StableView {
        /// The view; `None` when it is not known any more.
        view: Option<ViewId>,
    },
    /// Another life of this rank is known to be newer; this one took a higher incarnation.
    Reincarnated {
        /// The new name of this node's log.
        origin: OriginId,
    },
}
