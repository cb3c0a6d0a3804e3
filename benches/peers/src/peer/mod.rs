//! One index of the field each: how it is told, and how it is asked. Each in its own words, as its users would.

mod concurrent;
mod dynamo;
mod kv_index;
mod positional;
mod radix_tree;
mod radixmesh;
mod smg;

use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub(crate) use concurrent::Concurrent;
pub(crate) use kv_index::KvIndex;
pub(crate) use positional::Positional;
pub(crate) use radix_tree::DynamoTree;
pub(crate) use radixmesh::RadixMesh;
pub(crate) use smg::Smg;

use crate::stream::Event;

/// Which index. In the order of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Name {
    /// Ours.
    #[value(name = "radixmesh")]
    #[serde(rename = "radixmesh")]
    RadixMesh,
    /// kv-index 2.0.0, `ChainIndex`.
    KvIndex,
    /// smg-radix-tree 0.1.0, `RadixTree`.
    Smg,
    /// dynamo-kv-router 1.6.1, `RadixTree`.
    DynamoTree,
    /// dynamo-kv-router 1.6.1, `ConcurrentRadixTreeCompressed`.
    DynamoCrtc,
    /// dynamo-kv-router 1.6.1, `PositionalIndexer` with jumps of 32.
    DynamoPos32,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.to_possible_value().expect("no index is hidden");
        f.pad(value.get_name())
    }
}

/// Evaluates an expression with a type name bound to the index of a [`Name`].
macro_rules! with_peer {
    ($name:expr, $peer:ident => $body:expr) => {
        match $name {
            crate::peer::Name::RadixMesh => with_peer!(@ RadixMesh, $peer => $body),
            crate::peer::Name::KvIndex => with_peer!(@ KvIndex, $peer => $body),
            crate::peer::Name::Smg => with_peer!(@ Smg, $peer => $body),
            crate::peer::Name::DynamoTree => with_peer!(@ DynamoTree, $peer => $body),
            crate::peer::Name::DynamoCrtc => with_peer!(@ Concurrent, $peer => $body),
            crate::peer::Name::DynamoPos32 => with_peer!(@ Positional, $peer => $body),
        }
    };
    (@ $index:ident, $peer:ident => $body:expr) => {{
        type $peer = crate::peer::$index;
        $body
    }};
}
pub(crate) use with_peer;

/// What applying cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Applied {
    /// Processor time of the thread that applied.
    pub(crate) cpu: Duration,
    /// Operations that the index said it refused.
    pub(crate) refused: u64,
}

/// An index under test. It has one writer, whoever drives it.
pub(crate) trait Peer {
    /// One event in the index's own form.
    type Op: Clone;
    /// What the publisher of events must remember to bring them into that form.
    type Publisher: Default;
    /// Asks the index.
    type Reader: Reader;

    /// Returns an empty index that knows `workers` workers.
    fn new(workers: u16) -> Self;

    /// Brings an event into the index's own form.
    fn op(publisher: &mut Self::Publisher, event: &Event) -> Self::Op;

    /// Applies operations in order. Calls `begin` when nothing is left to prepare, just before the clock starts.
    fn apply(&mut self, ops: Vec<Self::Op>, begin: &dyn Fn()) -> Applied;

    /// Runs the housekeeping that the index's users run now and then, if it has any.
    fn settle(&mut self) {}

    /// Returns a reader.
    fn reader(&mut self) -> Self::Reader;
}

/// Asks an index.
pub(crate) trait Reader {
    /// A prompt in the index's own form.
    type Query;

    /// Brings a prompt into the index's own form.
    fn query(pages: &[u64]) -> Self::Query;

    /// Asks in the cheapest way the index offers. The query is used up.
    ///
    /// `depths` has a place for each worker; an index whose answer is a map of its own leaves it alone.
    fn ask(&mut self, query: &mut Self::Query, depths: &mut [u32]);

    /// Asks, and writes the answer to `depths` in any case.
    fn depths(&mut self, query: &mut Self::Query, depths: &mut [u32]) {
        self.ask(query, depths);
    }
}

/// A reader that may ask while the index is written, and that leaves queries as they are.
pub(crate) trait SharedReader: Reader<Query: Send> + Send {}
