//! How a member is forgotten: after a while, at its goodbye, or by the operator.

use radix_core::id::{Incarnation, Rank};

use crate::member::Reach;
use crate::output::Output;
use crate::record::{Record, Status};
use crate::timers::Timer;
use crate::topology::Topology;

/// Why a member is not forgotten at the operator's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForgetError {
    /// No life of this rank is known.
    ///
    /// State: unchanged; there is nothing to forget.
    #[error("no life of rank {rank} is known")]
    Unknown {
        /// The rank named.
        rank: Rank,
    },
    /// The member takes part.
    ///
    /// State: unchanged. Caller: stop it and wait until it is down, or let it leave.
    #[error("rank {rank} is {status}; only who is down can be forgotten")]
    TakesPart {
        /// The rank named.
        rank: Rank,
        /// What it is.
        status: Status,
    },
    /// A node does not forget itself.
    ///
    /// State: unchanged. Caller: ask another member, or let this one leave.
    #[error("rank {rank} is this node")]
    Own {
        /// The rank named.
        rank: Rank,
    },
    /// This node has left.
    ///
    /// State: unchanged. Caller: ask another member.
    #[error("the node that was asked has left")]
    Leaving,
}

impl Topology {
    /// The operator's word.
    // spec: TOPO-34
    pub(crate) fn forget_at_word(&mut self, rank: Rank, out: &mut Vec<Output>) {
        let result = self.check_forget(rank);
        if let Ok(floor) = result {
            self.forget(rank, floor, out);
        }
        out.push(Output::Forgotten(result));
    }

    fn check_forget(&self, rank: Rank) -> Result<Incarnation, ForgetError> {
        if rank == self.config.me {
            return Err(ForgetError::Own { rank });
        }
        let known = self.table.get(rank);
        let Some(record) = known.filter(|record| !record.is_never_seen()) else {
            return Err(ForgetError::Unknown { rank });
        };
        let status = record.status;
        if status.in_view() {
            return Err(ForgetError::TakesPart { rank, status });
        }
        Ok(record.inc)
    }

    /// It has been down for long.
    pub(crate) fn forget_after_long(&mut self, rank: Rank, out: &mut Vec<Output>) {
        if let Ok(floor) = self.check_forget(rank) {
            self.forget(rank, floor, out);
        }
    }

    /// Forgets a member's lives up to `floor`, and has the logs forget them.
    // spec: TOPO-34
    pub(crate) fn forget(&mut self, rank: Rank, floor: Incarnation, out: &mut Vec<Output>) {
        out.push(Output::Forget { rank, floor });
        self.floor_rose(rank, floor, out);
    }

    /// Lives up to `floor` are forgotten, here or by others.
    // spec: TOPO-16, TOPO-34
    pub(crate) fn floor_rose(&mut self, rank: Rank, floor: Incarnation, out: &mut Vec<Output>) {
        if !self.table.raise_floor(rank, floor) || rank == self.config.me {
            return;
        }
        let known = self.table.get(rank);
        let Some(record) = known.filter(|record| !record.is_never_seen() && record.inc <= floor)
        else {
            return;
        };
        self.timers.cancel(Timer::Suspicion(rank));
        self.timers.cancel(Timer::Forget(rank));
        let (role, address) = match self.config.seed_of(rank) {
            Some(seed) => (seed.role, seed.address.clone()),
            None => (record.role, record.address.clone()),
        };
        let is_seed = self.config.seed_of(rank).is_some();
        let Some(link) = self.links.get_mut(&rank) else {
            return;
        };
        link.others_reach = false;
        let is_open = link.is_open();
        self.stop_asking(rank);
        if !is_open && !is_seed {
            return self.remove_member(rank, out);
        }
        // A seed is dialed again; who is linked stays as long as its link, and may take a new life meanwhile.
        self.peers_changed = true;
        self.table.put(Record::never_seen(rank, role, address));
        self.settle(rank, out);
        if is_open {
            self.exchange_with(rank, out);
        }
    }

    pub(crate) fn remove_member(&mut self, rank: Rank, out: &mut Vec<Output>) {
        let Some(record) = self.table.get(rank) else {
            return;
        };
        let status = record.status;
        self.table.remove(rank);
        self.links.remove(&rank);
        self.ring.remove(rank);
        self.watches.remove(rank);
        self.stop_asking(rank);
        self.timers.cancel(Timer::CaughtUp(rank));
        self.peers_changed = true;
        self.told(rank, status, Reach::Unknown, out);
    }
}
