//! How much each peer may be served: a token bucket of bytes for every one that asked.

use std::collections::BTreeMap;

use radix_core::id::Rank;
use radix_core::time::Timestamp;

use crate::config::Config;

/// What a question costs at least, in bytes: an answer without content is work, too.
pub(crate) const ANSWER_BYTES_MIN: usize = 1_024;

/// What peers have left. One that is not in it has all.
#[derive(Debug, Default)]
pub(crate) struct Budgets(BTreeMap<Rank, Budget>);

#[derive(Debug)]
struct Budget {
    /// Bytes; below zero when the last answer was larger than what was left.
    left: i64,
    since: Timestamp,
}

impl Budgets {
    /// Returns whether `peer` may be served now.
    ///
    /// Whoever has anything left is served whole, and pays by waiting: an answer cannot be cut to what is left.
    // spec: OPLOG-16
    pub(crate) fn allows(&mut self, now: Timestamp, peer: Rank, config: &Config) -> bool {
        self.refilled(now, peer, config).left > 0
    }

    /// Takes `bytes` from what `peer` has left.
    pub(crate) fn charge(&mut self, now: Timestamp, peer: Rank, bytes: usize, config: &Config) {
        let bytes = i64::try_from(bytes.max(ANSWER_BYTES_MIN)).unwrap_or(i64::MAX);
        let budget = self.refilled(now, peer, config);
        budget.left = budget.left.saturating_sub(bytes);
    }

    fn refilled(&mut self, now: Timestamp, peer: Rank, config: &Config) -> &mut Budget {
        let burst = i64::try_from(config.serve_burst_bytes).unwrap_or(i64::MAX);
        let budget = self.0.entry(peer).or_insert(Budget {
            left: burst,
            since: now,
        });
        let elapsed = now.since(budget.since).as_nanos();
        let earned = elapsed * u128::from(config.serve_bytes_per_s) / 1_000_000_000;
        // Less than a byte is kept for the next time.
        if earned > 0 {
            let earned = i64::try_from(earned).unwrap_or(i64::MAX);
            budget.left = budget.left.saturating_add(earned).min(burst);
            budget.since = now;
        }
        budget
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            serve_bytes_per_s: 1_000_000,
            serve_burst_bytes: 5_000_000,
            ..Config::default()
        }
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp(ms * 1_000_000)
    }

    #[test]
    fn a_burst_is_served_and_then_the_rate() {
        let (mut budgets, config, peer) = (Budgets::default(), config(), Rank(1));
        for _ in 0..5 {
            assert!(budgets.allows(at(10), peer, &config));
            budgets.charge(at(10), peer, 1_000_000, &config);
        }
        assert!(!budgets.allows(at(10), peer, &config));
        assert!(budgets.allows(at(11), peer, &config), "1,000 bytes came in");
        budgets.charge(at(11), peer, 2_001_000, &config);
        assert!(!budgets.allows(at(2_010), peer, &config), "in debt");
        assert!(budgets.allows(at(2_012), peer, &config));
    }

    #[test]
    fn peers_do_not_share_and_nobody_saves_beyond_the_burst() {
        let (mut budgets, config) = (Budgets::default(), config());
        budgets.charge(at(0), Rank(1), 9_000_000, &config);
        assert!(!budgets.allows(at(0), Rank(1), &config));
        assert!(budgets.allows(at(0), Rank(2), &config));
        let late = at(1_000_000_000);
        budgets.charge(late, Rank(1), 5_000_000, &config);
        assert!(!budgets.allows(late, Rank(1), &config));
    }

    #[test]
    fn empty_answers_cost_something_and_a_clock_that_stands_gives_nothing() {
        let (mut budgets, config) = (Budgets::default(), config());
        for _ in 0..config.serve_burst_bytes.div_ceil(ANSWER_BYTES_MIN as u64) {
            budgets.charge(at(5), Rank(1), 0, &config);
        }
        assert!(!budgets.allows(at(5), Rank(1), &config));
        assert!(!budgets.allows(at(3), Rank(1), &config));
    }
}
