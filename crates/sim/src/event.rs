//! What happens in a world, one thing at a time.

use std::fmt;

use bytes::Bytes;
use node::wire::{self, Frame};
use oplog::Message;
use radix_core::id::{Incarnation, OriginId};
use radix_core::time::Timestamp;

use crate::fault::{Fault, Rebirth};
use crate::visits::Name;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A frame arrives.
    Deliver(Delivery),
    /// A narrow link has written a frame.
    Written { from: usize, to: usize, turn: u32 },
    /// A node wanted to be woken.
    Tick { node: usize, life: u32 },
    /// An engine has something to say, perhaps several things.
    Publish,
    /// Something goes wrong.
    Fault(Fault),
    /// A cut is over.
    Mend { a: usize, b: usize },
    /// A direction that lost everything does so no longer.
    Hear { from: usize, to: usize },
    /// A narrow direction is wide again.
    Widen { from: usize, to: usize },
    /// Two nodes try to connect.
    Connect { a: usize, b: usize },
    /// A node notices that a connection is gone.
    LinkLost {
        node: usize,
        life: u32,
        peer: usize,
        epoch: u32,
    },
    /// A node that stood still or was busy looks at what waits.
    Wake { node: usize },
    /// A slow node is as fast as before.
    Hurry { node: usize },
    /// A dead node begins a new life; it dies again so often.
    Restart {
        node: usize,
        rebirth: Rebirth,
        again: u32,
    },
    /// A second process of a rank ends.
    Single { node: usize },
    /// A host that is not configured asks a member to let it join, or a node asks to be known again.
    Introduce {
        node: usize,
        life: u32,
        inc: Incarnation,
        since: Timestamp,
    },
    /// A node that is linked with too few introduces itself again.
    Lonely { node: usize, life: u32 },
    /// A node learns that what it sends on a link does not leave fast enough, or that it does again.
    Lane {
        node: usize,
        life: u32,
        peer: usize,
        full: bool,
    },
    /// From now on nothing goes wrong with the core and nobody publishes.
    Calm,
    /// What stays wrong with a node outside the core strikes again.
    Misery { node: usize },
    /// Whoever wrote a log that was damaged says one more thing.
    Aftermath,
    /// The nodes had all the time they may take for this, unless something came in between.
    Deadline { goal: Goal, disturbance: u32 },
}

/// What must be reached when the faults are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// All logs are equal everywhere in the core, and every node of it is Ready.
    Logs,
    /// Every node of the core knows that every other is Ready.
    Views,
}

/// A frame on its way.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) from: u16,
    pub(crate) to: u16,
    pub(crate) epoch: u32,
    pub(crate) bytes: Bytes,
    pub(crate) cargo: Cargo,
    /// It is the double of another, or was sent because of one.
    pub(crate) doubled: bool,
}

/// What is known of a frame's content without another look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cargo {
    /// A broadcast.
    Broadcast(Name),
    /// Ops that were asked for.
    Ops,
    /// A piece of a snapshot.
    Snapshot,
    /// Anything else.
    Other,
}

impl Delivery {
    pub(crate) fn ends(&self) -> (usize, usize) {
        (usize::from(self.from), usize::from(self.to))
    }

    pub(crate) fn broadcast(&self) -> Option<Name> {
        match self.cargo {
            Cargo::Broadcast(name) => Some(name),
            Cargo::Ops | Cargo::Snapshot | Cargo::Other => None,
        }
    }
}

impl Event {
    /// Returns the node that it happens to, when it waits while that node stands still.
    pub(crate) fn node(&self) -> Option<usize> {
        match self {
            Event::Deliver(delivery) => Some(usize::from(delivery.to)),
            Event::Tick { node, .. } | Event::LinkLost { node, .. } | Event::Lane { node, .. } => {
                Some(*node)
            }
            Event::Written { .. }
            | Event::Publish
            | Event::Fault(_)
            | Event::Mend { .. }
            | Event::Hear { .. }
            | Event::Widen { .. }
            | Event::Connect { .. }
            | Event::Wake { .. }
            | Event::Hurry { .. }
            | Event::Restart { .. }
            | Event::Single { .. }
            | Event::Introduce { .. }
            | Event::Lonely { .. }
            | Event::Calm
            | Event::Misery { .. }
            | Event::Aftermath
            | Event::Deadline { .. } => None,
        }
    }
}

/// As a line of a trace.
impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Delivery {
            from,
            to,
            epoch,
            doubled,
            ..
        } = self;
        let doubled = if *doubled { " (double)" } else { "" };
        write!(f, "{from} -> {to} on link {epoch}{doubled}: ")?;
        let origin = |origin: &OriginId| format!("{}@{}", origin.rank, origin.inc);
        match wire::decode(&self.bytes) {
            Ok(Frame::Broadcast { end, ttl, batch }) => {
                let (from, count) = (batch.first, batch.count);
                write!(
                    f,
                    "broadcast {} ops {from} +{count} to the arc up to {end}, ttl {ttl}",
                    origin(&batch.origin)
                )
            }
            Ok(Frame::Log(Message::Batch(batch))) => {
                write!(
                    f,
                    "batch {} ops {} +{}",
                    origin(&batch.origin),
                    batch.first,
                    batch.count
                )
            }
            Ok(Frame::Log(Message::Offer { vector, reply })) => {
                write!(f, "offer{}", if reply { ", asking" } else { "" })?;
                for (rank, entry) in &vector.0 {
                    write!(f, " {rank}@{}:{}", entry.inc, entry.seq)?;
                }
                Ok(())
            }
            Ok(Frame::Log(Message::Snapshot(chunk))) => {
                let head = chunk.head;
                let (of, seq, chunks) = (origin(&head.origin), head.seq, head.chunks);
                write!(
                    f,
                    "snapshot {of} after {seq}, chunk {} of {chunks}",
                    chunk.index
                )
            }
            Ok(Frame::Log(message)) => write!(f, "{message:?}"),
            Ok(Frame::Topology(topology::Message::Heartbeat(beat))) => {
                let asks = if beat.echo { "probe" } else { "answer" };
                write!(f, "{asks} {} @{}:{}", beat.nonce, beat.inc, beat.seq)
            }
            Ok(Frame::Topology(topology::Message::Members { records, .. })) => {
                write!(f, "members")?;
                for record in &records {
                    let (rank, inc) = (record.rank, record.inc);
                    write!(f, " {rank}@{inc}+{} {}", record.counter, record.status)?;
                }
                Ok(())
            }
            Ok(Frame::Topology(message)) => write!(f, "{message:?}"),
            Ok(Frame::Check(token)) => {
                write!(f, "check {:?} lap {:?}", token.round(), token.lap())
            }
            Ok(Frame::Readiness { ready }) => write!(f, "ready {ready}"),
            Err(error) => write!(f, "no frame: {error}"),
        }
    }
}
