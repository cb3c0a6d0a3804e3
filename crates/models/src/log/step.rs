//! What can happen next.

use super::node::{Batch, batches};
use super::state::{Copies, Node, Op, State};
use super::{Log, NODES, Rule};

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// A rank writes an op.
    Write { origin: usize, op: Op },
    /// A batch arrives.
    Batch {
        to: usize,
        origin: usize,
        batch: Batch,
    },
    /// A snapshot arrives, taken at `seq`.
    Snapshot {
        to: usize,
        origin: usize,
        inc: u8,
        seq: u8,
    },
    /// Word of a life arrives.
    Word {
        to: usize,
        origin: usize,
        inc: u8,
        seq: u8,
    },
    /// Word of a floor arrives.
    Floor { to: usize, origin: usize, floor: u8 },
    /// A node loses all but its incarnation, and comes back.
    Restart { node: usize },
    /// A node forgets a rank up to the life that it knows.
    Forget { node: usize, origin: usize },
}

impl Log {
    pub(crate) fn possible(&self, state: &State, out: &mut Vec<Action>) {
        for origin in 0..self.scope.origins {
            let own = state.nodes[origin].copies[origin];
            if own.seq < self.scope.ops {
                out.push(Action::Write {
                    origin,
                    op: Op::Insert,
                });
                // The removal of a dead copy is as good as that of a live one to get the order wrong with.
                let born = (1..=own.seq).filter(|copy| own.live & (1 << copy) != 0);
                out.extend(born.map(|copy| Action::Write {
                    origin,
                    op: Op::Remove(copy),
                }));
            }
            for to in 0..NODES {
                self.arriving(state, to, origin, out);
            }
        }
        if state.crashes > 0 {
            out.extend((0..NODES).map(|node| Action::Restart { node }));
        }
    }

    /// Everything of one log that one node may be handed.
    fn arriving(&self, state: &State, to: usize, origin: usize, out: &mut Vec<Action>) {
        for (inc, life) in (1..).zip(state.lives(origin)) {
            let last = life.last();
            out.push(Action::Word {
                to,
                origin,
                inc,
                seq: last,
            });
            let batches = batches(life, inc, self.scope.batch);
            out.extend(batches.map(|batch| Action::Batch { to, origin, batch }));
            let taken = life.base.max(1)..=last;
            out.extend(taken.map(|seq| Action::Snapshot {
                to,
                origin,
                inc,
                seq,
            }));
        }
        let said = state.said_floors[origin];
        let floors = (1..8).filter(|floor| said & (1 << floor) != 0);
        out.extend(floors.map(|floor| Action::Floor { to, origin, floor }));
        if state.forgets > 0 && to != origin && state.nodes[to].copies[origin].inc > 0 {
            out.push(Action::Forget { node: to, origin });
        }
    }

    pub(crate) fn take(&self, state: &mut State, action: Action) {
        let before = state.nodes;
        match action {
            Action::Write { origin, op } => write(state, origin, op),
            Action::Batch { to, origin, batch } => self.batch(state, to, origin, batch),
            Action::Snapshot {
                to,
                origin,
                inc,
                seq,
            } => self.snapshot(state, to, origin, inc, seq),
            Action::Word {
                to,
                origin,
                inc,
                seq,
            } => self.word(state, to, origin, inc, seq),
            Action::Floor { to, origin, floor } => self.floor(state, to, origin, floor),
            Action::Restart { node } => return self.restart(state, node),
            Action::Forget { node, origin } => return self.forget(state, node, origin),
        }
        let back = |(before, after): (&Copies, &Copies)| {
            // A floor takes a log away; what it brings back is looked at by another property.
            after.inc > 0 && (after.inc, after.seq) < (before.inc, before.seq)
        };
        let node_back =
            |(before, after): (&Node, &Node)| before.copies.iter().zip(&after.copies).any(back);
        state.went_back |= before.iter().zip(&state.nodes).any(node_back);
    }

    fn restart(&self, state: &mut State, node: usize) {
        state.crashes -= 1;
        let before = std::mem::take(&mut state.nodes[node]);
        if node >= self.scope.origins {
            return;
        }
        let inc = before.copies[node].inc;
        if self.keeps(Rule::NewLife) {
            state.begin(
                node,
                Copies {
                    inc: inc + 1,
                    seq: 0,
                    live: 0,
                },
            );
        } else {
            state.nodes[node].copies[node].inc = inc;
        }
    }

    fn forget(&self, state: &mut State, at: usize, origin: usize) {
        state.forgets -= 1;
        let node = &mut state.nodes[at];
        let floor = node.copies[origin].inc;
        node.copies[origin] = Copies::default();
        node.forgot[origin] = floor;
        if self.keeps(Rule::Floor) {
            node.floors[origin] = floor;
            state.said_floors[origin] |= 1 << floor;
        }
    }
}

fn write(state: &mut State, origin: usize, op: Op) {
    let own = &mut state.nodes[origin].copies[origin];
    let (inc, seq) = (own.inc, own.seq + 1);
    own.apply(seq, op);
    let life = state.life_mut(origin, inc);
    if seq <= life.last() {
        state.renamed = true;
    } else {
        life.write(op);
    }
}
