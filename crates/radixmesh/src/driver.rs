//! The tokio driver: one thread, one runtime, in which the node, its links and its timers live.
//!
//! Frames are handled inside the receive callback: the node never blocks and a send only fills a
//! lane's buffer, so no write happens there. A peer that cannot keep up loses frames, not this node time.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arc_swap::ArcSwap;
use node::{Input, MemberView, Publish, PublishError, Receipt, Status};
use oplog::OriginDigests;
use radix_core::id::{Incarnation, Namespace, Rank, Seq};
use radix_core::page::Fingerprint;
use radix_core::time::Timestamp;
use radix_core::{Matches, Position};
use tokio::sync::{Notify, mpsc, oneshot};
use transport::{CloseReason, Handler, Lane, LinkHandler, Peer, Verdict};

use crate::clock;
use crate::core::{Applied, Core, DriverCounters};

/// Commands that may wait; a caller beyond that waits for room.
pub(crate) const COMMANDS_MAX: usize = 4_096;
/// Commands taken in one go before the log is flushed.
const COMMANDS_BURST: usize = 256;

/// Receipts in order, and when the last was given.
pub(crate) type Published = (Timestamp, Vec<Result<Receipt, PublishError>>);

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

    /// Ends a turn: tells readers of new member states and wakes the timer for an earlier deadline.
    fn settle(&self, core: &mut Core) {
        if std::mem::take(&mut core.members_changed) {
            self.members.store(Arc::new(core.node.members()));
        }
        if let Some(deadline) = core.node.next_deadline()
            && core.armed.is_some_and(|armed| deadline < armed)
        {
            core.armed = None;
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
}

fn rank(peer: &Peer) -> Rank {
    Rank(u16::try_from(peer.node.0).expect("links are only made to configured ranks"))
}

/// Runs until told to stop.
pub(crate) async fn run(shared: Arc<Shared>, mut commands: mpsc::Receiver<Command>) {
    loop {
        let deadline = {
            let mut core = shared.core();
            core.armed = core.node.next_deadline();
            core.armed
        };
        tokio::select! {
            biased;
            command = commands.recv() => {
                let Some(command) = command else { return };
                if !take(&shared, &mut commands, command) {
                    return;
                }
            }
            () = shared.rearm.notified() => {}
            () = sleep_until(deadline) => shared.turn(Input::Tick),
        }
    }
}

/// Takes what waits, up to a bound, then sends it as one. Returns false when told to stop.
fn take(shared: &Shared, commands: &mut mpsc::Receiver<Command>, first: Command) -> bool {
    let mut core = shared.core();
    let mut next = Some(first);
    let mut taken = 0;
    let mut alive = true;
    while let Some(command) = next {
        if !execute(&mut core, command) {
            alive = false;
            break;
        }
        taken += 1;
        next = if taken < COMMANDS_BURST {
            commands.try_recv().ok()
        } else {
            None
        };
    }
    core.handle(Input::Flush);
    shared.settle(&mut core);
    alive
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
