//! The node and its surroundings within one thread: feeds inputs, carries out effects. It moves data
//! and decides nothing.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use node::{Effect, Effects, Event, Input, Node, Publish, PublishError, Receipt, Ticket};
use radix_core::id::{OriginId, Rank, Seq};
use radix_core::time::Timestamp;
use serde::Serialize;
use tokio::sync::oneshot;
use tracing::{debug, info, warn};
use transport::{Lane, Links, NodeId};

use crate::clock;
use crate::record;

/// Records of applied ops that are kept; older ones are forgotten.
const APPLIED_MAX: usize = 262_144;

/// When ops of one log were in the tree of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Whose log.
    pub origin: OriginId,
    /// First op.
    pub first: Seq,
    /// Last op.
    pub last: Seq,
    /// When.
    pub at: Timestamp,
}

/// What happened in the driver, beside the counters of the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DriverCounters {
    /// Control frames that a full lane refused. Anti-entropy repairs what a dropped frame carried.
    pub sends_dropped_control: u64,
    /// Frames with ops that a full lane refused.
    pub sends_dropped_data: u64,
    /// Frames with snapshots that a full lane refused.
    pub sends_dropped_bulk: u64,
    /// Frames for a peer without a link.
    pub sends_without_link: u64,
    /// Longest time that a publish waited before it reached the node. Unit: nanoseconds.
    pub publish_wait_ns_max: u64,
    /// Publishes taken.
    pub publishes: u64,
    /// The record of the own log could not be written.
    pub record_errors: u64,
}

/// Publishes of one caller, answered together.
pub(crate) struct Waiting {
    pub(crate) left: usize,
    pub(crate) results: Vec<Result<Receipt, PublishError>>,
    pub(crate) reply: oneshot::Sender<(Timestamp, Vec<Result<Receipt, PublishError>>)>,
}

/// See the module.
pub(crate) struct Core {
    pub(crate) node: Node,
    pub(crate) links: Option<Links>,
    pub(crate) counters: DriverCounters,
    pub(crate) members_changed: bool,
    /// The deadline that the driver sleeps for; an earlier one must wake it.
    pub(crate) armed: Option<Timestamp>,
    effects: Effects,
    waiting: BTreeMap<Ticket, Waiting>,
    next_ticket: u64,
    record: Option<record::Writer>,
    applied: Option<VecDeque<Applied>>,
}

impl Core {
    pub(crate) fn new(node: Node, record: Option<record::Writer>, trace_applies: bool) -> Self {
        Core {
            node,
            links: None,
            counters: DriverCounters::default(),
            members_changed: true,
            armed: None,
            effects: Effects::new(),
            waiting: BTreeMap::new(),
            next_ticket: 0,
            record,
            applied: trace_applies.then(VecDeque::new),
        }
    }

    pub(crate) fn handle(&mut self, input: Input) {
        let now = clock::now();
        self.node.handle(now, input, &mut self.effects);
        self.carry_out();
    }

    pub(crate) fn frame(&mut self, from: Rank, frame: &[u8]) {
        self.handle(Input::Frame {
            from,
            bytes: Bytes::copy_from_slice(frame),
        });
    }

    /// Feeds publishes one after the other; the reply comes when the last is in the log.
    pub(crate) fn publish(
        &mut self,
        enqueued: Timestamp,
        publishes: Vec<Publish>,
        reply: oneshot::Sender<(Timestamp, Vec<Result<Receipt, PublishError>>)>,
    ) {
        let waited = clock::now().since(enqueued).as_nanos();
        let waited = u64::try_from(waited).unwrap_or(u64::MAX);
        self.counters.publish_wait_ns_max = self.counters.publish_wait_ns_max.max(waited);
        self.counters.publishes += publishes.len() as u64;
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let results = Vec::with_capacity(publishes.len());
        self.waiting.insert(
            ticket,
            Waiting {
                left: publishes.len(),
                results,
                reply,
            },
        );
        for publish in publishes {
            self.handle(Input::Publish { ticket, publish });
        }
    }

    /// Returns what was applied of `rank` at or behind `from`, oldest first, `max` records at most.
    pub(crate) fn applied(&self, rank: Rank, from: Seq, max: usize) -> Vec<Applied> {
        let records = self.applied.iter().flatten();
        records
            .filter(|record| record.origin.rank == rank && record.last >= from)
            .take(max)
            .copied()
            .collect()
    }

    fn carry_out(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Send { to, lane, frame } => self.send(to, lane, &frame),
                Effect::Logged(batch) => {
                    if let Some(record) = &mut self.record
                        && let Err(error) = record.append(&batch)
                    {
                        self.counters.record_errors += 1;
                        warn!(%error, "the record of the own log could not be written");
                    }
                }
                Effect::Applied {
                    origin,
                    first,
                    last,
                } => self.trace(origin, first, last),
                Effect::Published { ticket, result } => self.published(ticket, result),
                Effect::MembersChanged => self.members_changed = true,
                Effect::Event(event) => tell(&event),
            }
        }
        self.effects = effects;
    }

    fn send(&mut self, to: Rank, lane: node::Lane, frame: &node::wire::Encoded) {
        let Some(links) = &self.links else { return };
        let lane = match lane {
            node::Lane::Control => Lane::Control,
            node::Lane::Data => Lane::Data,
            node::Lane::Bulk => Lane::Bulk,
        };
        match links.try_send_with(node_id(to), lane, frame.len(), |out| frame.write_to(out)) {
            Ok(()) => {}
            Err(transport::SendError::Full { .. }) => match lane {
                Lane::Control => self.counters.sends_dropped_control += 1,
                Lane::Data => self.counters.sends_dropped_data += 1,
                Lane::Bulk => self.counters.sends_dropped_bulk += 1,
            },
            Err(transport::SendError::Closed) => self.counters.sends_without_link += 1,
            Err(error) => warn!(%error, %to, "a frame was not sent"),
        }
    }

    fn trace(&mut self, origin: OriginId, first: Seq, last: Seq) {
        if let Some(applied) = &mut self.applied {
            if applied.len() == APPLIED_MAX {
                applied.pop_front();
            }
            applied.push_back(Applied {
                origin,
                first,
                last,
                at: clock::now(),
            });
        }
    }

    fn published(&mut self, ticket: Ticket, result: Result<Receipt, PublishError>) {
        let Some(waiting) = self.waiting.get_mut(&ticket) else {
            return;
        };
        waiting.results.push(result);
        waiting.left -= 1;
        if waiting.left == 0
            && let Some(done) = self.waiting.remove(&ticket)
        {
            // A caller that went away is no reason to undo what is in the log.
            let _ = done.reply.send((clock::now(), done.results));
        }
    }
}

/// Returns the transport's name of a rank.
pub(crate) fn node_id(rank: Rank) -> NodeId {
    NodeId(u64::from(rank.0))
}

fn tell(event: &Event) {
    match event {
        Event::Ready => info!("ready: caught up with the mesh"),
        Event::Reincarnated { origin } => {
            warn!(%origin, "a newer life of this rank was known: took a higher incarnation")
        }
        Event::BadFrame { from, reason } => warn!(%from, %reason, "a frame was dropped"),
        Event::TtlExpired { from, origin } => warn!(%from, %origin, "a broadcast ran out of hops"),
        Event::Log(event) => debug!(?event, "log"),
        Event::Topology(event) => debug!(?event, "topology"),
    }
}
