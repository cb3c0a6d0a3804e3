//! What the nodes hold, and what was really written.

use super::{LIVES_MAX, NODES, OPS_MAX, ORIGINS_MAX, Scope};

/// One op. Copies are named by the place of the op that brought them to life; 1 is the first place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    /// The copy named after this op is born.
    #[default]
    Insert,
    /// The copy named so dies; it may be dead already.
    Remove(u8),
}

/// A log as one node has it: its life, the last op applied, the copies that live, one bit for each name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Copies {
    pub(crate) inc: u8,
    pub(crate) seq: u8,
    pub(crate) live: u8,
}

/// One node. The log of its own rank stands among the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Node {
    pub(crate) copies: [Copies; ORIGINS_MAX],
    pub(crate) floors: [u8; ORIGINS_MAX],
    /// What it was told to forget, whether it remembers or not. For the properties only.
    pub(crate) forgot: [u8; ORIGINS_MAX],
}

/// What one life of a rank really wrote. It begins at a place with the copies that it took over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Life {
    pub(crate) base: u8,
    pub(crate) taken_over: u8,
    count: u8,
    ops: [Op; OPS_MAX],
}

impl Life {
    /// Returns the last place.
    pub(crate) fn last(&self) -> u8 {
        self.base + self.count
    }

    pub(crate) fn write(&mut self, op: Op) {
        self.ops[usize::from(self.count)] = op;
        self.count += 1;
    }

    /// Returns the op at a place.
    pub(crate) fn op(&self, seq: u8) -> Op {
        self.ops[usize::from(seq - self.base - 1)]
    }

    /// Returns the live copies after a place; `None` where this life was never at.
    pub(crate) fn fold(&self, seq: u8) -> Option<u8> {
        let count = seq
            .checked_sub(self.base)
            .filter(|count| *count <= self.count)?;
        let mut copies = Copies {
            inc: 0,
            seq: self.base,
            live: self.taken_over,
        };
        for op in &self.ops[..usize::from(count)] {
            copies.apply(copies.seq + 1, *op);
        }
        Some(copies.live)
    }
}

impl Copies {
    pub(crate) fn apply(&mut self, seq: u8, op: Op) {
        match op {
            Op::Insert => self.live |= 1 << seq,
            Op::Remove(copy) => self.live &= !(1 << copy),
        }
        self.seq = self.seq.max(seq);
    }
}

/// Everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) nodes: [Node; NODES],
    /// By rank and incarnation, from incarnation 1 on.
    lives: [[Life; LIVES_MAX]; ORIGINS_MAX],
    /// Lives begun, by rank.
    begun: [u8; ORIGINS_MAX],
    /// Floors that were ever spoken of, by rank; one bit for each incarnation.
    pub(crate) said_floors: [u8; ORIGINS_MAX],
    pub(crate) crashes: u8,
    pub(crate) forgets: u8,
    /// Two ops were written under one name.
    pub(crate) renamed: bool,
    /// A position went back in the life of a node.
    pub(crate) went_back: bool,
}

impl State {
    pub(crate) fn new(scope: Scope) -> State {
        let mut state = State {
            nodes: [Node::default(); NODES],
            lives: Default::default(),
            begun: [0; ORIGINS_MAX],
            said_floors: [0; ORIGINS_MAX],
            crashes: scope.crashes,
            forgets: scope.forgets,
            renamed: false,
            went_back: false,
        };
        for origin in 0..scope.origins {
            state.begin(
                origin,
                Copies {
                    inc: 1,
                    ..Copies::default()
                },
            );
        }
        state
    }

    /// Begins a life of a rank, in which it takes over copies at a place.
    pub(crate) fn begin(&mut self, origin: usize, own: Copies) {
        self.nodes[origin].copies[origin] = own;
        self.begun[origin] = own.inc;
        self.lives[origin][usize::from(own.inc) - 1] = Life {
            base: own.seq,
            taken_over: own.live,
            ..Life::default()
        };
    }

    /// Returns what a life wrote.
    pub(crate) fn life(&self, origin: usize, inc: u8) -> Option<&Life> {
        self.lives(origin).get(usize::from(inc).checked_sub(1)?)
    }

    /// Returns what all lives of a rank wrote, the first one first.
    pub(crate) fn lives(&self, origin: usize) -> &[Life] {
        &self.lives[origin][..usize::from(self.begun[origin])]
    }

    pub(crate) fn life_mut(&mut self, origin: usize, inc: u8) -> &mut Life {
        &mut self.lives[origin][usize::from(inc) - 1]
    }

    /// Returns whether each node holds of each log what its writer had at that place.
    pub(crate) fn is_prefix(&self) -> bool {
        let right = |origin: usize, copies: &Copies| {
            *copies
                == Copies {
                    seq: 0,
                    live: 0,
                    ..*copies
                }
                || self
                    .life(origin, copies.inc)
                    .is_some_and(|life| life.fold(copies.seq) == Some(copies.live))
        };
        let all = |node: &Node| {
            node.copies
                .iter()
                .enumerate()
                .all(|(origin, copies)| right(origin, copies))
        };
        self.nodes.iter().all(all)
    }

    /// Returns whether no node shows what it was told to forget.
    pub(crate) fn keeps_away(&self) -> bool {
        let away = |node: &Node| {
            let mut pairs = node.copies.iter().zip(&node.forgot);
            pairs.all(|(copies, forgot)| copies.inc == 0 || copies.inc > *forgot)
        };
        self.nodes.iter().all(away)
    }
}
