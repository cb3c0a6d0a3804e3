//! Nodes that hand each other their frames at once: what publishing costs and means, who is Ready when.

mod support;

use std::time::Duration;

use node::{Effects, Event, Input, Node, Publish, PublishError};
use radix_core::id::{Incarnation, Namespace, Rank, SourceId};
use radix_core::page::Fingerprint;
use support::{Rig, pages, start, store};

fn evict(pages: &[Fingerprint], from: u32) -> Publish {
    Publish::Evict {
        source: SourceId(0),
        namespace: Namespace::DEFAULT,
        pages: pages.to_vec(),
        from,
    }
}

#[test]
fn a_growing_conversation_costs_its_new_pages_only() {
    let mut rig = Rig::linked(3);
    let prompt = pages(0..1_000);
    let mut costs = Vec::new();
    for turn in 1..=10 {
        let before = rig.data_bytes;
        rig.publish(0, store(&prompt[..turn * 100], 0));
        costs.push(rig.data_bytes - before);
    }
    let (least, most) = (costs.iter().min().unwrap(), costs.iter().max().unwrap());
    assert!(
        most - least <= 8,
        "bytes of 100 new pages over two hops: {costs:?}"
    );
    assert!(*most <= 2 * (100 * 8 + 32), "{costs:?}");
    assert_eq!(rig.depth(2, (0, 0), &prompt), 1_000);
    rig.assert_equal();
}

#[test]
fn pages_that_are_held_are_not_published_again() {
    let mut rig = Rig::linked(2);
    let prompt = pages(0..10);
    rig.publish(0, store(&prompt[..6], 0));
    let receipt = rig.publish(0, store(&prompt, 0));
    assert_eq!(receipt.already_held, 6);
    assert_eq!(
        receipt
            .stored
            .iter()
            .map(|run| (run.page, run.len))
            .collect::<Vec<_>>(),
        [(6, 4)]
    );
    let receipt = rig.publish(0, store(&prompt, 0));
    assert_eq!((receipt.already_held, receipt.stored.len()), (10, 0));
}

#[test]
fn a_hole_in_the_middle_is_filled_and_nothing_else() {
    let mut rig = Rig::linked(2);
    let prompt = pages(0..10);
    let all = rig.publish(0, store(&prompt, 0));
    let copies = radix_core::id::CopyRange {
        seq: all.stored[0].seq,
        idx: 3,
        len: 2,
    };
    assert_eq!(
        rig.publish(
            0,
            Publish::Drop {
                copies: vec![copies]
            }
        )
        .removed,
        2
    );
    assert_eq!(rig.depth(1, (0, 0), &prompt), 3);
    let receipt = rig.publish(0, store(&prompt, 0));
    assert_eq!(
        receipt
            .stored
            .iter()
            .map(|run| (run.page, run.len))
            .collect::<Vec<_>>(),
        [(3, 2)]
    );
    assert_eq!(receipt.already_held, 8);
    assert_eq!(rig.depth(1, (0, 0), &prompt), 10);
    rig.assert_equal();
}

#[test]
fn a_tail_whose_head_was_evicted_first_matches_again_when_the_head_is_back() {
    let mut rig = Rig::linked(2);
    let prompt = pages(0..10);
    let all = rig.publish(0, store(&prompt[..8], 0));
    let head = radix_core::id::CopyRange {
        seq: all.stored[0].seq,
        idx: 0,
        len: 8,
    };
    rig.publish(0, Publish::Drop { copies: vec![head] });
    // Nothing of the path is held, so this insert spells it out.
    rig.publish(0, store(&prompt, 8));
    assert_eq!(rig.depth(1, (0, 0), &prompt), 0);
    rig.publish(0, store(&prompt[..8], 0));
    assert_eq!(rig.depth(1, (0, 0), &prompt), 10);
    rig.assert_equal();
}

#[test]
fn pages_stored_anew_get_new_names_on_every_node() {
    let mut rig = Rig::linked(3);
    let prompt = pages(0..8);
    let first = rig.publish(0, store(&prompt, 0));
    let Publish::Store {
        source,
        namespace,
        tier,
        pages,
        from,
        ..
    } = store(&prompt, 4)
    else {
        unreachable!()
    };
    let again = rig.publish(
        0,
        Publish::Store {
            source,
            namespace,
            tier,
            pages,
            from,
            renew: true,
        },
    );
    assert_eq!(again.removed, 4);
    assert_eq!(
        again
            .stored
            .iter()
            .map(|run| (run.page, run.len))
            .collect::<Vec<_>>(),
        [(4, 4)]
    );
    let copy = |seq, idx| radix_core::id::CopyId {
        origin: first.origin,
        seq,
        idx,
    };
    for node in rig.nodes.values() {
        let index = node.replica().state();
        assert!(index.is_live(copy(first.stored[0].seq, 3)));
        assert!(!index.is_live(copy(first.stored[0].seq, 4)));
        assert!(index.is_live(copy(again.stored[0].seq, 0)));
    }
    rig.assert_equal();
}

#[test]
fn two_ranks_with_the_same_prefix_are_both_held_everywhere() {
    let mut rig = Rig::linked(3);
    let prompt = pages(0..5);
    rig.publish(0, store(&prompt, 0));
    rig.publish(1, store(&prompt, 0));
    for at in 0..3 {
        assert_eq!(
            (
                rig.depth(at, (0, 0), &prompt),
                rig.depth(at, (1, 0), &prompt)
            ),
            (5, 5)
        );
    }
    rig.publish(0, evict(&prompt, 2));
    for at in 0..3 {
        assert_eq!(
            (
                rig.depth(at, (0, 0), &prompt),
                rig.depth(at, (1, 0), &prompt)
            ),
            (2, 5)
        );
    }
    rig.assert_equal();
}

#[test]
fn a_restarted_engine_costs_its_siblings_nothing() {
    let mut rig = Rig::linked(2);
    let prompt = pages(0..5);
    rig.publish(0, store(&prompt, 0));
    let Publish::Store {
        namespace,
        tier,
        pages,
        from,
        renew,
        ..
    } = store(&prompt, 0)
    else {
        unreachable!()
    };
    rig.publish(
        0,
        Publish::Store {
            source: SourceId(1),
            namespace,
            tier,
            pages,
            from,
            renew,
        },
    );
    assert_eq!(
        rig.publish(
            0,
            Publish::Reset {
                source: SourceId(0)
            }
        )
        .removed,
        5
    );
    assert_eq!(
        (rig.depth(1, (0, 0), &prompt), rig.depth(1, (0, 1), &prompt)),
        (0, 5)
    );
}

#[test]
fn a_path_longer_than_one_op_is_cut_and_arrives_whole() {
    let mut rig = Rig::linked(2);
    let prompt = pages(0..40_000);
    let receipt = rig.publish(0, store(&prompt, 0));
    assert_eq!(receipt.stored.len(), 3);
    assert_eq!(rig.depth(1, (0, 0), &prompt), 40_000);
    rig.assert_equal();
}

#[test]
fn refused_publishes_change_nothing() {
    let mut rig = Rig::linked(2);
    let before = rig.nodes[&Rank(0)].replica().digests(Rank(0));
    let mut refused = |publish| {
        let result = rig.handle(Rank(0), Input::Publish(publish));
        result.published.unwrap().unwrap_err()
    };
    assert_eq!(refused(store(&[], 0)), PublishError::EmptyPath);
    assert_eq!(
        refused(store(&pages(0..3), 3)),
        PublishError::FromBeyondPath { from: 3, pages: 3 }
    );
    assert_eq!(
        refused(evict(&pages(0..3), 9)),
        PublishError::FromBeyondPath { from: 9, pages: 3 }
    );
    assert_eq!(rig.nodes[&Rank(0)].replica().digests(Rank(0)), before);
}

#[test]
fn a_cold_cluster_is_ready_at_once_when_all_are_linked() {
    let rig = Rig::linked(4);
    assert!(rig.nodes.values().all(Node::is_ready));
}

#[test]
fn without_the_others_the_lowest_reachable_rank_is_ready_after_three_seconds() {
    let mut rig = Rig::new(4);
    rig.link(1, 2);
    rig.pass(Duration::from_millis(2_900));
    assert!(rig.nodes.values().all(|node| !node.is_ready()));
    rig.pass(Duration::from_millis(200));
    let ready: Vec<u16> = rig
        .nodes
        .iter()
        .filter(|(_, node)| node.is_ready())
        .map(|(rank, _)| rank.0)
        .collect();
    // 1 and 2 see each other; 0 and 3 see nobody.
    assert_eq!(ready, [0, 1, 2, 3]);
}

#[test]
fn a_joining_node_is_ready_only_when_it_has_what_the_others_had() {
    let mut rig = Rig::linked(3);
    let prompt = pages(0..500);
    rig.publish(0, store(&prompt, 0));
    rig.unlink(0, 2);
    rig.unlink(1, 2);
    rig.nodes.insert(Rank(2), start(2, 3, 2, rig.now));
    assert!(!rig.nodes[&Rank(2)].is_ready());
    rig.link(1, 2);
    assert!(
        !rig.nodes[&Rank(2)].is_ready(),
        "the pull has not been answered yet"
    );
    rig.pass(Duration::from_millis(500));
    assert!(rig.nodes[&Rank(2)].is_ready());
    assert_eq!(rig.depth(2, (0, 0), &prompt), 500);
    let view = rig.nodes[&Rank(1)].members()[2];
    assert!(view.direct() && view.ready && view.routable());
    assert!(
        !rig.nodes[&Rank(0)].members()[2].direct(),
        "no link to it yet"
    );
}

#[test]
fn links_to_all_do_not_make_a_restarted_lowest_rank_ready() {
    let mut rig = Rig::linked(3);
    rig.publish(1, store(&pages(0..4), 0));
    let mut node = start(0, 3, 2, rig.now);
    for peer in [1, 2] {
        let mut out = Effects::new();
        let inc = Incarnation(1);
        node.handle(
            rig.now,
            Input::LinkUp {
                peer: Rank(peer),
                inc,
            },
            &mut out,
        );
        assert!(
            !node.is_ready(),
            "what rank {peer} says is still on its way"
        );
    }
}

#[test]
fn rubbish_is_counted_and_named_and_changes_nothing() {
    let mut rig = Rig::linked(2);
    let before = rig.nodes[&Rank(0)].replica().digests(Rank(1));
    rig.handle(
        Rank(0),
        Input::Frame {
            from: Rank(1),
            bytes: vec![9, 9, 9].into(),
        },
    );
    assert!(matches!(
        rig.events.last(),
        Some((Rank(0), Event::BadFrame { from: Rank(1), .. }))
    ));
    assert_eq!(rig.nodes[&Rank(0)].status().counters.frames_bad, 1);
    assert_eq!(rig.nodes[&Rank(0)].replica().digests(Rank(1)), before);
}
