//! Rounds of a token over a mesh whose members die, whose links break, lose and double, and whose views differ.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use radix_core::id::{Incarnation, OriginId, Rank};
use radix_core::time::Timestamp;
use topology::ring_round::{Around, Lap, Outcome, RoundConfig, RoundOutput, Token};
use topology::{RingRound, Semilattice, ViewId};

const HOP: Duration = Duration::from_millis(1);

/// Who said something: the fold of all is the set of those who were there.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Said(BTreeSet<u16>);

impl Semilattice for Said {
    fn merge(&mut self, other: &Said) {
        self.0.extend(&other.0);
    }
}

struct Member {
    round: RingRound<Said>,
    view: ViewId,
    members: Vec<Rank>,
    alive: bool,
    outcomes: Vec<Outcome<Said>>,
    timed_out: u32,
}

struct Mesh {
    now: Timestamp,
    nodes: BTreeMap<u16, Member>,
    /// Pairs whose link does not work, in both directions, and is known not to.
    broken: BTreeSet<(u16, u16)>,
    /// Tokens on their way: when they arrive, a count, to whom.
    on_way: BTreeMap<(Timestamp, u64), (u16, Token<Said>)>,
    sent: u64,
    /// Frames on which something happens, by their count.
    lose: BTreeSet<u64>,
    double: BTreeSet<u64>,
    /// Who dies when it is sent to.
    kills: BTreeMap<u64, u16>,
}

impl Mesh {
    fn new(count: u16) -> Mesh {
        let members: Vec<Rank> = (0..count).map(Rank).collect();
        let now = Timestamp(1);
        let member = |_| Member {
            round: RingRound::new(RoundConfig::default(), now),
            view: ViewId(7),
            members: members.clone(),
            alive: true,
            outcomes: Vec::new(),
            timed_out: 0,
        };
        Mesh {
            now,
            nodes: (0..count).map(|rank| (rank, member(rank))).collect(),
            broken: BTreeSet::new(),
            on_way: BTreeMap::new(),
            sent: 0,
            lose: BTreeSet::new(),
            double: BTreeSet::new(),
            kills: BTreeMap::new(),
        }
    }

    fn cut(&mut self, a: u16, b: u16) {
        self.broken.insert((a.min(b), a.max(b)));
    }

    fn with(
        &mut self,
        rank: u16,
        act: impl FnOnce(
            &mut RingRound<Said>,
            Timestamp,
            &Around<'_>,
            Said,
            &mut Vec<RoundOutput<Said>>,
        ),
    ) {
        let broken = &self.broken;
        let node = self.nodes.get_mut(&rank).unwrap();
        let around = Around {
            me: OriginId {
                rank: Rank(rank),
                inc: Incarnation(1),
            },
            view: node.view,
            members: &node.members,
            lowest: node.members[0],
            reachable: &|to| !broken.contains(&(rank.min(to.0), rank.max(to.0))),
        };
        let mut out = Vec::new();
        act(
            &mut node.round,
            self.now,
            &around,
            Said([rank].into()),
            &mut out,
        );
        for output in out {
            match output {
                RoundOutput::Send { to, token } => self.send(to.0, &token),
                RoundOutput::Concluded(outcome) => {
                    self.nodes.get_mut(&rank).unwrap().outcomes.push(outcome);
                }
                RoundOutput::TimedOut { .. } => self.nodes.get_mut(&rank).unwrap().timed_out += 1,
                RoundOutput::Unsound { round } => panic!("{round:?} is unsound"),
            }
        }
    }

    fn send(&mut self, to: u16, token: &Token<Said>) {
        self.sent += 1;
        if self.lose.contains(&self.sent) {
            return;
        }
        if let Some(dies) = self.kills.get(&self.sent) {
            self.nodes.get_mut(dies).unwrap().alive = false;
        }
        let copies = if self.double.contains(&self.sent) {
            2
        } else {
            1
        };
        for copy in 0..copies {
            let delay = HOP * (1 + 3 * copy);
            let key = (self.now.after(delay), self.sent * 2 + u64::from(copy));
            self.on_way.insert(key, (to, token.clone()));
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now.after(time);
        loop {
            let timer = self
                .nodes
                .iter()
                .filter(|(_, node)| node.alive)
                .map(|(rank, node)| (node.round.next_deadline(), *rank))
                .min();
            let frame = self.on_way.keys().next().copied();
            let (tick, arrival) = (timer.map(|timer| timer.0), frame.map(|frame| frame.0));
            if arrival.is_some_and(|at| at <= end && tick.is_none_or(|tick| at <= tick)) {
                let ((at, _), (to, token)) = self.on_way.pop_first().unwrap();
                self.now = self.now.max(at);
                if self.nodes[&to].alive {
                    self.with(to, |round, now, around, said, out| {
                        round.take(now, token, around, || said, out);
                    });
                }
            } else if let Some((at, rank)) = timer.filter(|timer| timer.0 <= end) {
                self.now = self.now.max(at);
                self.with(rank, |round, now, around, said, out| {
                    round.tick(now, around, || said, out);
                });
            } else {
                break;
            }
        }
        self.now = end;
    }

    /// What was said in the last round, on every living node.
    fn last(&self) -> Vec<Option<&Outcome<Said>>> {
        let living = self.nodes.values().filter(|node| node.alive);
        living.map(|node| node.outcomes.last()).collect()
    }

    /// Takes a member out of all views, as the failure detection does after a while.
    fn forget(&mut self, rank: u16) {
        for node in self.nodes.values_mut() {
            node.view.0 += 1_000 + u64::from(rank);
            node.members.retain(|member| member.0 != rank);
        }
    }
}

fn all(count: u16) -> Said {
    Said((0..count).collect())
}

// spec: RING-2, RING-5, RING-6
#[test]
fn with_equal_views_everybody_learns_what_all_said_in_two_laps() {
    for count in [1, 2, 3, 8, 64] {
        let mut mesh = Mesh::new(count);
        mesh.pass(Duration::from_secs(2));
        for outcome in mesh.last() {
            let outcome = outcome.expect("everybody learned of it");
            assert!(outcome.agreed && outcome.missing.is_empty());
            assert_eq!(outcome.fold, all(count));
        }
        assert_eq!(mesh.sent, u64::from(2 * (count - 1)), "frames of one round");
        assert!(
            mesh.nodes
                .values()
                .all(|node| node.round.stable_view() == Some(ViewId(7)) && node.outcomes.len() == 1)
        );
        let lap = mesh.nodes[&0].outcomes[0].lap;
        let expected = (count > 1).then(|| HOP * u32::from(count));
        assert_eq!(lap, expected, "of {count} members");
    }
}

// spec: RING-1
#[test]
fn rounds_go_on_with_the_period_and_only_the_lowest_begins_them() {
    let mut mesh = Mesh::new(4);
    mesh.pass(Duration::from_secs(62));
    for node in mesh.nodes.values() {
        assert_eq!(node.outcomes.len(), 7, "at 1, 11, .. 61 s");
        assert!(
            node.outcomes
                .iter()
                .all(|outcome| outcome.round.initiator.rank == Rank(0))
        );
    }
}

// spec: RING-1
#[test]
fn after_two_silent_periods_the_next_begins_rounds() {
    let mut mesh = Mesh::new(4);
    mesh.nodes.get_mut(&0).unwrap().alive = false;
    for other in 1..4 {
        mesh.cut(0, other);
    }
    mesh.pass(Duration::from_secs(24));
    for outcome in mesh.last() {
        let outcome = outcome.unwrap();
        assert_eq!(outcome.round.initiator.rank, Rank(1));
        assert_eq!(outcome.missing, [Rank(0)]);
    }
}

// spec: RING-4
#[test]
fn a_member_with_another_view_is_named_and_nothing_is_stable() {
    let mut mesh = Mesh::new(5);
    mesh.nodes.get_mut(&3).unwrap().view = ViewId(8);
    mesh.pass(Duration::from_secs(2));
    for outcome in mesh.last() {
        let outcome = outcome.unwrap();
        assert!(!outcome.agreed);
        assert_eq!(outcome.differs, [(Rank(3), ViewId(8))]);
    }
    assert!(
        mesh.nodes
            .values()
            .all(|node| node.round.stable_view().is_none())
    );
}

// spec: RING-6, RING-7
#[test]
fn a_stable_view_is_lost_with_the_view_and_confirmed_again_soon() {
    let mut mesh = Mesh::new(3);
    mesh.pass(Duration::from_secs(2));
    assert_eq!(mesh.nodes[&1].round.stable_view(), Some(ViewId(7)));
    for node in mesh.nodes.values_mut() {
        node.view = ViewId(9);
    }
    for rank in 0..3 {
        mesh.with(rank, |round, now, around, said, out| {
            round.tick(now, around, || said, out);
        });
        assert_eq!(mesh.nodes[&rank].round.stable_view(), None);
    }
    mesh.pass(Duration::from_millis(1_100));
    assert!(
        mesh.nodes
            .values()
            .all(|node| node.round.stable_view() == Some(ViewId(9))),
        "a new view is asked about after a second"
    );
}

// spec: RING-6
#[test]
fn a_stable_view_is_lost_when_a_later_round_finds_another() {
    let mut mesh = Mesh::new(4);
    mesh.pass(Duration::from_secs(2));
    mesh.nodes.get_mut(&3).unwrap().view = ViewId(8);
    mesh.pass(Duration::from_secs(8));
    assert_eq!(mesh.nodes[&1].round.stable_view(), Some(ViewId(7)));
    mesh.pass(Duration::from_secs(2));
    for node in mesh.nodes.values() {
        assert_eq!(node.round.stable_view(), None);
    }
    mesh.nodes.get_mut(&3).unwrap().view = ViewId(7);
    mesh.pass(Duration::from_secs(3));
    for node in mesh.nodes.values() {
        assert_eq!(node.round.stable_view(), Some(ViewId(7)));
    }
}

// spec: RING-6
#[test]
fn a_view_that_nobody_confirms_any_more_is_not_stable() {
    let mut mesh = Mesh::new(2);
    mesh.pass(Duration::from_secs(2));
    mesh.nodes.get_mut(&0).unwrap().alive = false;
    mesh.pass(Duration::from_secs(28));
    assert_eq!(mesh.nodes[&1].round.stable_view(), Some(ViewId(7)));
    mesh.pass(Duration::from_secs(4));
    assert_eq!(mesh.nodes[&1].round.stable_view(), None);
}

// spec: RING-3
#[test]
fn a_member_with_one_good_link_is_found_through_it() {
    for through in [1, 3, 4] {
        let mut mesh = Mesh::new(6);
        for other in (0..6).filter(|other| ![through, 2].contains(other)) {
            mesh.cut(2, other);
        }
        mesh.pass(Duration::from_secs(2));
        for outcome in mesh.last() {
            let outcome = outcome.expect("everybody learned of it");
            assert!(outcome.agreed, "{outcome:?}");
            assert_eq!(outcome.fold, all(6));
        }
    }
}

// spec: RING-3, RING-5
#[test]
fn a_member_that_nobody_reaches_is_named_by_all_others() {
    let mut mesh = Mesh::new(6);
    for other in [0, 1, 2, 3, 5] {
        mesh.cut(4, other);
    }
    mesh.pass(Duration::from_secs(2));
    for (rank, node) in &mesh.nodes {
        if *rank != 4 {
            let outcome = node.outcomes.last().unwrap();
            assert!(!outcome.agreed);
            assert_eq!(outcome.missing, [Rank(4)]);
        }
    }
    assert_eq!(mesh.nodes[&0].timed_out, 0, "it ended by itself");
}

// spec: RING-7
#[test]
fn a_lost_token_is_noticed_and_the_next_round_works() {
    for lost in 1..=6 {
        let mut mesh = Mesh::new(4);
        mesh.lose.insert(lost);
        mesh.pass(Duration::from_millis(1_500));
        let done = mesh.nodes[&0].outcomes.len();
        mesh.pass(Duration::from_secs(3));
        // A loss in the second lap behind the initiator is not its loss: the others learn in the next round.
        assert!(done == 1 || mesh.nodes[&0].timed_out == 1, "frame {lost}");
        mesh.pass(Duration::from_secs(8));
        for outcome in mesh.last() {
            assert!(
                outcome.is_some_and(|outcome| outcome.agreed),
                "frame {lost}"
            );
        }
    }
}

// spec: RING-8
#[test]
fn old_tokens_and_copies_are_not_sent_on() {
    let mut mesh = Mesh::new(4);
    mesh.pass(Duration::from_millis(1_000));
    let first = mesh.on_way.values().next().cloned();
    let (to, old) = first.expect("the first token is on its way");
    mesh.pass(Duration::from_secs(20));
    let sent = mesh.sent;
    for _ in 0..3 {
        let token = old.clone();
        mesh.with(to, |round, now, around, said, out| {
            round.take(now, token, around, || said, out);
        });
    }
    assert_eq!(mesh.sent, sent);
}

#[test]
fn a_token_that_contradicts_itself_is_dropped() {
    let mut mesh = Mesh::new(3);
    mesh.pass(Duration::from_millis(1_000));
    let (_, token) = mesh.on_way.values().next().cloned().unwrap();
    let bytes = postcard::to_stdvec(&token).unwrap();
    let mut unsound = 0;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            let Ok(token) = postcard::from_bytes::<Token<Said>>(&bytes) else {
                continue;
            };
            unsound += u32::from(!token.is_sound());
            let mut round = RingRound::<Said>::new(RoundConfig::default(), mesh.now);
            let members = [Rank(0), Rank(1), Rank(2)];
            let around = Around {
                me: OriginId {
                    rank: Rank(1),
                    inc: Incarnation(1),
                },
                view: ViewId(7),
                members: &members,
                lowest: Rank(0),
                reachable: &|_| true,
            };
            let mut out = Vec::new();
            round.take(mesh.now, token, &around, || all(1), &mut out);
            assert!(out.len() <= 2);
        }
    }
    assert!(unsound > 0);
}

#[test]
fn lists_longer_than_a_ring_are_refused_before_there_is_room_for_them() {
    let mut mesh = Mesh::new(2);
    mesh.pass(Duration::from_millis(1_000));
    let (_, token) = mesh.on_way.values().next().cloned().unwrap();
    let bytes = postcard::to_stdvec(&token).unwrap();
    // initiator rank, inc, k, view, lap, hop; then the count of members.
    let at = 6;
    assert_eq!(bytes[at], 2);
    let mut huge = bytes[..at].to_vec();
    huge.extend([0xff, 0xff, 0xff, 0xff, 0x0f]);
    huge.extend(&bytes[at + 1..]);
    assert!(postcard::from_bytes::<Token<Said>>(&huge).is_err());
}

#[test]
fn a_token_of_the_largest_ring_stays_below_five_bytes_for_each_member() {
    let mut mesh = Mesh::new(4_096);
    mesh.with(0, |round, _, around, said, out| {
        round.tick(
            Timestamp(1).after(Duration::from_secs(1)),
            around,
            || said,
            out,
        );
    });
    let (_, token) = mesh.on_way.values().next().unwrap();
    assert_eq!(token.lap(), Lap::Fold);
    let size = postcard::to_stdvec(token).unwrap().len();
    assert!(size < 5 * 4_096, "{size} bytes");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // spec: RING-7
    #[test]
    fn whoever_dies_whenever_the_rest_agrees_once_it_is_out_of_the_view(
        count in 2..9u16, victim in 0..9u16, when in 1..16u64,
    ) {
        let victim = victim % count;
        let mut mesh = Mesh::new(count);
        mesh.kills.insert(when, victim);
        mesh.pass(Duration::from_secs(1));
        mesh.pass(Duration::from_secs(4));
        for node in mesh.nodes.values().filter(|node| node.alive) {
            prop_assert!(node.round.next_deadline() > mesh.now, "nothing waits for ever");
        }
        if !mesh.nodes[&victim].alive {
            mesh.forget(victim);
        }
        for rank in mesh.nodes.keys().copied().collect::<Vec<_>>() {
            mesh.with(rank, |round, now, around, said, out| round.tick(now, around, || said, out));
        }
        mesh.pass(Duration::from_secs(25));
        for outcome in mesh.last() {
            prop_assert!(outcome.is_some_and(|outcome| outcome.agreed));
        }
    }

    // spec: RING-3, RING-5
    #[test]
    fn bad_links_are_gone_round_while_the_good_ones_hold_the_ring_together(
        count in 2..9u16, cuts in proptest::collection::vec((0..9u16, 0..9u16), 0..14),
    ) {
        let mut mesh = Mesh::new(count);
        for (a, b) in cuts {
            if a < count && b < count && a != b {
                mesh.cut(a, b);
            }
        }
        // Who is tied to the initiator at all, by good links.
        let mut tied = BTreeSet::from([0]);
        for _ in 0..count {
            for a in 0..count {
                let near = |b: &u16| !mesh.broken.contains(&(a.min(*b), a.max(*b)));
                if tied.iter().any(|b| *b != a && near(b)) {
                    tied.insert(a);
                }
            }
        }
        mesh.pass(Duration::from_millis(1_900));
        prop_assert!(mesh.sent <= 8 * u64::from(count));
        let outcome = mesh.nodes[&0].outcomes.last();
        if tied.len() == usize::from(count) {
            if let Some(outcome) = outcome {
                prop_assert_eq!(outcome.agreed, outcome.missing.is_empty());
            }
            // One hop of detour is always found.
            let two_hops = (0..count).all(|a| (0..count).all(|b| a == b || (0..count).any(|c| {
                let good = |x: u16, y: u16| x == y || !mesh.broken.contains(&(x.min(y), x.max(y)));
                good(a, c) && good(c, b)
            })));
            if two_hops {
                prop_assert!(outcome.is_some_and(|outcome| outcome.agreed), "{:?}", outcome);
            }
        } else if let Some(outcome) = outcome {
            prop_assert!(!outcome.agreed);
        }
    }

    // spec: RING-7, RING-8
    #[test]
    fn losses_and_copies_never_give_two_members_different_outcomes(
        count in 2..8u16,
        lose in proptest::collection::btree_set(1..60u64, 0..6),
        double in proptest::collection::btree_set(1..60u64, 0..12),
    ) {
        let mut mesh = Mesh::new(count);
        mesh.lose = lose;
        mesh.double = double;
        mesh.pass(Duration::from_secs(90));
        let mut by_round: BTreeMap<_, Outcome<Said>> = BTreeMap::new();
        for node in mesh.nodes.values() {
            let mut rounds: Vec<_> = node.outcomes.iter().map(|outcome| outcome.round).collect();
            rounds.sort_unstable();
            rounds.dedup();
            prop_assert_eq!(rounds.len(), node.outcomes.len(), "each outcome is learned once");
            for outcome in &node.outcomes {
                let first = by_round.entry(outcome.round).or_insert_with(|| outcome.clone());
                prop_assert_eq!(
                    (first.agreed, &first.fold, &first.differs, &first.missing),
                    (outcome.agreed, &outcome.fold, &outcome.differs, &outcome.missing)
                );
            }
        }
        for outcome in mesh.last() {
            prop_assert!(outcome.is_some_and(|outcome| outcome.agreed && outcome.fold == all(count)));
        }
    }

    #[test]
    fn random_bytes_are_no_token_or_a_harmless_one(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        if let Ok(token) = postcard::from_bytes::<Token<Said>>(&bytes) {
            let _ = token.is_sound();
        }
    }
}
