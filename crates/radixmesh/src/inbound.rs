//! The links' way into the node.
//!
//! Frames are handled inside the receive callback: the node never blocks and a send only fills a
//! lane's buffer, so no write happens there. A peer that cannot keep up loses frames, not this node time.

use std::sync::{Arc, OnceLock};

use node::Input;
use node::wire::{Introduction, decode_introduction, encode_answer};
use radix_core::id::{Incarnation, Rank};
use topology::IntroduceError;
use transport::{
    CloseReason, Handler, Lane, LinkHandler, Newcomer, NodeId, Peer, RejectReason, Rejection,
    Verdict,
};

use crate::clock;
use crate::driver::{Shared, take_commands};
use crate::join::ASKS;
use crate::loopback::is_loopback;

/// What a live peer may have been silent for, in heartbeats, before another process may take its place.
const HEARTBEATS_SILENT: u32 = 2;

/// See the module. While the node is not there yet, as when it still joins, nobody is wanted and nobody let in.
pub(crate) struct Inbound {
    shared: OnceLock<Arc<Shared>>,
    /// Links are protected by nothing but that nobody from elsewhere can reach them.
    is_loopback_only: bool,
}

impl Inbound {
    pub(crate) fn new(is_loopback_only: bool) -> Inbound {
        Inbound {
            shared: OnceLock::new(),
            is_loopback_only,
        }
    }

    /// Lets frames through from now on. It comes before any peer is wanted.
    pub(crate) fn open(&self, shared: Arc<Shared>) {
        self.shared.get_or_init(|| shared);
    }

    fn shared(&self) -> &Shared {
        let shared = self.shared.get();
        shared.expect("peers are wanted only when the node is there")
    }
}

impl Handler for Inbound {
    fn on_frame(&self, peer: &Peer, _lane: Lane, frame: &[u8]) -> Verdict {
        let shared = self.shared();
        let mut core = shared.core();
        // A publish waits for the frame at hand, never for all that are queued behind it.
        if take_commands(&mut core) {
            core.handle(Input::Flush);
        }
        core.frame(rank(peer), frame);
        shared.settle(&mut core);
        Verdict::Continue
    }

    fn on_slow(&self, peer: &Peer) {
        tracing::info!(peer = peer.node.0, "a peer does not keep up");
        self.shared().turn(Input::LinkSlow { peer: rank(peer) });
    }

    fn on_drained(&self, peer: &Peer) {
        self.shared().turn(Input::LinkDrained { peer: rank(peer) });
    }
}

impl LinkHandler for Inbound {
    fn on_up(&self, peer: &Peer) {
        tracing::info!(peer = peer.node.0, address = %peer.address, "link up");
        let shared = self.shared();
        let mut core = shared.core();
        core.standing.link_up();
        core.handle(Input::LinkUp {
            peer: rank(peer),
            inc: Incarnation(peer.epoch),
        });
        shared.settle(&mut core);
    }

    fn on_down(&self, peer: &Peer, why: &CloseReason) {
        tracing::info!(peer = peer.node.0, %why, "link down");
        let shared = self.shared();
        let mut core = shared.core();
        core.standing.link_down(clock::now());
        core.handle(Input::LinkDown { peer: rank(peer) });
        shared.settle(&mut core);
    }

    /// The latest life of a node: that of its log here, and any later than those that are forgotten.
    fn latest_epoch(&self, node: NodeId) -> u64 {
        let (Ok(rank), Some(shared)) = (u16::try_from(node.0).map(Rank), self.shared.get()) else {
            return 0;
        };
        let core = shared.core();
        let replica = core.node.replica();
        let log = replica.digests(rank).map_or(0, |digests| digests.inc.0);
        let floor = replica.version_vector().entry(rank).floor.0;
        let unforgotten = if floor > 0 {
            floor.saturating_add(1)
        } else {
            0
        };
        log.max(unforgotten)
    }

    /// Another process does not take the place of one that is alive.
    fn admit(&self, peer: &Peer, live: Option<&Peer>) -> Result<(), Rejection> {
        let Some(live) = live.filter(|live| live.boot != peer.boot) else {
            return Ok(());
        };
        let shared = self.shared();
        let status = shared.core().node.status();
        let member = status
            .members
            .iter()
            .find(|member| member.view.rank == rank(peer));
        let silence = member
            .and_then(|member| member.last_heard)
            .map(|heard| clock::now().since(heard));
        match (member, silence) {
            (Some(member), Some(silence))
                if silence < shared.config.heartbeat * HEARTBEATS_SILENT =>
            {
                let text = format!(
                    "rank {} is alive at {} (from {}), heard {} ms ago",
                    live.node,
                    member.address,
                    live.address,
                    silence.as_millis()
                );
                Err(RejectReason::RankTaken.because(text))
            }
            _ => Ok(()),
        }
    }

    fn on_introduction(&self, newcomer: &Newcomer, request: &[u8]) -> Result<Vec<u8>, Rejection> {
        let refuse = |why: String| RejectReason::Introduction.because(why);
        let Some(shared) = self.shared.get() else {
            return Err(RejectReason::UnknownNode.because("this node is joining itself"));
        };
        let (asks, request) = match request {
            [ASKS, rest @ ..] => (true, rest),
            all => (false, all),
        };
        let Introduction { role, address } =
            decode_introduction(request).map_err(|error| refuse(error.to_string()))?;
        newcomer.prove_role(role.as_str())?;
        let rank = u16::try_from(newcomer.peer.node.0)
            .map(Rank)
            .map_err(|_| refuse(format!("no rank is as high as {}", newcomer.peer.node)))?;
        if self.is_loopback_only && !is_loopback(&address) {
            return Err(refuse(format!(
                "{address} is not on loopback, and links have no TLS"
            )));
        }
        if asks {
            return shared.not_taken(rank, &address).map(|()| Vec::new());
        }
        let inc = Incarnation(newcomer.peer.epoch);
        let mut core = shared.core();
        let answer = core.introduce(rank, role, address, inc);
        shared.settle(&mut core);
        drop(core);
        match answer {
            Some(Ok(records)) => {
                tracing::info!(%rank, %role, from = %newcomer.peer.address, "a node was introduced");
                Ok(encode_answer(&Ok(records).into()).to_vec())
            }
            Some(Err(error)) => Err(refusal(&error)),
            None => Err(RejectReason::ShuttingDown.because("this node has ended")),
        }
    }

    fn on_refused(&self, node: NodeId, why: &Rejection) {
        if let Some(shared) = self.shared.get() {
            shared.core().standing.refused(node, why, clock::now());
        }
    }

    fn on_outlived(&self, latest: u64) {
        tracing::warn!(latest, "a peer refused this life: it has seen a later one");
        let inc = Incarnation(latest);
        self.shared().turn(Input::Outlived { inc });
    }
}

impl Shared {
    /// Refuses a process at `address` when another one, elsewhere, lives in its rank and is linked with this node.
    fn not_taken(&self, rank: Rank, address: &str) -> Result<(), Rejection> {
        let status = self.core().node.status();
        let mut members = status.members.iter();
        let holder = members.find(|member| member.view.rank == rank && member.view.direct());
        match holder {
            Some(holder) if holder.address != address => {
                Err(RejectReason::RankTaken.because(format!(
                    "rank {rank} is taken by a living member at {:?}",
                    holder.address
                )))
            }
            _ => Ok(()),
        }
    }
}

/// A refusal in the transport's words, so that it is counted by name at both ends.
fn refusal(error: &IntroduceError) -> Rejection {
    let reason = match error {
        IntroduceError::RankTaken { .. } => RejectReason::RankTaken,
        IntroduceError::OwnRank { .. } => RejectReason::OwnNode,
        IntroduceError::Leaving => RejectReason::ShuttingDown,
        _ => RejectReason::Introduction,
    };
    reason.because(error.to_string())
}

fn rank(peer: &Peer) -> Rank {
    Rank(u16::try_from(peer.node.0).expect("links are only made to ranks"))
}
