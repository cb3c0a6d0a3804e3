//! The tokio driver: one thread, one runtime, in which the node, its links and its timers live.
//!
//! Frames are handled inside the receive callback: the node never blocks and a send only fills a
//! lane's buffer, so no write happens there. A peer that cannot keep up loses frames, not this node time.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arc_swap::ArcSwap;
use node::{Input, MemberView, Publish, Status};
use oplog::OriginDigests;
use radix_core::id::{Incarnation, Namespace, Rank, Seq};
use radix_core::page::Fingerprint;
use radix_core::time::Timestamp;
use radix_core::{Matches, Position};
use tokio::sync::{Notify, oneshot};
use transport::{CloseReason, Handler, Lane, LinkHandler, Links, NodeId, Peer, Security, Verdict};

use crate::clock;
use crate::core::{Answer, Applied, Core, DriverCounters, Published};

/// Commands that may wait; a caller beyond that waits for room.
pub(crate) const COMMANDS_MAX: usize = 4_096;
/// Commands taken in one go before the log is flushed.
const COMMANDS_BURST: usize = 256;

/// What other threads ask of the node.
pub(crate) enum Command {
    Publish {
        enqueued: Timestamp,
        publishes: Vec<Publish>,
        reply: oneshot::Sender<Published>,
    },
    Status {
        reply: oneshot::Sender<Report>,
    },
    Match {
        namespace: Namespace,
        pages: Vec<Fingerprint>,
        reply: oneshot::Sender<(Matches, Vec<Position>)>,
    },
    Applied {
        rank: Rank,
        from: Seq,
        max: usize,
        reply: oneshot::Sender<Vec<Applied>>,
    },
    Shutdown,
}

/// Everything a node tells of itself.
#[derive(Clone, Debug)]
pub struct Report {
    /// The node.
    pub status: Status,
    /// Every log it knows, by rank, with the number of live copies.
    pub origins: Vec<(Rank, OriginDigests, u64)>,
    /// The driver.
    pub driver: DriverCounters,
    /// The links.
    pub links: Vec<LinkCounter>,
    /// What protects them; `None` while the node ends.
    pub security: Option<Security>,
}

/// One counter of the links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkCounter {
    /// What is counted.
    pub name: &'static str,
    /// Of which kind; empty where a name has only one.
    pub label: &'static str,
    /// How often, or how much.
    pub value: u64,
}

/// What the driver's thread and the others share.
pub(crate) struct Shared {
    core: Mutex<Core>,
    pub(crate) members: ArcSwap<Vec<MemberView>>,
    rearm: Notify,
}

impl Shared {
    pub(crate) fn new(core: Core) -> Self {
        let members = ArcSwap::from_pointee(core.node.members());
        Shared {
            core: Mutex::new(core),
            members,
            rearm: Notify::new(),
        }
    }

    /// Only the driver's own thread takes it, so nobody ever waits here.
    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        self.core
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Ends a turn: tells readers of new member states and wakes the driver for an earlier deadline or answers.
    fn settle(&self, core: &mut Core) {
        if std::mem::take(&mut core.members_changed) {
            self.members.store(Arc::new(core.node.members()));
        }
        let earlier = |deadline| core.armed.is_some_and(|armed| deadline < armed);
        if core.node.next_deadline().is_some_and(earlier) {
            core.armed = None;
            self.rearm.notify_one();
        }
        if core.stopping || !core.answers.is_empty() {
            self.rearm.notify_one();
        }
    }

    fn turn(&self, input: Input) {
        let mut core = self.core();
        core.handle(input);
        self.settle(&mut core);
    }
}

/// The links' way into the node.
pub(crate) struct Inbound(pub(crate) Arc<Shared>);

impl Handler for Inbound {
    fn on_frame(&self, peer: &Peer, _lane: Lane, frame: &[u8]) -> Verdict {
        let mut core = self.0.core();
        // A publish waits for the frame at hand, never for all that are queued behind it.
        if take_commands(&mut core) {
            core.handle(Input::Flush);
        }
        core.frame(rank(peer), frame);
        self.0.settle(&mut core);
        Verdict::Continue
    }
}

impl LinkHandler for Inbound {
    fn on_up(&self, peer: &Peer) {
        tracing::info!(peer = peer.node.0, address = %peer.address, "link up");
        self.0.turn(Input::LinkUp {
            peer: rank(peer),
            inc: Incarnation(peer.epoch),
        });
    }

    fn on_down(&self, peer: &Peer, why: &CloseReason) {
        tracing::info!(peer = peer.node.0, %why, "link down");
        self.0.turn(Input::LinkDown { peer: rank(peer) });
    }

    fn latest_epoch(&self, node: NodeId) -> u64 {
        let rank = u16::try_from(node.0).map(Rank);
        let core = self.0.core();
        let digests = rank.ok().and_then(|rank| core.node.replica().digests(rank));
        digests.map_or(0, |digests| digests.inc.0)
    }

    fn on_outlived(&self, latest: u64) {
        tracing::warn!(latest, "a peer refused this life: it has seen a later one");
        let inc = Incarnation(latest);
        self.0.turn(Input::Outlived { inc });
    }
}

fn rank(peer: &Peer) -> Rank {
    Rank(u16::try_from(peer.node.0).expect("links are only made to configured ranks"))
}

/// Runs until told to stop.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        let (deadline, answers) = {
            let mut core = shared.core();
            core.armed = core.node.next_deadline();
            (core.armed, std::mem::take(&mut core.answers))
        };
        if !answers.is_empty() {
            // The links' tasks write first.
            tokio::task::yield_now().await;
            answers.into_iter().for_each(Answer::give);
        }
        tokio::select! {
            biased;
            command = poll_fn(|cx| shared.core().inbox.poll_recv(cx)) => {
                let mut core = shared.core();
                if !command.is_some_and(|command| execute(&mut core, command)) {
                    return;
                }
                take_commands(&mut core);
                core.handle(Input::Flush);
                shared.settle(&mut core);
            }
            () = shared.rearm.notified() => {}
            () = sleep_until(deadline) => shared.turn(Input::Tick),
        }
        if shared.core().stopping {
            return;
        }
    }
}

/// Takes what waits, up to a bound; returns whether there was anything.
fn take_commands(core: &mut Core) -> bool {
    let mut taken = 0;
    while taken < COMMANDS_BURST
        && let Ok(command) = core.inbox.try_recv()
    {
        taken += 1;
        if !execute(core, command) {
            core.stopping = true;
            break;
        }
    }
    taken > 0
}

fn execute(core: &mut Core, command: Command) -> bool {
    // A caller that stopped waiting needs no answer.
    match command {
        Command::Publish {
            enqueued,
            publishes,
            reply,
        } => core.publish(enqueued, publishes, reply),
        Command::Status { reply } => drop(reply.send(report(core))),
        Command::Match {
            namespace,
            pages,
            reply,
        } => {
            let mut matches = Matches::new();
            let index = core.node.replica().state();
            index.matches(namespace, &pages, &mut matches);
            drop(reply.send((matches, positions(core))));
        }
        Command::Applied {
            rank,
            from,
            max,
            reply,
        } => drop(reply.send(core.applied(rank, from, max))),
        Command::Shutdown => return false,
    }
    true
}

fn report(core: &Core) -> Report {
    let replica = core.node.replica();
    let origins = replica
        .version_vector()
        .0
        .keys()
        .filter_map(|rank| {
            Some((
                *rank,
                replica.digests(*rank)?,
                replica.state().copies(*rank),
            ))
        })
        .collect();
    let mut links = Vec::new();
    if let Some(open) = &core.links {
        open.counters()
            .each(|name, label, value| links.push(LinkCounter { name, label, value }));
    }
    Report {
        status: core.node.status(),
        origins,
        driver: core.counters,
        links,
        security: core.links.as_ref().map(Links::security),
    }
}

fn positions(core: &Core) -> Vec<Position> {
    let vector = core.node.replica().version_vector();
    vector
        .0
        .iter()
        .map(|(rank, entry)| Position {
            rank: *rank,
            inc: entry.inc,
            seq: entry.seq,
        })
        .collect()
}

async fn sleep_until(deadline: Option<Timestamp>) {
    match deadline {
        Some(deadline) => tokio::time::sleep(deadline.since(clock::now())).await,
        None => tokio::time::sleep(Duration::from_secs(3_600)).await,
    }
}
