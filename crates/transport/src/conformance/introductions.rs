//! Newcomers that introduce themselves, and others that claim a rank which somebody lives in.

use std::sync::Arc;

use super::links::{intrude, limits, node, node_at, refused};
use super::rig::{Heard, Rig, count, identity, recorder, within};
use crate::error::{ConnectError, HandshakeError, RejectReason, Rejection};
use crate::identity::{Identity, NodeId};
use crate::lane::Lane;
use crate::limits::Limits;

/// A node that nobody knows introduces itself to one that it does not know, and has its answer. No link comes of it.
pub async fn a_newcomer_introduces_itself_and_is_answered(rig: &dyn Rig) {
    let mut two = node(rig, 2).await;
    let mut one = node(rig, 1).await;
    for (from, to) in [(1, 2), (2, 1)] {
        let (near, far) = if from == 1 {
            (&one, &two)
        } else {
            (&two, &one)
        };
        let asked = near
            .links
            .introduce(far.links.local_address(), b"let me in");
        let (peer, answer) = within(asked).await.expect("answered");
        let other = identity(to);
        assert_eq!(
            (peer.node, peer.epoch, peer.boot),
            (NodeId(to), 1, other.boot)
        );
        assert_eq!(answer, format!("node {from} said let me in").as_bytes());
    }
    let heard = |node, words: &[u8]| Heard::Introduction(NodeId(node), words.to_vec());
    assert_eq!(two.record.next().await, heard(1, b"let me in"));
    assert_eq!(one.record.next().await, heard(2, b"let me in"));
    for node in [&one, &two] {
        assert!(!node.links.is_up(NodeId(1)) && !node.links.is_up(NodeId(2)));
        assert_eq!(count(&*node.transport, "introductions", ""), 1);
        assert_eq!(count(&*node.transport, "introductions_answered", ""), 1);
        assert_eq!(count(&*node.transport, "opened", ""), 0);
    }
}

/// Whoever belongs elsewhere, claims to be the node itself, or is refused by the layer above is told why, and both
/// count.
pub async fn introductions_are_refused_by_name_on_both_sides(rig: &dyn Rig) {
    let mut two = node(rig, 2).await;
    let cases = [
        (
            RejectReason::Cluster,
            Identity {
                cluster: 78,
                ..identity(1)
            },
        ),
        (
            RejectReason::Config,
            Identity {
                config_hash: 6,
                ..identity(1)
            },
        ),
        (
            RejectReason::Protocol,
            Identity {
                protocol: (4, 9),
                ..identity(1)
            },
        ),
        (
            RejectReason::OwnNode,
            Identity {
                boot: 4711,
                ..identity(2)
            },
        ),
    ];
    for (reason, me) in cases {
        let told = introduction_refused(rig, &two.links, me, b"let me in").await;
        assert_eq!(told.reason, reason);
        assert_eq!(count(&*two.transport, "rejects_sent", reason.label()), 1);
    }
    assert_eq!(two.record.try_next(), None, "the layer above heard of none");
    let told = introduction_refused(rig, &two.links, identity(1), b"refuse").await;
    assert_eq!(
        told,
        RejectReason::RankTaken.because("node 1 lives elsewhere")
    );
    two.links.shutdown().await;
}

async fn introduction_refused(
    rig: &dyn Rig,
    to: &crate::Links,
    me: Identity,
    request: &[u8],
) -> Rejection {
    let transport = rig.transport(me.node);
    let asked = transport.introduce(to.local_address(), Arc::new(me), limits(), request);
    match within(asked).await {
        Err(error) => {
            let told = error.refusal().expect("a refusal").clone();
            let label = told.reason.label();
            assert_eq!(count(&*transport, "rejects_received", label), 1);
            told
        }
        Ok(answer) => panic!("{answer:?} instead of a refusal"),
    }
}

/// A request has to fit into a handshake frame, an answer into its own bound; what is larger is refused by name.
pub async fn introductions_are_bounded(rig: &dyn Rig) {
    let (one, two) = (node(rig, 1).await, node(rig, 2).await);
    let address = two.links.local_address();
    let long = vec![7; Limits::default().handshake_bytes_max];
    match within(one.links.introduce(address, &long)).await {
        Err(ConnectError::TooLarge { length: 4096, max }) => {
            let longest = vec![b'x'; max];
            let (_, answer) = within(one.links.introduce(address, &longest))
                .await
                .expect("answered");
            assert_eq!(answer.len(), max + "node 1 said ".len());
        }
        other => panic!("{other:?} instead of too large"),
    }
    let (_, answer) = within(one.links.introduce(address, b"large"))
        .await
        .expect("answered");
    assert_eq!(answer, vec![7; 256 * 1024 - 100]);
    match within(one.links.introduce(address, b"too large")).await {
        Err(ConnectError::Handshake {
            source: HandshakeError::RejectedByPeer(told),
            ..
        }) => assert_eq!(told.reason, RejectReason::Introduction),
        other => panic!("{other:?} instead of a refusal"),
    }
}

/// Where the layer above says so, another process does not replace a live one; the same process may connect anew.
pub async fn a_rank_that_somebody_lives_in_is_not_taken_over(rig: &dyn Rig) {
    let mut two = node(rig, 2).await;
    two.handler.guard_ranks();
    two.links.set_peers([(NodeId(1), "nowhere".to_owned())]);
    let live = intrude(rig, &two, identity(1)).await.expect("live");
    let (near, mut record) = recorder();
    live.start(near);
    two.record.up().await;
    let other = Identity {
        epoch: 9,
        boot: 4711,
        ..identity(1)
    };
    let told = refused(rig, &two, other, RejectReason::RankTaken).await;
    assert!(told.text.contains("lives at"), "{told}");
    two.links
        .try_send_with(NodeId(1), Lane::Control, 1, |buffer| buffer[0] = 8)
        .expect("room");
    assert_eq!(record.frame().await, (Lane::Control, vec![8]));
    assert_eq!(two.record.try_next(), None, "the live one stays");
    let again = intrude(rig, &two, identity(1))
        .await
        .expect("the same process");
    again.start(recorder().0);
    two.record.down().await;
    assert_eq!(two.record.up().await.boot, identity(1).boot);
    again.close("the end");
    two.record.down().await;
    let next = intrude(rig, &two, other).await.expect("nobody lives there");
    next.start(recorder().0);
    assert_eq!(two.record.up().await.boot, 4711);
}

/// A node that is refused hears by whom and why, at each attempt; and is linked as soon as it is let in.
pub async fn who_is_refused_hears_why_and_tries_again(rig: &dyn Rig) {
    let two = node(rig, 2).await;
    let mut one = node_at(rig, &rig.address(), identity(1)).await;
    one.wants(&[(2, &two)]);
    for _ in 0..2 {
        let refused = Heard::Refused(NodeId(2), RejectReason::UnknownNode);
        assert_eq!(one.record.next().await, refused);
    }
    two.wants(&[(1, &one)]);
    assert_eq!(one.record.up().await.node, NodeId(2));
}

/// A peer that is somewhere else now is dialed there, although its old connection still lives.
pub async fn a_peer_that_moved_is_dialed_at_its_new_address(rig: &dyn Rig) {
    let (mut one, old) = (node(rig, 1).await, node(rig, 2).await);
    old.wants(&[(1, &one)]);
    one.wants(&[(2, &old)]);
    one.record.up().await;
    let moved = Identity {
        epoch: 2,
        boot: 7,
        ..identity(2)
    };
    let new = node_at(rig, &rig.address(), moved).await;
    new.wants(&[(1, &one)]);
    one.wants(&[(2, &new)]);
    assert_eq!(one.record.down().await.0, NodeId(2));
    assert_eq!(one.record.up().await.boot, 7);
}
