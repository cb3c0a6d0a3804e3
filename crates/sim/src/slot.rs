//! One node's place in the world: the life that runs there now, and what was seen of it.

use node::{Node, Publish};
use oplog::OriginDigests;
use radix_core::id::{Incarnation, OriginId, Rank};
use radix_core::time::Timestamp;
use radix_core::{Matches, Reader};

use crate::engine::Engines;
use crate::event::Event;

/// A rank and whoever lives there.
pub(crate) struct Slot {
    pub(crate) rank: Rank,
    /// None between a crash and the restart.
    pub(crate) life: Option<Life>,
    /// Lives so far; an event for an earlier one is void.
    pub(crate) lives: u32,
    /// The highest incarnation ever used here.
    pub(crate) highest: Incarnation,
    /// Whether a life took an incarnation of its own accord.
    pub(crate) reincarnated: bool,
    /// While the node stands still: what waits for it.
    pub(crate) paused_until: Timestamp,
    pub(crate) held_up: Vec<Event>,
}

/// One life of a node.
pub(crate) struct Life {
    pub(crate) node: Node,
    pub(crate) reader: Reader,
    pub(crate) matches: Matches,
    pub(crate) engines: Engines,
    /// The log it writes.
    pub(crate) origin: OriginId,
    /// When the earliest waiting tick comes.
    pub(crate) tick_at: Option<Timestamp>,
    /// Ticks so far at `ticked_at`.
    pub(crate) ticks: u32,
    pub(crate) ticked_at: Timestamp,
    /// What it last reported of every rank.
    pub(crate) seen: Vec<Option<OriginDigests>>,
    /// What its engines said last.
    pub(crate) said: Option<Publish>,
}

impl Slot {
    pub(crate) fn new(rank: Rank) -> Slot {
        Slot {
            rank,
            life: None,
            lives: 0,
            highest: Incarnation(0),
            reincarnated: false,
            paused_until: Timestamp(0),
            held_up: Vec::new(),
        }
    }

    pub(crate) fn is_paused(&self, now: Timestamp) -> bool {
        now < self.paused_until
    }
}

impl Life {
    pub(crate) fn new(
        node: Node,
        reader: Reader,
        matches: Matches,
        engines: Engines,
        origin: OriginId,
        nodes: usize,
    ) -> Life {
        Life {
            node,
            reader,
            matches,
            engines,
            origin,
            tick_at: None,
            ticks: 0,
            ticked_at: Timestamp(0),
            seen: vec![None; nodes],
            said: None,
        }
    }
}
