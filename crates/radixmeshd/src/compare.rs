//! Do two nodes have the same logs? Compares what `/status` tells of every origin. Asks nobody.

use std::collections::BTreeMap;
use std::fmt;

use radixmesh::admin::api::OriginStatus;
use serde::Serialize;

/// How two nodes differ in one origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "difference", rename_all = "snake_case")]
pub enum Difference {
    /// One is behind, or knows another life of the origin: a matter of time, not of content.
    Position {
        /// The origin.
        rank: u16,
        /// Incarnation and last op at A; absent when A has no such log.
        a: Option<(u64, u64)>,
        /// The same at B.
        b: Option<(u64, u64)>,
    },
    /// Both applied the same ops and hold different content: a bug.
    Content {
        /// The origin.
        rank: u16,
        /// Incarnation and last op at both.
        at: (u64, u64),
        /// Digests of ops and of copies at A.
        a: (u64, u64),
        /// The same at B.
        b: (u64, u64),
    },
}

/// Result of comparing two nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Origins that were compared.
    pub origins: usize,
    /// Every origin that differs, by rank.
    pub differences: Vec<Difference>,
}

impl Comparison {
    /// Compares two nodes, origin by origin. A log without ops is the same as no log.
    #[must_use]
    pub fn of(a: &[OriginStatus], b: &[OriginStatus]) -> Comparison {
        let mut both: BTreeMap<u16, (Option<&OriginStatus>, Option<&OriginStatus>)> =
            BTreeMap::new();
        for origin in a {
            both.entry(origin.rank).or_default().0 = Some(origin);
        }
        for origin in b {
            both.entry(origin.rank).or_default().1 = Some(origin);
        }
        let origins = both.len();
        let differences = both
            .into_iter()
            .filter_map(|(rank, (a, b))| difference(rank, a, b))
            .collect();
        Comparison {
            origins,
            differences,
        }
    }

    /// Returns whether nothing differs.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty()
    }

    /// Returns whether only positions differ.
    #[must_use]
    pub fn is_only_lag(&self) -> bool {
        !self.is_equal()
            && self
                .differences
                .iter()
                .all(|one| matches!(one, Difference::Position { .. }))
    }

    /// Returns the difference that matters most: the first in content, else the first in position.
    #[must_use]
    pub fn first(&self) -> Option<&Difference> {
        let content = self
            .differences
            .iter()
            .find(|one| matches!(one, Difference::Content { .. }));
        content.or(self.differences.first())
    }
}

fn difference(rank: u16, a: Option<&OriginStatus>, b: Option<&OriginStatus>) -> Option<Difference> {
    let position = |origin: &OriginStatus| (origin.incarnation, origin.seq);
    let (at_a, at_b) = (a.map(position), b.map(position));
    let empty = |at: Option<(u64, u64)>| at.is_none_or(|(_, seq)| seq == 0);
    let (Some(a), Some(b)) = (a, b) else {
        let none = empty(at_a) && empty(at_b);
        return (!none).then_some(Difference::Position {
            rank,
            a: at_a,
            b: at_b,
        });
    };
    if position(a) != position(b) {
        return Some(Difference::Position {
            rank,
            a: at_a,
            b: at_b,
        });
    }
    let digests = |origin: &OriginStatus| (origin.chain_digest, origin.set_digest);
    let same = digests(a) == digests(b) && a.copies == b.copies;
    (!same).then(|| Difference::Content {
        rank,
        at: position(a),
        a: digests(a),
        b: digests(b),
    })
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = |at: &Option<(u64, u64)>| match at {
            Some((incarnation, seq)) => format!("incarnation {incarnation} seq {seq}"),
            None => "nothing".to_owned(),
        };
        match self {
            Difference::Position { rank, a, b } => {
                write!(
                    f,
                    "origin {rank}: A has {}, B has {}",
                    position(a),
                    position(b)
                )
            }
            Difference::Content { rank, at, a, b } => write!(
                f,
                "origin {rank}: both have {}, but A has ops {:016x} copies {:016x}, B has ops {:016x} copies {:016x}",
                position(&Some(*at)),
                a.0,
                a.1,
                b.0,
                b.1
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(rank: u16, seq: u64, digest: u64) -> OriginStatus {
        OriginStatus {
            rank,
            incarnation: 7,
            seq,
            copies: 1,
            chain_digest: digest,
            set_digest: digest,
        }
    }

    #[test]
    fn equal_logs_are_equal_and_an_empty_log_is_none() {
        let a = [origin(0, 3, 9), origin(1, 0, 0)];
        assert!(Comparison::of(&a, &a).is_equal());
        assert!(Comparison::of(&a, &a[..1]).is_equal());
    }

    #[test]
    fn a_lag_is_told_apart_from_different_content() {
        let lag = Comparison::of(&[origin(0, 3, 9)], &[origin(0, 4, 8)]);
        assert!(lag.is_only_lag());
        let expect = Difference::Position {
            rank: 0,
            a: Some((7, 3)),
            b: Some((7, 4)),
        };
        assert_eq!(lag.first(), Some(&expect));
        let mixed = Comparison::of(&[origin(0, 3, 9), origin(2, 1, 1)], &[origin(2, 1, 2)]);
        assert!(!mixed.is_only_lag() && !mixed.is_equal());
        assert!(matches!(
            mixed.first(),
            Some(Difference::Content { rank: 2, .. })
        ));
        assert_eq!(mixed.differences.len(), 2);
    }
}
