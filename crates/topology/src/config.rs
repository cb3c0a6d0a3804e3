//! What the operator decides about the ring, and the check that it can work.

use std::collections::BTreeSet;
use std::time::Duration;

use radix_core::id::Rank;

use crate::limits;
use crate::member::Role;

/// Settings of a [`Topology`](crate::Topology).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This node's rank; one of `members`.
    pub me: Rank,
    /// Every configured rank with its role, in any order. All are equal members of the ring.
    pub members: Vec<(Rank, Role)>,
    /// Arms of the broadcast tree: 1 is the plain ring, `k >= 2` the k-ary finger tree.
    ///
    /// Range 1 ..= 65535. Default: 1 up to 16 members, 4 above. Nodes need not agree on it.
    pub fanout: u16,
    /// Time between two heartbeats to the successor. Above 0; default 1 s.
    ///
    /// Shorter finds a hung neighbour sooner; too short takes a busy host for a hung one.
    pub heartbeat: Duration,
    /// Heartbeats that may be missing before a neighbour is asked directly. At least 1; default 3.
    pub misses: u16,
    /// Mean time between two version-vector exchanges. Above 0; default 500 ms.
    pub exchange: Duration,
    /// Spread of `exchange` to either side, so that nodes do not march in step. Below `exchange`; default 100 ms.
    pub jitter: Duration,
    /// Seed of the choice of exchange partners and of the jitter. Give every node another one.
    pub seed: u64,
}

impl Config {
    /// Returns the defaults for node `me` among `members`; the rank serves as seed.
    #[must_use]
    pub fn new(me: Rank, members: Vec<(Rank, Role)>) -> Config {
        Config {
            fanout: Config::fanout_for(members.len()),
            me,
            members,
            heartbeat: limits::HEARTBEAT,
            misses: limits::MISSES,
            exchange: limits::EXCHANGE,
            jitter: limits::JITTER,
            seed: u64::from(me.0),
        }
    }

    /// Returns the default fan-out of a cluster of that many members.
    #[must_use]
    pub const fn fanout_for(members: usize) -> u16 {
        if members <= limits::RING_MEMBERS_MAX {
            1
        } else {
            limits::FINGER_FANOUT
        }
    }

    /// Checks that a ring can be built from these settings.
    ///
    /// Errors: the first [`ConfigError`] found; state: there is none yet.
    // spec: TOPO-2
    pub fn check(&self) -> Result<(), ConfigError> {
        let count = self.members.len();
        if count > limits::MEMBERS_MAX {
            return Err(ConfigError::TooManyMembers {
                count,
                max: limits::MEMBERS_MAX,
            });
        }
        let mut seen = BTreeSet::new();
        for &(rank, _) in &self.members {
            if !seen.insert(rank) {
                return Err(ConfigError::DuplicateRank { rank });
            }
        }
        if !seen.contains(&self.me) {
            return Err(ConfigError::NotAMember { me: self.me });
        }
        if self.fanout == 0 {
            return Err(ConfigError::ZeroFanout);
        }
        if self.heartbeat.is_zero() {
            return Err(ConfigError::ZeroHeartbeat);
        }
        if self.misses == 0 {
            return Err(ConfigError::ZeroMisses);
        }
        if self.exchange.is_zero() {
            return Err(ConfigError::ZeroExchange);
        }
        if self.jitter >= self.exchange {
            return Err(ConfigError::JitterTooWide {
                jitter: self.jitter,
                exchange: self.exchange,
            });
        }
        Ok(())
    }
}

/// Why no ring can be built from a [`Config`].
///
/// State: nothing was built. Caller: correct the setting that the message names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Two members claim one rank.
    ///
    /// State: nothing was built. Caller: give each node a rank of its own.
    #[error("rank {rank} is given to two members")]
    DuplicateRank {
        /// The rank given twice.
        rank: Rank,
    },
    /// This node is missing in the member list.
    ///
    /// State: nothing was built. Caller: add it; a ring without its own node cannot delegate arcs.
    #[error("this node's rank {me} is not among the members")]
    NotAMember {
        /// The rank looked for.
        me: Rank,
    },
    /// More members than one flat ring carries.
    ///
    /// State: nothing was built. Caller: split the cluster.
    #[error("{count} members, at most {max} fit into one ring")]
    TooManyMembers {
        /// Members configured.
        count: usize,
        /// [`limits::MEMBERS_MAX`](crate::limits::MEMBERS_MAX).
        max: usize,
    },
    /// A broadcast without arms reaches nobody.
    ///
    /// State: nothing was built. Caller: 1 for a ring, 2 or more for a tree.
    #[error("fan-out 0 reaches nobody; 1 is the ring")]
    ZeroFanout,
    /// No time between heartbeats.
    ///
    /// State: nothing was built. Caller: set a time above zero.
    #[error("the heartbeat interval is 0")]
    ZeroHeartbeat,
    /// No missing heartbeat is tolerated.
    ///
    /// State: nothing was built. Caller: at least 1.
    #[error("0 missing heartbeats are tolerated; at least 1 is needed")]
    ZeroMisses,
    /// No time between exchanges.
    ///
    /// State: nothing was built. Caller: set a time above zero.
    #[error("the exchange interval is 0")]
    ZeroExchange,
    /// The jitter would make the exchange interval zero or negative.
    ///
    /// State: nothing was built. Caller: less jitter, or a longer interval.
    #[error("jitter {jitter:?} is not below the exchange interval {exchange:?}")]
    JitterTooWide {
        /// Jitter configured.
        jitter: Duration,
        /// Interval configured.
        exchange: Duration,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> Config {
        Config::new(
            Rank(1),
            vec![(Rank(1), Role::Prefill), (Rank(2), Role::Router)],
        )
    }

    #[test]
    fn defaults_are_valid() {
        assert_eq!(valid().check(), Ok(()));
    }

    #[test]
    fn small_clusters_default_to_the_ring_and_large_ones_to_fingers() {
        assert_eq!(Config::fanout_for(16), 1);
        assert_eq!(Config::fanout_for(17), 4);
    }

    #[test]
    fn each_broken_setting_is_named() {
        fn check(breaks: impl FnOnce(&mut Config), expect: &ConfigError) {
            let mut config = valid();
            breaks(&mut config);
            assert_eq!(config.check().as_ref(), Err(expect));
        }
        check(
            |c| c.members.push((Rank(2), Role::Decode)),
            &ConfigError::DuplicateRank { rank: Rank(2) },
        );
        check(|c| c.me = Rank(9), &ConfigError::NotAMember { me: Rank(9) });
        check(|c| c.fanout = 0, &ConfigError::ZeroFanout);
        check(
            |c| c.heartbeat = Duration::ZERO,
            &ConfigError::ZeroHeartbeat,
        );
        check(|c| c.misses = 0, &ConfigError::ZeroMisses);
        check(|c| c.exchange = Duration::ZERO, &ConfigError::ZeroExchange);
        check(
            |c| c.jitter = c.exchange,
            &ConfigError::JitterTooWide {
                jitter: limits::EXCHANGE,
                exchange: limits::EXCHANGE,
            },
        );
        check(
            |c| c.members = (0..=4096).map(|rank| (Rank(rank), Role::Decode)).collect(),
            &ConfigError::TooManyMembers {
                count: 4097,
                max: 4096,
            },
        );
    }
}
