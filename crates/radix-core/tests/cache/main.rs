//! An engine's cache: what its documentation claims, one test per claim, and everything at once against a
//! literal model.
//!
//! `RADIXMESH_CACHE_CASES=10000 RADIXMESH_CACHE_OPS=200 cargo test --release -p radix-core --test cache` runs long.

#![cfg(not(radixmesh_loom))]

mod claims;
mod model;
mod ops;
mod run;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

fn from_environment(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

#[test]
fn every_answer_is_the_models_and_no_slot_is_lost() {
    let cases = from_environment("RADIXMESH_CACHE_CASES", 200);
    let ops_max = from_environment("RADIXMESH_CACHE_OPS", 60);
    let config = Config {
        cases: u32::try_from(cases).expect("a number of cases"),
        max_shrink_iters: 4_000,
        failure_persistence: None,
        ..Config::default()
    };
    let strategy = (
        ops::setups(),
        prop::collection::vec(ops::ops(), ops_max..=ops_max),
    );
    let run = |(setup, ops): (ops::Setup, Vec<ops::Op>)| {
        run::compare(setup, &ops);
        Ok(())
    };
    if let Err(failure) = TestRunner::new(config).run(&strategy, run) {
        panic!("{failure}");
    }
}

/// A fuzz target: `BOLERO_RANDOM_ITERATIONS=100000 cargo test --release -p radix-core --test cache fuzz`, or with
/// coverage `cargo bolero test -p radix-core fuzzed_bytes_are_calls_with_the_models_answers`. A failure prints the seed that repeats it.
#[test]
fn fuzzed_bytes_are_calls_with_the_models_answers() {
    bolero::check!()
        .with_iterations(100)
        .with_max_len(2_000)
        .for_each(|bytes: &[u8]| {
            let (setup, ops) = ops::decode(bytes);
            run::compare(setup, &ops);
        });
}

#[test]
fn arbitrary_bytes_are_calls_with_the_models_answers() {
    let mut random = fastrand::Rng::with_seed(0xcafe);
    for _ in 0..from_environment("RADIXMESH_CACHE_CASES", 200) {
        let len = random.usize(..2_000);
        let bytes: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
        let (setup, ops) = ops::decode(&bytes);
        run::compare(setup, &ops);
    }
}
