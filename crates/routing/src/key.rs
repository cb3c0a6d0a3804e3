//! The hashes that decisions are made with. All take the configured seed.

use radix_core::id::Rank;
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use crate::candidate::{Query, Role};

/// Pages hashed at once: 1 KiB, a multiple of the hash's stripe.
const CHUNK_PAGES: usize = 128;

/// What a hash is for. It is hashed, too: without it a request of namespace 5 would fall exactly onto
/// the points of rank 5.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Domain {
    Query = 1,
    Request = 2,
    Draw = 3,
    Point = 4,
}

/// Returns the place of a query on the hash ring: namespace, shared pages, and one page more.
///
/// That is what the cluster knows of the query and the first page it does not. So conversations that
/// share only their system prompt part ways, and equal new prompts meet. Cost: 8 bytes hashed a page.
pub(crate) fn of_query(seed: u64, query: &Query<'_>) -> u64 {
    let shared = usize::try_from(query.deepest).unwrap_or(usize::MAX);
    let pages = &query.pages[..query.pages.len().min(shared.saturating_add(1))];
    let mut hash = Xxh3::with_seed(seed);
    hash.update(&(Domain::Query as u64).to_le_bytes());
    hash.update(&query.namespace.0.to_le_bytes());
    let mut bytes = [0; CHUNK_PAGES * 8];
    for chunk in pages.chunks(CHUNK_PAGES) {
        for (to, page) in bytes.chunks_exact_mut(8).zip(chunk) {
            to.copy_from_slice(&page.0.to_le_bytes());
        }
        hash.update(&bytes[..chunk.len() * 8]);
    }
    hash.digest()
}

/// Returns the place of a query without pages: another one for each request.
pub(crate) fn of_request(seed: u64, query: &Query<'_>, request_number: u64) -> u64 {
    words(
        seed,
        [Domain::Request as u64, query.namespace.0, request_number],
    )
}

/// Returns the weight of a candidate in the draw for one number; the heaviest is drawn.
pub(crate) fn weight(seed: u64, number: u64, role: Role, rank: Rank) -> u64 {
    words(
        seed,
        [
            Domain::Draw as u64,
            number,
            (role as u64) << 16 | u64::from(rank.0),
        ],
    )
}

/// Returns the place of one of a candidate's points on the hash ring.
pub(crate) fn point(seed: u64, rank: Rank, number: u16) -> u64 {
    words(
        seed,
        [Domain::Point as u64, u64::from(rank.0), u64::from(number)],
    )
}

fn words(seed: u64, words: [u64; 3]) -> u64 {
    let mut bytes = [0; 24];
    for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    xxh3_64_with_seed(&bytes, seed)
}
