//! Joining, leaving and being forgotten.

mod cluster;

use cluster::{Cluster, address, millis, secs};
use radix_core::id::{Incarnation, Rank};
use topology::{ForgetError, Input, IntroduceError, Message, Output, Record, Role, Status, limits};

fn introduce(rank: u16, role: Role, address: &str, inc: u64) -> Input {
    Input::Introduce {
        rank: Rank(rank),
        role,
        address: address.to_owned(),
        inc: Incarnation(inc),
    }
}

fn introduced(outputs: &[Output]) -> Result<Vec<Record>, IntroduceError> {
    let mut answers = outputs.iter().filter_map(|output| match output {
        Output::Introduced(result) => Some(result.clone()),
        _ => None,
    });
    answers.next().expect("an introduction is answered at once")
}

fn forgotten(outputs: &[Output]) -> Result<Incarnation, ForgetError> {
    let mut answers = outputs.iter().filter_map(|output| match output {
        Output::Forgotten(result) => Some(*result),
        _ => None,
    });
    answers.next().expect("the operator is answered at once")
}

// spec: TOPO-33
#[test]
fn a_joiner_is_known_to_all_and_linked_to_all_soon() {
    for members in [1, 2, 8, 20] {
        let mut cluster = Cluster::started(members);
        let view = cluster.view();
        cluster.join(40, 7, 0);
        cluster.run(millis(500));
        cluster.assert_whole();
        assert_ne!(cluster.view(), view);
        assert_eq!(cluster.seen(0, 40).inc, Incarnation(7));
        assert_eq!(cluster.seen(0, 40).address, address(40));
        assert!(!cluster.ever(40, Status::Suspect));
        cluster.run(secs(30));
        cluster.assert_whole();
    }
}

#[test]
fn a_cluster_grows_from_one_by_joiners_that_know_only_themselves() {
    let mut cluster = Cluster::started(1);
    for rank in [9, 3, 5, 1, 12] {
        let through = cluster.running().last().unwrap();
        cluster.join(rank, 1, through);
        cluster.run(millis(300));
    }
    cluster.assert_whole();
    assert_eq!(cluster.node(0).members_in_view(), 6);
}

#[test]
fn two_nodes_join_through_different_members_at_once() {
    let mut cluster = Cluster::started(6);
    cluster.join(20, 1, 0);
    cluster.join(21, 1, 3);
    cluster.run(secs(1));
    cluster.assert_whole();
}

// spec: TOPO-33
#[test]
fn who_may_not_join_is_told_why() {
    let mut cluster = Cluster::started(4);
    let mut check = |input, expect: IntroduceError| {
        let view = cluster.view();
        assert_eq!(introduced(&cluster.input(0, input)), Err(expect));
        assert_eq!(cluster.view(), view);
    };
    let rank = |rank| Rank(rank);
    check(
        introduce(2, Role::Decode, "elsewhere:1", 9),
        IntroduceError::RankTaken {
            rank: rank(2),
            address: address(2),
        },
    );
    check(
        introduce(0, Role::Decode, "elsewhere:1", 9),
        IntroduceError::OwnRank { rank: rank(0) },
    );
    check(
        introduce(3, Role::Router, &address(3), 9),
        IntroduceError::RoleDiffers {
            rank: rank(3),
            configured: Role::Decode,
            claimed: Role::Router,
        },
    );
    check(introduce(9, Role::Decode, "", 9), IntroduceError::NoAddress);
    check(
        introduce(9, Role::Decode, &"a".repeat(256), 9),
        IntroduceError::AddressTooLong { len: 256, max: 255 },
    );
    cluster.input(0, Input::Leave);
    assert_eq!(
        introduced(&cluster.input(0, introduce(9, Role::Decode, "x:1", 9))),
        Err(IntroduceError::Leaving)
    );
}

// spec: TOPO-33
#[test]
fn a_full_ring_takes_nobody_in() {
    let mut cluster = Cluster::started(1);
    let record = |rank| Record {
        rank: Rank(rank),
        role: Role::Decode,
        address: address(rank),
        inc: Incarnation(1),
        counter: 0,
        status: Status::Down,
    };
    cluster.input(0, Input::Table((1..4096).map(record).collect()));
    let max = limits::MEMBERS_MAX;
    assert_eq!(
        introduced(&cluster.input(0, introduce(5000, Role::Decode, "x:1", 1))),
        Err(IntroduceError::TooManyMembers { max })
    );
}

// spec: TOPO-33
#[test]
fn a_rank_is_free_once_its_holder_is_found_dead() {
    let mut cluster = Cluster::started(5);
    cluster.stop(2);
    let try_it = |cluster: &mut Cluster| {
        introduced(&cluster.input(0, introduce(2, Role::Decode, "spare:1", 1)))
    };
    cluster.run(secs(1));
    assert!(try_it(&mut cluster).is_err(), "it may live");
    cluster.run(secs(5));
    let records = try_it(&mut cluster).unwrap();
    let own = records
        .iter()
        .find(|record| record.rank == Rank(2))
        .unwrap();
    assert_eq!(own.inc, Incarnation(2), "above what the rank used before");
    assert_eq!(own.address, "spare:1");
    cluster.run(millis(100));
    for at in [0, 1, 3, 4] {
        assert_eq!(cluster.seen(at, 2).address, "spare:1");
    }
}

// spec: TOPO-33
#[test]
fn a_restart_in_place_is_a_new_life_and_not_a_duplicate() {
    let mut cluster = Cluster::started(5);
    cluster.crash(2);
    cluster.join(2, 1, 0);
    cluster.run(secs(1));
    cluster.assert_whole();
    assert_eq!(cluster.seen(4, 2).inc, Incarnation(2));
}

#[test]
fn a_seed_that_restarts_is_back_without_an_introduction() {
    let mut cluster = Cluster::started(5);
    let view = cluster.view();
    cluster.crash(2);
    cluster.run(millis(20));
    cluster.boot(2, 2, (0..5).map(cluster::seed).collect(), Vec::new());
    cluster.run(secs(1));
    cluster.assert_whole();
    assert_ne!(cluster.view(), view);
    assert!(!cluster.ever(2, Status::Down));
}

// spec: TOPO-20
#[test]
fn a_node_that_starts_below_its_last_life_goes_on_above_it() {
    let mut cluster = Cluster::started(4);
    cluster.crash(2);
    cluster.boot(2, 9, (0..4).map(cluster::seed).collect(), Vec::new());
    cluster.run(secs(1));
    cluster.crash(2);
    cluster.boot(2, 4, (0..4).map(cluster::seed).collect(), Vec::new());
    cluster.run(secs(2));
    cluster.assert_whole();
    assert_eq!(cluster.seen(0, 2).inc, Incarnation(10));
}

// spec: TOPO-21, TOPO-34
#[test]
fn who_leaves_is_out_of_the_view_at_once_and_its_life_is_forgotten() {
    for members in [3, 8, 20] {
        let mut cluster = Cluster::started(members);
        cluster.join(50, 3, 0);
        cluster.run(secs(1));
        cluster.log.clear();
        cluster.leave(50);
        cluster.run(millis(5));
        assert_eq!(cluster.views().len(), 1);
        assert_eq!(cluster.node(0).members_in_view(), usize::from(members));
        for at in cluster.running() {
            assert!(cluster.node(at).member(Rank(50)).is_none());
            assert!(cluster.node(at).peers().all(|(rank, _)| rank != Rank(50)));
            let forget = Output::Forget {
                rank: Rank(50),
                floor: Incarnation(3),
            };
            let said = cluster
                .log
                .iter()
                .filter(|(_, rank, output)| rank.0 == at && *output == forget);
            assert_eq!(said.count(), 1, "at {at}");
        }
        cluster.run(secs(20));
        assert!(!cluster.ever(50, Status::Suspect));
        cluster.assert_whole();

        cluster.join(50, 1, 1);
        cluster.run(secs(1));
        cluster.assert_whole();
        assert_eq!(cluster.seen(2, 50).inc, Incarnation(4), "above the floor");
    }
}

// spec: TOPO-21
#[test]
fn a_node_that_has_left_says_nothing_more() {
    let mut cluster = Cluster::started(4);
    let goodbye = cluster.input(1, Input::Leave);
    assert_eq!(goodbye.len(), 3, "to everybody linked: {goodbye:?}");
    assert!(cluster.node(1).has_left());
    assert_eq!(cluster.node(1).next_deadline(), None);
    let probe = topology::Heartbeat {
        ttl: 1,
        echo: true,
        inc: Incarnation(1),
        seq: radix_core::id::Seq(0),
        nonce: 1,
    };
    let message = Message::Heartbeat(probe);
    let from = Rank(0);
    assert_eq!(cluster.input(1, Input::Message { from, message }), []);
    assert_eq!(
        forgotten(&cluster.input(1, Input::Forget { rank: Rank(0) })),
        Err(ForgetError::Leaving)
    );
}

#[test]
fn a_seed_that_left_is_still_dialed() {
    let mut cluster = Cluster::started(4);
    cluster.leave(2);
    cluster.run(secs(1));
    assert_eq!(cluster.seen(0, 2).inc, Incarnation(0));
    assert!(cluster.node(0).peers().any(|(rank, _)| rank == Rank(2)));
    cluster.boot(2, 5, (0..4).map(cluster::seed).collect(), Vec::new());
    cluster.run(secs(1));
    cluster.assert_whole();
}

// spec: TOPO-34
#[test]
fn who_is_down_for_long_is_forgotten_by_all() {
    let mut cluster = Cluster::with(5, |config| config.forget_after = secs(30));
    cluster.join(50, 3, 0);
    cluster.run(secs(1));
    cluster.crash(50);
    cluster.crash(4);
    cluster.run(secs(10));
    cluster.assert_everywhere(50, Status::Down);
    assert!(cluster.node(0).peers().any(|(rank, _)| rank == Rank(50)));
    cluster.run(secs(32));
    for at in 0..4 {
        assert!(cluster.node(at).member(Rank(50)).is_none());
        assert_eq!(cluster.seen(at, 4).inc, Incarnation(0), "a seed is kept");
    }
    cluster.assert_whole();
    cluster.boot(4, 1, (0..5).map(cluster::seed).collect(), Vec::new());
    cluster.run(secs(2));
    cluster.assert_whole();
    assert_eq!(cluster.seen(0, 4).inc, Incarnation(2), "above the floor");
}

// spec: TOPO-34
#[test]
fn the_operator_may_forget_only_who_is_down() {
    let mut cluster = Cluster::started(4);
    cluster.crash(2);
    cluster.run(millis(10));
    let mut forget = |rank| {
        let rank = Rank(rank);
        forgotten(&cluster.input(0, Input::Forget { rank }))
    };
    let takes_part = |rank, status| {
        let rank = Rank(rank);
        Err(ForgetError::TakesPart { rank, status })
    };
    assert_eq!(forget(0), Err(ForgetError::Own { rank: Rank(0) }));
    assert_eq!(forget(7), Err(ForgetError::Unknown { rank: Rank(7) }));
    assert_eq!(forget(1), takes_part(1, Status::Alive));
    assert_eq!(forget(2), takes_part(2, Status::Suspect));
    cluster.run(secs(6));
    let outputs = cluster.input(0, Input::Forget { rank: Rank(2) });
    assert_eq!(forgotten(&outputs), Ok(Incarnation(1)));
    assert!(outputs.contains(&Output::Forget {
        rank: Rank(2),
        floor: Incarnation(1)
    }));
    cluster.run(secs(10));
    for at in [0, 1, 3] {
        assert_eq!(cluster.seen(at, 2).inc, Incarnation(0), "floors travel");
    }
}

// spec: TOPO-16
#[test]
fn a_living_member_that_others_forgot_takes_a_new_life() {
    let mut cluster = Cluster::started(4);
    let floor = Incarnation(1);
    cluster.join(9, 1, 0);
    cluster.run(secs(1));
    cluster.input(
        0,
        Input::Floor {
            rank: Rank(9),
            floor,
        },
    );
    cluster.log.clear();
    // The floor reaches the logs by other ways; here the node tells its member with the next version vector.
    cluster.forget_in_logs(0, 9, 1);
    cluster.run(secs(5));
    cluster.assert_whole();
    assert!(cluster.seen(0, 9).inc > floor);
}
