//! Which nodes each broadcast came to.

use oplog::Batch;
use radix_core::id::{OriginId, Seq};
use radix_core::time::Timestamp;
use rustc_hash::FxHashMap;

/// Nodes of a world small enough for one word per broadcast.
const SMALL: usize = 128;

/// A set of nodes, small where the world is.
#[derive(Clone, Debug)]
enum Nodes {
    Small(u128),
    Large(Box<[u64]>),
}

impl Nodes {
    fn new(nodes: usize) -> Nodes {
        if nodes <= SMALL {
            Nodes::Small(0)
        } else {
            Nodes::Large(vec![0; nodes.div_ceil(64)].into())
        }
    }

    /// Puts a node in; returns whether it was not there.
    fn insert(&mut self, node: usize) -> bool {
        match self {
            Nodes::Small(set) => {
                let before = *set;
                *set |= 1 << node;
                *set != before
            }
            Nodes::Large(words) => {
                let word = &mut words[node / 64];
                let before = *word;
                *word |= 1 << (node % 64);
                *word != before
            }
        }
    }

    fn count(&self) -> u32 {
        match self {
            Nodes::Small(set) => set.count_ones(),
            Nodes::Large(words) => words.iter().map(|word| word.count_ones()).sum(),
        }
    }
}

/// What names a broadcast: a log, and the first op that it carries.
pub(crate) type Name = (OriginId, Seq);

/// All broadcasts of a run.
#[derive(Debug)]
pub(crate) struct Visits {
    nodes: usize,
    came_to: FxHashMap<Name, Nodes>,
    /// Those that must come to everybody.
    owed: Vec<(Timestamp, Name)>,
}

impl Visits {
    pub(crate) fn new(nodes: usize) -> Visits {
        Visits {
            nodes,
            came_to: FxHashMap::default(),
            owed: Vec::new(),
        }
    }

    /// A broadcast comes to a node; returns whether for the first time.
    pub(crate) fn visit(&mut self, name: Name, node: usize) -> bool {
        let nodes = self.nodes;
        self.came_to
            .entry(name)
            .or_insert_with(|| Nodes::new(nodes))
            .insert(node)
    }

    /// A broadcast begins, and nothing on its way may keep it from anybody.
    pub(crate) fn owe(&mut self, now: Timestamp, batch: &Batch) {
        self.owed.push((now, (batch.origin, batch.first)));
    }

    /// Returns how many broadcasts from before that time had to come to everybody.
    pub(crate) fn owed_before(&self, time: Timestamp) -> u64 {
        self.owed.partition_point(|(began, _)| *began < time) as u64
    }

    /// Returns one of them that did not, and to how many it came.
    pub(crate) fn incomplete(&self, time: Timestamp, others: usize) -> Option<(Name, u32)> {
        let owed = &self.owed[..self.owed.partition_point(|(began, _)| *began < time)];
        owed.iter().find_map(|(_, name)| {
            let count = self.came_to.get(name).map_or(0, Nodes::count);
            (count as usize != others).then_some((*name, count))
        })
    }
}

#[cfg(test)]
mod tests {
    use radix_core::id::Rank;

    use super::*;

    #[test]
    fn each_node_is_counted_once_in_small_worlds_and_large_ones() {
        for nodes in [2, 128, 129, 1_000] {
            let mut visits = Visits::new(nodes);
            let name = (
                OriginId {
                    rank: Rank(0),
                    ..OriginId::default()
                },
                Seq(1),
            );
            assert!(visits.visit(name, 1));
            assert!(visits.visit(name, nodes - 1) || nodes == 2);
            assert!(!visits.visit(name, 1) && !visits.visit(name, nodes - 1));
            visits.owed.push((Timestamp(1), name));
            let count = if nodes == 2 { 1 } else { 2 };
            assert_eq!(visits.incomplete(Timestamp(2), nodes), Some((name, count)));
            assert_eq!(visits.incomplete(Timestamp(2), count as usize), None);
            assert_eq!(visits.incomplete(Timestamp(1), nodes), None, "too young");
        }
    }
}
