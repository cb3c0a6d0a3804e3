//! Whether a node may join through this one.

use radix_core::id::Rank;

use crate::record::Role;

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
