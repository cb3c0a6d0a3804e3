//! The events of one engine, taken in: which pages it holds, and what its node is to publish.
//!
//! One [`Source`] reads one publisher (one data-parallel rank of one engine). It is a state machine without sockets and
//! clocks: messages and time come in, publishes and questions go out. Its rules are numbered in
//! `docs/protocols/engine-events.md`.

mod apply;
mod block;
mod config;
mod counters;
mod flush;
mod forest;
mod names;
mod output;
mod pages;
mod refs;
mod scope;
mod sequence;
mod snapshot;

pub use config::SourceConfig;
pub use counters::Counters;
pub use output::{Cause, Command, Output, Standing};
pub use scope::{namespace, namespace_name};
pub use snapshot::{SnapshotError, SourceSnapshot};

use radix_core::id::Namespace;
use radix_core::time::Timestamp;

use crate::event::TrtEvent;
use crate::source::forest::Forest;
use crate::source::sequence::Sequence;

/// What can happen to a source.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The subscription is up, for the first time or again. What it missed, and whether the publisher is still the same, is
    /// asked for.
    Connected,
    /// A message of the subscription: its frames.
    Live(&'a [&'a [u8]]),
    /// A message of the replay.
    Replayed {
        /// The question that it answers.
        ask: u32,
        /// Its frames, with or without the delimiter.
        frames: &'a [&'a [u8]],
    },
    /// The replay could not be asked for, or its connection broke.
    ReplayFailed {
        /// The question.
        ask: u32,
    },
    /// An answer of TensorRT-LLM's HTTP port, as [`decode_trt`](crate::event::decode_trt) read it.
    Drained(&'a [TrtEvent]),
    /// The engine is known to be gone. Everything is dropped; what comes next is another life.
    Gone,
    /// Time has passed; due when [`Source::next_deadline`] says so. Early or repeated ticks are harmless.
    Tick,
}

/// How much a source remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceStats {
    /// Blocks: held, waiting for their parents, or only named.
    pub blocks: usize,
    /// Blocks that wait for their parents.
    pub orphans: usize,
    /// Batches that wait for a gap before them to be closed.
    pub pending_batches: usize,
    /// Unit: bytes.
    pub pending_bytes: usize,
    /// The last batch taken in.
    pub last_seq: Option<u64>,
}

/// One engine behind a node, as its events tell.
///
/// Cost: about a microsecond a page, decoding included, and some 5 ns for each page of the path of each command. Memory:
/// 200 to 300 bytes a block, bounded by [`SourceConfig::blocks_max`] and the limits of this crate, whatever the engine sends.
#[derive(Clone, Debug)]
pub struct Source {
    config: SourceConfig,
    /// The namespace of paths without adapter and salt.
    plain: Namespace,
    forest: Forest,
    sequence: Sequence,
    /// The widest attention window seen; 0 where windows are not told.
    window_max: u64,
    /// Events are lost since the engine was last known to be empty.
    degraded: bool,
    /// What is remembered is known to be of the publisher's present life.
    proved: bool,
    /// The node was told of pages since the last reset.
    claimed: bool,
    standing: Standing,
    cause: Cause,
    counters: Counters,
}

impl Source {
    /// Returns a source that knows nothing. The first tick asks for everything that the publisher remembers.
    #[must_use]
    pub fn new(config: SourceConfig) -> Self {
        Source {
            plain: config.key.namespace(&config.namespace),
            forest: Forest::new(
                config.key,
                config.page_size,
                config.blocks_max.min(crate::limits::BLOCKS_MAX),
            ),
            sequence: Sequence::new(config.poll),
            window_max: 0,
            degraded: false,
            proved: true,
            claimed: false,
            standing: Standing::Syncing,
            cause: Cause::Began,
            counters: Counters::default(),
            config,
        }
    }

    /// Takes in what happened; appends what is to be done. Total: no input panics.
    pub fn handle(&mut self, now: Timestamp, input: Input<'_>, out: &mut Vec<Output>) {
        match input {
            Input::Connected => self.connected(now, out),
            Input::Live(frames) => self.live(now, frames, out),
            Input::Replayed { ask, frames } => self.replayed(now, ask, frames, out),
            Input::ReplayFailed { ask } => {
                if self.sequence.asked(ask) {
                    self.ask_failed(now, out);
                } else {
                    self.counters.odd_messages += 1;
                }
            }
            Input::Drained(events) => self.drained(events, out),
            Input::Gone => self.restarted(out),
            Input::Tick => self.tick(now, out),
        }
        self.tell_standing(out);
    }

    /// Returns when the next [`Input::Tick`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.config.replay.then(|| self.sequence.deadline())
    }

    /// Returns how far what was published is what the engine holds.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Returns what the source has seen.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns how much the source remembers.
    #[must_use]
    pub fn stats(&self) -> SourceStats {
        SourceStats {
            blocks: self.forest.len(),
            orphans: self.forest.orphans(),
            pending_batches: self.sequence.pending.len(),
            pending_bytes: self.sequence.pending_bytes,
            last_seq: self.sequence.last.map(|last| last.seq),
        }
    }

    /// Returns how the source is read.
    #[must_use]
    pub fn config(&self) -> &SourceConfig {
        &self.config
    }

    fn tell_standing(&mut self, out: &mut Vec<Output>) {
        let standing = if !self.proved || !self.sequence.is_settled() {
            Standing::Syncing
        } else if self.degraded {
            Standing::Degraded
        } else {
            Standing::Exact
        };
        if standing != self.standing {
            self.standing = standing;
            out.push(Output::Standing {
                source: self.config.source,
                standing,
                cause: self.cause,
            });
        }
    }
}
