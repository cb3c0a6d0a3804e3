//! Who is behind, as far as this node can tell: what it lacks itself, and what its peers said to have.

use std::collections::BTreeMap;

use oplog::{Replica, VersionVector};
use radix_core::Index;
use radix_core::id::{OriginId, Rank, Seq};
use radix_core::time::Timestamp;
use serde::Serialize;

/// Logs of a [`Behind`] list; the farthest behind come first.
const BEHIND_MAX: usize = 64;

/// How much a peer lacked of what this node has, when it last said what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Ops that it lacked, of all logs.
    pub ops: u64,
    /// Logs of which it lacked something.
    pub logs: u32,
    /// When it said so.
    pub at: Timestamp,
}

/// A log of which this node lacks something that somebody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Behind {
    /// The log.
    pub origin: OriginId,
    /// The last op applied.
    pub have: Seq,
    /// The last op known to exist.
    pub want: Seq,
    /// Who was asked for it.
    pub asked: Option<Rank>,
    /// Chunks of a snapshot that are here, and all.
    pub snapshot: Option<(u32, u32)>,
}

impl Behind {
    /// Returns how many ops lack.
    #[must_use]
    pub fn ops(&self) -> u64 {
        self.want.0.saturating_sub(self.have.0)
    }
}

/// Ops that this node lacks, of all logs. What peers claim to exist may be any number.
pub(crate) fn ops_behind(replica: &Replica<Index>) -> u64 {
    let logs = replica.logs();
    let lacks = logs.map(|log| log.wanted.0.saturating_sub(log.seq.0));
    lacks.fold(0, u64::saturating_add)
}

/// The logs of which this node lacks something, farthest behind first.
pub(crate) fn behind(replica: &Replica<Index>) -> Vec<Behind> {
    let lacks = replica.logs().filter(|log| log.wanted > log.seq);
    let mut logs: Vec<Behind> = lacks
        .map(|log| Behind {
            origin: log.origin,
            have: log.seq,
            want: log.wanted,
            asked: log.asked,
            snapshot: log.snapshot,
        })
        .collect();
    logs.sort_by_key(|log| (std::cmp::Reverse(log.ops()), log.origin));
    logs.truncate(BEHIND_MAX);
    logs
}

/// What each member lacked when it last said what it has. At most one entry for each possible rank.
#[derive(Debug, Default)]
pub(crate) struct Lags(BTreeMap<Rank, Lag>);

impl Lags {
    /// Compares what `peer` has with what is here.
    pub(crate) fn offered(
        &mut self,
        now: Timestamp,
        peer: Rank,
        theirs: &VersionVector,
        mine: &VersionVector,
    ) {
        let lacks = mine.0.iter().map(|(rank, have)| {
            let said = theirs.entry(*rank);
            if said.inc == have.inc {
                have.seq.0.saturating_sub(said.seq.0)
            } else if said.inc < have.inc && said.floor < have.inc {
                have.seq.0
            } else {
                0
            }
        });
        let mut lag = Lag {
            ops: 0,
            logs: 0,
            at: now,
        };
        for ops in lacks.filter(|ops| *ops > 0) {
            lag.ops = lag.ops.saturating_add(ops);
            lag.logs += 1;
        }
        self.0.insert(peer, lag);
    }

    pub(crate) fn of(&self, peer: Rank) -> Option<Lag> {
        self.0.get(&peer).copied()
    }

    pub(crate) fn forget(&mut self, peer: Rank) {
        self.0.remove(&peer);
    }
}

#[cfg(test)]
mod tests {
    use oplog::Entry;
    use radix_core::id::Incarnation;

    use super::*;

    fn vector(entries: &[(u16, u64, u64, u64)]) -> VersionVector {
        let entry = |&(rank, inc, seq, floor): &(u16, u64, u64, u64)| {
            let entry = Entry {
                inc: Incarnation(inc),
                seq: Seq(seq),
                floor: Incarnation(floor),
            };
            (Rank(rank), entry)
        };
        VersionVector(entries.iter().map(entry).collect())
    }

    #[test]
    fn a_peer_lags_by_the_ops_it_lacks_of_the_newest_lives() {
        let mine = vector(&[(0, 1, 10, 0), (1, 2, 7, 0), (2, 3, 5, 0), (4, 1, 9, 0)]);
        // 4 of rank 0, all of a newer life of rank 1; of rank 2 it knows a newer life, rank 4 it forgot.
        let theirs = vector(&[(0, 1, 6, 0), (1, 1, 99, 0), (2, 4, 1, 0), (4, 0, 0, 1)]);
        let mut lags = Lags::default();
        lags.offered(Timestamp(3), Rank(7), &theirs, &mine);
        let expected = Lag {
            ops: 11,
            logs: 2,
            at: Timestamp(3),
        };
        assert_eq!(lags.of(Rank(7)), Some(expected));
        lags.forget(Rank(7));
        assert_eq!(lags.of(Rank(7)), None);
    }
}
