//! Crashes, hangs, false suspicions, partitions and doubtful watchers, among real topologies.

mod cluster;

use std::time::Duration;

use cluster::{Cluster, LATENCY, millis, secs};
use radix_core::id::{Incarnation, Rank};
use topology::{Event, Input, Message, Reach, Record, Status};

// spec: TOPO-26, TOPO-27, TOPO-29
#[test]
fn a_crashed_node_is_suspect_within_round_trips_and_down_after_the_suspicion_time() {
    for members in [2, 3, 8, 20] {
        let mut cluster = Cluster::started(members);
        let view = cluster.view();
        cluster.crash(1);
        cluster.run(LATENCY * 8);
        cluster.assert_everywhere(1, Status::Suspect);
        assert_eq!(cluster.view(), view, "a suspect is still in the view");
        for node in cluster.running() {
            assert!(!cluster.seen(node, 1).is_routable());
        }
        cluster.run(millis(3900));
        cluster.assert_everywhere(1, Status::Suspect);
        cluster.run(secs(2));
        cluster.assert_everywhere(1, Status::Down);
        assert_ne!(cluster.view(), view);
        assert_eq!(cluster.node(0).members_in_view(), usize::from(members - 1));
        for of in cluster.running() {
            assert!(!cluster.ever(of, Status::Suspect), "{of} is innocent");
        }
    }
}

// spec: TOPO-24, TOPO-27
#[test]
fn a_hung_node_is_suspect_after_five_heartbeats_and_comes_back_when_it_goes_on() {
    let mut cluster = Cluster::started(8);
    let view = cluster.view();
    cluster.stop(2);
    cluster.run(secs(5));
    cluster.assert_everywhere(2, Status::Suspect);
    cluster.run(secs(5));
    for at in [0, 1, 3, 4, 5, 6, 7] {
        assert_eq!(cluster.seen(at, 2).status, Status::Down);
    }
    cluster.go_on(2);
    cluster.run(millis(100));
    cluster.assert_whole();
    assert_eq!(cluster.view(), view, "the same life is back");
    assert!(cluster.seen(0, 2).counter > 0);
    for of in cluster.running().filter(|&rank| rank != 2) {
        assert!(!cluster.ever(of, Status::Suspect), "{of} is innocent");
    }
}

// spec: TOPO-31
#[test]
fn a_node_that_slept_condemns_nobody() {
    for seconds in [2, 5, 60, 3600] {
        let mut cluster = Cluster::started(6);
        cluster.stop(2);
        cluster.run(secs(seconds));
        cluster.log.clear();
        cluster.go_on(2);
        cluster.run(secs(60));
        let accused =
            cluster.events(|at, event| at == 2 && matches!(event, Event::Suspected { .. }));
        assert_eq!(accused, 0, "after {seconds} s");
        cluster.assert_whole();
    }
}

// spec: TOPO-20
#[test]
fn a_false_suspicion_is_refuted_by_its_victim() {
    for accuser in [1, 5] {
        for status in [Status::Suspect, Status::Down] {
            let mut cluster = Cluster::started(8);
            let view = cluster.view();
            let known = cluster.node(accuser).records();
            let victim = known.filter(|record| record.rank == Rank(3)).cloned();
            let records: Vec<Record> = victim.map(|record| Record { status, ..record }).collect();
            let message = Message::Members {
                records,
                all_of: None,
            };
            let from = Rank(0);
            cluster.input(accuser, Input::Message { from, message });
            cluster.run(millis(50));
            cluster.assert_whole();
            assert_eq!(cluster.seen(0, 3).counter, 1);
            assert_eq!(cluster.view(), view);
            let doubts = cluster.events(|at, event| at == 3 && *event == Event::Doubt { level: 1 });
            assert_eq!(doubts, 1, "the accused doubts itself");
            cluster.run(secs(3));
            assert_eq!(cluster.node(3).health(), 0);
        }
    }
}

// spec: TOPO-26, TOPO-29
#[test]
fn a_partition_splits_the_view_and_heals_into_the_same_one() {
    for side in [&[0, 1, 2][..], &[4], &[0, 2, 4, 6]] {
        let mut cluster = Cluster::started(8);
        let view = cluster.view();
        cluster.partition(side);
        cluster.run(secs(20));
        assert_eq!(cluster.views().len(), 2);
        for at in 0..8 {
            for of in 0..8 {
                let together = side.contains(&at) == side.contains(&of);
                let expect = if together {
                    Status::Alive
                } else {
                    Status::Down
                };
                assert_eq!(cluster.seen(at, of).status, expect, "{of} at {at}");
            }
        }
        cluster.heal();
        cluster.run(secs(1));
        cluster.assert_whole();
        assert_eq!(cluster.view(), view);
    }
}

#[test]
fn a_partition_longer_than_memory_heals_into_new_lives() {
    let mut cluster = Cluster::with(6, |config| config.forget_after = secs(30));
    cluster.partition(&[0, 1]);
    cluster.run(secs(60));
    assert_eq!(cluster.seen(4, 0).inc, Incarnation(0), "it was forgotten");
    cluster.heal();
    cluster.run(secs(3));
    cluster.assert_whole();
    for rank in 0..6 {
        assert!(cluster.seen(0, rank).inc > Incarnation(1));
    }
}

// spec: TOPO-30
#[test]
fn a_slow_watcher_takes_longer_to_judge() {
    let time_to_suspect = |late: Duration| {
        let mut cluster = Cluster::started(2);
        // Node 0 misses its ticks for a while, then goes on in time again.
        cluster.stop(0);
        cluster.run(late);
        cluster.stop(1);
        let begin = cluster.now;
        cluster.go_on(0);
        while cluster.seen(0, 1).status == Status::Alive {
            cluster.run(millis(100));
            assert!(cluster.now.since(begin) < secs(300), "never");
        }
        (cluster.now.since(begin), cluster.node(0).health())
    };
    let (healthy, _) = time_to_suspect(millis(900));
    let (slow, health) = time_to_suspect(secs(4));
    assert!(healthy <= secs(5), "{healthy:?}");
    assert!(health >= 3, "its health is {health}");
    assert!(slow >= secs(15), "{slow:?}");
}

// spec: TOPO-30
#[test]
fn a_node_that_suddenly_hears_nobody_doubts_itself() {
    let mut cluster = Cluster::started(8);
    for peer in 0..8 {
        cluster.swallow(peer, 5);
    }
    cluster.run(millis(4500));
    assert!(cluster.node(5).health() > 0);
    assert_eq!(cluster.node(1).health(), 0);
}

// spec: TOPO-20
#[test]
fn a_node_that_missed_its_own_suspicion_is_told_again_until_it_objects() {
    let mut cluster = Cluster::started(5);
    // It is heard, but hears nobody while it is accused.
    for peer in 0..5 {
        cluster.swallow(peer, 3);
    }
    let accused = cluster.node(1).records().nth(3).cloned().unwrap();
    let message = Message::Members {
        records: vec![Record {
            status: Status::Suspect,
            ..accused
        }],
        all_of: None,
    };
    let from = Rank(0);
    cluster.input(1, Input::Message { from, message });
    cluster.run(millis(100));
    cluster.assert_everywhere(3, Status::Suspect);
    cluster.heal();
    cluster.run(secs(2));
    cluster.assert_whole();
}

#[test]
fn a_quiet_healthy_cluster_stays_as_it_is() {
    for members in [2, 9, 20] {
        let mut cluster = Cluster::started(members);
        cluster.run(secs(300));
        assert_eq!(cluster.events(|_, _| true), 0);
        cluster.assert_whole();
    }
}

#[test]
fn one_seed_gives_one_history() {
    let history = || {
        let mut cluster = Cluster::started(6);
        cluster.run(secs(10));
        cluster.stop(4);
        cluster.run(secs(10));
        cluster.part(1, 2);
        cluster.go_on(4);
        cluster.crash(0);
        cluster.run(secs(10));
        cluster.log
    };
    assert_eq!(history(), history());
}

// spec: TOPO-14
#[test]
fn while_others_are_asked_a_member_without_a_link_is_not_routable() {
    let mut cluster = Cluster::started(4);
    cluster.part(1, 2);
    assert_eq!(cluster.seen(1, 2).reach, Reach::Unknown);
    assert!(!cluster.seen(1, 2).is_routable());
    cluster.run(LATENCY * 6);
    assert_eq!(cluster.seen(1, 2).reach, Reach::Degraded);
    assert!(cluster.seen(1, 2).is_routable());
}
