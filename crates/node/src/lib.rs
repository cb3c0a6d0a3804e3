//! A whole RadixMesh node as one deterministic state machine.
//!
//! ```text
//!   Input ──> Node::handle(now, input, &mut effects) ──> Effects
//!               ├── topology   who is there, who relays what
//!               ├── oplog      logs, gaps, pulls, snapshots
//!               └── radix-core the tree that the logs fold into
//! ```
//!
//! Nothing here opens a socket, reads a clock or draws a random number that was not seeded by the
//! caller. Two drivers run the same object: the simulator in virtual time and the tokio driver of
//! the crate `radixmesh`. [`wire`] holds every byte that leaves a node.

#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod check;
pub mod config;
pub mod effect;
pub mod input;
mod lag;
mod leave;
mod membership;
mod node;
mod publish;
mod readiness;
pub mod status;
pub mod wire;

pub use check::{CheckReport, DEGRADED_MAX, LAGGING_MAX, Said};
pub use config::{Boot, NodeConfig};
pub use effect::{Effect, Effects, Event, Lane};
pub use input::{Input, Publish, PublishError, Receipt, StoredRun};
pub use lag::{Behind, Lag};
pub use node::Node;
pub use publish::check_path;
pub use status::{CheckStatus, Counters, MemberStatus, MemberView, NotReady, NotRoutable, Status};
