//! Explanations: that they are the decision, whole, and readable by people and programs.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use proptest::prelude::*;
use radix_core::Fingerprint;
use radix_core::id::{Namespace, Rank};
use routing::{
    Candidate, CandidateExplanation, Config, Outcome, Policy, PolicyKind, Query, Reason, Role,
};

fn candidate() -> impl Strategy<Value = Candidate> {
    (0..12u16, any::<bool>(), prop::bool::weighted(0.8), 0..30u32).prop_map(
        |(rank, prefill, routable, matched)| Candidate {
            rank: Rank(rank),
            role: if prefill { Role::Prefill } else { Role::Decode },
            routable,
            matched,
            matched_device: matched / 2,
        },
    )
}

fn kind() -> impl Strategy<Value = PolicyKind> {
    prop::sample::select(vec![
        PolicyKind::Prefix,
        PolicyKind::Random,
        PolicyKind::RoundRobin,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn an_explanation_is_the_decision_and_the_order_of_candidates_does_not_matter(
        mut candidates in prop::collection::vec(candidate(), 0..24),
        known in 0..24usize,
        pages in prop::collection::vec(any::<u64>().prop_map(Fingerprint), 0..30),
        deepest in 0..40u32,
        request in 0..64u64,
        kind in kind(),
        seed in any::<u64>(),
    ) {
        let mut policy = Policy::new(Config { kind, seed, ..Config::default() }).unwrap();
        policy.update(&candidates[..known.min(candidates.len())]);
        let query = Query { namespace: Namespace(3), pages: &pages, deepest };
        let decision = policy.decide(request, &query, &candidates);
        let explanation = policy.explain(request, &query, &candidates);
        prop_assert_eq!(explanation.decision(), decision);

        for (role, explained) in [(Role::Prefill, &explanation.prefill), (Role::Decode, &explanation.decode)] {
            let of_role = || candidates.iter().filter(|candidate| candidate.role == role);
            prop_assert_eq!(explained.candidates.len(), of_role().count());
            match explained.outcome {
                Outcome::Chosen(choice) => {
                    prop_assert!(of_role().any(|c| c.rank == choice.rank && c.routable && c.matched == choice.matched));
                    prop_assert!(explained.candidates.iter().all(|c| c.chosen == (c.rank == choice.rank)));
                    let most = of_role().filter(|c| c.routable).map(|c| c.matched).max().unwrap();
                    let best = |c: &&CandidateExplanation| c.routable && (choice.reason != Reason::Prefix || c.matched == most);
                    if !matches!(choice.reason, Reason::WarmUp | Reason::Random | Reason::RoundRobin) {
                        let first = explained.candidates.iter().find(best).unwrap();
                        prop_assert_eq!(first.rank, choice.rank, "the first of the best in hash order");
                    }
                }
                Outcome::NoCandidates => prop_assert!(of_role().next().is_none()),
                Outcome::NoneRoutable => prop_assert!(of_role().all(|candidate| !candidate.routable)),
            }
        }

        candidates.reverse();
        prop_assert_eq!(policy.decide(request, &query, &candidates), decision);
    }
}

fn example() -> (Policy, Vec<Candidate>, Vec<Fingerprint>) {
    let candidate = |rank, role, routable, matched| Candidate {
        rank: Rank(rank),
        role,
        routable,
        matched,
        matched_device: matched / 2,
    };
    let candidates = vec![
        candidate(0, Role::Prefill, true, 40),
        candidate(1, Role::Prefill, false, 90),
        candidate(2, Role::Prefill, true, 2),
        candidate(3, Role::Decode, true, 4),
    ];
    let mut policy = Policy::new(Config::default()).unwrap();
    policy.update(&candidates);
    (policy, candidates, (0..100).map(Fingerprint).collect())
}

#[test]
fn the_text_names_every_candidate_and_the_reason() {
    let (policy, candidates, pages) = example();
    let query = Query {
        namespace: Namespace::DEFAULT,
        pages: &pages,
        deepest: 90,
    };
    let text = policy.explain(40, &query, &candidates).to_string();
    let expected = "\
request 40: 100 pages in namespace 0000000000000000, 90 held by somebody
policy prefix: at least 5 pages count, hash key KEY
prefill: rank 0, 40 pages matched: holds most of the prefix
  place   rank  matched  on device  state
";
    let key = format!("{:016x}", policy.explain(40, &query, &candidates).key);
    assert!(text.starts_with(&expected.replace("KEY", &key)), "{text}");
    assert!(
        text.contains("      0       40         20  enough\n"),
        "{text}"
    );
    assert!(
        text.contains("      1       90         45  not routable\n"),
        "{text}"
    );
    assert!(
        text.contains("      2        2          1  below the minimum\n"),
        "{text}"
    );
    assert!(text.contains("decode: rank 3, 4 pages matched: consistent hash, the longest match is below the minimum\n"), "{text}");
}

#[test]
fn the_json_has_one_shape() {
    let (policy, candidates, pages) = example();
    let query = Query {
        namespace: Namespace::DEFAULT,
        pages: &pages,
        deepest: 90,
    };
    let json = serde_json::to_value(policy.explain(40, &query, &candidates)).unwrap();
    assert_eq!(json["kind"], "prefix");
    assert_eq!(json["match_min"], 5);
    assert_eq!(
        json["prefill"]["outcome"],
        serde_json::json!({ "chosen": { "rank": 0, "matched": 40, "reason": "prefix" } })
    );
    assert_eq!(
        json["decode"]["candidates"],
        serde_json::json!([{
            "rank": 3, "routable": true, "matched": 4, "matched_device": 2,
            "passed": false, "hash_place": 0, "chosen": true,
        }])
    );
}

// The hashes are part of what routers of one cluster agree on: a change of these numbers makes
// routers of two versions send equal prompts to different nodes.
#[test]
fn hash_choices_are_frozen() {
    let candidates: Vec<Candidate> = (0..16)
        .map(|rank| Candidate {
            rank: Rank(rank),
            role: Role::Prefill,
            routable: true,
            matched: 0,
            matched_device: 0,
        })
        .collect();
    let mut policy = Policy::new(Config {
        seed: 7,
        ..Config::default()
    })
    .unwrap();
    policy.update(&candidates);
    let rank = |request, first: u64, len: u64| {
        let pages: Vec<Fingerprint> = (first..first + len).map(Fingerprint).collect();
        let query = Query {
            namespace: Namespace(5),
            pages: &pages,
            deepest: 300,
        };
        policy
            .decide(request, &query, &candidates)
            .prefill
            .unwrap()
            .rank
            .0
    };
    let hashed: Vec<u16> = (0..8).map(|first| rank(99, first, 400)).collect();
    let drawn: Vec<u16> = (0..8).map(|request| rank(request, 0, 1)).collect();
    let short: Vec<u16> = (40..48).map(|request| rank(request, 0, 0)).collect();
    assert_eq!(
        (hashed, drawn, short),
        (
            vec![11, 5, 3, 7, 12, 0, 2, 4],
            vec![9, 14, 6, 15, 6, 10, 1, 11],
            vec![1, 10, 3, 13, 5, 11, 12, 3]
        )
    );
}
