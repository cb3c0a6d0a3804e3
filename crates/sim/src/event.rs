//! What happens in a world, one thing at a time.

use std::fmt;

use bytes::Bytes;
use node::wire::{self, Frame};
use oplog::Message;
use radix_core::id::{OriginId, Seq};

use crate::fault::Fault;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A frame arrives.
    Deliver(Delivery),
    /// A node wanted to be woken.
    Tick { node: usize, life: u32 },
    /// An engine has something to say, perhaps several things.
    Publish,
    /// Something goes wrong.
    Fault(Fault),
    /// A cut is over.
    Mend { a: usize, b: usize },
    /// Two nodes try to connect.
    Connect { a: usize, b: usize },
    /// A node notices that a connection is gone.
    LinkLost {
        node: usize,
        life: u32,
        peer: usize,
        epoch: u32,
    },
    /// A node that stood still goes on.
    Resume { node: usize },
    /// A dead node begins a new life.
    Restart { node: usize, stale: bool },
    /// From now on nothing goes wrong and nobody publishes.
    Calm,
    /// The nodes had all the time they may take for this.
    Deadline(Goal),
}

/// What must be reached when the faults are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// All logs are equal everywhere, and every node is Ready.
    Logs,
    /// Every node knows that every node is Ready.
    Views,
}

/// A frame on its way.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) epoch: u32,
    pub(crate) bytes: Bytes,
    /// The log and first op of a broadcast.
    pub(crate) broadcast: Option<(OriginId, Seq)>,
    /// It is the double of another, or was sent because of one.
    pub(crate) doubled: bool,
}

impl Event {
    /// Returns the node that it happens to, when it waits while that node stands still.
    pub(crate) fn node(&self) -> Option<usize> {
        match self {
            Event::Deliver(delivery) => Some(delivery.to),
            Event::Tick { node, .. } | Event::LinkLost { node, .. } => Some(*node),
            Event::Publish
            | Event::Fault(_)
            | Event::Mend { .. }
            | Event::Connect { .. }
            | Event::Resume { .. }
            | Event::Restart { .. }
            | Event::Calm
            | Event::Deadline(_) => None,
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
            Ok(Frame::Heartbeat(beat)) => {
                write!(f, "heartbeat @{}:{} echo {}", beat.inc, beat.seq, beat.echo)
            }
            Ok(Frame::Readiness { ready }) => write!(f, "ready {ready}"),
            Err(error) => write!(f, "no frame: {error}"),
        }
    }
}
