//! Per-origin single-writer logs, replicated without a master.
//!
//! Every rank writes one log and only that one. A replica applies each log without gaps, in order, once;
//! so its state is a function of its [`VersionVector`] alone, and there is nothing to merge.
//! What is lost on the way is pulled, what is no longer kept as ops is sent as a snapshot, and
//! checkpoints in the logs prove that all replicas hold the same. The rules are in `docs/protocols/oplog.md`.
//!
//! The crate is one deterministic state machine, [`Replica`]: it knows no sockets, no clock and no membership.

#![cfg_attr(doctest, doc = include_str!("../README.md"))]

pub mod batch;
mod chain;
mod config;
mod event;
pub mod limits;
mod message;
pub mod op;
mod state;
mod vector;

mod accept;
mod assembly;
mod budget;
mod delta;
mod fetch;
mod index;
mod load;
mod own;
mod publish;
mod pull;
mod queue;
mod remote;
mod reorder;
#[cfg(test)]
mod replay;
mod replica;
mod serve;
mod session;
mod stream;
mod tail;
mod timers;

pub use batch::{Batch, BatchError};
pub use chain::Chain;
pub use config::Config;
pub use event::{Counters, Event, Output, SnapshotFault};
pub use message::{Message, SnapshotChunk, SnapshotHead};
pub use op::{Insert, Op, OpError, Pages, Parent};
pub use publish::PublishError;
pub use queue::Priority;
pub use replica::{LogStatus, OriginDigests, Replica};
pub use state::{ApplyError, State};
pub use vector::{Entry, VersionVector};
