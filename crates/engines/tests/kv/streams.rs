//! Random streams with loss, repetition, restarts of engine and node, in every dialect: what the mesh was told is what the
//! engine holds.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use engines::event::Replayed;
use engines::event::encode::Dialect;
use engines::source::{Input, Output, Source, SourceConfig, SourceSnapshot, Standing};
use fastrand::Rng;
use radix_core::id::SourceId;
use radix_core::time::Timestamp;

use crate::double::{Double, KEY, Shape};
use crate::mesh::Mesh;

const DIALECTS: [Dialect; 7] = [
    Dialect::VLLM_0_9,
    Dialect::VLLM_0_10_2,
    Dialect::VLLM_0_14,
    Dialect::VLLM_0_22,
    Dialect::VLLM_0_32,
    Dialect::VLLM_0_32_BYTES,
    Dialect::SGLANG_0_5_23,
];
/// Tokens of a block and of a page.
const SIZES: [(usize, u16); 7] = [(4, 4), (4, 8), (8, 4), (1, 4), (6, 4), (4, 6), (3, 7)];

/// How bad the way is. Chances in 256.
#[derive(Clone, Copy, Debug)]
struct Way {
    lost: u8,
    repeated: u8,
    replay_lost: u8,
    replay_fails: u8,
    engine_restarts: u8,
    node_restarts: u8,
    replay: bool,
}

struct Run {
    double: Double,
    way: Way,
    rng: Rng,
    source: Source,
    mesh: Mesh,
    now: Timestamp,
    /// Old and new framing, drawn once per engine.
    topic: bool,
    snapshot: Option<Vec<u8>>,
    /// Replays that were asked for, and from where.
    asked: VecDeque<(u32, u64)>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let (block_size, page_size) = SIZES[rng.usize(..SIZES.len())];
        let shape = Shape {
            dialect: DIALECTS[rng.usize(..DIALECTS.len())],
            block_size,
            page_size,
            buffer: [3, 20, 10_000][rng.usize(..3)],
        };
        let mut bad = |chance: u8| if rng.bool() { 0 } else { rng.u8(..chance) };
        let way = Way {
            lost: bad(60),
            repeated: bad(60),
            replay_lost: bad(30),
            replay_fails: bad(60),
            engine_restarts: bad(8),
            node_restarts: bad(12),
            replay: bad(255) < 170,
        };
        let way = Way {
            // Without a replay, a node that was away takes an engine by the next number alone.
            node_restarts: if way.replay { way.node_restarts } else { 0 },
            ..way
        };
        let mut run = Run {
            source: Source::new(config(page_size, way.replay)),
            double: Double::new(shape, seed ^ 1),
            way,
            mesh: Mesh::default(),
            now: Timestamp(1),
            topic: rng.bool(),
            snapshot: None,
            asked: VecDeque::new(),
            rng,
        };
        // Some subscribers are late.
        for _ in 0..[0, 0, 5, 30][run.rng.usize(..4)] {
            run.double.step();
        }
        run
    }

    fn happens(&mut self, chance: u8) -> bool {
        self.rng.u8(..) < chance
    }

    fn input(&mut self, input: Input<'_>) {
        let mut out = Vec::new();
        self.source.handle(self.now, input, &mut out);
        self.mesh.apply(&out);
        for output in out {
            if let Output::AskReplay { ask, from, .. } = output {
                self.asked.push_back((ask, from));
            }
        }
    }

    /// Answers what was asked; an answer may bring the next question.
    fn answer_all(&mut self) {
        let mut answers = 0;
        while let Some((ask, from)) = self.asked.pop_front() {
            self.answer(ask, from);
            answers += 1;
            assert!(answers < 100, "questions come to an end");
        }
    }

    fn answer(&mut self, ask: u32, from: u64) {
        if self.happens(self.way.replay_fails) {
            if self.rng.bool() {
                self.input(Input::ReplayFailed { ask });
            }
            // Or silence, which the source times out.
            return;
        }
        let wanted: Vec<_> = (self.double.buffer.iter())
            .filter(|(seq, _)| *seq >= from)
            .cloned()
            .collect();
        for (seq, payload) in wanted {
            if self.happens(self.way.replay_lost) {
                continue;
            }
            let seq = seq.to_be_bytes();
            let frames: &[&[u8]] = if self.topic {
                &[b"", b"kv", &seq, &payload]
            } else {
                &[b"", &seq, &payload]
            };
            self.input(Input::Replayed { ask, frames });
        }
        let end = [0xff; 8];
        let frames: &[&[u8]] = if self.topic {
            &[b"", b"", &end, b""]
        } else {
            &[b"", &end, b""]
        };
        assert!(matches!(Replayed::parse(frames), Ok(Replayed::End)));
        self.input(Input::Replayed { ask, frames });
    }

    fn deliver(&mut self, (seq, payload): &(u64, Vec<u8>)) {
        let frames: [&[u8]; 3] = [b"kv", &seq.to_be_bytes(), payload];
        self.input(Input::Live(&frames));
    }

    fn tick(&mut self, advance: Duration) {
        self.now = self.now.after(advance);
        if self
            .source
            .next_deadline()
            .is_some_and(|due| due <= self.now)
        {
            self.input(Input::Tick);
        }
    }

    fn step(&mut self) {
        if self.happens(self.way.engine_restarts) {
            self.double.restart();
            // A process that ends breaks the connection.
            self.input(Input::Connected);
        }
        if self.happens(self.way.node_restarts) {
            self.restart_node();
        }
        let batch = self.double.step();
        if !self.happens(self.way.lost) {
            self.deliver(&batch);
            if self.happens(self.way.repeated) {
                self.deliver(&batch);
            }
        }
        if self.rng.u8(..) < 30 {
            self.snapshot = Some(postcard::to_allocvec(&self.source.snapshot()).expect("memory"));
        }
        let advance = Duration::from_millis(self.rng.u64(..40));
        self.tick(advance);
        // Answers take their time: live batches overtake them.
        if self.rng.bool() {
            self.answer_all();
        }
    }

    /// The node comes back with what it wrote down last: with nothing in its log.
    fn restart_node(&mut self) {
        self.mesh = Mesh::default();
        self.asked.clear();
        let config = config(self.double.shape.page_size, self.way.replay);
        self.source = match &self.snapshot {
            Some(bytes) => {
                let snapshot: SourceSnapshot = postcard::from_bytes(bytes).expect("was written");
                Source::restore(config, &snapshot).expect("own snapshot")
            }
            None => Source::new(config),
        };
        if self.rng.bool() {
            self.input(Input::Connected);
        }
    }

    /// The way is good again, and time passes: everything that can be known is known.
    fn settle(&mut self) {
        self.way.lost = 0;
        self.way.replay_lost = 0;
        self.way.replay_fails = 0;
        if !self.way.replay {
            let batch = self.double.step();
            self.deliver(&batch);
        }
        for _ in 0..60 {
            self.tick(Duration::from_secs(1));
            self.answer_all();
        }
    }

    fn check(&self) {
        let truth = self.double.truth();
        match self.source.standing() {
            Standing::Exact => assert!(self.mesh.held == truth, "exact is equal"),
            Standing::Degraded => {
                let known: BTreeSet<_> = truth.keys().collect();
                for (path, tiers) in &self.mesh.held {
                    assert!(known.contains(path), "what is claimed is held");
                    assert!(tiers.is_subset(&truth[path]), "and where it is claimed");
                }
            }
            Standing::Syncing => panic!("nothing is left to wait for"),
        }
        let counters = self.source.counters();
        assert_eq!(
            (counters.malformed_batches, counters.malformed_events),
            (0, 0)
        );
        assert_eq!((counters.renamed_blocks, counters.odd_stored), (0, 0));
        assert_eq!(counters.refused_blocks, 0);
    }
}

fn config(page_size: u16, replay: bool) -> SourceConfig {
    SourceConfig {
        replay,
        ..SourceConfig::new(SourceId(3), KEY, page_size)
    }
}

fn run(seed: u64) -> Run {
    let mut run = Run::new(seed);
    for _ in 0..run.rng.usize(1..4) {
        for _ in 0..run.rng.usize(1..40) {
            run.step();
        }
        let way = run.way;
        run.settle();
        run.check();
        run.way = way;
    }
    run
}

#[test]
fn what_the_mesh_is_told_is_what_the_engine_holds() {
    let mut failed = Vec::new();
    let cases =
        std::env::var("RADIXMESH_KV_CASES").map_or(300, |cases| cases.parse().expect("a number"));
    let (mut exact, mut restarts, mut lost, mut inferred) = (0, 0, 0, 0);
    for seed in 0..cases {
        let outcome = std::panic::catch_unwind(|| run(seed));
        let Ok(run) = outcome else {
            failed.push(seed);
            continue;
        };
        exact += u64::from(run.source.standing() == Standing::Exact);
        restarts += run.source.counters().restarts;
        lost += run.source.counters().gaps_lost;
        inferred += run.source.counters().inferred_blocks;
    }
    println!(
        "{cases} streams: {exact} exact at the end, {restarts} restarts, {lost} gaps lost, {inferred} blocks inferred"
    );
    assert!(
        failed.is_empty(),
        "seeds that fail, to be repeated with `run(seed)`: {failed:?}"
    );
    assert!(
        exact > cases / 4 && restarts > 0 && lost > 0 && inferred > 0,
        "every state is visited"
    );
}
