//! The tree: which token prefix is cached where.
//!
//! [`Index`] folds the logs of all ranks into one path-compressed radix tree over pages, and answers how many
//! leading pages of a query every holder has. It has one writer; a [`Reader`] asks from another thread
//! without a lock. [`cache`] is the other value on the same tree: an engine's own prefix cache. See the crate's
//! README for examples.

#![deny(unsafe_code)]
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

pub mod cache;
pub mod id;
pub mod limits;
pub mod page;
pub mod time;

mod matches;
mod positions;
mod run;

mod check;
mod index;
mod insert;
mod reader;
mod remove;
mod snapshot;

mod body;
mod children;
mod coverage;
mod digest;
mod holders;
mod nodes;
mod ranks;
mod tree;
mod value;

#[expect(unsafe_code, reason = "shared values behind atomic pointers")]
mod rcu;
mod sync;
#[expect(
    unsafe_code,
    reason = "an array that grows while it is read; with `rcu` the only module that has them"
)]
mod units;

#[cfg(test)]
#[cfg(not(radixmesh_loom))]
mod model;

pub use index::{Index, IndexConfig, IndexStats};
pub use matches::Matches;
pub use page::{Fingerprint, FingerprintKey};
pub use positions::Position;
pub use reader::Reader;
pub use run::{
    InsertError, InsertRun, PathCopies, Place, SnapshotDelta, SnapshotPlace, SnapshotRun,
    TooManyReaders,
};
