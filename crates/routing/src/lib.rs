//! Which prefill node and which decode node a request goes to, and why.
//!
//! Pure: the same policy and the same facts give the same decision, byte for byte. No HTTP, no
//! tokens, no tree, no load: the caller brings the candidates with their matched pages.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod candidate;
mod config;
mod decision;
mod explanation;
mod hash_ring;
mod key;
pub mod limits;
mod policy;
mod selection;

pub use candidate::{Candidate, Query, Role};
pub use config::{Config, ConfigError, PolicyKind};
pub use decision::{Choice, Decision, Reason};
pub use explanation::{CandidateExplanation, Explanation, Outcome, RoleExplanation};
pub use hash_ring::HashRing;
pub use policy::Policy;
