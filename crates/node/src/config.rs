//! What a node is told before it starts. Defaults are for a rack; the daemon fills this from its file.

use std::time::Duration;

use radix_core::id::{Incarnation, Rank};
use topology::Role;
use topology::ring_round::RoundConfig;

/// What must be known of the cluster. Equal on every node, except who it is.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Who this node is, who else is configured or known from an introduction, and the periods of the ring.
    pub topology: topology::Config,
    /// The periods of the ring check.
    pub check: RoundConfig,
    /// How long a start waits for a Ready peer before the lowest reachable rank begins alone. Default 3 s.
    pub cold_start: Duration,
    /// Bounds and periods of the logs.
    pub log: oplog::Config,
    /// Bounds of the tree.
    pub index: radix_core::IndexConfig,
}

impl NodeConfig {
    /// Returns the defaults for `me` among `members`.
    #[must_use]
    pub fn new(me: Rank, members: Vec<(Rank, Role)>) -> Self {
        NodeConfig {
            topology: topology::Config::new(me, members),
            check: RoundConfig::default(),
            cold_start: Duration::from_secs(3),
            log: oplog::Config::default(),
            index: radix_core::IndexConfig::default(),
        }
    }
}

/// What is new with every start.
#[derive(Clone, Copy, Debug)]
pub struct Boot {
    /// Greater than every incarnation this rank ever used, as far as the host knows.
    pub inc: Incarnation,
    /// Seed of all jitter and random choices.
    pub seed: u64,
}
