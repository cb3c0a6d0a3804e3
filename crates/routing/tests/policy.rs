//! What the policy promises, one claim each.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use radix_core::Fingerprint;
use radix_core::id::{Namespace, Rank};
use routing::{
    Candidate, Choice, Config, Decision, Outcome, Policy, PolicyKind, Query, Reason, Role,
};

const WARM: u64 = 1_000;

fn candidate(rank: u16, role: Role, matched: u32) -> Candidate {
    Candidate {
        rank: Rank(rank),
        role,
        routable: true,
        matched,
        matched_device: matched,
    }
}

/// Prefill ranks from 0, decode ranks from 100, with the pages that each holds.
fn candidates(prefill: &[u32], decode: &[u32]) -> Vec<Candidate> {
    let prefill = (0..)
        .zip(prefill)
        .map(|(rank, &pages)| candidate(rank, Role::Prefill, pages));
    let decode = (100..)
        .zip(decode)
        .map(|(rank, &pages)| candidate(rank, Role::Decode, pages));
    prefill.chain(decode).collect()
}

fn policy(config: Config, candidates: &[Candidate]) -> Policy {
    let mut policy = Policy::new(config).unwrap();
    policy.update(candidates);
    policy
}

fn pages(conversation: u64, shared: u64, len: u64) -> Vec<Fingerprint> {
    (0..len)
        .map(|page| {
            Fingerprint(if page < shared {
                page
            } else {
                conversation << 32 | page
            })
        })
        .collect()
}

fn query(pages: &[Fingerprint], deepest: u32) -> Query<'_> {
    Query {
        namespace: Namespace::DEFAULT,
        pages,
        deepest,
    }
}

fn decide(candidates: &[Candidate], query: &Query<'_>) -> Decision {
    policy(Config::default(), candidates).decide(WARM, query, candidates)
}

fn chosen(decision: Decision, role: Role) -> (u16, u32, Reason) {
    let Choice {
        rank,
        matched,
        reason,
    } = decision.of(role).unwrap();
    (rank.0, matched, reason)
}

#[test]
fn most_matched_pages_win_for_each_role_apart() {
    let all = candidates(&[3, 9, 4], &[5, 1]);
    let decision = decide(&all, &query(&pages(1, 9, 10), 9));
    assert_eq!(chosen(decision, Role::Prefill), (1, 9, Reason::Prefix));
    assert_eq!(chosen(decision, Role::Decode), (100, 5, Reason::Prefix));
}

#[test]
fn a_holder_that_is_not_routable_is_passed_over() {
    let mut all = candidates(&[3, 9, 4], &[]);
    all[1].routable = false;
    let decision = decide(&all, &query(&pages(1, 9, 10), 9));
    assert_eq!(chosen(decision, Role::Prefill), (2, 4, Reason::Prefix));
}

// Regression of the original: it took the first of an empty list of prefill holders (IndexError).
#[test]
fn a_prefix_held_by_decode_nodes_only_leaves_prefill_to_the_hash() {
    let all = candidates(&[0, 0, 0], &[0, 8]);
    let decision = decide(&all, &query(&pages(1, 8, 10), 8));
    assert_eq!(chosen(decision, Role::Decode), (101, 8, Reason::Prefix));
    assert_eq!(decision.prefill.unwrap().reason, Reason::NoHolder);
}

#[test]
fn one_token_of_4096_does_not_pin_a_request() {
    let all = candidates(&[1, 0, 0, 0, 0, 0, 0, 0], &[]);
    let mut others = 0;
    for conversation in 1..=64 {
        let pages = pages(conversation, 1, 4096);
        let choice = decide(&all, &query(&pages, 1)).prefill.unwrap();
        assert_eq!(choice.reason, Reason::BelowMinimum);
        others += u32::from(choice.rank != Rank(0));
    }
    assert!(others >= 40, "{others} of 64 went elsewhere");
}

#[test]
fn the_minimum_is_met_exactly_at_its_ceiling() {
    let pages = pages(1, 0, 4096);
    let check = |matched, reason| {
        let all = candidates(&[0, matched, 0], &[]);
        assert_eq!(
            decide(&all, &query(&pages, matched))
                .prefill
                .unwrap()
                .reason,
            reason
        );
    };
    check(0, Reason::NoHolder);
    check(204, Reason::BelowMinimum);
    check(205, Reason::Prefix);
}

#[test]
fn a_prefix_that_all_hold_does_not_pile_up_on_one_node() {
    let all = candidates(&[10; 8], &[10; 4]);
    let policy = policy(Config::default(), &all);
    let (mut prefill, mut decode) = ([0u32; 8], [0u32; 4]);
    for conversation in 0..4_000 {
        let pages = pages(conversation, 10, 20);
        let decision = policy.decide(WARM + conversation, &query(&pages, 10), &all);
        let (rank, _, reason) = chosen(decision, Role::Prefill);
        assert_eq!(reason, Reason::Prefix);
        prefill[usize::from(rank)] += 1;
        decode[usize::from(chosen(decision, Role::Decode).0 - 100)] += 1;
    }
    assert!(
        prefill.iter().all(|count| (250..=750).contains(count)),
        "{prefill:?}"
    );
    assert!(
        decode.iter().all(|count| (500..=1500).contains(count)),
        "{decode:?}"
    );
}

#[test]
fn ties_are_broken_among_the_best_only() {
    let all = candidates(&[10, 9, 10, 0, 10, 9], &[]);
    let policy = policy(Config::default(), &all);
    let mut seen = [0u32; 6];
    for conversation in 0..600 {
        let pages = pages(conversation, 10, 20);
        let decision = policy.decide(WARM, &query(&pages, 10), &all);
        seen[usize::from(chosen(decision, Role::Prefill).0)] += 1;
    }
    assert!([0, 2, 4].iter().all(|&rank| seen[rank] >= 60), "{seen:?}");
    assert_eq!(seen[0] + seen[2] + seen[4], 600);
}

#[test]
fn conversations_that_share_only_a_system_prompt_spread_and_equal_ones_meet() {
    let all = candidates(&[0; 8], &[]);
    let policy = policy(Config::default(), &all);
    let mut seen = [0u32; 8];
    for conversation in 0..800 {
        let (long, longer) = (pages(conversation, 10, 20), pages(conversation, 10, 30));
        let first = policy.decide(WARM, &query(&long, 10), &all);
        assert_eq!(first, policy.decide(WARM + 7, &query(&long, 10), &all));
        assert_eq!(
            first,
            policy.decide(WARM, &query(&longer, 10), &all),
            "the tail does not count"
        );
        seen[usize::from(chosen(first, Role::Prefill).0)] += 1;
    }
    assert!(
        seen.iter().all(|count| (50..=150).contains(count)),
        "{seen:?}"
    );
}

#[test]
fn a_namespace_has_a_place_of_its_own() {
    let all = candidates(&[0; 8], &[]);
    let policy = policy(Config::default(), &all);
    let pages = pages(1, 0, 4);
    let mut seen: Vec<Rank> = (0..64)
        .map(|namespace| {
            let query = Query {
                namespace: Namespace(namespace),
                pages: &pages,
                deepest: 0,
            };
            policy.decide(WARM, &query, &all).prefill.unwrap().rank
        })
        .collect();
    seen.sort_unstable();
    seen.dedup();
    assert!(seen.len() >= 6, "{seen:?}");
}

#[test]
fn a_namespace_numbered_like_a_rank_does_not_fall_to_that_rank() {
    let all = candidates(&[0; 8], &[]);
    let policy = policy(Config::default(), &all);
    let ranks = |pages_of: fn(u64) -> Vec<Fingerprint>| {
        let mut ranks: Vec<Rank> = (0..64)
            .map(|number| {
                let pages = pages_of(number);
                let query = Query {
                    namespace: Namespace(5),
                    pages: &pages,
                    deepest: 0,
                };
                policy
                    .decide(WARM + number, &query, &all)
                    .prefill
                    .unwrap()
                    .rank
            })
            .collect();
        ranks.sort_unstable();
        ranks.dedup();
        ranks.len()
    };
    assert!(ranks(|_| vec![]) >= 6, "prompts without a page");
    assert!(
        ranks(|number| vec![Fingerprint(number)]) >= 6,
        "prompts of one page"
    );
}

#[test]
fn a_node_that_leaves_moves_only_its_own_requests() {
    let all = candidates(&[0; 8], &[]);
    let mut without = all.clone();
    without[3].routable = false;
    let gone: Vec<Candidate> = all.iter().copied().filter(|c| c.rank != Rank(3)).collect();
    let (stays, rebuilt) = (
        policy(Config::default(), &all),
        policy(Config::default(), &gone),
    );
    let mut moved = 0;
    for conversation in 0..2_000 {
        let pages = pages(conversation, 0, 5);
        let query = query(&pages, 0);
        let before = stays.decide(WARM, &query, &all).prefill.unwrap();
        let after = stays.decide(WARM, &query, &without).prefill.unwrap();
        assert!(after == before || before.rank == Rank(3));
        assert_ne!(after.rank, Rank(3));
        assert_eq!(after, rebuilt.decide(WARM, &query, &gone).prefill.unwrap());
        moved += u32::from(after != before);
    }
    assert!((125..=500).contains(&moved), "{moved} of 2000 moved");
}

#[test]
fn the_first_requests_are_spread_whatever_is_cached() {
    let all = candidates(&[0, 9, 0, 0], &[]);
    let policy = policy(
        Config {
            warmup_requests: 4_000,
            ..Config::default()
        },
        &all,
    );
    let pages = pages(1, 9, 10);
    let mut seen = [0u32; 4];
    for request in 0..4_000 {
        let (rank, matched, reason) = chosen(
            policy.decide(request, &query(&pages, 9), &all),
            Role::Prefill,
        );
        assert_eq!(reason, Reason::WarmUp);
        assert_eq!(matched, all[usize::from(rank)].matched);
        seen[usize::from(rank)] += 1;
    }
    assert!(
        seen.iter().all(|count| (900..=1100).contains(count)),
        "{seen:?}"
    );
    let after = policy.decide(4_000, &query(&pages, 9), &all);
    assert_eq!(chosen(after, Role::Prefill), (1, 9, Reason::Prefix));
}

#[test]
fn a_prompt_shorter_than_a_page_is_spread_by_request() {
    let all = candidates(&[0; 4], &[0; 4]);
    let policy = policy(Config::default(), &all);
    let mut seen = [0u32; 4];
    for request in WARM..WARM + 4_000 {
        let decision = policy.decide(request, &query(&[], 0), &all);
        let (rank, matched, reason) = chosen(decision, Role::Prefill);
        assert_eq!((matched, reason), (0, Reason::NoPages));
        seen[usize::from(rank)] += 1;
    }
    assert!(
        seen.iter().all(|count| (500..=1500).contains(count)),
        "{seen:?}"
    );
}

#[test]
fn round_robin_takes_all_in_turn_and_random_takes_all_alike() {
    let mut all = candidates(&[0, 9, 0, 0, 0], &[]);
    all[2].routable = false;
    all.reverse();
    let pages = pages(1, 9, 10);
    let turns = policy(
        Config {
            kind: PolicyKind::RoundRobin,
            ..Config::default()
        },
        &all,
    );
    let ranks: Vec<u16> = (0..6)
        .map(|request| {
            chosen(
                turns.decide(request, &query(&pages, 9), &all),
                Role::Prefill,
            )
            .0
        })
        .collect();
    assert_eq!(ranks, [0, 1, 3, 4, 0, 1]);

    let random = policy(
        Config {
            kind: PolicyKind::Random,
            ..Config::default()
        },
        &all,
    );
    let mut seen = [0u32; 5];
    for request in 0..4_000 {
        let (rank, _, reason) = chosen(
            random.decide(request, &query(&pages, 9), &all),
            Role::Prefill,
        );
        assert_eq!(reason, Reason::Random);
        seen[usize::from(rank)] += 1;
    }
    assert_eq!(seen[2], 0);
    assert!(
        [0, 1, 3, 4]
            .iter()
            .all(|&rank| (900..=1100).contains(&seen[rank])),
        "{seen:?}"
    );
}

#[test]
fn nobody_is_chosen_where_nobody_can_be_and_the_explanation_says_why() {
    let mut all = candidates(&[4, 4], &[]);
    all.iter_mut()
        .for_each(|candidate| candidate.routable = false);
    let policy = policy(Config::default(), &all);
    let pages = pages(1, 4, 4);
    let decision = policy.decide(WARM, &query(&pages, 4), &all);
    assert_eq!(
        decision,
        Decision {
            prefill: None,
            decode: None
        }
    );
    let explanation = policy.explain(WARM, &query(&pages, 4), &all);
    assert_eq!(explanation.prefill.outcome, Outcome::NoneRoutable);
    assert_eq!(explanation.decode.outcome, Outcome::NoCandidates);
}

#[test]
fn candidates_that_were_never_handed_in_win_by_prefix_or_when_alone() {
    let known = candidates(&[0, 0], &[]);
    let policy = policy(Config::default(), &known);
    let pages = pages(1, 5, 10);
    let with = |matched| [known[0], known[1], candidate(7, Role::Prefill, matched)];
    assert_eq!(
        chosen(
            policy.decide(WARM, &query(&pages, 5), &with(5)),
            Role::Prefill
        )
        .0,
        7
    );
    assert_ne!(
        chosen(
            policy.decide(WARM, &query(&pages, 5), &with(0)),
            Role::Prefill
        )
        .0,
        7
    );
    let strangers = [
        candidate(7, Role::Prefill, 0),
        candidate(8, Role::Prefill, 0),
    ];
    let alone = policy
        .decide(WARM, &query(&pages, 5), &strangers)
        .prefill
        .unwrap();
    assert_eq!(alone.reason, Reason::NoHolder);
}

#[test]
fn a_ring_is_rebuilt_only_for_another_membership() {
    let mut all = candidates(&[0, 1], &[2]);
    let mut policy = Policy::new(Config::default()).unwrap();
    assert!(policy.update(&all));
    all.reverse();
    all[0].routable = false;
    all[1].matched = 7;
    assert!(!policy.update(&all));
    assert_eq!(policy.ring(Role::Prefill).ranks(), [Rank(0), Rank(1)]);
    all.pop();
    assert!(policy.update(&all));
    assert_eq!(policy.ring(Role::Prefill).ranks(), [Rank(1)]);
}

#[test]
fn absurd_numbers_from_a_caller_do_no_harm() {
    let all = candidates(&[u32::MAX, u32::MAX], &[u32::MAX]);
    let pages = pages(1, 1, 3);
    let decision = decide(&all, &query(&pages, u32::MAX));
    assert_eq!(decision.prefill.unwrap().reason, Reason::Prefix);
    let decision = policy(Config::default(), &all).decide(u64::MAX, &query(&[], u32::MAX), &all);
    assert_eq!(decision.decode.unwrap().reason, Reason::NoPages);
}
