//! The tokio driver: one thread, one runtime, in which the node, its links and its timers live. What the links call
//! is in `inbound`.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arc_swap::ArcSwap;
use node::{Input, Publish, Status};
use oplog::OriginDigests;
use radix_core::id::{Incarnation, Namespace, Rank, Seq};
use radix_core::page::Fingerprint;
use radix_core::time::Timestamp;
use radix_core::{Matches, Position};
use tokio::sync::{Notify, oneshot};
use topology::ForgetError;
use transport::{Links, Security};

use crate::clock;
use crate::config::Config;
use crate::core::{Answer, Applied, Core, DriverCounters, Published, node_id};
use crate::ended::Ended;
use crate::roster::Roster;

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
    Leave {
        drain: Duration,
        reply: oneshot::Sender<()>,
    },
    Forget {
        rank: Rank,
        reply: oneshot::Sender<Result<Incarnation, ForgetError>>,
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
    pub(crate) config: Config,
    pub(crate) roster: ArcSwap<Roster>,
    rearm: Notify,
}

impl Shared {
    pub(crate) fn new(core: Core, config: Config, roster: Roster) -> Self {
        Shared {
            core: Mutex::new(core),
            config,
            roster: ArcSwap::from_pointee(roster),
            rearm: Notify::new(),
        }
    }

    /// Only the driver's own thread takes it, so nobody ever waits here.
    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        self.core
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Ends a turn: tells readers of new member states and the links of new peers, and wakes the driver for an earlier
    /// deadline, for answers, or for the end.
    pub(crate) fn settle(&self, core: &mut Core) {
        let peers_changed = std::mem::take(&mut core.peers_changed);
        if std::mem::take(&mut core.members_changed) || peers_changed {
            let roster = self.roster.load().next(&core.node, &self.config);
            self.roster.store(Arc::new(roster));
        }
        if peers_changed && let Some(links) = &core.links {
            let dialed = |(rank, said): (Rank, &str)| {
                let address = self.config.via.get(&rank).map_or(said, String::as_str);
                (node_id(rank), address.to_owned())
            };
            links.set_peers(core.node.peers().map(dialed));
        }
        let earlier = |deadline| core.armed.is_some_and(|armed| deadline < armed);
        if core.node.next_deadline().is_some_and(earlier) {
            core.armed = None;
            self.rearm.notify_one();
        }
        if core.ended.is_some() || !core.answers.is_empty() {
            self.rearm.notify_one();
        }
    }

    pub(crate) fn turn(&self, input: Input) {
        let mut core = self.core();
        core.handle(input);
        self.settle(&mut core);
    }
}

/// Runs until told to stop, or until the node has left.
pub(crate) async fn run(shared: Arc<Shared>) -> Ended {
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
        if let Some(ended) = &shared.core().ended {
            return ended.clone();
        }
        tokio::select! {
            biased;
            command = poll_fn(|cx| shared.core().inbox.poll_recv(cx)) => {
                let mut core = shared.core();
                execute(&mut core, command.unwrap_or(Command::Shutdown));
                take_commands(&mut core);
                core.handle(Input::Flush);
                shared.settle(&mut core);
            }
            () = shared.rearm.notified() => {}
            () = sleep_until(deadline) => shared.turn(Input::Tick),
        }
    }
}

/// Takes what waits, up to a bound; returns whether there was anything.
pub(crate) fn take_commands(core: &mut Core) -> bool {
    let mut taken = 0;
    while taken < COMMANDS_BURST
        && core.ended.is_none()
        && let Ok(command) = core.inbox.try_recv()
    {
        taken += 1;
        execute(core, command);
    }
    taken > 0
}

fn execute(core: &mut Core, command: Command) {
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
        Command::Leave { drain, reply } => {
            core.handle(Input::Leave { drain });
            // Who asked may have gone.
            let _ = reply.send(());
        }
        Command::Forget { rank, reply } => {
            if let Some(answer) = core.forget(rank) {
                let _ = reply.send(answer);
            }
        }
        Command::Shutdown => core.ended = core.ended.take().or(Some(Ended::Stopped)),
    }
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
