//! One node's place in the world: the life that runs there now, and what was seen of it.

use std::collections::VecDeque;

use node::{Node, Publish};
use oplog::OriginDigests;
use radix_core::id::{Incarnation, OriginId, Rank};
use radix_core::time::Timestamp;
use radix_core::{Matches, Reader};
use topology::ViewId;

use crate::clock::Clock;
use crate::engine::Engines;
use crate::event::Event;
use crate::join::Join;
use crate::limits;
use crate::misery::Misery;

/// A host, the rank that is given to it, and whoever lives there.
pub(crate) struct Slot {
    pub(crate) rank: Rank,
    /// None between a crash and the restart.
    pub(crate) life: Option<Life>,
    /// Lives so far; an event for an earlier one is void.
    pub(crate) lives: u32,
    /// The highest incarnation ever used here.
    pub(crate) highest: Incarnation,
    /// The host lost its note of that at least once: a name may be used twice.
    pub(crate) forgetful: bool,
    pub(crate) clock: Clock,
    /// While the node stands still, or is busy: what waits for it.
    pub(crate) paused_until: Timestamp,
    pub(crate) busy_until: Timestamp,
    pub(crate) held_up: VecDeque<Event>,
    /// When the next look at what waits is planned.
    pub(crate) wake_at: Option<Timestamp>,
    /// What the node needs for each thing it does. Unit: nanoseconds.
    pub(crate) each_ns: u64,
    /// The next ops that come are changed on the way.
    pub(crate) damage_next: bool,
    /// Frames that it got though they were none.
    pub(crate) hostile: u64,
    /// Its rank is configured at this address; otherwise it has to introduce itself.
    pub(crate) seeded: bool,
    /// Its rank has moved to another host.
    pub(crate) retired: bool,
    /// It said goodbye.
    pub(crate) left: bool,
    /// When it next introduces itself though it lives.
    pub(crate) introduces_at: Option<Timestamp>,
    /// The views that its node had, the last is the present one.
    pub(crate) views: VecDeque<ViewId>,
    /// What stays wrong with it when all else is healed; it does not belong to the core then.
    pub(crate) misery: Option<Misery>,
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
    /// What it believes to be connected by, for each rank.
    pub(crate) links: Vec<Option<Connection>>,
    /// What it was told while it was not Ready.
    pub(crate) join: Option<Join>,
    /// It came by an introduction.
    pub(crate) introduced: bool,
}

/// Which host and which connection a node means by a rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) peer: usize,
    pub(crate) epoch: u32,
}

impl Slot {
    pub(crate) fn new(rank: Rank) -> Slot {
        Slot {
            rank,
            life: None,
            lives: 0,
            highest: Incarnation(0),
            forgetful: false,
            clock: Clock::default(),
            paused_until: Timestamp(0),
            busy_until: Timestamp(0),
            held_up: VecDeque::new(),
            wake_at: None,
            each_ns: 0,
            damage_next: false,
            hostile: 0,
            seeded: true,
            retired: false,
            left: false,
            introduces_at: None,
            views: VecDeque::new(),
            misery: None,
        }
    }

    /// Returns from when on the node can do something.
    pub(crate) fn free_at(&self) -> Timestamp {
        self.paused_until.max(self.busy_until)
    }

    /// Returns whether no life begins here any more.
    pub(crate) fn stays_away(&self) -> bool {
        self.retired || matches!(self.misery, Some(Misery::Dead | Misery::Absent))
    }

    /// Notes the view that the node has now.
    pub(crate) fn note_view(&mut self) {
        let Some(life) = &self.life else { return };
        let view = life.node.view_id();
        if self.views.back() != Some(&view) {
            if self.views.len() == limits::VIEWS_KEPT {
                self.views.pop_front();
            }
            self.views.push_back(view);
        }
    }

    /// Returns whether the node had that view at some time.
    pub(crate) fn had_view(&self, view: ViewId) -> bool {
        self.views.contains(&view)
    }

    /// Returns the connection to a host, if the node believes in one.
    pub(crate) fn connection(&self, rank: Rank, peer: usize) -> Option<u32> {
        let connection = self.life.as_ref()?.links[usize::from(rank.0)]?;
        (connection.peer == peer).then_some(connection.epoch)
    }
}

impl Life {
    pub(crate) fn new(
        node: Node,
        reader: Reader,
        engines: Engines,
        origin: OriginId,
        ranks: usize,
    ) -> Life {
        Life {
            node,
            reader,
            matches: Matches::new(),
            engines,
            origin,
            tick_at: None,
            ticks: 0,
            ticked_at: Timestamp(0),
            seen: vec![None; ranks],
            said: None,
            links: vec![None; ranks],
            join: Some(Join::default()),
            introduced: false,
        }
    }

    /// The node is told that its connection to a rank is there, or gone.
    pub(crate) fn believe(&mut self, rank: Rank, connection: Option<Connection>) {
        self.links[usize::from(rank.0)] = connection;
        if let Some(join) = self.join.as_mut().filter(|_| connection.is_none()) {
            join.lost(rank);
        }
    }
}
