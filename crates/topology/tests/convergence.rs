//! Whatever happens to frames and nodes: when it is over, there is one table and one view.

mod cluster;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster::{Cluster, Weather, millis, secs};
use proptest::prelude::*;
use radix_core::id::Rank;

/// What the operators, the network and the hosts do to a cluster.
#[derive(Clone, Copy, Debug)]
enum Act {
    Part(u16, u16),
    Mend(u16, u16),
    Swallow(u16, u16),
    Crash(u16),
    Boot(u16),
    Stop(u16),
    GoOn(u16),
    Join(u16, u16),
    Leave(u16),
    Wait(u16),
}

const SEEDS: u16 = 6;

fn act() -> impl Strategy<Value = Act> {
    let seed = || 0..SEEDS;
    let rank = || 0..SEEDS + 3;
    prop_oneof![
        3 => (rank(), rank()).prop_map(|(a, b)| Act::Part(a, b)),
        2 => (rank(), rank()).prop_map(|(a, b)| Act::Mend(a, b)),
        2 => (rank(), rank()).prop_map(|(a, b)| Act::Swallow(a, b)),
        1 => rank().prop_map(Act::Crash),
        2 => seed().prop_map(Act::Boot),
        1 => rank().prop_map(Act::Stop),
        2 => rank().prop_map(Act::GoOn),
        2 => (SEEDS..SEEDS + 3, seed()).prop_map(|(rank, through)| Act::Join(rank, through)),
        1 => rank().prop_map(Act::Leave),
        6 => (1..8000u16).prop_map(Act::Wait),
    ]
}

/// A cluster with a memory of who runs, so that only possible things happen.
struct World {
    cluster: Cluster,
    stopped: BTreeSet<u16>,
    lives: BTreeMap<u16, u64>,
}

impl World {
    fn new(cluster: Cluster) -> World {
        World {
            cluster,
            stopped: BTreeSet::new(),
            lives: (0..SEEDS).map(|rank| (rank, 1)).collect(),
        }
    }

    /// Lets everything happen, ends it, and looks for one table.
    fn weather(mut self, weather: Weather, acts: &[Act]) {
        self.cluster.weather = weather;
        for &act in acts {
            self.act(act);
            self.cluster.assert_broadcasts();
        }
        self.cluster.weather = Weather::default();
        self.cluster.heal();
        for rank in std::mem::take(&mut self.stopped) {
            self.cluster.go_on(rank);
        }
        // Whose introduction died with the member that took it is known to nobody.
        for rank in SEEDS..SEEDS + 3 {
            if self.runs(rank) && self.cluster.node(0).member(Rank(rank)).is_none() {
                self.cluster.join_again(rank, 0);
            }
        }
        // Long enough for the slowest verdict of a node that doubts itself most.
        self.cluster.run(secs(60));
        self.cluster.assert_whole();
    }

    fn runs(&self, rank: u16) -> bool {
        self.cluster.running().any(|running| running == rank) && !self.stopped.contains(&rank)
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Part(a, b) if a != b && self.runs(a) && self.runs(b) => self.cluster.part(a, b),
            Act::Mend(a, b) => self.cluster.mend(a, b),
            Act::Swallow(a, b) if a != b => self.cluster.swallow(a, b),
            // Two always run, so that something is left to agree.
            Act::Crash(rank) if rank > 1 && self.runs(rank) => self.cluster.crash(rank),
            Act::Leave(rank) if rank > 1 && self.runs(rank) => self.cluster.leave(rank),
            Act::Boot(rank) if !self.cluster.running().any(|running| running == rank) => {
                let life = self.lives.entry(rank).or_insert(1);
                *life += 1;
                let seeds = (0..SEEDS).map(cluster::seed).collect();
                self.cluster.boot(rank, *life, seeds, Vec::new());
            }
            Act::Stop(rank) if rank > 1 && self.runs(rank) => {
                self.stopped.insert(rank);
                self.cluster.stop(rank);
            }
            Act::GoOn(rank) if self.stopped.remove(&rank) => self.cluster.go_on(rank),
            Act::Join(rank, through) => {
                let is_new = !self.cluster.running().any(|running| running == rank);
                if is_new && self.runs(through) {
                    self.cluster.join(rank, 1, through);
                }
            }
            Act::Wait(milliseconds) => self.cluster.run(millis(u64::from(milliseconds))),
            Act::Part(..)
            | Act::Swallow(..)
            | Act::Crash(_)
            | Act::Leave(_)
            | Act::Boot(_)
            | Act::Stop(_)
            | Act::GoOn(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    // spec: TOPO-5, TOPO-15, TOPO-20, TOPO-22
    #[test]
    fn after_the_storm_there_is_one_table_and_everybody_who_lives_is_in_it(
        acts in prop::collection::vec(act(), 1..24),
        loss in 0..25u8,
        doubles in 0..20u8,
        delay_ms in 0..300u64,
        seed in any::<u64>(),
    ) {
        let delay = Duration::from_millis(delay_ms);
        let cluster = Cluster::started(SEEDS).seeded(seed);
        World::new(cluster).weather(Weather { loss, doubles, delay }, &acts);
    }

    /// Who knows only the one it joined through cannot come back by itself once it is forgotten: seeds can.
    // spec: TOPO-16, TOPO-34
    #[test]
    fn seeds_that_were_forgotten_in_the_storm_are_back_after_it(
        acts in prop::collection::vec(act(), 1..24),
        loss in 0..25u8,
        seed in any::<u64>(),
    ) {
        let acts: Vec<Act> = acts.into_iter().filter(|act| !matches!(act, Act::Join(..))).collect();
        let cluster = Cluster::with(SEEDS, |config| config.forget_after = secs(5)).seeded(seed);
        let weather = Weather { loss, ..Weather::default() };
        World::new(cluster).weather(weather, &acts);
    }
}

#[test]
fn large_tables_are_compared_in_pieces() {
    let mut cluster = Cluster::started(2);
    cluster.part(0, 1);
    for (at, ranks) in [(0, 100..500), (1, 400..900u16)] {
        for rank in ranks {
            let record = topology::Record {
                rank: Rank(rank),
                role: topology::Role::Decode,
                address: cluster::address(rank),
                inc: radix_core::id::Incarnation(u64::from(1 + (rank + at) % 2)),
                counter: 0,
                status: topology::Status::Down,
            };
            cluster.input(at, topology::Input::Table(vec![record]));
        }
    }
    cluster.heal();
    cluster.run(secs(2));
    assert_eq!(cluster.node(0).table_hash(), cluster.node(1).table_hash());
    assert_eq!(cluster.node(0).records().count(), 802);
    let longest = cluster
        .log
        .iter()
        .filter_map(|(_, _, output)| match output {
            topology::Output::Send {
                message: topology::Message::Members { records, .. },
                ..
            } => Some(records.len()),
            _ => None,
        });
    assert_eq!(
        longest.max().unwrap(),
        topology::limits::RECORDS_PER_MESSAGE_MAX
    );
}
