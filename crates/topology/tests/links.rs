//! One bad link, in either direction, is a matter between two nodes; a slow node is a leaf.

mod cluster;

use cluster::{Cluster, millis, secs};
use radix_core::id::Rank;
use topology::{Arc, Input, Output, Reach, Status};

/// To whom a broadcast of `at` is delegated, or passed on by those.
fn delegates(cluster: &Cluster, at: u16) -> Vec<u16> {
    let mut arcs = Vec::new();
    cluster.node(at).arcs(Rank(at), &mut arcs);
    arcs.iter().map(|arc: &Arc| arc.to.0).collect()
}

fn nobody_is_suspect(cluster: &Cluster) {
    for of in cluster.running() {
        assert!(!cluster.ever(of, Status::Suspect), "{of} was suspected");
        assert!(!cluster.ever(of, Status::Down), "{of} was down");
    }
}

// spec: TOPO-14, TOPO-27
#[test]
fn a_link_that_does_not_open_is_degraded_at_both_ends_and_nobody_is_suspect() {
    for (a, b) in [(1, 2), (1, 5), (0, 7)] {
        let mut cluster = Cluster::started(8);
        let view = cluster.view();
        cluster.part(a, b);
        cluster.run(secs(120));
        nobody_is_suspect(&cluster);
        for (at, of) in [(a, b), (b, a)] {
            assert_eq!(cluster.seen(at, of).reach, Reach::Degraded);
            assert!(cluster.seen(at, of).is_routable());
            let degraded: Vec<Rank> = cluster.node(at).degraded_links().collect();
            assert_eq!(degraded, [Rank(of)]);
            assert!(!delegates(&cluster, at).contains(&of));
        }
        assert_eq!(cluster.view(), view);
        cluster.mend(a, b);
        cluster.run(secs(1));
        cluster.assert_whole();
    }
}

// spec: TOPO-24, TOPO-25, TOPO-27
#[test]
fn a_link_that_works_in_one_direction_only_is_degraded_and_nobody_is_suspect() {
    for members in [4, 8, 20] {
        for (from, to) in [(1, 2), (2, 1), (0, 3), (3, 0)] {
            let mut cluster = Cluster::started(members);
            cluster.swallow(from, to);
            cluster.run(secs(60));
            nobody_is_suspect(&cluster);
            let seen = [(from, to), (to, from)]
                .map(|(at, of)| cluster.seen(at, of).reach == Reach::Degraded);
            assert!(seen[0] || seen[1], "{from} -> {to} of {members}");
            let routable =
                [(from, to), (to, from)].map(|(at, of)| cluster.seen(at, of).is_routable());
            assert_eq!(routable, [true, true]);
            cluster.heal();
            cluster.run(secs(10));
            cluster.assert_whole();
        }
    }
}

#[test]
fn the_sender_finds_out_that_it_is_not_heard_and_sends_its_broadcasts_around() {
    let mut cluster = Cluster::started(8);
    assert_eq!(delegates(&cluster, 1), [2]);
    cluster.swallow(1, 2);
    cluster.run(secs(6));
    assert_eq!(cluster.seen(1, 2).reach, Reach::Degraded);
    assert_eq!(delegates(&cluster, 1), [3]);
    cluster.heal();
    cluster.run(secs(2));
    assert_eq!(delegates(&cluster, 1), [2]);
}

#[test]
fn a_degraded_link_is_looked_at_again_when_the_other_end_dies() {
    let mut cluster = Cluster::started(6);
    cluster.part(1, 4);
    cluster.run(secs(10));
    cluster.crash(4);
    cluster.run(secs(1));
    cluster.assert_everywhere(4, Status::Suspect);
    cluster.run(secs(10));
    cluster.assert_everywhere(4, Status::Down);
}

// spec: TOPO-32
#[test]
fn a_slow_node_is_a_leaf_until_a_while_after_it_drained() {
    let mut cluster = Cluster::started(5);
    let peer = Rank(2);
    cluster.input(1, Input::LinkSlow { peer });
    assert_eq!(delegates(&cluster, 1), [3]);
    let member = cluster.seen(1, 2);
    assert!(member.slow && member.is_routable() && member.is_direct());
    cluster.run(secs(20));
    assert_eq!(delegates(&cluster, 1), [3]);

    let drained = cluster.input(1, Input::LinkDrained { peer });
    assert!(
        drained.contains(&Output::Exchange { with: peer }),
        "it pulls"
    );
    assert!(cluster.input(1, Input::LinkDrained { peer }).is_empty());
    cluster.run(millis(2900));
    assert_eq!(delegates(&cluster, 1), [3]);
    cluster.input(1, Input::LinkSlow { peer });
    cluster.run(secs(9));
    assert_eq!(delegates(&cluster, 1), [3], "slow again");
    cluster.input(1, Input::LinkDrained { peer });
    cluster.run(millis(3100));
    assert_eq!(delegates(&cluster, 1), [2]);
    nobody_is_suspect(&cluster);
}

// spec: TOPO-3
#[test]
fn the_fan_out_follows_the_members() {
    let mut cluster = Cluster::started(17);
    assert_eq!(delegates(&cluster, 0), [1, 2, 3, 4, 8, 12, 16]);
    cluster.leave(9);
    cluster.run(secs(1));
    assert_eq!(delegates(&cluster, 0), [1]);
}
