//! The truth: who holds which block, and nothing else. Answers are read off block by block.

use rustc_hash::FxHashMap;

use crate::stream::{Change, Event, names};

/// The most workers: one bit each.
pub(crate) const WORKERS_MAX: u16 = 64;

/// Every block with its holders.
#[derive(Default)]
pub(crate) struct Model {
    /// Bit `w` of `[name]`: worker `w` holds the block.
    holders: FxHashMap<u64, u64>,
}

/// How many answers of one index were not those of the model.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wrong {
    /// Queries asked.
    pub(crate) asked: u64,
    /// Queries with a wrong depth for any worker.
    pub(crate) wrong: u64,
    /// Those of them that credit a worker with more than it holds.
    pub(crate) over: u64,
}

impl Wrong {
    /// Takes in one answer.
    pub(crate) fn add(&mut self, answer: &[u32], truth: &[u32]) {
        self.asked += 1;
        self.wrong += u64::from(answer != truth);
        self.over += u64::from(
            answer
                .iter()
                .zip(truth)
                .any(|(answer, truth)| answer > truth),
        );
    }
}

impl Model {
    /// Takes in events.
    pub(crate) fn apply(&mut self, events: &[Event]) {
        for event in events {
            let bit = 1 << event.worker;
            match &*event.change {
                Change::Store { blocks, .. } => {
                    for block in blocks {
                        *self.holders.entry(block.name).or_default() |= bit;
                    }
                }
                Change::Remove(names) => {
                    for name in names {
                        if let Some(holders) = self.holders.get_mut(name) {
                            *holders &= !bit;
                        }
                    }
                }
            }
        }
    }

    /// Writes how many leading pages each worker holds without a hole.
    pub(crate) fn depths(&self, query: &[u64], depths: &mut [u32]) {
        depths.fill(0);
        let mut holding = u64::MAX;
        for (name, depth) in names(query).iter().zip(1..) {
            holding &= self.holders.get(name).copied().unwrap_or(0);
            if holding == 0 {
                break;
            }
            let holds = |worker: usize| holding >> worker & 1 == 1;
            (0..depths.len())
                .filter(|worker| holds(*worker))
                .for_each(|worker| depths[worker] = depth);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::stream::Block;

    #[test]
    fn pages_behind_a_hole_do_not_count() {
        let path = [7, 8, 9];
        let named = names(&path);
        let blocks: Vec<Block> = named
            .iter()
            .zip(path)
            .map(|(&name, page)| Block { name, page })
            .collect();
        let tell = |model: &mut Model, worker, change| {
            let change = Rc::new(change);
            model.apply(&[Event { worker, change }]);
        };
        let mut model = Model::default();
        for worker in [0, 1] {
            let (parent, blocks) = (None, blocks.clone());
            tell(&mut model, worker, Change::Store { parent, blocks });
        }
        tell(&mut model, 1, Change::Remove(vec![named[1]]));
        let mut depths = [9; 3];
        model.depths(&path, &mut depths);
        assert_eq!(depths, [3, 1, 0]);
    }
}
