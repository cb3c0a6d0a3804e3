//! How a node came to its end.

use std::fmt;

/// Why a node runs no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop. Its peers take it for down.
    Stopped,
    /// It left the mesh: it said goodbye, and is forgotten.
    Left,
    /// Another process lives in its rank, and nobody links with this one any more.
    RankTaken {
        /// What the peers said.
        why: String,
    },
    /// Its thread broke off.
    Failed,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Stopped => f.write_str("it was told to stop"),
            Ended::Left => f.write_str("it left the mesh"),
            Ended::RankTaken { why } => write!(f, "another process has its rank: {why}"),
            Ended::Failed => f.write_str("its thread broke off"),
        }
    }
}
