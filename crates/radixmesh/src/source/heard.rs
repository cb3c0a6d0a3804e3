//! What the tasks at the sockets tell the one that holds the sources.

use bytes::Bytes;
use engines::event::TrtEvents;
use radix_core::id::{Namespace, SourceId};
use radix_core::page::Fingerprint;

/// News of one source.
pub(crate) struct Heard {
    pub(crate) source: SourceId,
    pub(crate) news: News,
}

/// What happened at its sockets.
pub(crate) enum News {
    /// The subscription is up.
    Up { endpoint: String },
    /// It could not be made, or broke.
    Down { error: String },
    /// The engine said where lost batches are asked for, or that they are nowhere.
    ReplayAt { endpoint: Option<String> },
    /// A message of the subscription.
    Live(Vec<Bytes>),
    /// A message of a replay.
    Replayed { ask: u32, frames: Vec<Bytes> },
    /// A replay could not be asked for, or broke off.
    ReplayFailed { ask: u32, error: String },
    /// Events that TensorRT-LLM's HTTP port gave away.
    Drained(TrtEvents),
    /// A prompt was sent to an engine that says nothing itself.
    Observed {
        namespace: Namespace,
        pages: Vec<Fingerprint>,
    },
}
