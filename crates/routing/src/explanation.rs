//! A decision at length: for the admin port, for logs, for a person who asks why.

use std::fmt;

use radix_core::id::{Namespace, Rank};
use serde::Serialize;

use crate::candidate::Role;
use crate::config::PolicyKind;
use crate::decision::{Choice, Decision, Reason};
use crate::selection::Selection;

/// Why a request goes where it goes. Its `Display` is text for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Number of the request, counted by its router from 0.
    pub request_number: u64,
    /// The root of the query.
    pub namespace: Namespace,
    /// Whole pages of the query.
    pub pages: usize,
    /// Leading pages that somebody holds.
    pub deepest: u32,
    /// How nodes are chosen.
    pub kind: PolicyKind,
    /// The query's place on the hash ring.
    pub key: u64,
    /// Fewest matched pages that count.
    pub match_min: u32,
    /// The choice of who computes the prompt.
    pub prefill: RoleExplanation,
    /// The choice of who generates the answer.
    pub decode: RoleExplanation,
}

/// Why one role's node was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoleExplanation {
    /// What came of it.
    pub outcome: Outcome,
    /// Every candidate, in hash order.
    pub candidates: Vec<CandidateExplanation>,
}

/// What came of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A node was chosen.
    Chosen(Choice),
    /// There is no candidate of the role.
    NoCandidates,
    /// There are candidates, none of them routable.
    NoneRoutable,
}

/// What spoke for and against one candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CandidateExplanation {
    /// The node.
    pub rank: Rank,
    /// Whether it may be chosen.
    pub routable: bool,
    /// Leading pages it holds on any tier.
    pub matched: u32,
    /// Leading pages it holds in accelerator memory.
    pub matched_device: u32,
    /// Whether its pages reach the minimum.
    pub passed: bool,
    /// Its place in the order of the hash ring, from 0.
    pub hash_place: usize,
    /// Whether it is the one.
    pub chosen: bool,
}

impl Explanation {
    pub(crate) fn new(prefill: Selection<'_>, decode: Selection<'_>) -> Explanation {
        let Selection {
            config,
            query,
            request_number,
            ..
        } = prefill;
        let key = Selection::key(config, request_number, query);
        Explanation {
            request_number,
            namespace: query.namespace,
            pages: query.pages.len(),
            deepest: query.deepest,
            kind: config.kind,
            key,
            match_min: config.match_min(query.pages.len()),
            prefill: RoleExplanation::new(prefill, key),
            decode: RoleExplanation::new(decode, key),
        }
    }

    /// Returns the decision that is explained: the same as [`Policy::decide`](crate::Policy::decide) gives.
    #[must_use]
    pub fn decision(&self) -> Decision {
        Decision {
            prefill: self.prefill.outcome.choice(),
            decode: self.decode.outcome.choice(),
        }
    }
}

impl RoleExplanation {
    fn new(selection: Selection<'_>, key: u64) -> RoleExplanation {
        let outcome = match selection.choose(|| key) {
            Some(choice) => Outcome::Chosen(choice),
            None if selection.of_role().next().is_none() => Outcome::NoCandidates,
            None => Outcome::NoneRoutable,
        };
        let match_min = selection.config.match_min(selection.query.pages.len());
        let chosen = outcome.choice().map(|choice| choice.rank);
        let order = selection.hash_order(key);
        let mut candidates: Vec<CandidateExplanation> = selection
            .of_role()
            .map(|candidate| CandidateExplanation {
                rank: candidate.rank,
                routable: candidate.routable,
                matched: candidate.matched,
                matched_device: candidate.matched_device,
                passed: candidate.matched >= match_min,
                hash_place: order
                    .iter()
                    .take_while(|&&rank| rank != candidate.rank)
                    .count(),
                chosen: chosen == Some(candidate.rank),
            })
            .collect();
        candidates.sort_by_key(|candidate| candidate.hash_place);
        RoleExplanation {
            outcome,
            candidates,
        }
    }
}

impl Outcome {
    /// Returns the choice, if one was made.
    #[must_use]
    pub fn choice(self) -> Option<Choice> {
        match self {
            Outcome::Chosen(choice) => Some(choice),
            Outcome::NoCandidates | Outcome::NoneRoutable => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Choice {
            rank,
            matched,
            reason,
        } = match self {
            Outcome::Chosen(choice) => *choice,
            Outcome::NoCandidates => return f.write_str("nobody: there is no candidate"),
            Outcome::NoneRoutable => return f.write_str("nobody: no candidate is routable now"),
        };
        let why = match reason {
            Reason::WarmUp => "drawn at random, the tree is warming up",
            Reason::Prefix => "holds most of the prefix",
            Reason::BelowMinimum => "consistent hash, the longest match is below the minimum",
            Reason::NoHolder => "consistent hash, nobody holds the first page",
            Reason::NoPages => "hash of the request, it has no whole page",
            Reason::Random => "drawn at random",
            Reason::RoundRobin => "next in turn",
        };
        write!(f, "rank {rank}, {matched} pages matched: {why}")
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explanation {
            request_number,
            pages,
            deepest,
            kind,
            match_min,
            key,
            ..
        } = self;
        writeln!(
            f,
            "request {request_number}: {pages} pages in namespace {:016x}, {deepest} held by somebody",
            self.namespace.0
        )?;
        writeln!(
            f,
            "policy {kind}: at least {match_min} pages count, hash key {key:016x}"
        )?;
        for (role, explanation) in [(Role::Prefill, &self.prefill), (Role::Decode, &self.decode)] {
            writeln!(f, "{role}: {}", explanation.outcome)?;
            if !explanation.candidates.is_empty() {
                writeln!(f, "  place   rank  matched  on device  state")?;
            }
            for candidate in &explanation.candidates {
                let mark = if candidate.chosen { '*' } else { ' ' };
                let state = match (candidate.routable, candidate.passed) {
                    (false, _) => "not routable",
                    (true, true) => "enough",
                    (true, false) => "below the minimum",
                };
                let CandidateExplanation {
                    hash_place,
                    rank,
                    matched,
                    matched_device,
                    ..
                } = candidate;
                writeln!(
                    f,
                    "{mark} {hash_place:>5}  {:>5}  {matched:>7}  {matched_device:>9}  {state}",
                    rank.0
                )?;
            }
        }
        Ok(())
    }
}
