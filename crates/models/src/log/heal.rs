//! Whether the nodes can still come to agree, from wherever they are: nothing new is written or lost, and all talk to all.

use super::node::Batch;
use super::state::State;
use super::{Log, NODES};

/// Rounds in which everybody tells everybody what it has. News of a floor goes to its rank, a new life comes back, and
/// then its ops: three. One more for good measure.
const ROUNDS: usize = 4;

impl Log {
    /// Returns whether all nodes end with equal logs, the ones their writers have. Tried twice: with answers from tails, and
    /// with snapshots only.
    pub(crate) fn can_agree(&self, state: &State) -> bool {
        [true, false].into_iter().all(|tails| {
            let mut state = *state;
            (0..ROUNDS).any(|_| {
                for from in 0..NODES {
                    for to in (0..NODES).filter(|to| *to != from) {
                        for origin in 0..self.scope.origins {
                            self.tell(&mut state, from, to, origin, tails);
                        }
                    }
                }
                self.agree(&state)
            })
        })
    }

    /// One node offers what it has of one log; the other pulls what it lacks. spec: OPLOG-6, OPLOG-8
    fn tell(&self, state: &mut State, from: usize, to: usize, origin: usize, tails: bool) {
        let (has, floor) = (
            state.nodes[from].copies[origin],
            state.nodes[from].floors[origin],
        );
        self.floor(state, to, origin, floor);
        self.word(state, to, origin, has.inc, has.seq);
        let lacks = state.nodes[to].copies[origin];
        if lacks.inc != has.inc || lacks.seq >= has.seq || to == origin {
            return;
        }
        let Some(base) = state.life(origin, has.inc).map(|life| life.base) else {
            return;
        };
        if tails && lacks.seq >= base {
            for first in lacks.seq + 1..=has.seq {
                let batch = Batch {
                    inc: has.inc,
                    first,
                    count: 1,
                    damaged: false,
                };
                self.batch(state, to, origin, batch);
            }
        } else {
            self.snapshot(state, to, origin, has.inc, has.seq);
        }
    }

    fn agree(&self, state: &State) -> bool {
        (0..self.scope.origins).all(|origin| {
            let writer = &state.nodes[origin];
            let same = |node: &super::state::Node| {
                node.copies[origin] == writer.copies[origin]
                    && node.floors[origin] == writer.floors[origin]
            };
            state.nodes.iter().all(same)
        })
    }
}
