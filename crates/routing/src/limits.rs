//! Every bound and default of this crate in one place.

/// Most candidates of one role. Those beyond it are left out of the hash ring, in rank order.
pub const CANDIDATES_MAX: usize = 4096;

/// Most points of one candidate on the hash ring.
pub const VIRTUAL_NODES_MAX: u16 = 1024;

/// Default number of points of one candidate: its share of the keys is then within about 1/8 of fair.
pub const VIRTUAL_NODES: u16 = 64;

/// Default number of requests that are spread at random before prefixes count.
pub const WARMUP_REQUESTS: u64 = 32;

/// Default for the fewest pages that count as a match.
pub const MATCH_PAGES_MIN: u32 = 1;

/// Default for the smallest part of the query that counts as a match, in thousandths.
pub const MATCH_PERMILLE_MIN: u16 = 50;
