//! Whether nodes grow: the resident memory of each at three moments of a run, and the most of any.

use std::collections::BTreeMap;

use serde::Serialize;

/// A node may grow by this share of what it had, or by `SLACK_MB`, and still counts as flat.
const GROWTH_MAX: f64 = 0.10;
/// Unit: 10^6 bytes. Logs keep a tail to answer pulls, which fills in the first minutes.
const SLACK_MB: f64 = 4.0;

/// A moment of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Just before the first fault.
    Begin,
    /// In the middle of the traffic.
    Middle,
    /// At its end.
    End,
}

/// Resident memory of one node. Unit: 10^6 bytes; absent where it did not run at that moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Resident {
    /// Just before the first fault.
    pub(crate) begin: Option<f64>,
    /// In the middle of the traffic.
    pub(crate) middle: Option<f64>,
    /// At its end.
    pub(crate) end: Option<f64>,
}

/// Resident memory of all nodes. Unit: 10^6 bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Memory {
    /// By rank.
    pub(crate) nodes: BTreeMap<u16, Resident>,
    /// Of the largest node, at any time.
    pub(crate) max: f64,
    /// The most that a node had more at the end than at the larger one of the two moments before.
    pub(crate) growth: f64,
    /// Nodes that grew so by more than a tenth and 4 MB: they are not flat.
    pub(crate) growing: usize,
}

impl Memory {
    /// Notes what nodes have, as (rank, bytes).
    pub(crate) fn look(&mut self, nodes: impl Iterator<Item = (u16, u64)>, at: Option<Moment>) {
        for (rank, bytes) in nodes {
            let megabytes = bytes as f64 / 1e6;
            self.max = self.max.max(megabytes);
            let node = self.nodes.entry(rank).or_default();
            match at {
                None => {}
                Some(Moment::Begin) => node.begin = Some(megabytes),
                Some(Moment::Middle) => node.middle = Some(megabytes),
                Some(Moment::End) => node.end = Some(megabytes),
            }
        }
    }

    /// Judges, when all moments are over.
    pub(crate) fn judge(&mut self) {
        let before = |node: &Resident| match (node.begin, node.middle) {
            (Some(begin), Some(middle)) => Some(begin.max(middle)),
            (begin, middle) => begin.or(middle),
        };
        let grown: Vec<(f64, f64)> = self
            .nodes
            .values()
            .filter_map(|node| Some((before(node)?, node.end?)))
            .map(|(before, end)| (before, end - before))
            .collect();
        self.growth = grown.iter().map(|&(_, growth)| growth).fold(0.0, f64::max);
        let grows = |&&(before, growth): &&(f64, f64)| growth > SLACK_MB.max(before * GROWTH_MAX);
        self.growing = grown.iter().filter(grows).count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(node: [f64; 3]) -> Memory {
        let mut memory = Memory::default();
        for (at, megabytes) in [Moment::Begin, Moment::Middle, Moment::End]
            .into_iter()
            .zip(node)
        {
            let bytes = (megabytes * 1e6) as u64;
            memory.look([(3, bytes)].into_iter(), Some(at));
        }
        memory.judge();
        memory
    }

    #[test]
    fn growth_counts_from_the_larger_moment_before_the_end() {
        let memory = judged([10.0, 30.0, 33.5]);
        assert_eq!((memory.growth, memory.growing, memory.max), (3.5, 0, 33.5));
        assert_eq!(judged([10.0, 30.0, 34.5]).growing, 1);
        assert_eq!(judged([100.0, 90.0, 109.0]).growing, 0);
        assert_eq!(judged([10.0, 30.0, 12.0]).growth, 0.0);
    }

    #[test]
    fn a_node_that_was_dead_at_a_moment_is_judged_by_the_others() {
        let mut memory = Memory::default();
        memory.look([(0, 5_000_000)].into_iter(), Some(Moment::Begin));
        memory.look([(0, 50_000_000)].into_iter(), Some(Moment::End));
        memory.look([(1, 60_000_000)].into_iter(), Some(Moment::End));
        memory.judge();
        assert_eq!((memory.growth, memory.growing), (45.0, 1));
    }
}
