//! What the operator decides about routing.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits;

/// How a node is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyKind {
    /// Who holds most of the prefix; consistent hashing where nobody holds enough.
    #[default]
    Prefix,
    /// Anybody: a baseline.
    Random,
    /// Everybody in turn: a baseline.
    RoundRobin,
}

impl PolicyKind {
    /// Returns the name used in configuration: `prefix`, `random` or `round_robin`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            PolicyKind::Prefix => "prefix",
            PolicyKind::Random => "random",
            PolicyKind::RoundRobin => "round_robin",
        }
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Settings of a [`Policy`](crate::Policy). Routers of one cluster use the same, seed included,
/// so that equal new prompts meet at one node whichever router they come through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How a node is chosen. Default: `prefix`.
    pub kind: PolicyKind,
    /// Requests, counted from 0, that are spread at random so that a cold tree is not filled at one
    /// node. Default 32; 0 begins with prefixes at once.
    pub warmup_requests: u64,
    /// Fewest matched pages that count. At least 1; default 1.
    pub match_pages_min: u32,
    /// Smallest matched part of the query that counts, in thousandths. 0 ..= 1000; default 50 (5 %).
    ///
    /// It keeps one shared token or greeting from pinning a long request to whoever saw it first.
    pub match_permille_min: u16,
    /// Points of each node on the hash ring. 1 ..= 1024; default 64. More is fairer and slower to build.
    pub virtual_nodes: u16,
    /// Seed of every hash here. Default 0.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            kind: PolicyKind::Prefix,
            warmup_requests: limits::WARMUP_REQUESTS,
            match_pages_min: limits::MATCH_PAGES_MIN,
            match_permille_min: limits::MATCH_PERMILLE_MIN,
            virtual_nodes: limits::VIRTUAL_NODES,
            seed: 0,
        }
    }
}

impl Config {
    /// Checks the ranges. Errors: the first [`ConfigError`] found; state: there is none yet.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.match_pages_min == 0 {
            return Err(ConfigError::ZeroMatchPages);
        }
        if self.match_permille_min > 1000 {
            return Err(ConfigError::MatchPermille {
                permille: self.match_permille_min,
            });
        }
        if self.virtual_nodes == 0 || self.virtual_nodes > limits::VIRTUAL_NODES_MAX {
            let max = limits::VIRTUAL_NODES_MAX;
            return Err(ConfigError::VirtualNodes {
                virtual_nodes: self.virtual_nodes,
                max,
            });
        }
        Ok(())
    }

    /// Returns the fewest pages that count as a match for a query of that many pages; at least 1.
    #[must_use]
    pub fn match_min(&self, pages: usize) -> u32 {
        let pages = u64::try_from(pages).unwrap_or(u64::MAX);
        let part = pages
            .saturating_mul(u64::from(self.match_permille_min))
            .div_ceil(1000);
        self.match_pages_min
            .max(u32::try_from(part).unwrap_or(u32::MAX))
    }
}

/// Why no policy can be built from a [`Config`].
///
/// State: nothing was built. Caller: correct the setting that the message names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A match of no pages would count.
    ///
    /// State: nothing was built. Caller: at least 1.
    #[error("match_pages_min is 0: a match of nothing would pin requests; at least 1")]
    ZeroMatchPages,
    /// More than the whole query would have to match.
    ///
    /// State: nothing was built. Caller: 0 ..= 1000 thousandths.
    #[error("match_permille_min is {permille}, at most 1000 thousandths can match")]
    MatchPermille {
        /// The value configured.
        permille: u16,
    },
    /// A hash ring without points, or with too many.
    ///
    /// State: nothing was built. Caller: 1 ..= [`limits::VIRTUAL_NODES_MAX`](crate::limits::VIRTUAL_NODES_MAX).
    #[error("virtual_nodes is {virtual_nodes}, not within 1 ..= {max}")]
    VirtualNodes {
        /// The value configured.
        virtual_nodes: u16,
        /// The limit.
        max: u16,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_broken_setting_is_named() {
        let check = |config: Config, expect| assert_eq!(config.check(), expect);
        check(Config::default(), Ok(()));
        check(
            Config {
                match_pages_min: 0,
                ..Config::default()
            },
            Err(ConfigError::ZeroMatchPages),
        );
        check(
            Config {
                match_permille_min: 1001,
                ..Config::default()
            },
            Err(ConfigError::MatchPermille { permille: 1001 }),
        );
        for virtual_nodes in [0, 1025] {
            check(
                Config {
                    virtual_nodes,
                    ..Config::default()
                },
                Err(ConfigError::VirtualNodes {
                    virtual_nodes,
                    max: 1024,
                }),
            );
        }
    }

    #[test]
    fn the_minimum_is_the_larger_of_pages_and_part_rounded_up() {
        let check = |pages_min, permille, pages, expect| {
            let config = Config {
                match_pages_min: pages_min,
                match_permille_min: permille,
                ..Config::default()
            };
            assert_eq!(config.match_min(pages), expect);
        };
        check(1, 50, 0, 1);
        check(1, 50, 20, 1);
        check(1, 50, 21, 2);
        check(1, 50, 4096, 205);
        check(8, 50, 20, 8);
        check(1, 0, 4096, 1);
        check(1, 1000, 7, 7);
    }
}
