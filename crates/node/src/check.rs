//! The ring check: what this node says in a round, and what it learns. The rounds themselves are
//! [`topology::ring_round`].

use oplog::{Entry, Replica, VersionVector};
use radix_core::Index;
use radix_core::id::{OriginId, Rank};
use radix_core::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use topology::ring_round::{Around, Outcome, RoundConfig, RoundId, RoundOutput, Token};
use topology::{RingRound, Semilattice, Status, Topology, ViewId, bounded};

use crate::lag;
use crate::wire;

/// Bad links that a check names; those of the lowest ranks.
pub const DEGRADED_MAX: usize = 16;
/// Members behind that a check names; the farthest behind.
pub const LAGGING_MAX: usize = 8;

/// What members say in a check, folded into one.
// spec: RING-10
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// What every one of them has: of each log the smallest position. No floors.
    pub min: VersionVector,
    /// The lowest and the highest version of the wire that they speak.
    pub wire: (u8, u8),
    /// Links that are bad though both ends live: (who finds so, the other end).
    #[serde(deserialize_with = "degraded")]
    pub degraded: Vec<(Rank, Rank)>,
    /// Who lacks how many ops of what is known to it to exist, farthest behind first.
    #[serde(deserialize_with = "lagging")]
    pub lagging: Vec<(u64, Rank)>,
}

fn degraded<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(Rank, Rank)>, D::Error> {
    bounded::list(from, DEGRADED_MAX)
}

fn lagging<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(u64, Rank)>, D::Error> {
    bounded::list(from, LAGGING_MAX)
}

impl Said {
    /// What this node says.
    fn by(me: Rank, replica: &Replica<Index>, topology: &Topology) -> Said {
        let mut min = replica.version_vector();
        min.0.retain(|_, entry| entry.seq.0 > 0);
        for entry in min.0.values_mut() {
            entry.floor = Default::default();
        }
        let behind = lag::ops_behind(replica);
        Said {
            min,
            wire: (wire::VERSION, wire::VERSION),
            degraded: topology
                .degraded_links()
                .map(|other| (me, other))
                .take(DEGRADED_MAX)
                .collect(),
            lagging: (behind > 0).then_some((behind, me)).into_iter().collect(),
        }
    }
}

impl Semilattice for Said {
    fn merge(&mut self, other: &Said) {
        self.min.0.retain(|rank, mine| {
            let theirs = other.min.entry(*rank);
            let (inc, seq) = (mine.inc, mine.seq).min((theirs.inc, theirs.seq));
            *mine = Entry {
                inc,
                seq,
                floor: Default::default(),
            };
            seq.0 > 0
        });
        self.wire = (self.wire.0.min(other.wire.0), self.wire.1.max(other.wire.1));
        self.degraded.extend(&other.degraded);
        self.degraded.sort_unstable();
        self.degraded.dedup();
        self.degraded.truncate(DEGRADED_MAX);
        self.lagging.extend(&other.lagging);
        self.lagging.sort_unstable_by(|a, b| b.cmp(a));
        self.lagging.dedup();
        self.lagging.truncate(LAGGING_MAX);
    }
}

/// What came of a check, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// Which round.
    pub round: RoundId,
    /// When it became known here.
    pub at: Timestamp,
    /// Time of one lap. `None` where the first lap ended.
    pub lap: Option<std::time::Duration>,
    /// Every member of the view was there and has that view.
    pub agreed: bool,
    /// Who has another view, with its id; the lowest ranks of them.
    pub differs: Vec<(Rank, ViewId)>,
    /// Who could not be reached by anybody.
    pub missing: Vec<Rank>,
    /// Links that are bad though both ends live: (who finds so, the other end).
    pub degraded: Vec<(Rank, Rank)>,
    /// Who lacks how many ops, farthest behind first.
    pub lagging: Vec<(u64, Rank)>,
    /// The lowest and the highest version of the wire that the members speak.
    pub wire: (u8, u8),
}

impl CheckReport {
    fn of(outcome: &Outcome<Said>) -> CheckReport {
        CheckReport {
            round: outcome.round,
            at: outcome.at,
            lap: outcome.lap,
            agreed: outcome.agreed,
            differs: outcome.differs.clone(),
            missing: outcome.missing.clone(),
            degraded: outcome.fold.degraded.clone(),
            lagging: outcome.fold.lagging.clone(),
            wire: outcome.fold.wire,
        }
    }
}

/// The parts of the node that a check looks at.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) topology: &'a Topology,
    pub(crate) replica: &'a Replica<Index>,
}

/// This node's part in the checks.
#[derive(Debug)]
pub(crate) struct RingCheck {
    round: RingRound<Said>,
    members: Members,
    agreed_at: Option<Timestamp>,
    /// The stable view as it was last told of.
    told: Option<ViewId>,
}

/// Who takes part, as of one state of the topology.
#[derive(Debug, Default)]
struct Members {
    of: Option<(ViewId, u64)>,
    ranks: Vec<Rank>,
    lowest: Rank,
}

impl Members {
    /// Looks again, if anything may have changed.
    fn refresh(&mut self, topology: &Topology) {
        let now = Some((topology.view_id(), topology.revision()));
        if self.of == now {
            return;
        }
        self.of = now;
        self.ranks.clear();
        let in_view = |member: &topology::MemberView<'_>| member.status.in_view();
        self.ranks
            .extend(topology.members().filter(in_view).map(|member| member.rank));
        let mut alive = topology
            .members()
            .filter(|member| member.status == Status::Alive);
        self.lowest = alive.next().map_or(topology.me(), |member| member.rank);
    }
}

impl RingCheck {
    pub(crate) fn new(config: RoundConfig, now: Timestamp) -> RingCheck {
        RingCheck {
            round: RingRound::new(config, now),
            members: Members::default(),
            agreed_at: None,
            told: None,
        }
    }

    /// Does what is due, when something is: a new view, or the time for it.
    pub(crate) fn tick(
        &mut self,
        now: Timestamp,
        parts: Parts<'_>,
        out: &mut Vec<RoundOutput<Said>>,
    ) {
        let known = self.members.of;
        self.members.refresh(parts.topology);
        if known == self.members.of && now < self.round.next_deadline() {
            return;
        }
        self.with(parts, |round, around, said| {
            round.tick(now, around, said, out);
        });
    }

    /// Takes a token.
    pub(crate) fn take(
        &mut self,
        now: Timestamp,
        token: Token<Said>,
        parts: Parts<'_>,
        out: &mut Vec<RoundOutput<Said>>,
    ) {
        self.members.refresh(parts.topology);
        self.with(parts, |round, around, said| {
            round.take(now, token, around, said, out);
        });
    }

    /// Returns what became of the stable view, if it changed since this was last called.
    pub(crate) fn news(&mut self) -> Option<Option<ViewId>> {
        let stable = self.round.stable_view();
        (std::mem::replace(&mut self.told, stable) != stable).then_some(stable)
    }

    pub(crate) fn next_deadline(&self) -> Timestamp {
        self.round.next_deadline()
    }

    pub(crate) fn stable_view(&self) -> Option<ViewId> {
        self.round.stable_view()
    }

    pub(crate) fn report(&self) -> Option<CheckReport> {
        self.round.last().map(CheckReport::of)
    }

    pub(crate) fn agreed_at(&self) -> Option<Timestamp> {
        self.agreed_at
    }

    fn with(
        &mut self,
        Parts { topology, replica }: Parts<'_>,
        act: impl FnOnce(&mut RingRound<Said>, &Around<'_>, &dyn Fn() -> Said),
    ) {
        let me: OriginId = replica.me();
        let direct = |rank: Rank| {
            let member = topology.member(rank);
            member.is_some_and(|member| member.is_direct())
        };
        let around = Around {
            me,
            view: topology.view_id(),
            members: &self.members.ranks,
            lowest: self.members.lowest,
            reachable: &direct,
        };
        act(&mut self.round, &around, &|| {
            Said::by(me.rank, replica, topology)
        });
        let agreed = self.round.last().filter(|last| last.agreed);
        self.agreed_at = agreed.map(|last| last.at).or(self.agreed_at);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use radix_core::id::{Incarnation, Seq};

    use super::*;

    fn said() -> impl Strategy<Value = Said> {
        let entry = (0u64..3, 1u64..4).prop_map(|(inc, seq)| Entry {
            inc: Incarnation(inc),
            seq: Seq(seq),
            floor: Incarnation(0),
        });
        let ranks = || (0u16..6).prop_map(Rank);
        (
            proptest::collection::btree_map(ranks(), entry, 0..4),
            (1u8..3, 1u8..3),
            proptest::collection::btree_set((ranks(), ranks()), 0..DEGRADED_MAX),
            proptest::collection::btree_set((1u64..9, ranks()), 0..LAGGING_MAX),
        )
            .prop_map(|(min, wire, degraded, lagging)| Said {
                min: VersionVector(min),
                wire: (wire.0.min(wire.1), wire.0.max(wire.1)),
                degraded: degraded.into_iter().collect(),
                lagging: lagging.into_iter().rev().collect(),
            })
    }

    fn merged(mut a: Said, b: &Said) -> Said {
        a.merge(b);
        a
    }

    proptest! {
        // spec: RING-10
        #[test]
        fn order_and_repetition_of_what_is_said_do_not_show(a in said(), b in said(), c in said()) {
            let ab = merged(a.clone(), &b);
            prop_assert_eq!(&ab, &merged(b.clone(), &a));
            prop_assert_eq!(&merged(ab.clone(), &b), &ab);
            prop_assert!(ab.degraded.len() <= DEGRADED_MAX && ab.lagging.len() <= LAGGING_MAX);
            let bc = merged(b, &c);
            prop_assert_eq!(merged(ab, &c), merged(a, &bc));
        }

        #[test]
        fn nobody_has_less_than_the_minimum(a in said(), b in said()) {
            let ab = merged(a.clone(), &b);
            prop_assert!(a.min.covers(&ab.min) && b.min.covers(&ab.min));
        }
    }
}
