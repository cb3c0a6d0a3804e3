//! How a member is forgotten: after a while, at its goodbye, or by the operator.

use radix_core::id::Rank;

use crate::record::Status;

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
}
