//! Nodes that come and go by chance: whatever happened, those who are left agree in the end.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use node::Input;
use proptest::prelude::*;
use radix_core::id::Rank;
use support::{Rig, pages, store};

/// Ranks 0 and 1 are configured; the others come by introduction.
const RANKS: u16 = 6;

#[derive(Clone, Debug)]
enum Act {
    Join(u16, u16),
    Kill(u16),
    Leave(u16, u64),
    Forget(u16, u16),
    Cut(u16, u16),
    Mend,
    Slow(u16, u16),
    Drained(u16, u16),
    Publish(u16, u32),
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let rank = || 0..RANKS;
    prop_oneof![
        3 => (1..RANKS, rank()).prop_map(|(rank, through)| Act::Join(rank, through)),
        1 => (1..RANKS).prop_map(Act::Kill),
        1 => (1..RANKS, 0..3u64).prop_map(|(rank, drain)| Act::Leave(rank, drain)),
        1 => (rank(), rank()).prop_map(|(at, rank)| Act::Forget(at, rank)),
        2 => (rank(), rank()).prop_map(|(a, b)| Act::Cut(a, b)),
        1 => Just(Act::Mend),
        1 => (rank(), rank()).prop_map(|(at, peer)| Act::Slow(at, peer)),
        1 => (rank(), rank()).prop_map(|(at, peer)| Act::Drained(at, peer)),
        3 => (rank(), 0..50u32).prop_map(|(rank, page)| Act::Publish(rank, page)),
        5 => (0..12_000u64).prop_map(Act::Pass),
    ]
}

struct Churn {
    rig: Rig,
    cut: BTreeSet<(u16, u16)>,
    lives: u64,
}

impl Churn {
    fn new() -> Churn {
        Churn {
            rig: Rig::linked(2),
            cut: BTreeSet::new(),
            lives: 1,
        }
    }

    fn act(&mut self, act: &Act) {
        let rig = &mut self.rig;
        let there = |rank: &u16| rig.nodes.contains_key(&Rank(*rank));
        match act {
            Act::Join(rank, through) if !there(rank) && there(through) => {
                self.lives += 1;
                // Who is not known to be dead yet is refused, as it should be.
                let _ = rig.join(*rank, self.lives, *through);
            }
            Act::Kill(rank) => rig.kill(*rank),
            Act::Leave(rank, seconds) => {
                let drain = Duration::from_secs(*seconds);
                rig.handle(Rank(*rank), Input::Leave { drain });
            }
            Act::Forget(at, rank) => {
                rig.handle(Rank(*at), Input::Forget { rank: Rank(*rank) });
            }
            Act::Cut(a, b) => {
                self.cut.insert((*a.min(b), *a.max(b)));
            }
            Act::Mend => self.cut.clear(),
            Act::Slow(at, peer) => {
                rig.handle(Rank(*at), Input::LinkSlow { peer: Rank(*peer) });
            }
            Act::Drained(at, peer) => {
                rig.handle(Rank(*at), Input::LinkDrained { peer: Rank(*peer) });
            }
            Act::Publish(rank, page) if there(rank) => {
                let path = pages(*page..*page + 3);
                rig.handle(Rank(*rank), Input::Publish(store(&path, 0)));
                rig.handle(Rank(*rank), Input::Flush);
            }
            Act::Join(..) | Act::Publish(..) => {}
            Act::Pass(ms) => self.pass(Duration::from_millis(*ms)),
        }
        for gone in std::mem::take(&mut self.rig.left) {
            self.rig.kill(gone.0);
        }
        self.rig.mesh(&self.cut);
    }

    /// Time passes in steps; after each the drivers look whom to link.
    fn pass(&mut self, time: Duration) {
        let end = self.rig.now.after(time);
        while self.rig.now < end {
            self.rig
                .pass(end.since(self.rig.now).min(Duration::from_millis(500)));
            for gone in std::mem::take(&mut self.rig.left) {
                self.rig.kill(gone.0);
            }
            self.rig.introduce_again(&self.cut);
            self.rig.mesh(&self.cut);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    // spec: WIRE-9
    #[test]
    fn a_cluster_that_starts_at_once_becomes_ready_whatever_comes_first(
        count in 2..6u16,
        order in proptest::collection::vec((any::<prop::sample::Index>(), 0..1_500u64), 15),
        missing in proptest::option::of(0..6u16),
    ) {
        let mut rig = Rig::new(count);
        if let Some(missing) = missing.filter(|missing| *missing < count) {
            rig.nodes.remove(&Rank(missing));
        }
        let ranks: Vec<u16> = rig.nodes.keys().map(|rank| rank.0).collect();
        let pairs = |a: &u16| ranks.iter().filter(|b| *a < **b).map(|b| (*a, *b)).collect::<Vec<_>>();
        let mut pairs: Vec<(u16, u16)> = ranks.iter().flat_map(pairs).collect();
        for (which, wait) in order {
            if pairs.is_empty() {
                break;
            }
            let (a, b) = pairs.swap_remove(which.index(pairs.len()));
            rig.link(a, b);
            rig.pass(Duration::from_millis(wait));
        }
        rig.pass(Duration::from_secs(5));
        for at in &ranks {
            prop_assert!(rig.node(*at).is_ready(), "{at}: {:?}", rig.node(*at).not_ready());
            for of in &ranks {
                prop_assert!(rig.view(*at, *of).is_some_and(|view| view.routable()));
            }
        }
    }

    #[test]
    fn those_who_are_left_agree_in_the_end(acts in proptest::collection::vec(act(), 1..40)) {
        let mut churn = Churn::new();
        for act in &acts {
            churn.act(act);
        }
        churn.cut.clear();
        let ranks: Vec<u16> = churn.rig.nodes.keys().map(|rank| rank.0).collect();
        for at in &ranks {
            for peer in &ranks {
                churn.act(&Act::Drained(*at, *peer));
            }
        }
        churn.pass(Duration::from_secs(60));
        let rig = &churn.rig;
        let living: Vec<u16> = rig.nodes.keys().map(|rank| rank.0).collect();
        let view = rig.node(0).status().view;
        for at in &living {
            let status = rig.node(*at).status();
            prop_assert!(status.ready, "{at}: {:?}", status.not_ready);
            prop_assert_eq!(status.view, view, "at {}", at);
            prop_assert_eq!(status.check.stable_view, Some(view), "at {}: {:?}", at, status.check);
            prop_assert!(status.behind.is_empty(), "{at}: {:?}", status.behind);
            for of in 0..RANKS {
                let seen = rig.view(*at, of);
                let routable = seen.is_some_and(|view| view.routable());
                prop_assert_eq!(routable, living.contains(&of), "{} at {}: {:?}", of, at, seen);
            }
        }
        rig.assert_equal();
    }
}
