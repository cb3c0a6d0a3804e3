//! What was decided: small, without allocation. The long answer is an `Explanation`.

use std::fmt;

use radix_core::id::Rank;
use serde::Serialize;

use crate::candidate::Role;

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Who computes the prompt; none when no prefill candidate is routable.
    pub prefill: Option<Choice>,
    /// Who generates the answer; none when no decode candidate is routable.
    pub decode: Option<Choice>,
}

impl Decision {
    /// Returns the choice for one role.
    #[must_use]
    pub fn of(&self, role: Role) -> Option<Choice> {
        match role {
            Role::Prefill => self.prefill,
            Role::Decode => self.decode,
        }
    }
}

/// One chosen node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// The node.
    pub rank: Rank,
    /// Leading pages of the query that it holds, whatever the reason for the choice.
    pub matched: u32,
    /// Why it was chosen.
    pub reason: Reason,
}

/// Why a node was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Spread at random, because the tree is still cold.
    WarmUp,
    /// It holds most pages; of several that do, it is first in hash order.
    Prefix,
    /// Consistent hash: the longest match of this role was below the minimum.
    BelowMinimum,
    /// Consistent hash: nobody of this role holds the first page.
    NoHolder,
    /// Hash of the request: it has no whole page to go by.
    NoPages,
    /// The policy is `random`.
    Random,
    /// The policy is `round_robin`.
    RoundRobin,
}

impl Reason {
    /// All reasons, for counters; indexed by `reason as usize`.
    pub const ALL: [Reason; 7] = [
        Reason::WarmUp,
        Reason::Prefix,
        Reason::BelowMinimum,
        Reason::NoHolder,
        Reason::NoPages,
        Reason::Random,
        Reason::RoundRobin,
    ];

    /// Returns the name used in metrics, such as `below_minimum`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::WarmUp => "warm_up",
            Reason::Prefix => "prefix",
            Reason::BelowMinimum => "below_minimum",
            Reason::NoHolder => "no_holder",
            Reason::NoPages => "no_pages",
            Reason::Random => "random",
            Reason::RoundRobin => "round_robin",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_listed_in_their_numerical_order() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }
}
