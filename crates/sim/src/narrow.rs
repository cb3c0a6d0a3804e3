//! A link with little bandwidth: three bounded lanes in front of it, emptied in order of urgency.

use std::collections::VecDeque;

use crate::event::Delivery;

/// Lanes of a link.
const LANES: usize = 3;

/// What waits for one direction of a link that carries only so many bytes a second.
#[derive(Debug)]
pub(crate) struct Narrow {
    bytes_per_s: u64,
    bytes_max: usize,
    lanes: [VecDeque<Delivery>; LANES],
    queued: [usize; LANES],
    /// The frame that is being written, and its lane.
    writing: Option<(usize, Delivery)>,
    /// Grows with every frame written; an alarm for an earlier one is void.
    turn: u32,
    /// Something was refused since the lane last had room.
    refused: bool,
}

/// How long it takes to write a frame, in nanoseconds, and which turn that is.
type Turn = (u64, u32);

/// What became of a frame that came to a narrow link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queued {
    /// It waits behind others.
    Waits,
    /// It is being written and will be done after so many nanoseconds; which turn that is.
    Writing { ns: u64, turn: u32 },
    /// Its lane is full.
    Refused {
        /// For the first time since there was room.
        first: bool,
    },
}

impl Narrow {
    pub(crate) fn new(bytes_per_s: u64, bytes_max: usize) -> Narrow {
        Narrow {
            bytes_per_s,
            bytes_max,
            lanes: Default::default(),
            queued: [0; LANES],
            writing: None,
            turn: 0,
            refused: false,
        }
    }

    /// Takes a frame into its lane.
    pub(crate) fn push(&mut self, lane: usize, delivery: Delivery) -> Queued {
        let bytes = delivery.bytes.len();
        if self.queued[lane] + bytes > self.bytes_max && self.queued[lane] > 0 {
            let first = !std::mem::replace(&mut self.refused, true);
            return Queued::Refused { first };
        }
        self.queued[lane] += bytes;
        self.lanes[lane].push_back(delivery);
        if self.writing.is_some() {
            return Queued::Waits;
        }
        match self.next() {
            Some((ns, turn)) => Queued::Writing { ns, turn },
            None => Queued::Waits,
        }
    }

    /// Begins to write the most urgent frame; returns how long that takes and which turn it is.
    fn next(&mut self) -> Option<Turn> {
        let lane = self.lanes.iter().position(|lane| !lane.is_empty())?;
        let delivery = self.lanes[lane].pop_front()?;
        let ns = delivery.bytes.len() as u64 * 1_000_000_000 / self.bytes_per_s.max(1);
        self.writing = Some((lane, delivery));
        self.turn += 1;
        Some((ns, self.turn))
    }

    /// The frame of that turn is written: returns it, what is written next, and whether a refused sender should hear of room.
    pub(crate) fn written(&mut self, turn: u32) -> Option<(Delivery, Option<Turn>, bool)> {
        if turn != self.turn {
            return None;
        }
        let (lane, delivery) = self.writing.take()?;
        self.queued[lane] -= delivery.bytes.len();
        let room = self.queued.iter().all(|bytes| *bytes <= self.bytes_max / 2);
        let drained = room && std::mem::take(&mut self.refused);
        Some((delivery, self.next(), drained))
    }

    /// Returns all that waits, most urgent first, and whether something was refused.
    pub(crate) fn drain(self) -> (impl Iterator<Item = Delivery>, bool) {
        let writing = self.writing.map(|(_, delivery)| delivery);
        let waiting = self.lanes.into_iter().flatten();
        (writing.into_iter().chain(waiting), self.refused)
    }

    /// The connection is gone, and all that waited with it.
    pub(crate) fn clear(&mut self) {
        self.lanes = Default::default();
        self.queued = [0; LANES];
        self.writing = None;
        self.turn += 1;
        self.refused = false;
    }

    /// Returns how many bytes the fullest lane holds, and how many it may.
    pub(crate) fn fullest(&self) -> (usize, usize) {
        (self.queued.into_iter().max().unwrap_or(0), self.bytes_max)
    }
}
