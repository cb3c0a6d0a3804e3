//! The simulated engine against a naive model that scans everything.

use std::collections::{BTreeMap, BTreeSet};

use engines::{SimulatedEngine, SimulatedEngineConfig, StoredRun};
use proptest::prelude::*;
use radix_core::id::{CopyRange, Namespace, Seq, SourceId};
use radix_core::page::Fingerprint;

type Path = (Namespace, Vec<Fingerprint>);
type Copy = (Seq, u16);

/// Every page as its whole path, with the run that touched it last and its copy's name.
#[derive(Default)]
struct Model {
    capacity: usize,
    held: BTreeMap<Path, (u64, Copy)>,
    runs: u64,
}

struct ModelRun {
    hit: usize,
    stored: usize,
    evicted: BTreeSet<Copy>,
}

impl Model {
    fn run(&mut self, namespace: Namespace, pages: &[Fingerprint]) -> ModelRun {
        self.runs += 1;
        let prefix = |len: usize| (namespace, pages[..len].to_vec());
        let hit = (1..=pages.len())
            .take_while(|&len| self.held.contains_key(&prefix(len)))
            .count();
        let stored = (pages.len() - hit).min(self.capacity - hit);
        for len in 1..=hit {
            self.held.get_mut(&prefix(len)).expect("hit").0 = self.runs;
        }
        let mut evicted = BTreeSet::new();
        while self.held.len() + stored > self.capacity {
            let leaf = self
                .held
                .iter()
                .filter(|(path, (last, _))| *last != self.runs && self.is_leaf(path))
                .min_by_key(|(_, (last, _))| *last)
                .map(|(path, _)| path.clone())
                .expect("a leaf that is not of this prompt");
            evicted.insert(self.held.remove(&leaf).expect("held").1);
        }
        for (len, idx) in (hit + 1..=hit + stored).zip(0..) {
            self.held
                .insert(prefix(len), (self.runs, (Seq(self.runs), idx)));
        }
        ModelRun {
            hit,
            stored,
            evicted,
        }
    }

    fn is_leaf(&self, (namespace, path): &Path) -> bool {
        !self.held.keys().any(|(other, longer)| {
            other == namespace && longer.len() == path.len() + 1 && longer.starts_with(path)
        })
    }
}

fn copies(ranges: &[CopyRange]) -> Vec<Copy> {
    ranges
        .iter()
        .flat_map(|range| (0..range.len).map(|i| (range.seq, range.idx + i)))
        .collect()
}

fn engine(capacity_pages: usize) -> SimulatedEngine {
    SimulatedEngine::new(SimulatedEngineConfig {
        capacity_pages,
        prefill_ns_per_token: 3,
        page_size: 2,
        source: SourceId(0),
    })
}

proptest! {
    /// Hits, what is kept, which copies die, and what is held afterwards are the model's, step by step. The
    /// engine's own check sees to slots (none twice, none leaked) and to parents outliving their children.
    #[test]
    fn the_engine_does_what_the_naive_model_does(
        capacity in 0usize..24,
        prompts in prop::collection::vec((0u64..2, prop::collection::vec(0u64..3, 0..9)), 1..60),
    ) {
        let mut engine = engine(capacity);
        let mut model = Model { capacity, ..Model::default() };
        for (namespace, pages) in &prompts {
            let namespace = Namespace(*namespace);
            let pages: Vec<_> = pages.iter().copied().map(Fingerprint).collect();
            let run = engine.run(namespace, &pages);
            let expected = model.run(namespace, &pages);

            prop_assert_eq!(run.hit_pages as usize, expected.hit);
            prop_assert_eq!(run.stored_from as usize, expected.hit);
            prop_assert_eq!(run.stored_len as usize, expected.stored);
            prop_assert_eq!(run.computed_pages as usize, pages.len() - expected.hit);
            prop_assert_eq!(run.prefill_ns, (pages.len() - expected.hit) as u64 * 6);
            let evicted = copies(&run.evicted);
            prop_assert_eq!(evicted.len(), expected.evicted.len());
            prop_assert_eq!(evicted.into_iter().collect::<BTreeSet<_>>(), expected.evicted);
            prop_assert!(run.slots.iter().all(|&slot| (slot as usize) < capacity));
            prop_assert_eq!(run.slots.len(), expected.hit + expected.stored);
            if let Some(last) = run.slots.last() {
                prop_assert_eq!(engine.slot_of(namespace, &pages[..run.slots.len()]), Some(*last));
            }

            let name = StoredRun { page: run.stored_from, len: run.stored_len, seq: Seq(model.runs), idx: 0 };
            prop_assert!(engine.stored(&run, [name]).is_empty());
            prop_assert_eq!(engine.held_pages(), model.held.len());
            for (namespace, path) in model.held.keys() {
                prop_assert_eq!(engine.holds(*namespace, path) as usize, path.len());
            }
            engine.debug_check();
        }
    }
}
