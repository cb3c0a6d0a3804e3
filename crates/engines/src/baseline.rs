//! What routing is compared with: the same request stream through pure policies over simulated engines.
//!
//! Nothing here looks at load or time; a rate is a property of the stream, the policy and the capacity.

use fastrand::Rng;
use radix_core::id::{Namespace, SourceId};
use radix_core::page::Fingerprint;

use crate::limits::POOL_PAGES_MAX;
use crate::sim_engine::{Run, SimulatedEngine, SimulatedEngineConfig};

/// Hit pages over prompt pages of each policy so far: 0 to 1, and 0 before the first page.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Each request goes to any engine.
    pub random: f64,
    /// Each request goes to the next engine.
    pub round_robin: f64,
    /// One engine with the capacity of all: no routing over separate pools can keep more.
    pub ideal: f64,
    /// One engine that never evicts: the reuse that is in the stream at all.
    pub unlimited: f64,
    /// Prompt pages fed so far.
    pub pages: u64,
}

/// The baselines of one stream, fed request by request beside the real thing.
///
/// Memory: about 40 bytes for each page held by any engine; `unlimited` keeps every distinct page.
#[derive(Clone, Debug)]
pub struct Baselines {
    rng: Rng,
    turn: usize,
    random: Vec<SimulatedEngine>,
    round_robin: Vec<SimulatedEngine>,
    ideal: SimulatedEngine,
    unlimited: SimulatedEngine,
    hits: Hits,
    pages: u64,
    run: Run,
}

#[derive(Clone, Copy, Debug, Default)]
struct Hits {
    random: u64,
    round_robin: u64,
    ideal: u64,
    unlimited: u64,
}

impl Baselines {
    /// Returns baselines over `engines` engines that hold `capacity_pages` pages each; `seed` draws for `random`.
    ///
    /// Panics: when `engines` is 0.
    #[must_use]
    pub fn new(engines: usize, capacity_pages: usize, seed: u64) -> Self {
        assert!(engines > 0, "there is at least one engine");
        Baselines {
            rng: Rng::with_seed(seed),
            turn: 0,
            random: vec![engine(capacity_pages); engines],
            round_robin: vec![engine(capacity_pages); engines],
            ideal: engine(capacity_pages.saturating_mul(engines)),
            unlimited: engine(POOL_PAGES_MAX),
            hits: Hits::default(),
            pages: 0,
            run: Run::default(),
        }
    }

    /// Routes one request by every policy. Cost: four runs of a [`SimulatedEngine`].
    pub fn feed(&mut self, namespace: Namespace, pages: &[Fingerprint]) {
        let run = &mut self.run;
        let mut hits = |engine: &mut SimulatedEngine| {
            engine.run_into(namespace, pages, run);
            u64::from(run.hit_pages)
        };
        let drawn = self.rng.usize(..self.random.len());
        self.hits.random += hits(&mut self.random[drawn]);
        self.hits.round_robin += hits(&mut self.round_robin[self.turn]);
        self.hits.ideal += hits(&mut self.ideal);
        self.hits.unlimited += hits(&mut self.unlimited);
        self.turn = (self.turn + 1) % self.round_robin.len();
        self.pages += pages.len() as u64;
    }

    /// Returns the rates so far.
    #[must_use]
    pub fn rates(&self) -> Rates {
        let rate = |hits: u64| {
            if self.pages == 0 {
                0.0
            } else {
                hits as f64 / self.pages as f64
            }
        };
        Rates {
            random: rate(self.hits.random),
            round_robin: rate(self.hits.round_robin),
            ideal: rate(self.hits.ideal),
            unlimited: rate(self.hits.unlimited),
            pages: self.pages,
        }
    }
}

/// Only hits are counted, so time and page size do not matter.
fn engine(capacity_pages: usize) -> SimulatedEngine {
    SimulatedEngine::new(SimulatedEngineConfig {
        capacity_pages,
        prefill_ns_per_token: 0,
        page_size: 1,
        source: SourceId(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::chats;
    use radix_core::page::FingerprintKey;

    fn feed_all(baselines: &mut Baselines, prompts: &[&[u64]]) -> Rates {
        for prompt in prompts {
            let pages: Vec<_> = prompt.iter().copied().map(Fingerprint).collect();
            baselines.feed(Namespace::DEFAULT, &pages);
        }
        baselines.rates()
    }

    #[test]
    fn nothing_fed_is_a_rate_of_zero() {
        assert_eq!(Baselines::new(3, 10, 0).rates(), Rates::default());
    }

    #[test]
    fn round_robin_misses_what_the_ideal_hits_and_the_ideal_what_the_unlimited_hits() {
        let mut baselines = Baselines::new(2, 2, 0);
        let rates = feed_all(
            &mut baselines,
            &[&[1, 2], &[1, 2], &[3, 4], &[5, 6], &[1, 2]],
        );
        assert_eq!(
            (rates.round_robin, rates.ideal, rates.unlimited),
            (0.0, 0.2, 0.4)
        );
        assert_eq!(rates.pages, 10);
    }

    #[test]
    fn one_engine_is_ideal_whatever_the_policy() {
        let key = FingerprintKey::new(1);
        let mut baselines = Baselines::new(1, 400, 9);
        let mut pages = Vec::new();
        for request in chats(9, 200) {
            pages.clear();
            key.pages(&request.tokens, 16, &mut pages);
            baselines.feed(Namespace::DEFAULT, &pages);
        }
        let Rates {
            random,
            round_robin,
            ideal,
            unlimited,
            ..
        } = baselines.rates();
        assert_eq!((random, round_robin), (ideal, ideal));
        assert!(0.0 < ideal && ideal < unlimited, "{ideal} {unlimited}");
    }
}
