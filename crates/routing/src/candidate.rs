//! The facts a decision rests on: who could serve, and what is asked for.

use std::fmt;

use radix_core::id::{Namespace, Rank};
use radix_core::page::Fingerprint;
use serde::Serialize;

/// What a candidate would do for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Compute the prompt.
    Prefill,
    /// Generate the answer.
    Decode,
}

impl Role {
    /// Both roles, in the order of their choice.
    pub const ALL: [Role; 2] = [Role::Prefill, Role::Decode];

    /// Returns the lower-case name: `prefill` or `decode`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Prefill => "prefill",
            Role::Decode => "decode",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A node that could serve, and how much of the query it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name. One entry for each rank and role; of several, the one that holds most counts.
    pub rank: Rank,
    /// What it would do.
    pub role: Role,
    /// Whether it may be chosen: up, ready, not draining.
    pub routable: bool,
    /// Leading pages it holds on any tier without a hole, best of its sources.
    pub matched: u32,
    /// Leading pages it holds in accelerator memory. Reported, not decided on: pages come back to the
    /// accelerator where requests go, and sending everybody to where they are would pile up.
    pub matched_device: u32,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The root of its pages.
    pub namespace: Namespace,
    /// Fingerprints of its whole pages, from the root; empty when the prompt is shorter than a page.
    pub pages: &'a [Fingerprint],
    /// Leading pages that at least one holder has without a hole, in pages.
    pub deepest: u32,
}
