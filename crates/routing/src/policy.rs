//! The policy: its settings, and the hash rings of the present membership.

use std::cell::LazyCell;

use radix_core::id::Rank;

use crate::candidate::{Candidate, Query, Role};
use crate::config::{Config, ConfigError};
use crate::decision::Decision;
use crate::explanation::Explanation;
use crate::hash_ring::HashRing;
use crate::limits;
use crate::selection::Selection;

/// Decides where requests go.
///
/// Deciding does not change it: a decision can be explained afterwards from the same facts.
#[derive(Clone, Debug)]
pub struct Policy {
    config: Config,
    prefill: HashRing,
    decode: HashRing,
}

impl Policy {
    /// Builds a policy that knows no members yet.
    ///
    /// Errors: [`ConfigError`]; nothing was built.
    pub fn new(config: Config) -> Result<Policy, ConfigError> {
        config.check()?;
        Ok(Policy {
            config,
            prefill: HashRing::default(),
            decode: HashRing::default(),
        })
    }

    /// Takes over who the candidates are; returns whether that changed a hash ring.
    ///
    /// Call it when members or roles change, with everybody configured. Who is only not routable for
    /// now stays on the ring and is passed over, so a short absence moves that node's share only.
    /// A candidate that was never handed in here can still win by its prefix, but by hash only where
    /// nobody on the ring is routable.
    ///
    /// Cost: O(n log n) for n candidates; a changed ring O(p log p), p = n * virtual nodes.
    pub fn update(&mut self, candidates: &[Candidate]) -> bool {
        let Policy {
            config,
            prefill,
            decode,
        } = self;
        let mut changed = false;
        for (role, ring) in [(Role::Prefill, prefill), (Role::Decode, decode)] {
            let mut ranks: Vec<Rank> = candidates
                .iter()
                .filter(|candidate| candidate.role == role)
                .map(|candidate| candidate.rank)
                .collect();
            ranks.sort_unstable();
            ranks.dedup();
            ranks.truncate(limits::CANDIDATES_MAX);
            if ring.ranks() != ranks {
                *ring = HashRing::new(config.seed, config.virtual_nodes, ranks);
                changed = true;
            }
        }
        changed
    }

    /// Chooses a prefill and a decode node, each from the candidates of its role.
    ///
    /// `request_number` counts this router's requests from 0; the first ones warm the tree up. The
    /// order of the candidates does not matter, but rank order is fastest.
    ///
    /// Cost: O(candidates), and 8 bytes hashed for each page that is shared if a hash decides; no
    /// allocation (round robin: one).
    #[must_use]
    pub fn decide(
        &self,
        request_number: u64,
        query: &Query<'_>,
        candidates: &[Candidate],
    ) -> Decision {
        let key = LazyCell::new(|| Selection::key(&self.config, request_number, query));
        let choose = |role| {
            self.selection(role, request_number, query, candidates)
                .choose(|| *key)
        };
        Decision {
            prefill: choose(Role::Prefill),
            decode: choose(Role::Decode),
        }
    }

    /// Tells at length what [`Policy::decide`] decides on the same facts, and why.
    ///
    /// Cost: O(candidates squared) at worst, with allocation: for people, not for every request.
    #[must_use]
    pub fn explain(
        &self,
        request_number: u64,
        query: &Query<'_>,
        candidates: &[Candidate],
    ) -> Explanation {
        let [prefill, decode] =
            Role::ALL.map(|role| self.selection(role, request_number, query, candidates));
        Explanation::new(prefill, decode)
    }

    /// Returns the settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the hash ring of one role.
    #[must_use]
    pub fn ring(&self, role: Role) -> &HashRing {
        match role {
            Role::Prefill => &self.prefill,
            Role::Decode => &self.decode,
        }
    }

    fn selection<'a>(
        &'a self,
        role: Role,
        request_number: u64,
        query: &'a Query<'a>,
        candidates: &'a [Candidate],
    ) -> Selection<'a> {
        let ring = self.ring(role);
        Selection {
            config: &self.config,
            ring,
            role,
            request_number,
            query,
            candidates,
        }
    }
}
