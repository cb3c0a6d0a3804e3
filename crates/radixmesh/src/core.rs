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
use topology::{ForgetError, IntroduceError, Record, Role};
use tracing::{debug, info, warn};
use transport::{Lane, Links, NodeId};

use crate::clock;
use crate::config::Config;
use crate::driver::Command;
use crate::ended::Ended;
use crate::incarnation;
use crate::record;
use crate::rejoin::Standing;

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
    /// New members, and new lives of known ones, that came to take part.
    pub members_joined: u64,
    /// Members that said goodbye.
    pub members_left: u64,
    /// Members that were found down.
    pub members_died: u64,
    /// Members that this node itself began to suspect.
    pub suspicions: u64,
    /// Suspicions that their member objected to, this node included.
    pub refutations: u64,
    /// Links that turned out bad although both ends live.
    pub links_degraded: u64,
    /// Members that did not keep up.
    pub links_slow: u64,
}

impl DriverCounters {
    fn count(&mut self, event: &Event) {
        use topology::Event as Ring;
        let Event::Topology(event) = event else {
            return;
        };
        let counter = match event {
            Ring::Joined { .. } => &mut self.members_joined,
            Ring::Left { .. } => &mut self.members_left,
            Ring::Died { .. } => &mut self.members_died,
            Ring::Suspected { .. } => &mut self.suspicions,
            Ring::Refuted { .. } => &mut self.refutations,
            Ring::LinkDegraded { .. } => &mut self.links_degraded,
            Ring::Slow { .. } => &mut self.links_slow,
            _ => return,
        };
        *counter += 1;
    }
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
    /// The links must be told whom to link.
    pub(crate) peers_changed: bool,
    /// What the links say of this node.
    pub(crate) standing: Standing,
    /// The deadline that the driver sleeps for; an earlier one must wake it.
    pub(crate) armed: Option<Timestamp>,
    /// Answers that are due once the lanes are written.
    pub(crate) answers: Vec<Answer>,
    pub(crate) inbox: mpsc::Receiver<Command>,
    /// The driver ends after this turn, and why.
    pub(crate) ended: Option<Ended>,
    effects: Effects,
    /// The answer to the introduction at hand.
    introduced: Option<Result<Vec<Record>, IntroduceError>>,
    /// The answer to the operator at hand.
    forgotten: Option<Result<Incarnation, ForgetError>>,
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
            peers_changed: false,
            standing: Standing::new(clock::now()),
            armed: None,
            answers: Vec::new(),
            inbox,
            ended: None,
            effects: Effects::new(),
            introduced: None,
            forgotten: None,
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

    /// Asks whether a node may join; `None` when this one has ended.
    pub(crate) fn introduce(
        &mut self,
        rank: Rank,
        role: Role,
        address: String,
        inc: Incarnation,
    ) -> Option<Result<Vec<Record>, IntroduceError>> {
        self.handle(Input::Introduce {
            rank,
            role,
            address,
            inc,
        });
        self.introduced.take()
    }

    /// Forgets a member that is down; `None` when this node has ended.
    pub(crate) fn forget(&mut self, rank: Rank) -> Option<Result<Incarnation, ForgetError>> {
        self.handle(Input::Forget { rank });
        self.forgotten.take()
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
                Effect::PeersChanged => self.peers_changed = true,
                Effect::Introduced(result) => self.introduced = Some(result),
                Effect::ForgetAnswered(result) => self.forgotten = Some(result),
                Effect::Left => self.ended = Some(Ended::Left),
                Effect::Event(event) => {
                    if let Event::Reincarnated { origin } = &event {
                        self.reincarnated(origin.inc);
                    }
                    self.counters.count(&event);
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
        Event::Draining { drain } => info!(?drain, "leaving: no new work is wanted any more"),
        Event::Reincarnated { origin } => {
            warn!(%origin, "a newer life of this rank was known: took a higher incarnation")
        }
        Event::BadFrame { from, reason } => warn!(%from, %reason, "a frame was dropped"),
        Event::TtlExpired { from, origin } => warn!(%from, %origin, "a broadcast ran out of hops"),
        Event::CheckAgreed { round, lap } => debug!(?round, ?lap, "the ring check agreed"),
        Event::CheckDiffers {
            differs, missing, ..
        } => info!(
            ?differs,
            ?missing,
            "the ring check: not all have the same view"
        ),
        Event::CheckLost { round } => info!(?round, "the ring check was lost on its way"),
        Event::StableView { view } => debug!(?view, "stable view"),
        Event::Log(event) => debug!(?event, "log"),
        Event::Topology(event) => tell_of_ring(event),
    }
}

fn tell_of_ring(event: &topology::Event) {
    use topology::Event as Ring;
    match event {
        Ring::Joined { rank, inc } => info!(%rank, %inc, "a member takes part"),
        Ring::Left { rank, .. } => info!(%rank, "a member left"),
        Ring::Died { rank, .. } => warn!(%rank, "a member is down"),
        Ring::Suspected { rank, .. } => warn!(%rank, "nobody asked reaches a member"),
        Ring::Refuted { rank, .. } => info!(%rank, "a member objected: it is alive"),
        Ring::LinkDegraded { rank } => {
            warn!(%rank, "the link to a member is bad; others reach it");
        }
        Ring::LinkRestored { rank } => info!(%rank, "the link to a member works again"),
        Ring::Slow { rank } => info!(%rank, "a member does not keep up: it passes nothing on"),
        Ring::CaughtUp { rank } => info!(%rank, "a slow member has caught up"),
        Ring::TableFull { rank } => warn!(%rank, "no room for one more member"),
        other => debug!(event = ?other, "topology"),
    }
}
