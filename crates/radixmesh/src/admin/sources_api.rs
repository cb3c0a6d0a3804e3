//! The part of the admin port's JSON that is about the engines behind a node.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One source: one data-parallel rank of one engine behind the node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// The engine's name, as configured.
    pub name: String,
    /// Its data-parallel rank.
    pub rank: u16,
    /// Under which source it publishes.
    pub source: u16,
    /// Where its events come from; empty until that was found out.
    pub endpoint: String,
    /// The subscription is up.
    pub connected: bool,
    /// How far what the mesh was told is what the engine holds: `exact`, `syncing` or `degraded`.
    pub standing: String,
    /// Why, in a sentence.
    pub cause: String,
    /// What is told is a guess from what was routed there, not the engine's word.
    pub approximate: bool,
    /// The last thing that went wrong with its sockets; absent when nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The last batch taken in; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seq: Option<u64>,
    /// Blocks that are remembered: held, waiting for their parents, or only named.
    pub blocks: u64,
    /// Of these, blocks that wait for a parent that is not known.
    pub orphans: u64,
    /// Batches that wait for a gap before them to be closed.
    pub pending_batches: u64,
    /// Unit: bytes.
    pub pending_bytes: u64,
    /// Every counter by name. They begin at 0 with the node.
    pub counters: BTreeMap<String, u64>,
}

/// Body of `POST /sources/observed`: a prompt was sent to an engine that tells nothing itself. From then on it is taken for
/// cached there for the configured time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObservedRequest {
    /// The engine's name, as configured; of kind `approximate`.
    pub source: String,
    /// Token ids of the whole prompt; a partial last page is not looked at.
    pub tokens: Vec<u32>,
    /// Model, adapter, salt ...
    #[serde(default)]
    pub namespace: String,
}

/// Answer of `POST /sources/observed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedResponse {
    /// Whole pages of the prompt.
    pub pages: u32,
}

impl SourceStatus {
    /// Returns a counter by name; 0 where this version of the node has none such.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }

    /// Returns how many messages, batches and events could not be read.
    #[must_use]
    pub fn undecodable(&self) -> u64 {
        UNDECODABLE
            .iter()
            .map(|(counter, _)| self.counter(counter))
            .sum()
    }
}

/// The counters of what could not be read, and how `radixmesh_source_undecodable_total` calls each.
pub(super) const UNDECODABLE: [(&str, &str); 4] = [
    ("odd_messages", "message"),
    ("malformed_batches", "batch"),
    ("malformed_events", "event"),
    ("unknown_events", "kind"),
];
