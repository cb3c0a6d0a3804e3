//! Whether a node may join through this one.

use radix_core::id::{Incarnation, Rank};
use radix_core::time::Timestamp;

use crate::limits;
use crate::output::Output;
use crate::record::{Record, Role, Status};
use crate::topology::Topology;

/// Why a node may not join.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntroduceError {
    /// A living member at another address has this rank.
    ///
    /// State: unchanged. Caller: stop the other one, or take another rank; try again when the other may be dead but is not found so yet.
    #[error("rank {rank} is taken by a living member at {address:?}")]
    RankTaken {
        /// The rank claimed.
        rank: Rank,
        /// Where its holder is.
        address: String,
    },
    /// The rank is that of the node asked.
    ///
    /// State: unchanged. Caller: take another rank.
    #[error("rank {rank} is the rank of the node that was asked")]
    OwnRank {
        /// The rank claimed.
        rank: Rank,
    },
    /// The operator configured another role for this rank.
    ///
    /// State: unchanged. Caller: correct the role, or the configuration of the cluster.
    #[error("rank {rank} is configured as {configured}, not as {claimed}")]
    RoleDiffers {
        /// The rank claimed.
        rank: Rank,
        /// The role configured at the node asked.
        configured: Role,
        /// The role claimed.
        claimed: Role,
    },
    /// The ring is full.
    ///
    /// State: unchanged. Caller: forget members that are gone, or split the cluster.
    #[error("the ring has {max} members and takes no more")]
    TooManyMembers {
        /// [`limits::MEMBERS_MAX`](crate::limits::MEMBERS_MAX).
        max: usize,
    },
    /// No address was given.
    ///
    /// State: unchanged. Caller: say where the node is dialed.
    #[error("the address is empty")]
    NoAddress,
    /// The address is too long.
    ///
    /// State: unchanged. Caller: a shorter name.
    #[error("the address has {len} bytes, at most {max} are accepted")]
    AddressTooLong {
        /// Length given, in bytes.
        len: usize,
        /// [`limits::ADDRESS_BYTES_MAX`](crate::limits::ADDRESS_BYTES_MAX).
        max: usize,
    },
    /// This node is leaving.
    ///
    /// State: unchanged. Caller: ask another member.
    #[error("the node that was asked is leaving")]
    Leaving,
}

impl Topology {
    /// Takes a joiner in, or says why not.
    // spec: TOPO-33
    pub(crate) fn introduce(
        &mut self,
        now: Timestamp,
        rank: Rank,
        role: Role,
        address: String,
        inc: Incarnation,
        out: &mut Vec<Output>,
    ) {
        if let Err(error) = self.check_introduction(now, rank, role, &address) {
            return out.push(Output::Introduced(Err(error)));
        }
        let known = self.table.get(rank).map(|record| record.inc);
        let used = known.unwrap_or_default().max(self.table.floor(rank));
        let record = Record {
            rank,
            role,
            address,
            inc: inc.max(Incarnation(used.0.saturating_add(1))),
            counter: 0,
            status: Status::Alive,
        };
        self.learn(now, None, &record, out);
        let records = self.records().cloned().collect();
        out.push(Output::Introduced(Ok(records)));
    }

    fn check_introduction(
        &self,
        now: Timestamp,
        rank: Rank,
        role: Role,
        address: &str,
    ) -> Result<(), IntroduceError> {
        if rank == self.config.me {
            return Err(IntroduceError::OwnRank { rank });
        }
        if address.is_empty() {
            return Err(IntroduceError::NoAddress);
        }
        let (len, max) = (address.len(), limits::ADDRESS_BYTES_MAX);
        if len > max {
            return Err(IntroduceError::AddressTooLong { len, max });
        }
        if let Some(seed) = self.config.seed_of(rank).filter(|seed| seed.role != role) {
            return Err(IntroduceError::RoleDiffers {
                rank,
                configured: seed.role,
                claimed: role,
            });
        }
        let Some(holder) = self.table.get(rank) else {
            if self.table.is_full() {
                let max = limits::MEMBERS_MAX;
                return Err(IntroduceError::TooManyMembers { max });
            }
            return Ok(());
        };
        let lives = match holder.status {
            Status::Alive => true,
            // Somebody suspects it, but this node hears it.
            Status::Suspect => self.heard_lately(now, rank),
            Status::Down | Status::Left => false,
        };
        if lives && holder.address != address {
            let address = holder.address.clone();
            return Err(IntroduceError::RankTaken { rank, address });
        }
        Ok(())
    }

    fn heard_lately(&self, now: Timestamp, rank: Rank) -> bool {
        let heard = self.links.get(&rank).and_then(|link| link.last_heard);
        let lately = self
            .config
            .heartbeat
            .saturating_mul(limits::RECOVERY_HEARTBEATS);
        heard.is_some_and(|heard| now.since(heard) <= lately)
    }
}
