//! What a cache tells about itself: pages stored and removed, in order, in a buffer with a bound.

use crate::cache::config::CacheConfig;
use crate::cache::lock::Handle;
use crate::cache::unit::{CacheUnit, SlotIndex};
use crate::id::Namespace;

/// One change of what is cached. Splits change nothing and are not told.
///
/// Slots name pages here: a cached slot is in one place, so that a listener who remembers what was stored in which
/// slot knows what a removed slot was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<K, S> {
    /// Consecutive pages of a path came.
    Stored {
        /// Whose root the path begins at.
        namespace: Namespace,
        /// Tokens of the path above the first of these pages.
        start: usize,
        /// The last slot of the page above, or `None` at the root.
        parent: Option<S>,
        /// The pages, in what prompts are made of.
        units: Vec<K>,
        /// Their slots.
        slots: Vec<S>,
    },
    /// Pages went: runs of pages leaf first, the pages of a run in its order.
    Removed {
        /// Where they were.
        namespace: Namespace,
        /// Their slots.
        slots: Vec<S>,
    },
    /// All pages of all namespaces went. What had not been taken before is dropped.
    Cleared,
    /// The buffer was full: changes of so many pages are not told, all that came until the events were taken.
    /// Caller: forget everything, and begin with [`for_each`](crate::cache::Cache::for_each).
    Lost {
        /// Pages stored and removed since.
        pages: u64,
    },
}

/// The events that wait.
#[derive(Debug)]
pub(crate) struct Events<K, S> {
    on: bool,
    pages_max: usize,
    /// Pages that `waiting` speaks of.
    pages: usize,
    waiting: Vec<Event<K, S>>,
    /// Where the last event ended, when that was a store.
    end: Option<Handle>,
}

impl<K: CacheUnit, S: SlotIndex> Events<K, S> {
    pub(crate) fn new(config: CacheConfig) -> Self {
        Events {
            on: config.events,
            pages_max: config.event_pages_max,
            pages: 0,
            waiting: Vec::new(),
            end: None,
        }
    }

    /// Returns the same events for a copy of the cache.
    pub(crate) fn again(&self) -> Self {
        Events {
            waiting: self.waiting.clone(),
            end: None,
            ..*self
        }
    }

    /// Returns whether there is room for an event about `pages` pages; if not, it is counted as lost.
    fn admit(&mut self, pages: usize) -> bool {
        if let Some(Event::Lost { pages: lost }) = self.waiting.last_mut() {
            *lost += pages as u64;
            return false;
        }
        if pages > self.pages_max - self.pages {
            let pages = pages as u64;
            self.waiting.push(Event::Lost { pages });
            return false;
        }
        self.pages += pages;
        true
    }

    /// Tells of pages that came behind `parent` and end at `end`.
    #[expect(clippy::too_many_arguments, reason = "the parts of one event")]
    pub(crate) fn stored(
        &mut self,
        namespace: Namespace,
        start: usize,
        (parent, parent_slot): (Handle, Option<S>),
        new: &[K],
        new_slots: &[S],
        pages: usize,
        end: Handle,
    ) {
        if !self.on || !self.admit(pages) {
            return;
        }
        let before = self.end.replace(end);
        if before == Some(parent)
            && let Some(Event::Stored { units, slots, .. }) = self.waiting.last_mut()
        {
            units.extend_from_slice(new);
            slots.extend_from_slice(new_slots);
            return;
        }
        self.waiting.push(Event::Stored {
            namespace,
            start,
            parent: parent_slot,
            units: new.to_vec(),
            slots: new_slots.to_vec(),
        });
    }

    /// Tells of pages that went.
    pub(crate) fn removed(&mut self, of: Namespace, gone: &[S], pages: usize) {
        if !self.on || !self.admit(pages) {
            return;
        }
        self.end = None;
        match self.waiting.last_mut() {
            Some(Event::Removed { namespace, slots }) if *namespace == of => {
                slots.extend_from_slice(gone);
            }
            _ => self.waiting.push(Event::Removed {
                namespace: of,
                slots: gone.to_vec(),
            }),
        }
    }

    /// Tells that everything went.
    pub(crate) fn cleared(&mut self) {
        if self.on {
            self.take();
            self.waiting.push(Event::Cleared);
        }
    }

    /// Takes what waits.
    pub(crate) fn take(&mut self) -> Vec<Event<K, S>> {
        self.pages = 0;
        self.end = None;
        std::mem::take(&mut self.waiting)
    }

    /// Returns the bytes held on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        let of_event = |event: &Event<K, S>| match event {
            Event::Stored { units, slots, .. } => {
                units.capacity() * size_of::<K>() + slots.capacity() * size_of::<S>()
            }
            Event::Removed { slots, .. } => slots.capacity() * size_of::<S>(),
            Event::Cleared | Event::Lost { .. } => 0,
        };
        self.waiting.capacity() * size_of::<Event<K, S>>()
            + self.waiting.iter().map(of_event).sum::<usize>()
    }
}

impl<K: CacheUnit, S: SlotIndex> crate::cache::Cache<K, S> {
    /// Takes the changes since the last call, in order; none when events are off.
    ///
    /// Pages that follow each other without a change between come as one event. An [`Event::Lost`] is the last.
    #[must_use = "events are told once"]
    pub fn take_events(&mut self) -> Vec<Event<K, S>> {
        self.events.take()
    }
}
