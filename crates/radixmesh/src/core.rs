//! The node and its surroundings within one thread: feeds inputs, carries out effects. It moves data
//! and decides nothing.

use std::collections::VecDeque;
use std::path::PathBuf;

use bytes::Bytes;
use node::{Effect, Effects, Event, Input, Node, Publish, PublishError, Receipt};
use radix_core::id::{Incarnation, OriginId, Rank, Seq};
use radix_core::time::Timestamp;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};
use transport::{Lane, Links, NodeId};

use crate::clock;
use crate::config::Config;
use crate::driver::Command;
use crate::incarnation;
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

/// Receipts in order, and when the last op was in the log.
pub(crate) type Published = (Timestamp, Vec<Result<Receipt, PublishError>>);

/// What a caller is told once the ops are on their way: its thread must not compete with them for a processor.
pub(crate) struct Answer {
    reply: oneshot::Sender<Published>,
    published: Published,
}

impl Answer {
    pub(crate) fn give(self) {
        // A caller that went away is no reason to undo what is in the log.
        let _ = self.reply.send(self.published);
    }
}

/// See the module.
pub(crate) struct Core {
    pub(crate) node: Node,
    pub(crate) links: Option<Links>,
    pub(crate) counters: DriverCounters,
    pub(crate) members_changed: bool,
    /// The deadline that the driver sleeps for; an earlier one must wake it.
    pub(crate) armed: Option<Timestamp>,
    /// Answers that are due once the lanes are written.
    pub(crate) answers: Vec<Answer>,
    pub(crate) inbox: mpsc::Receiver<Command>,
    /// The driver ends after this turn.
    pub(crate) stopping: bool,
    effects: Effects,
    /// Results of the publishes of the caller at hand.
    published: Vec<Result<Receipt, PublishError>>,
    record: Option<record::Writer>,
    state_dir: Option<PathBuf>,
    applied: Option<VecDeque<Applied>>,
}

impl Core {
    pub(crate) fn new(
        node: Node,
        inbox: mpsc::Receiver<Command>,
        record: Option<record::Writer>,
        config: &Config,
    ) -> Self {
        Core {
            node,
            links: None,
            counters: DriverCounters::default(),
            members_changed: true,
            armed: None,
            answers: Vec::new(),
            inbox,
            stopping: false,
            effects: Effects::new(),
            published: Vec::new(),
            record,
            state_dir: config.state_dir.clone(),
            applied: config.trace_applies.then(VecDeque::new),
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

    /// Feeds publishes one after the other; the answer is kept until [`answers`](Self::answers) are given.
    pub(crate) fn publish(
        &mut self,
        enqueued: Timestamp,
        publishes: Vec<Publish>,
        reply: oneshot::Sender<Published>,
    ) {
        let waited = clock::now().since(enqueued).as_nanos();
        let waited = u64::try_from(waited).unwrap_or(u64::MAX);
        self.counters.publish_wait_ns_max = self.counters.publish_wait_ns_max.max(waited);
        self.counters.publishes += publishes.len() as u64;
        for publish in publishes {
            self.handle(Input::Publish(publish));
        }
        let published = (clock::now(), std::mem::take(&mut self.published));
        self.answers.push(Answer { reply, published });
    }

    /// Nobody will take commands any more: who waits for an answer learns that none will come.
    pub(crate) fn refuse_commands(&mut self) {
        self.inbox.close();
        while self.inbox.try_recv().is_ok() {}
        self.answers.clear();
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
                Effect::Published(result) => self.published.push(result),
                Effect::MembersChanged => self.members_changed = true,
                Effect::Event(event) => {
                    if let Event::Reincarnated { origin } = &event {
                        self.reincarnated(origin.inc);
                    }
                    tell(&event);
                }
            }
        }
        self.effects = effects;
    }

    /// The next handshakes and the next start must know the incarnation that this life took.
    fn reincarnated(&mut self, inc: Incarnation) {
        if let Some(links) = &self.links {
            links.set_epoch(inc.0);
        }
        if let Some(dir) = &self.state_dir
            && let Err(error) = incarnation::keep(dir, inc)
        {
            warn!(%error, "the new incarnation could not be kept in the state directory");
        }
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
