//! What a node does with what it hears. This is the accept rule of the logs; each rule can be left out.

use super::state::{Copies, Life, State};
use super::{Log, Rule};

/// A batch on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Batch {
    pub(crate) inc: u8,
    pub(crate) first: u8,
    pub(crate) count: u8,
    /// The bytes of its last op are no op any more.
    pub(crate) damaged: bool,
}

impl Log {
    /// A node takes a batch. spec: OPLOG-2, OPLOG-3
    pub(crate) fn batch(&self, state: &mut State, to: usize, origin: usize, batch: Batch) {
        let Batch {
            inc,
            first,
            count,
            damaged,
        } = batch;
        let last = first + count - 1;
        if damaged && self.keeps(Rule::Whole) {
            return;
        }
        if to == origin {
            return self.challenge(state, origin, inc, last);
        }
        let Some(life) = state.life(origin, inc).copied() else {
            return;
        };
        if !self.admit(state, to, origin, inc) {
            return;
        }
        let copies = &mut state.nodes[to].copies[origin];
        for seq in first..=last {
            if seq <= copies.seq && self.keeps(Rule::Once) {
                continue;
            }
            if seq > copies.seq + 1 && self.keeps(Rule::Gap) {
                break;
            }
            if damaged && seq == last {
                // Taken for an op without effect.
                copies.seq = copies.seq.max(seq);
            } else {
                copies.apply(seq, life.op(seq));
            }
        }
    }

    /// A node takes a whole snapshot, taken at `seq`. spec: OPLOG-9, OPLOG-11
    pub(crate) fn snapshot(&self, state: &mut State, to: usize, origin: usize, inc: u8, seq: u8) {
        let Some(live) = state.life(origin, inc).and_then(|life| life.fold(seq)) else {
            return;
        };
        // Without its place, a snapshot is the ops that would make it, numbered by whoever makes it.
        let place = if self.keeps(Rule::Cursor) {
            seq
        } else {
            live.count_ones() as u8
        };
        if to == origin {
            return self.challenge(state, origin, inc, place);
        }
        if !self.admit(state, to, origin, inc) {
            return;
        }
        let copies = &mut state.nodes[to].copies[origin];
        if place > copies.seq || !self.keeps(Rule::Once) {
            (copies.seq, copies.live) = (place, live);
        }
    }

    /// A node hears how far a log goes. spec: OPLOG-4, OPLOG-6
    pub(crate) fn word(&self, state: &mut State, to: usize, origin: usize, inc: u8, seq: u8) {
        if to == origin {
            self.challenge(state, origin, inc, seq);
        } else if inc > 0 {
            self.admit(state, to, origin, inc);
        }
    }

    /// A node hears of a floor. spec: OPLOG-5
    pub(crate) fn floor(&self, state: &mut State, to: usize, origin: usize, floor: u8) {
        let node = &mut state.nodes[to];
        if floor <= node.floors[origin] || !self.keeps(Rule::Floor) {
            return;
        }
        node.floors[origin] = floor;
        if to == origin {
            return self.outbid(state, origin, floor);
        }
        node.forgot[origin] = floor;
        if node.copies[origin].inc <= floor {
            node.copies[origin] = Copies::default();
        }
    }

    /// Returns whether anything of that life is taken now, and begins it where it is new. spec: OPLOG-4
    fn admit(&self, state: &mut State, to: usize, origin: usize, inc: u8) -> bool {
        let node = &mut state.nodes[to];
        let known = node.copies[origin].inc;
        if inc == known {
            return true;
        }
        if inc <= node.floors[origin] || (inc < known && self.keeps(Rule::Fence)) {
            return false;
        }
        node.copies[origin] = Copies {
            inc,
            seq: 0,
            live: 0,
        };
        true
    }

    /// A rank hears of its own log. spec: OPLOG-14
    fn challenge(&self, state: &mut State, origin: usize, inc: u8, seq: u8) {
        let own = state.nodes[origin].copies[origin];
        if (inc, seq) > (own.inc, own.seq) {
            self.outbid(state, origin, inc);
        }
    }

    /// A rank goes on in a life above `inc`, with its copies and its place. spec: OPLOG-14
    fn outbid(&self, state: &mut State, origin: usize, inc: u8) {
        let own = state.nodes[origin].copies[origin];
        if inc >= own.inc && self.keeps(Rule::Renew) {
            state.begin(
                origin,
                Copies {
                    inc: inc + 1,
                    ..own
                },
            );
        }
    }
}

/// Returns every batch of a life that holds at most `ops_max` ops.
pub(crate) fn batches(life: &Life, inc: u8, ops_max: u8) -> impl Iterator<Item = Batch> {
    let (begin, last) = (life.base + 1, life.last());
    (begin..=last).flat_map(move |first| {
        (1..=ops_max.min(last + 1 - first)).flat_map(move |count| {
            [false, true].map(|damaged| Batch {
                inc,
                first,
                count,
                damaged,
            })
        })
    })
}
