//! All engines behind one node: one [`Source`] for each publisher, and one deadline.

use std::collections::BTreeMap;

use radix_core::id::SourceId;
use radix_core::time::Timestamp;

use crate::source::{Input, Output, Source};

/// The sources of a node, by the number under which they publish.
///
/// Data-parallel ranks of one engine are sources of their own: each has a publisher and numbers of its own. Where many
/// publishers connect to one socket, [`peek_rank`](crate::event::peek_rank) and the topic say whose a message is.
#[derive(Clone, Debug, Default)]
pub struct Intake {
    sources: BTreeMap<SourceId, Source>,
}

impl Intake {
    /// Returns an intake without sources.
    #[must_use]
    pub fn new() -> Self {
        Intake::default()
    }

    /// Adds a source, new or restored. Returns the one that had its number before; what that one published is then the
    /// caller's to reset.
    pub fn add(&mut self, source: Source) -> Option<Source> {
        self.sources.insert(source.config().source, source)
    }

    /// Takes a source out; what it published is reset.
    pub fn remove(&mut self, now: Timestamp, source: SourceId, out: &mut Vec<Output>) {
        self.handle(now, source, Input::Gone, out);
        self.sources.remove(&source);
    }

    /// Hands an input to a source. Input for a source that is not there is dropped.
    pub fn handle(
        &mut self,
        now: Timestamp,
        source: SourceId,
        input: Input<'_>,
        out: &mut Vec<Output>,
    ) {
        if let Some(source) = self.sources.get_mut(&source) {
            source.handle(now, input, out);
        }
    }

    /// Ticks every source whose time has come.
    pub fn tick(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        for source in self.sources.values_mut() {
            if source.next_deadline().is_some_and(|due| due <= now) {
                source.handle(now, Input::Tick, out);
            }
        }
    }

    /// Returns when the next [`tick`](Intake::tick) is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.sources
            .values()
            .filter_map(Source::next_deadline)
            .min()
    }

    /// Returns a source.
    #[must_use]
    pub fn get(&self, source: SourceId) -> Option<&Source> {
        self.sources.get(&source)
    }

    /// Returns all sources, by their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.sources.values()
    }
}
