//! What a measured world counts: how far each op has come, and what its nodes needed for what.

use radix_core::id::{OriginId, Seq};
use radix_core::time::Timestamp;
use rustc_hash::FxHashMap;

use crate::event::Cargo;

/// What a node was given, as far as its cost is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// What its engines said.
    Publish,
    /// Broadcasts.
    Broadcast,
    /// Ops and snapshots that were asked for.
    Repair,
    /// All other frames: heartbeats, offers, pulls, membership.
    Control,
    /// Time.
    Tick,
    /// Links that came and went.
    Link,
}

impl Class {
    /// All of them.
    pub const ALL: [Class; 6] = [
        Class::Publish,
        Class::Broadcast,
        Class::Repair,
        Class::Control,
        Class::Tick,
        Class::Link,
    ];

    /// Returns its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Class::Publish => "publish",
            Class::Broadcast => "broadcast",
            Class::Repair => "repair",
            Class::Control => "control",
            Class::Tick => "tick",
            Class::Link => "link",
        }
    }

    pub(crate) fn of(cargo: Cargo) -> Class {
        match cargo {
            Cargo::Broadcast(_) => Class::Broadcast,
            Cargo::Ops | Cargo::Snapshot => Class::Repair,
            Cargo::Other => Class::Control,
        }
    }
}

/// What one class cost, all nodes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Inputs.
    pub inputs: u64,
    /// Time in the nodes. Unit: nanoseconds of the stopwatch.
    pub ns: u64,
    /// Bytes of frames that were sent.
    pub bytes: u64,
    /// Frames that were sent.
    pub frames: u64,
}

/// One op on its way.
#[derive(Debug)]
struct Travel {
    began: Timestamp,
    left: usize,
}

/// The counts of a measured world.
pub(crate) struct Meter {
    stopwatch: fn() -> u64,
    pub(crate) shares: [Share; Class::ALL.len()],
    travels: FxHashMap<(OriginId, Seq), Travel>,
    /// From each publish until the last node had it.
    pub(crate) last_ns: Vec<u64>,
    /// From each publish until one node had it: the sum, and of how many.
    pub(crate) each_ns: (u64, u64),
}

impl Meter {
    pub(crate) fn new(stopwatch: fn() -> u64) -> Meter {
        Meter {
            stopwatch,
            shares: Default::default(),
            travels: FxHashMap::default(),
            last_ns: Vec::new(),
            each_ns: (0, 0),
        }
    }

    pub(crate) fn stopwatch(&self) -> fn() -> u64 {
        self.stopwatch
    }

    /// Returns what the stopwatch says.
    pub(crate) fn watch(&self) -> u64 {
        (self.stopwatch)()
    }

    /// A node was given something at `since` by the stopwatch, and is done.
    pub(crate) fn spent(&mut self, class: Class, since: u64) {
        let share = &mut self.shares[class as usize];
        share.inputs += 1;
        share.ns += (self.stopwatch)().saturating_sub(since);
    }

    pub(crate) fn sent(&mut self, class: Class, bytes: usize) {
        let share = &mut self.shares[class as usize];
        share.frames += 1;
        share.bytes += bytes as u64;
    }

    /// An op begins its way to `left` nodes.
    pub(crate) fn began(&mut self, op: (OriginId, Seq), now: Timestamp, left: usize) {
        self.travels.insert(op, Travel { began: now, left });
    }

    /// A node has the ops of a log from `first` to `last` now.
    pub(crate) fn applied(&mut self, origin: OriginId, first: Seq, last: Seq, now: Timestamp) {
        for seq in first.0..=last.0 {
            let Some(travel) = self.travels.get_mut(&(origin, Seq(seq))) else {
                continue;
            };
            let took = now.0 - travel.began.0;
            self.each_ns = (self.each_ns.0 + took, self.each_ns.1 + 1);
            travel.left -= 1;
            if travel.left == 0 {
                self.travels.remove(&(origin, Seq(seq)));
                self.last_ns.push(took);
            }
        }
    }

    /// Returns how many ops did not come to everybody yet.
    pub(crate) fn travelling(&self) -> usize {
        self.travels.len()
    }
}
