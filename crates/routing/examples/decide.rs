//! Three chats over four prefill and two decode nodes: where each request goes, and why.
//!
//! `cargo run -p routing --example decide`

use radix_core::id::{Namespace, Rank};
use radix_core::{Fingerprint, FingerprintKey};
use routing::{Candidate, Config, ConfigError, Policy, Query, Role};

const PAGE_TOKENS: usize = 4;

fn main() -> Result<(), ConfigError> {
    let mut policy = Policy::new(Config {
        warmup_requests: 0,
        ..Config::default()
    })?;
    let system = "you are a helpful assistant who answers briefly and kindly. ";
    let chats = [
        "how tall is the tower?",
        "name three rivers of Asia.",
        "how tall is the tower?",
    ];
    // What each node holds: whole prompts, as pages. A real caller asks its radix tree.
    let mut held: Vec<(Rank, Vec<Fingerprint>)> = Vec::new();

    for (number, chat) in (0..).zip(chats) {
        let pages = pages_of(&format!("{system}{chat}"));
        let matched = |rank| {
            let of_rank = held.iter().filter(|(holder, _)| *holder == rank);
            of_rank
                .map(|(_, held)| shared(held, &pages))
                .max()
                .unwrap_or(0)
        };
        let candidate = |rank: u16| Candidate {
            rank: Rank(rank),
            role: if rank < 4 {
                Role::Prefill
            } else {
                Role::Decode
            },
            routable: true,
            matched: matched(Rank(rank)),
            matched_device: matched(Rank(rank)),
        };
        let candidates: Vec<Candidate> = (0..6).map(candidate).collect();
        policy.update(&candidates);

        let deepest = candidates
            .iter()
            .map(|candidate| candidate.matched)
            .max()
            .unwrap_or(0);
        let query = Query {
            namespace: Namespace::DEFAULT,
            pages: &pages,
            deepest,
        };
        println!(
            "\"{chat}\"\n{}",
            policy.explain(number, &query, &candidates)
        );
        let decision = policy.decide(number, &query, &candidates);
        let chosen = [decision.prefill, decision.decode].into_iter().flatten();
        held.extend(chosen.map(|choice| (choice.rank, pages.clone())));
    }
    Ok(())
}

/// One token a letter, for the sake of the example.
fn pages_of(text: &str) -> Vec<Fingerprint> {
    let tokens: Vec<u32> = text.chars().map(u32::from).collect();
    let mut pages = Vec::new();
    FingerprintKey::new(42).pages(&tokens, PAGE_TOKENS, &mut pages);
    pages
}

fn shared(held: &[Fingerprint], pages: &[Fingerprint]) -> u32 {
    let leading = held
        .iter()
        .zip(pages)
        .take_while(|(held, page)| held == page)
        .count();
    u32::try_from(leading).unwrap_or(u32::MAX)
}
