//! How a source is to be read.

use std::time::Duration;

use radix_core::id::SourceId;
use radix_core::page::FingerprintKey;

use crate::limits::BLOCKS_MAX;

/// What a source needs to know of its engine and its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// Under which source of its node the engine publishes.
    pub source: SourceId,
    /// The cluster's key.
    pub key: FingerprintKey,
    /// Tokens of a page of the mesh; 0 is taken as 1. The engine's blocks may have any size. Unit: tokens.
    pub page_size: u16,
    /// The namespace of requests without adapter and salt: what the cluster calls the engine's model.
    pub namespace: String,
    /// The data-parallel rank whose events are meant, where one answer of TensorRT-LLM carries those of several.
    pub rank: Option<u32>,
    /// Whether the publisher has a replay endpoint. Without one every gap degrades the source.
    pub replay: bool,
    /// A replay without an answer for so long has failed. Default 2 s. Long replays come in small steps, so raise it only for
    /// slow networks.
    pub replay_silence: Duration,
    /// After so long without a batch the last one is asked for, to find out whether one got lost after it. Default 1 s. The
    /// time doubles with each poll that finds nothing, up to `poll_max`.
    pub poll: Duration,
    /// Longest time between polls. Default 15 s.
    pub poll_max: Duration,
    /// Blocks that are remembered at most, cut to [`BLOCKS_MAX`]. Default [`BLOCKS_MAX`]; one costs 200 to 300 bytes. Choose more than
    /// the engine's pools hold together; beyond it blocks are refused and the source is degraded.
    pub blocks_max: usize,
}

impl SourceConfig {
    /// Returns the defaults.
    #[must_use]
    pub fn new(source: SourceId, key: FingerprintKey, page_size: u16) -> Self {
        SourceConfig {
            source,
            key,
            page_size,
            namespace: String::new(),
            rank: None,
            replay: true,
            replay_silence: Duration::from_secs(2),
            poll: Duration::from_secs(1),
            poll_max: Duration::from_secs(15),
            blocks_max: BLOCKS_MAX,
        }
    }
}
