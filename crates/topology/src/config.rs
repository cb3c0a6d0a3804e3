//! What the operator decides about the ring, and the check that it can work.

use std::collections::BTreeSet;
use std::time::Duration;

use radix_core::id::Rank;

use crate::limits;
use crate::record::{Record, Role};

/// A member that the operator configured: it is dialed until it is found, and again after it is forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// Its place in the ring.
    pub rank: Rank,
    /// What it does.
    pub role: Role,
    /// Where it is dialed; at most [`limits::ADDRESS_BYTES_MAX`] bytes. May be empty where nobody dials by it.
    pub address: String,
}

/// Arms of the broadcast tree. Nodes need not agree on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fanout {
    /// 1 up to 16 members that take part, 4 above; follows the members as they come and go.
    Auto,
    /// Always this: 1 is the plain ring, `k >= 2` the k-ary finger tree. Range 1 ..= 65535.
    Fixed(u16),
}

impl Fanout {
    /// Returns the arms for a ring in which that many members take part.
    #[must_use]
    pub const fn arms(self, members: usize) -> u16 {
        match self {
            Fanout::Fixed(arms) => arms,
            Fanout::Auto if members <= limits::RING_MEMBERS_MAX => 1,
            Fanout::Auto => limits::FINGER_FANOUT,
        }
    }
}

/// Settings of a [`Topology`](crate::Topology).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This node's rank; one of `seeds`.
    pub me: Rank,
    /// The configured members, this node included, in any order. A joiner needs to name only itself.
    pub seeds: Vec<Seed>,
    /// What is known of members beforehand: what a joiner's introduction was answered with. Records of
    /// this node itself are skipped.
    pub table: Vec<Record>,
    /// Arms of the broadcast tree. Default [`Fanout::Auto`].
    pub fanout: Fanout,
    /// Time between two heartbeats. Above 0; default 1 s.
    ///
    /// Shorter finds a hung member sooner; too short takes a busy host for a hung one.
    pub heartbeat: Duration,
    /// Heartbeats that may be missing before others are asked about a member. At least 1; default 3.
    pub misses: u16,
    /// Mean time between two version-vector exchanges. Above 0; default 500 ms.
    pub exchange: Duration,
    /// Spread of `exchange` to either side, so that nodes do not march in step. Below `exchange`; default 100 ms.
    pub jitter: Duration,
    /// How long a member is down before it is forgotten for good. Above 0; default 10 min.
    ///
    /// A partition that lasts longer costs each node of the other side a new incarnation.
    pub forget_after: Duration,
    /// Seed of random choices and of the jitter. Give every node another one.
    pub seed: u64,
}

impl Config {
    /// Returns the defaults for node `me` among seeds without addresses; the rank serves as random seed.
    #[must_use]
    pub fn new(me: Rank, members: Vec<(Rank, Role)>) -> Config {
        let seed = |(rank, role)| Seed {
            rank,
            role,
            address: String::new(),
        };
        Config::with_seeds(me, members.into_iter().map(seed).collect())
    }

    /// Returns the defaults for node `me` among `seeds`; the rank serves as random seed.
    #[must_use]
    pub fn with_seeds(me: Rank, seeds: Vec<Seed>) -> Config {
        Config {
            me,
            seeds,
            table: Vec::new(),
            fanout: Fanout::Auto,
            heartbeat: limits::HEARTBEAT,
            misses: limits::MISSES,
            exchange: limits::EXCHANGE,
            jitter: limits::JITTER,
            forget_after: limits::FORGET_AFTER,
            seed: u64::from(me.0),
        }
    }

    /// Returns the seed of a rank, when it has one.
    #[must_use]
    pub fn seed_of(&self, rank: Rank) -> Option<&Seed> {
        self.seeds.iter().find(|seed| seed.rank == rank)
    }

    /// Checks that a ring can be built from these settings.
    ///
    /// Errors: the first [`ConfigError`] found; state: there is none yet.
    // spec: TOPO-2
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut seen = BTreeSet::new();
        for seed in &self.seeds {
            if !seen.insert(seed.rank) {
                return Err(ConfigError::DuplicateRank { rank: seed.rank });
            }
            check_address(seed.rank, &seed.address)?;
        }
        if !seen.contains(&self.me) {
            return Err(ConfigError::NotAMember { me: self.me });
        }
        for record in &self.table {
            check_address(record.rank, &record.address)?;
            seen.insert(record.rank);
        }
        if seen.len() > limits::MEMBERS_MAX {
            return Err(ConfigError::TooManyMembers {
                count: seen.len(),
                max: limits::MEMBERS_MAX,
            });
        }
        if self.fanout == Fanout::Fixed(0) {
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
        if self.forget_after.is_zero() {
            return Err(ConfigError::ZeroForgetAfter);
        }
        Ok(())
    }
}

fn check_address(rank: Rank, address: &str) -> Result<(), ConfigError> {
    if address.len() > limits::ADDRESS_BYTES_MAX {
        return Err(ConfigError::AddressTooLong {
            rank,
            len: address.len(),
            max: limits::ADDRESS_BYTES_MAX,
        });
    }
    Ok(())
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
    /// Members would be forgotten the moment they are down.
    ///
    /// State: nothing was built. Caller: set a time above zero.
    #[error("members would be forgotten after 0 s")]
    ZeroForgetAfter,
    /// An address is too long.
    ///
    /// State: nothing was built. Caller: a shorter name.
    #[error("the address of rank {rank} has {len} bytes, at most {max} are accepted")]
    AddressTooLong {
        /// Whose.
        rank: Rank,
        /// Length given, in bytes.
        len: usize,
        /// [`limits::ADDRESS_BYTES_MAX`](crate::limits::ADDRESS_BYTES_MAX).
        max: usize,
    },
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
        assert_eq!(Fanout::Auto.arms(16), 1);
        assert_eq!(Fanout::Auto.arms(17), 4);
        assert_eq!(Fanout::Fixed(2).arms(17), 2);
    }

    #[test]
    fn each_broken_setting_is_named() {
        fn check(breaks: impl FnOnce(&mut Config), expect: &ConfigError) {
            let mut config = valid();
            breaks(&mut config);
            assert_eq!(config.check().as_ref(), Err(expect));
        }
        check(
            |c| c.seeds.push(c.seeds[1].clone()),
            &ConfigError::DuplicateRank { rank: Rank(2) },
        );
        check(|c| c.me = Rank(9), &ConfigError::NotAMember { me: Rank(9) });
        check(|c| c.fanout = Fanout::Fixed(0), &ConfigError::ZeroFanout);
        check(
            |c| c.heartbeat = Duration::ZERO,
            &ConfigError::ZeroHeartbeat,
        );
        check(|c| c.misses = 0, &ConfigError::ZeroMisses);
        check(|c| c.exchange = Duration::ZERO, &ConfigError::ZeroExchange);
        check(
            |c| c.forget_after = Duration::ZERO,
            &ConfigError::ZeroForgetAfter,
        );
        check(
            |c| c.seeds[1].address = "a".repeat(256),
            &ConfigError::AddressTooLong {
                rank: Rank(2),
                len: 256,
                max: 255,
            },
        );
        check(
            |c| c.jitter = c.exchange,
            &ConfigError::JitterTooWide {
                jitter: limits::EXCHANGE,
                exchange: limits::EXCHANGE,
            },
        );
        check(
            |c| {
                let all = (0..=4096).map(|rank| (Rank(rank), Role::Decode));
                c.seeds = Config::new(c.me, all.collect()).seeds;
            },
            &ConfigError::TooManyMembers {
                count: 4097,
                max: 4096,
            },
        );
    }
}
