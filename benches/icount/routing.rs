//! One decision over 64 nodes: 48 that prefill and 16 that decode.

use std::hint::black_box;

use radixmesh::radix_core::id::{Namespace, Rank};
use radixmesh::routing::{Candidate, Config, Policy, Query, Role};

use crate::data::runs;
use crate::{Call, Operation};

const NODES: u16 = 64;
const PREFILL: u16 = 48;
const QUERIES: usize = 16;
const QUERY_PAGES: u32 = 110;

pub(crate) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "routing::decide/prefix holders=64",
        calls: 640,
        prepare: |_| decide(1..=QUERY_PAGES),
    },
    Operation {
        name: "routing::decide/no holder nodes=64",
        calls: 640,
        prepare: |_| decide(0..=0),
    },
];

/// Decides for one query after the other, of which every node holds as many leading pages as `held` says.
fn decide(held: std::ops::RangeInclusive<u32>) -> Call {
    let mut random = fastrand::Rng::with_seed(22);
    let config = Config {
        warmup_requests: 0,
        ..Config::default()
    };
    let mut policy = Policy::new(config).expect("within the limits");
    let queries = runs(23, QUERIES, QUERY_PAGES as usize);
    let mut candidates = || -> Vec<Candidate> {
        let candidate = |rank| {
            let matched = random.u32(held.clone());
            let role = if rank < PREFILL {
                Role::Prefill
            } else {
                Role::Decode
            };
            Candidate {
                rank: Rank(rank),
                role,
                routable: true,
                matched,
                matched_device: matched / 2,
            }
        };
        (0..NODES).map(candidate).collect()
    };
    let asked: Vec<(Vec<Candidate>, u32)> = (0..QUERIES)
        .map(|_| {
            let candidates = candidates();
            let deepest = candidates.iter().map(|candidate| candidate.matched).max();
            (candidates, deepest.unwrap_or(0))
        })
        .collect();
    policy.update(&asked[0].0);
    Box::new(move |number| {
        let (candidates, deepest) = &asked[number % QUERIES];
        let query = Query {
            namespace: Namespace::DEFAULT,
            pages: &queries[number % QUERIES],
            deepest: *deepest,
        };
        black_box(policy.decide(number as u64, black_box(&query), candidates));
    })
}
