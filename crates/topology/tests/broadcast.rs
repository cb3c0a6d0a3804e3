//! The theorem of the arcs: at most once, in at most N sends, whatever anybody believes.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;
use proptest::sample::SizeRange;
use radix_core::id::Rank;
use topology::{Arc, Ring};

/// One node's belief: who there is, who of them is up, and how broad its tree is.
#[derive(Clone, Debug)]
struct View {
    ring: Ring,
    fanout: u16,
}

struct Outcome {
    /// Node -> depth at which the broadcast reached it.
    visited: BTreeMap<Rank, u32>,
    sends: usize,
}

/// Sends one broadcast through nodes that exist; what is sent to others is lost.
fn broadcast(origin: Rank, views: &BTreeMap<Rank, View>) -> Result<Outcome, TestCaseError> {
    let mut outcome = Outcome {
        visited: BTreeMap::new(),
        sends: 0,
    };
    let mut under_way = VecDeque::from([(
        Arc {
            to: origin,
            end: origin,
        },
        0,
    )]);
    let mut arcs = Vec::new();
    while let Some((Arc { to, end }, depth)) = under_way.pop_front() {
        let Some(view) = views.get(&to) else { continue };
        if depth > 0 {
            prop_assert_ne!(to, end, "no frame names its receiver as its end");
            prop_assert_ne!(to, origin, "the origin gets its own broadcast back");
            prop_assert!(
                outcome.visited.insert(to, depth).is_none(),
                "{} is visited twice",
                to
            );
        }
        view.ring.arcs(view.fanout, end, &mut arcs);
        outcome.sends += arcs.len();
        prop_assert!(outcome.sends <= usize::from(u16::MAX), "no end in sight");
        under_way.extend(arcs.iter().map(|&arc| (arc, depth + 1)));
    }
    Ok(outcome)
}

fn fanout() -> impl Strategy<Value = u16> {
    prop_oneof![4 => 1..6u16, 1 => any::<u16>()]
}

/// Ranks close together, far apart, and at both ends of the id space.
fn rank() -> impl Strategy<Value = Rank> {
    prop_oneof![0..40u16, any::<u16>(), (u16::MAX - 5)..=u16::MAX].prop_map(Rank)
}

fn ranks(size: impl Into<SizeRange>) -> impl Strategy<Value = Vec<Rank>> {
    prop::collection::btree_set(rank(), size).prop_map(|ranks| ranks.into_iter().collect())
}

/// Views that agree on nothing: lists, flags and fan-outs of each node are random.
fn any_views() -> impl Strategy<Value = BTreeMap<Rank, View>> {
    ranks(1..24).prop_flat_map(|ranks| {
        let view = (
            prop::collection::vec((0..4u8, any::<bool>()), ranks.len()),
            ranks_unknown(),
            fanout(),
        );
        prop::collection::vec(view, ranks.len()).prop_map(move |views| {
            let nodes = ranks.iter().zip(views);
            nodes
                .map(|(&me, (beliefs, unknown, fanout))| {
                    let known = ranks
                        .iter()
                        .zip(&beliefs)
                        .filter(|(_, (known, _))| *known > 0);
                    let known = known.map(|(&rank, &(_, up))| (rank, up));
                    let known: BTreeMap<Rank, bool> = known.chain(unknown).collect();
                    let mut ring = Ring::new(me, known.keys().copied());
                    for (&rank, &up) in &known {
                        ring.set_up(rank, up);
                    }
                    (me, View { ring, fanout })
                })
                .collect()
        })
    })
}

/// Members that a node believes in and that do not exist.
fn ranks_unknown() -> impl Strategy<Value = Vec<(Rank, bool)>> {
    prop::collection::vec((rank(), any::<bool>()), 0..3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    // spec: TOPO-5
    #[test]
    fn any_mix_of_views_visits_each_node_at_most_once(views in any_views(), pick in any::<prop::sample::Index>()) {
        let origin = *pick.get(&views.keys().copied().collect::<Vec<_>>());
        let believed: BTreeSet<Rank> =
            views.values().flat_map(|view| view.ring.up()).chain(views.keys().copied()).collect();
        let outcome = broadcast(origin, &views)?;
        prop_assert!(outcome.sends < believed.len(), "{} sends", outcome.sends);
        prop_assert!(!outcome.visited.contains_key(&origin));
    }

    // spec: TOPO-5
    #[test]
    fn equal_views_cover_exactly_who_is_up(
        nodes in ranks(1..40).prop_flat_map(|ranks| {
            let len = ranks.len();
            (Just(ranks), prop::collection::vec(prop::bool::weighted(0.7), len))
        }),
        fanouts in prop::collection::vec(fanout(), 40),
        pick in any::<prop::sample::Index>(),
    ) {
        let (ranks, up) = nodes;
        let views: BTreeMap<Rank, View> = ranks.iter().zip(fanouts).map(|(&me, fanout)| {
            let mut ring = Ring::new(me, ranks.iter().copied());
            for (&rank, &up) in ranks.iter().zip(&up) {
                ring.set_up(rank, up);
            }
            (me, View { ring, fanout })
        }).collect();
        let origin = *pick.get(&ranks);
        let outcome = broadcast(origin, &views)?;
        let expected: Vec<Rank> = ranks.iter().zip(&up)
            .filter(|&(&rank, &up)| up && rank != origin).map(|(&rank, _)| rank).collect();
        prop_assert_eq!(outcome.sends, expected.len());
        prop_assert_eq!(outcome.visited.into_keys().collect::<Vec<_>>(), expected);
    }
}

fn all_up(members: u16, fanout: u16) -> BTreeMap<Rank, View> {
    let view = |me| {
        let mut ring = Ring::new(Rank(me), (0..members).map(Rank));
        (0..members).for_each(|rank| _ = ring.set_up(Rank(rank), true));
        (Rank(me), View { ring, fanout })
    };
    (0..members).map(view).collect()
}

fn ceil_log(base: u16, of: u16) -> u32 {
    (0..)
        .find(|&exponent| u64::from(base).pow(exponent) >= u64::from(of))
        .unwrap()
}

// spec: TOPO-3
#[test]
fn a_tree_is_no_deeper_than_the_logarithm_and_no_broader_than_its_arms() {
    for fanout in [2, 3, 4, 8] {
        for members in (1..70).chain([128, 255, 256, 257]) {
            let views = all_up(members, fanout);
            let outcome = broadcast(Rank(members / 2), &views).unwrap();
            assert_eq!(outcome.visited.len(), usize::from(members) - 1);
            let depth = outcome.visited.values().max().copied().unwrap_or(0);
            let bound = ceil_log(fanout, members);
            assert!(
                depth <= bound,
                "k={fanout} n={members}: depth {depth} > {bound}"
            );
            let mut arcs = Vec::new();
            views[&Rank(0)].ring.arcs(fanout, Rank(0), &mut arcs);
            assert!(arcs.len() <= usize::from(fanout - 1) * usize::try_from(bound).unwrap());
        }
    }
}

#[test]
fn a_ring_goes_round_one_by_one() {
    let outcome = broadcast(Rank(5), &all_up(16, 1)).unwrap();
    let order: Vec<u32> = (0..16)
        .filter_map(|rank| outcome.visited.get(&Rank(rank)).copied())
        .collect();
    assert_eq!(order, [11, 12, 13, 14, 15, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
}
