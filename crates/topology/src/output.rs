//! What a topology wants done or known.

use std::time::Duration;

use radix_core::id::{Incarnation, Rank};

use crate::forget::ForgetError;
use crate::introduce::IntroduceError;
use crate::member::Reach;
use crate::message::Message;
use crate::record::{Record, Status};

/// Everything that comes out of [`Topology::handle`](crate::Topology::handle), in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a message over the direct link. May be lost.
    Send {
        /// Receiver; linked when this was said.
        to: Rank,
        /// What to say.
        message: Message,
    },
    /// Compare version vectors with a peer.
    Exchange {
        /// The peer; linked when this was said.
        with: Rank,
    },
    /// A member looks different now: status, reach or slowness; the revision grew by one.
    ///
    /// Also said when a member is removed; then [`Topology::member`](crate::Topology::member) returns none.
    StatusChanged {
        /// The member.
        rank: Rank,
        /// What the cluster believes of it.
        status: Status,
        /// What this node can reach of it.
        reach: Reach,
    },
    /// [`Topology::peers`](crate::Topology::peers) returns another set now.
    PeersChanged,
    /// Forget lives of a rank up to `floor`, for ever. Comes once for each floor that was decided here.
    Forget {
        /// Whose.
        rank: Rank,
        /// The last life to forget.
        floor: Incarnation,
    },
    /// A later life of this node's own rank is known to others: go on in a still later one.
    Outlived {
        /// The latest life heard of.
        inc: Incarnation,
    },
    /// Answers [`Input::Introduce`](crate::Input::Introduce): every record known, the joiner's own with the
    /// life it shall take among them.
    Introduced(Result<Vec<Record>, IntroduceError>),
    /// Answers [`Input::Forget`](crate::Input::Forget): the last forgotten life.
    Forgotten(Result<Incarnation, ForgetError>),
    /// Something to count and perhaps to log.
    Event(Event),
}

/// Something that an operator may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new member, or a new life of a known one, takes part.
    Joined {
        /// Who.
        rank: Rank,
        /// Its life.
        inc: Incarnation,
    },
    /// A linked member said nothing for that long; others are asked about it.
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
    /// A linked member is heard, but answers no probe: what this node sends does not arrive there.
    Mute {
        /// The member.
        rank: Rank,
    },
    /// Others reach a member that this node cannot reach: only the link between the two is bad.
    LinkDegraded {
        /// The member.
        rank: Rank,
    },
    /// A degraded link works again.
    LinkRestored {
        /// The member.
        rank: Rank,
    },
    /// This node found a member that neither it nor those it asked can reach.
    Suspected {
        /// The member.
        rank: Rank,
        /// Its life.
        inc: Incarnation,
    },
    /// A member objected to being suspected or down.
    Refuted {
        /// The member; this node itself, when it was the one that objected.
        rank: Rank,
        /// Its counter now.
        counter: u32,
    },
    /// A member is down for the cluster.
    Died {
        /// The member.
        rank: Rank,
        /// Its life.
        inc: Incarnation,
    },
    /// A member said goodbye.
    Left {
        /// The member.
        rank: Rank,
        /// Its life.
        inc: Incarnation,
    },
    /// A member is slow: it is a leaf of every broadcast until it has caught up.
    Slow {
        /// The member.
        rank: Rank,
    },
    /// A slow member has caught up and passes broadcasts on again.
    CaughtUp {
        /// The member.
        rank: Rank,
    },
    /// This node doubts itself: its verdicts take `1 + level` times as long.
    Doubt {
        /// 0 ..= [`limits::HEALTH_MAX`](crate::limits::HEALTH_MAX); 0 is healthy.
        level: u32,
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
    /// A record with an impossible field, or too many at once, came; ignored.
    BadRecords {
        /// The sender.
        from: Rank,
        /// How many.
        count: usize,
    },
    /// A record of one more member than a ring carries came; ignored.
    TableFull {
        /// The member that found no place.
        rank: Rank,
    },
    /// Too many questions of others wait for an answer; this one was dropped.
    QuestionDropped {
        /// Who asked.
        from: Rank,
    },
}
