//! Nodes that come, go, are cut off and come back: what the others believe, hold and route by meanwhile.

mod support;

use std::time::Duration;

use node::wire::{self, Frame};
use node::{Effects, Event, Input, NotReady, NotRoutable, PublishError};
use radix_core::id::{Incarnation, Rank, Seq};
use support::{Rig, pages, store};
use topology::{ForgetError, IntroduceError, Reach, Role, Status};

const SECOND: Duration = Duration::from_secs(1);

fn introduce(rank: u16, address: &str) -> Input {
    Input::Introduce {
        rank: Rank(rank),
        role: Role::Decode,
        address: address.to_owned(),
        inc: Incarnation(1),
    }
}

#[test]
fn a_third_node_joins_a_running_pair_and_gets_all_they_have() {
    let mut rig = Rig::linked(2);
    let prompt = pages(0..500);
    rig.publish(0, store(&prompt, 0));
    rig.join(7, 1, 1).unwrap();
    assert!(
        rig.peers_changed.contains(&Rank(0)),
        "who was not asked heard of it, too"
    );
    rig.link_peers();
    assert!(!rig.node(7).is_ready(), "the pull was not answered yet");
    assert_eq!(
        rig.view(0, 7).unwrap().not_routable(),
        Some(NotRoutable::NotReady)
    );
    let reason = rig.node(7).not_ready();
    let Some(NotReady::CatchingUp { logs, .. }) = reason else {
        panic!("{reason:?}");
    };
    assert_eq!(logs, [Rank(0)]);
    let behind = rig.node(7).status().behind;
    assert_eq!(behind.len(), 1);
    assert_eq!((behind[0].origin.rank, behind[0].ops()), (Rank(0), 1));
    rig.pass(SECOND / 2);
    assert!(rig.node(7).is_ready());
    assert_eq!(rig.node(7).not_ready(), None);
    assert_eq!(rig.depth(7, (0, 0), &prompt), 500);
    for at in [0, 1] {
        let view = rig.view(at, 7).unwrap();
        assert!(view.routable() && view.direct(), "{view:?}");
    }
    rig.publish(7, store(&pages(0..30), 0));
    rig.pass(SECOND);
    rig.assert_equal();
}

#[test]
fn what_is_published_while_a_joiner_fetches_is_not_missed() {
    let mut rig = Rig::linked(2);
    rig.publish(0, store(&pages(0..100), 0));
    rig.join(5, 1, 0).unwrap();
    rig.link_peers();
    assert!(!rig.node(5).is_ready());
    rig.publish(0, store(&pages(0..200), 0));
    rig.publish(1, store(&pages(0..50), 0));
    rig.pass(SECOND / 2);
    assert!(rig.node(5).is_ready());
    rig.assert_equal();
}

#[test]
fn members_that_join_one_by_one_know_each_other() {
    let mut rig = Rig::linked(1);
    rig.pass(4 * SECOND);
    assert!(rig.node(0).is_ready(), "alone, after the cold start");
    for rank in 1..6 {
        rig.join(rank, 1, rank - 1).unwrap();
        rig.link_peers();
        rig.pass(SECOND);
    }
    rig.link_peers();
    for at in 0..6 {
        for of in 0..6 {
            let view = rig.view(at, of).unwrap();
            assert!(view.routable(), "at {at}: {view:?}");
        }
    }
    let mut views: Vec<_> = (0..6).map(|rank| rig.node(rank).status().view).collect();
    views.dedup();
    assert_eq!(views.len(), 1);
}

#[test]
fn a_joiner_of_the_lowest_rank_does_not_begin_a_cluster_of_its_own() {
    let mut rig = Rig::linked(1);
    let node = rig.nodes.remove(&Rank(0)).unwrap();
    drop(node);
    rig.join_empty(5);
    rig.pass(4 * SECOND);
    rig.publish(5, store(&pages(0..9), 0));
    rig.join(2, 1, 5).unwrap();
    rig.pass(5 * SECOND);
    assert!(!rig.node(2).is_ready(), "rank 5 lives, and holds something");
    rig.link_peers();
    rig.pass(SECOND / 2);
    assert!(rig.node(2).is_ready());
    assert_eq!(rig.depth(2, (5, 0), &pages(0..9)), 9);
}

#[test]
fn a_living_duplicate_is_refused_and_the_holder_named() {
    let mut rig = Rig::linked(2);
    rig.join(7, 1, 0).unwrap();
    rig.link_peers();
    rig.pass(SECOND);
    for through in [0, 1] {
        let answer = rig.handle(Rank(through), introduce(7, "elsewhere:1"));
        let Some(Err(IntroduceError::RankTaken { rank, address })) = answer.introduced else {
            panic!("{:?}", answer.introduced);
        };
        assert_eq!((rank, address.as_str()), (Rank(7), "host-7:1"));
    }
    let answer = rig.handle(Rank(0), introduce(0, "elsewhere:1"));
    assert!(matches!(
        answer.introduced,
        Some(Err(IntroduceError::OwnRank { rank: Rank(0) }))
    ));
    let why = rig.join(0, 1, 0).unwrap_err();
    assert!(why.contains("rank 0"), "{why}");
}

#[test]
fn a_node_that_restarts_in_place_gets_a_later_life_and_loses_its_old_copies() {
    let mut rig = Rig::linked(2);
    rig.join(7, 1, 0).unwrap();
    rig.link_peers();
    rig.pass(SECOND);
    let prompt = pages(0..20);
    rig.publish(7, store(&prompt, 0));
    rig.pass(SECOND);
    assert_eq!(rig.depth(0, (7, 0), &prompt), 20);
    rig.kill(7);
    rig.join(7, 1, 1).unwrap();
    assert!(rig.node(7).replica().me().inc > Incarnation(1));
    rig.link_peers();
    for at in [0, 1] {
        rig.link(7, at);
    }
    rig.pass(SECOND);
    assert!(rig.node(7).is_ready());
    assert_eq!(rig.depth(0, (7, 0), &prompt), 0);
    rig.assert_equal();
}

#[test]
fn a_node_that_leaves_is_hidden_at_once_and_forgotten_at_its_goodbye() {
    let mut rig = Rig::linked(3);
    rig.pass(SECOND);
    let prompt = pages(0..20);
    rig.publish(2, store(&prompt, 0));
    rig.handle(Rank(2), Input::Leave { drain: 5 * SECOND });
    assert!(matches!(
        rig.node(2).not_ready(),
        Some(NotReady::Draining { .. })
    ));
    for at in [0, 1] {
        assert_eq!(
            rig.view(at, 2).unwrap().not_routable(),
            Some(NotRoutable::NotReady)
        );
        assert_eq!(rig.depth(at, (2, 0), &prompt), 20, "work under way goes on");
    }
    rig.publish(0, store(&prompt, 0));
    assert_eq!(
        rig.depth(2, (0, 0), &prompt),
        20,
        "it takes part to the end"
    );
    rig.pass(4 * SECOND);
    assert!(rig.left.is_empty());
    rig.pass(2 * SECOND);
    assert!(rig.left.contains(&Rank(2)));
    for at in [0, 1] {
        let view = rig.view(at, 2);
        assert!(view.is_none_or(|view| !view.status.in_view() && !view.routable()));
        assert_eq!(
            rig.depth(at, (2, 0), &prompt),
            0,
            "its copies are forgotten"
        );
    }
    let suspected = |(_, event): &(Rank, Event)| {
        matches!(event, Event::Topology(topology::Event::Suspected { .. }))
    };
    rig.kill(2);
    rig.pass(10 * SECOND);
    assert!(!rig.events.iter().any(suspected), "nobody looks for it");
    for at in [0, 1] {
        let status = rig.node(at).status();
        assert_eq!(status.check.stable_view, Some(status.view));
    }
}

#[test]
fn a_node_that_left_answers_nothing_but_refusals() {
    let mut rig = Rig::linked(2);
    rig.handle(
        Rank(1),
        Input::Leave {
            drain: Duration::ZERO,
        },
    );
    assert!(rig.left.contains(&Rank(1)), "without a drain at once");
    assert_eq!(rig.node(1).not_ready(), Some(NotReady::Left));
    assert_eq!(rig.node(1).next_deadline(), None);
    let now = rig.now;
    let node = rig.nodes.get_mut(&Rank(1)).unwrap();
    let mut out = Effects::new();
    node.handle(now, Input::Tick, &mut out);
    node.handle(
        now,
        Input::Leave {
            drain: Duration::ZERO,
        },
        &mut out,
    );
    let bytes = wire::encode(&Frame::Readiness { ready: true }).1.to_bytes();
    let from = Rank(0);
    node.handle(now, Input::Frame { from, bytes }, &mut out);
    assert!(out.is_empty(), "{out:?}");
    let answer = rig.handle(Rank(1), Input::Publish(store(&pages(0..1), 0)));
    assert_eq!(answer.published, Some(Err(PublishError::Left)));
    let answer = rig.handle(Rank(1), introduce(5, "h:1"));
    assert_eq!(answer.introduced, Some(Err(IntroduceError::Leaving)));
    let answer = rig.handle(Rank(1), Input::Forget { rank: Rank(0) });
    assert_eq!(answer.forgotten, Some(Err(ForgetError::Leaving)));
}

#[test]
fn what_a_leaving_node_still_had_to_say_is_said() {
    let mut rig = Rig::linked(2);
    let before = rig.data_bytes;
    rig.handle(Rank(1), Input::Publish(store(&pages(0..3), 0)));
    assert_eq!(rig.data_bytes, before, "it waits for company");
    rig.handle(
        Rank(1),
        Input::Leave {
            drain: Duration::ZERO,
        },
    );
    assert!(rig.data_bytes > before);
}

#[test]
fn a_rank_that_left_can_come_back() {
    let mut rig = Rig::linked(2);
    rig.join(4, 1, 0).unwrap();
    rig.link_peers();
    rig.pass(SECOND);
    rig.handle(
        Rank(4),
        Input::Leave {
            drain: Duration::ZERO,
        },
    );
    rig.kill(4);
    rig.pass(SECOND);
    rig.join(4, 1, 0).unwrap();
    for at in [0, 1] {
        rig.link(4, at);
    }
    rig.pass(SECOND);
    assert!(rig.node(4).is_ready());
    rig.publish(4, store(&pages(0..3), 0));
    rig.pass(SECOND);
    assert!(rig.view(1, 4).unwrap().routable());
    rig.assert_equal();
}

#[test]
fn a_killed_node_is_hidden_while_suspected_and_down_after_a_while() {
    let mut rig = Rig::linked(3);
    rig.pass(SECOND);
    let prompt = pages(0..20);
    rig.publish(2, store(&prompt, 0));
    assert!(rig.view(0, 2).unwrap().routable());
    rig.kill(2);
    assert!(
        !rig.view(0, 2).unwrap().routable(),
        "while it is looked for"
    );
    rig.pass(3 * SECOND);
    let view = rig.view(0, 2).unwrap();
    assert_eq!(view.not_routable(), Some(NotRoutable::Suspect), "{view:?}");
    rig.pass(12 * SECOND);
    for at in [0, 1] {
        let view = rig.view(at, 2).unwrap();
        assert_eq!(view.not_routable(), Some(NotRoutable::Down));
        assert_eq!(rig.depth(at, (2, 0), &prompt), 20, "hidden, not deleted");
    }
}

#[test]
fn a_member_that_is_up_is_not_forgotten_and_an_unknown_one_cannot_be() {
    let mut rig = Rig::linked(3);
    rig.pass(SECOND);
    let mut forget = |rank| {
        let answer = rig.handle(Rank(0), Input::Forget { rank: Rank(rank) });
        answer.forgotten.unwrap().unwrap_err()
    };
    assert!(matches!(forget(1), ForgetError::TakesPart { .. }));
    assert!(matches!(forget(0), ForgetError::Own { .. }));
    assert!(matches!(forget(9), ForgetError::Unknown { .. }));
}

// spec: OPLOG-5, OPLOG-14
#[test]
fn a_forgotten_node_that_comes_back_takes_a_new_life_and_publishes_again() {
    let mut rig = Rig::linked(3);
    rig.pass(SECOND);
    let prompt = pages(0..20);
    rig.publish(2, store(&prompt, 0));
    rig.unlink(0, 2);
    rig.unlink(1, 2);
    rig.pass(20 * SECOND);
    assert_eq!(rig.view(0, 2).unwrap().status, Status::Down);
    let answer = rig.handle(Rank(0), Input::Forget { rank: Rank(2) });
    assert_eq!(answer.forgotten, Some(Ok(Incarnation(1))));
    rig.pass(2 * SECOND);
    for at in [0, 1] {
        assert_eq!(rig.depth(at, (2, 0), &prompt), 0);
        assert_eq!(
            rig.view(at, 2).unwrap().not_routable(),
            Some(NotRoutable::NeverSeen),
            "a configured member is waited for"
        );
    }
    rig.link(0, 2);
    rig.link(1, 2);
    rig.pass(3 * SECOND);
    assert!(rig.node(2).replica().me().inc > Incarnation(1));
    for at in 0..3 {
        assert_eq!(rig.depth(at, (2, 0), &prompt), 20, "at {at}");
        for of in 0..3 {
            assert!(rig.view(at, of).unwrap().routable(), "{of} at {at}");
        }
    }
    rig.assert_equal();
}

#[test]
fn a_bad_link_between_two_that_live_hides_neither_from_the_other() {
    let mut rig = Rig::linked(4);
    rig.pass(2 * SECOND);
    rig.unlink(0, 2);
    rig.pass(2 * SECOND);
    let view = rig.view(0, 2).unwrap();
    assert_eq!((view.status, view.reach), (Status::Alive, Reach::Degraded));
    assert!(view.routable() && !view.linked && view.ready);
    rig.publish(0, store(&pages(0..10), 0));
    rig.pass(2 * SECOND);
    assert_eq!(rig.depth(2, (0, 0), &pages(0..10)), 10);
    rig.pass(10 * SECOND);
    let check = rig.node(3).status().check;
    let last = check.last.unwrap();
    assert!(last.agreed, "{last:?}");
    assert_eq!(
        last.degraded,
        [(Rank(0), Rank(2)), (Rank(2), Rank(0))],
        "everybody can tell which link is bad"
    );
}

// spec: RING-5, RING-6
#[test]
fn a_stable_view_is_reached_lost_with_the_view_and_reached_again() {
    let mut rig = Rig::linked(3);
    rig.pass(3 * SECOND);
    for at in 0..3 {
        let status = rig.node(at).status();
        assert_eq!(rig.node(at).stable_view(), Some(status.view), "at {at}");
        let last = status.check.last.unwrap();
        assert!(last.agreed && last.differs.is_empty() && last.missing.is_empty());
        assert_eq!(last.wire, (wire::VERSION, wire::VERSION));
        assert_eq!(status.check.agreed_at, Some(last.at));
        assert_eq!(status.counters.checks_agreed, 1);
    }
    let before = rig.node(0).stable_view();
    rig.join(7, 1, 0).unwrap();
    rig.link_peers();
    assert_eq!(rig.node(0).stable_view(), None);
    let lost =
        |(at, event): &(Rank, Event)| *at == Rank(1) && *event == Event::StableView { view: None };
    assert!(rig.events.iter().any(lost));
    rig.pass(4 * SECOND);
    for at in [0, 1, 2, 7] {
        let view = rig.node(at).stable_view();
        assert!(view.is_some() && view != before, "at {at}");
        assert_eq!(view, rig.node(0).stable_view());
    }
}

// spec: RING-11, OPLOG-17
#[test]
fn what_every_member_has_leaves_the_tails() {
    let mut rig = Rig::linked(3);
    for page in 0..3_000 {
        rig.handle(Rank(0), Input::Publish(store(&pages(page..page + 1), 0)));
        if page % 100 == 0 {
            rig.handle(Rank(0), Input::Flush);
        }
    }
    rig.handle(Rank(0), Input::Flush);
    let first = |rig: &Rig, at: u16| {
        let mut logs = rig.node(at).replica().logs();
        logs.find(|log| log.origin.rank == Rank(0)).unwrap().tail
    };
    assert_eq!(first(&rig, 1), Some(Seq(1)));
    rig.pass(12 * SECOND);
    for at in [1, 2] {
        assert!(first(&rig, at) > Some(Seq(1_000)), "{:?}", first(&rig, at));
    }
}

#[test]
fn a_slow_peer_gets_no_broadcasts_and_pulls_when_it_has_room() {
    let mut rig = Rig::linked(3);
    rig.pass(2 * SECOND);
    rig.handle(Rank(0), Input::LinkSlow { peer: Rank(1) });
    assert!(rig.view(0, 1).unwrap().slow);
    assert!(rig.view(0, 1).unwrap().routable(), "slow is not dead");
    let before = rig.data_frames_to.clone();
    rig.publish(0, store(&pages(0..10), 0));
    assert_eq!(rig.depth(2, (0, 0), &pages(0..10)), 10, "the arc goes on");
    let to_slow = |rig: &Rig| rig.data_frames_to.get(&1).copied();
    assert_eq!(to_slow(&rig), before.get(&1).copied());
    assert_eq!(rig.depth(1, (0, 0), &pages(0..10)), 0);
    rig.handle(Rank(0), Input::LinkDrained { peer: Rank(1) });
    rig.pass(SECOND / 2);
    assert_eq!(rig.depth(1, (0, 0), &pages(0..10)), 10);
    rig.pass(4 * SECOND);
    assert!(!rig.view(0, 1).unwrap().slow);
    rig.assert_equal();
}

#[test]
fn who_lags_and_by_how_much_is_told() {
    let mut rig = Rig::linked(3);
    rig.pass(2 * SECOND);
    // What carries ops to rank 2 is lost: it gets none and says so with every offer.
    rig.handle(Rank(0), Input::LinkSlow { peer: Rank(2) });
    rig.handle(Rank(1), Input::LinkSlow { peer: Rank(2) });
    for page in 0..5 {
        rig.publish(0, store(&pages(page..page + 1), 0));
    }
    let bytes = wire::encode(&Frame::Log(oplog::Message::Offer {
        vector: rig.node(2).replica().offer(),
        reply: false,
    }))
    .1
    .to_bytes();
    let from = Rank(2);
    rig.handle(Rank(0), Input::Frame { from, bytes });
    let members = rig.node(0).status().members;
    let lag = members[2].lag.unwrap();
    assert_eq!((lag.ops, lag.logs, lag.at), (5, 1, rig.now));
}

#[test]
fn why_a_lone_node_is_not_ready_is_told() {
    let mut rig = Rig::new(3);
    let reason = rig.node(1).not_ready();
    assert!(
        matches!(reason, Some(NotReady::NoPeerReachable { begins_at: Some(at) }) if at > rig.now),
        "{reason:?}"
    );
    rig.link(1, 2);
    let reason = rig.node(2).not_ready();
    let Some(NotReady::NoPeerReady { first, awaited, .. }) = reason else {
        panic!("{reason:?}");
    };
    assert_eq!((first, awaited), (Rank(1), vec![Rank(0)]));
    let members = rig.node(2).status().members;
    let why: Vec<_> = members.iter().map(|m| m.view.not_routable()).collect();
    assert_eq!(
        why,
        [
            Some(NotRoutable::NeverSeen),
            Some(NotRoutable::NotReady),
            Some(NotRoutable::NotReady)
        ]
    );
}

#[test]
fn records_that_come_from_outside_the_links_are_believed() {
    let mut rig = Rig::linked(2);
    rig.join_empty(6);
    let records: Vec<_> = rig
        .handle(Rank(6), introduce(0, "h:1"))
        .introduced
        .unwrap()
        .unwrap();
    rig.handle(Rank(1), Input::Table(records));
    assert_eq!(rig.view(1, 6).unwrap().life, Incarnation(1));
    assert!(rig.peers_changed.contains(&Rank(1)));
}
