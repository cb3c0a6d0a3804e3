//! Links: what is kept, replaced, refused and told.

use std::sync::Arc;
use std::time::Duration;

use super::rig::{Heard, Record, Recorder, Rig, count, identity, recorder, within};
use crate::connection::Connection;
use crate::counters::Counters;
use crate::error::{CloseReason, ConnectError, HandshakeError, RejectReason, Rejection};
use crate::identity::{Identity, NodeId};
use crate::lane::Lane;
use crate::limits::Limits;
use crate::links::Links;
use crate::transport::Transport;

/// A node with links.
pub(super) struct Node {
    pub(super) links: Links,
    pub(super) record: Record,
    pub(super) handler: Arc<Recorder>,
    pub(super) transport: Arc<dyn Transport>,
}

pub(super) fn limits() -> Limits {
    Limits {
        backoff_min: Duration::from_millis(2),
        backoff_max: Duration::from_millis(20),
        ..Limits::default()
    }
}

pub(super) async fn node_at(rig: &dyn Rig, at: &str, identity: Identity) -> Node {
    let transport = rig.transport(identity.node);
    let (handler, record) = recorder();
    let links = Links::start(transport.clone(), at, identity, limits(), handler.clone())
        .await
        .expect("started");
    Node {
        links,
        record,
        handler,
        transport,
    }
}

pub(super) async fn node(rig: &dyn Rig, id: u64) -> Node {
    node_at(rig, &rig.address(), identity(id)).await
}

impl Node {
    pub(super) fn wants(&self, others: &[(u64, &Node)]) {
        let peer = |(id, node): &(u64, &Node)| (NodeId(*id), node.links.local_address().to_owned());
        self.links.set_peers(others.iter().map(peer));
    }
}

/// Two nodes that want each other and are up.
async fn two(rig: &dyn Rig) -> (Node, Node) {
    let (mut one, mut two) = (node(rig, 1).await, node(rig, 2).await);
    one.wants(&[(2, &two)]);
    two.wants(&[(1, &one)]);
    assert_eq!(one.record.up().await.node, NodeId(2));
    assert_eq!(two.record.up().await.node, NodeId(1));
    (one, two)
}

/// Connects to `to` as `identity`, as a peer that does not use [`Links`].
pub(super) async fn intrude(
    rig: &dyn Rig,
    to: &Node,
    identity: Identity,
) -> Result<Connection, (ConnectError, Arc<Counters>)> {
    let transport = rig.transport(identity.node);
    let dialed = transport.connect(to.links.local_address(), Arc::new(identity), limits());
    within(dialed)
        .await
        .map_err(|error| (error, Arc::clone(transport.counters())))
}

pub(super) async fn refused(
    rig: &dyn Rig,
    to: &Node,
    identity: Identity,
    reason: RejectReason,
) -> Rejection {
    let before = count(&*to.transport, "rejects_sent", reason.label());
    let told = match intrude(rig, to, identity).await {
        Err((
            ConnectError::Handshake {
                source: HandshakeError::RejectedByPeer(told),
                ..
            },
            counters,
        )) => {
            assert_eq!(told.reason, reason, "{told}");
            assert_eq!(counters.get("rejects_received", reason.label()), Some(1));
            told
        }
        other => panic!("{reason:?}: {other:?}"),
    };
    assert_eq!(
        count(&*to.transport, "rejects_sent", reason.label()),
        before + 1
    );
    told
}

/// Three nodes that want each other have one connection per pair, and frames reach whom they are sent to.
pub async fn links_come_up_and_carry_frames(rig: &dyn Rig) {
    let mut nodes = [node(rig, 1).await, node(rig, 2).await, node(rig, 3).await];
    // In this order, the first dials find nobody who wants them.
    for me in 0..3 {
        let others: Vec<_> = (0..3)
            .filter(|other| *other != me)
            .map(|other| (other as u64 + 1, &nodes[other]))
            .collect();
        nodes[me].wants(&others);
    }
    for node in &mut nodes {
        node.record.up().await;
        node.record.up().await;
    }
    for from in 0..3u64 {
        for to in (0..3u64).filter(|to| *to != from) {
            let sender = &nodes[from as usize].links;
            assert!(sender.is_up(NodeId(to + 1)));
            let words = [from as u8, to as u8];
            sender
                .try_send_with(NodeId(to + 1), Lane::Data, 2, |buffer| {
                    buffer.copy_from_slice(&words)
                })
                .expect("room");
            assert_eq!(
                nodes[to as usize].record.frame().await,
                (Lane::Data, words.to_vec())
            );
        }
    }
    assert_eq!(
        count(&*nodes[2].transport, "dials", ""),
        0,
        "the highest node dials nobody"
    );
    assert!(
        nodes[0]
            .links
            .try_send_with(NodeId(9), Lane::Data, 0, |_| ())
            .is_err()
    );
    for node in &mut nodes {
        node.links.shutdown().await;
        assert!(!node.links.is_up(NodeId(1)) && !node.links.is_up(NodeId(3)));
    }
}

/// When a node stops and comes back with a higher epoch, both directions of dialing find it again.
pub async fn a_restarted_peer_with_a_higher_epoch_is_linked_again(rig: &dyn Rig) {
    let (mut one, mut two) = two(rig).await;
    // The one that is dialed restarts.
    two.links.shutdown().await;
    assert_eq!(two.record.down().await, (NodeId(1), CloseReason::Shutdown));
    let (who, why) = one.record.down().await;
    assert_eq!((who, why.label()), (NodeId(2), "remote"));
    let mut two = node_at(
        rig,
        &rig.address(),
        Identity {
            epoch: 2,
            boot: 7,
            ..identity(2)
        },
    )
    .await;
    two.wants(&[(1, &one)]);
    one.wants(&[(2, &two)]);
    let peer = one.record.up().await;
    assert_eq!((peer.node, peer.epoch, peer.boot), (NodeId(2), 2, 7));
    assert_eq!(two.record.up().await.epoch, 1);
    // The one that dials restarts.
    one.links.shutdown().await;
    let (who, why) = two.record.down().await;
    assert_eq!((who, why.label()), (NodeId(1), "remote"));
    let mut one = node_at(
        rig,
        &rig.address(),
        Identity {
            epoch: 5,
            ..identity(1)
        },
    )
    .await;
    one.wants(&[(2, &two)]);
    assert_eq!(two.record.up().await.epoch, 5);
    assert_eq!(one.record.up().await.epoch, 2);
}

/// A peer that connects again, in the same or a later epoch, takes over: down, then up, and frames of the new one.
pub async fn a_newer_connection_replaces_the_old_one(rig: &dyn Rig) {
    let mut two = node(rig, 2).await;
    two.links.set_peers([(NodeId(1), "nowhere".to_owned())]);
    let first = intrude(rig, &two, identity(1)).await.expect("first");
    first.start(recorder().0);
    assert_eq!(two.record.up().await.epoch, 1);
    for epoch in [1, 2, 9] {
        let next = intrude(
            rig,
            &two,
            Identity {
                epoch,
                ..identity(1)
            },
        )
        .await
        .expect("next");
        assert_eq!(two.record.down().await, (NodeId(1), CloseReason::Replaced));
        assert_eq!(two.record.up().await.epoch, epoch);
        let (near, mut record) = recorder();
        next.start(near);
        two.links
            .try_send_with(NodeId(1), Lane::Data, 1, |buffer| buffer[0] = 4)
            .expect("room");
        assert_eq!(record.frame().await, (Lane::Data, vec![4]));
    }
    assert_eq!(within(first.closed()).await, CloseReason::PeerGone);
}

/// A connection of an earlier life of a live peer is refused by name, and the live one stays.
pub async fn a_lower_epoch_does_not_replace_a_live_connection(rig: &dyn Rig) {
    let mut two = node(rig, 2).await;
    two.links.set_peers([(NodeId(1), "nowhere".to_owned())]);
    let live = intrude(
        rig,
        &two,
        Identity {
            epoch: 6,
            ..identity(1)
        },
    )
    .await
    .expect("live");
    let (near, mut record) = recorder();
    live.start(near);
    two.record.up().await;
    refused(
        rig,
        &two,
        Identity {
            epoch: 5,
            ..identity(1)
        },
        RejectReason::StaleEpoch,
    )
    .await;
    assert!(two.links.is_up(NodeId(1)));
    two.links
        .try_send_with(NodeId(1), Lane::Control, 1, |buffer| buffer[0] = 8)
        .expect("room");
    assert_eq!(record.frame().await, (Lane::Control, vec![8]));
    assert_eq!(two.record.try_next(), None);
}

/// A life that is over stays over, also while no later one is connected: it is refused by name and learns of the
/// latest. In an epoch above that the node is let in again.
pub async fn an_earlier_epoch_is_refused_after_the_later_one_is_gone(rig: &dyn Rig) {
    let lives = |epoch| Identity {
        epoch,
        ..identity(1)
    };
    let mut two = node(rig, 2).await;
    two.links.set_peers([(NodeId(1), "nowhere".to_owned())]);
    let live = intrude(rig, &two, lives(6)).await.expect("live");
    two.record.up().await;
    live.start(recorder().0);
    live.close("restart");
    two.record.down().await;
    let told = refused(rig, &two, lives(5), RejectReason::Outlived).await;
    assert_eq!(told.known_epoch, 6);
    // The same by the whole way, from the end that dials and from the end that is dialed.
    let mut one = node_at(rig, &rig.address(), lives(3)).await;
    one.wants(&[(2, &two)]);
    loop {
        if one.record.next().await == Heard::Outlived(6) {
            break;
        }
    }
    one.links.set_epoch(7);
    assert_eq!(one.record.up().await.node, NodeId(2));
    assert_eq!(two.record.up().await.epoch, 7);
    two.links.shutdown().await;
    one.record.down().await;
    let mut two = node_at(
        rig,
        &rig.address(),
        Identity {
            epoch: 0,
            ..identity(2)
        },
    )
    .await;
    one.wants(&[(2, &two)]);
    two.wants(&[(1, &one)]);
    loop {
        if two.record.next().await == Heard::Outlived(1) {
            break;
        }
    }
    two.links.set_epoch(2);
    assert_eq!(one.record.up().await.epoch, 2);
}

/// Whoever is not wanted, claims to be this node, or should wait to be dialed is refused by name.
pub async fn strangers_are_refused_by_name(rig: &dyn Rig) {
    let (one, two) = two(rig).await;
    refused(rig, &two, identity(3), RejectReason::UnknownNode).await;
    refused(rig, &two, identity(2), RejectReason::OwnNode).await;
    refused(rig, &one, identity(2), RejectReason::WrongDirection).await;
    // A dialer that finds another node than it wanted says so.
    let mut zero = node(rig, 0).await;
    zero.links
        .set_peers([(NodeId(9), two.links.local_address().to_owned())]);
    two.links.set_peers([
        (NodeId(0), zero.links.local_address().to_owned()),
        (NodeId(1), one.links.local_address().to_owned()),
    ]);
    while count(
        &*zero.transport,
        "rejects_sent",
        RejectReason::WrongNode.label(),
    ) == 0
    {
        within(tokio::task::yield_now()).await;
    }
    assert_eq!(zero.record.try_next(), None);
    assert!(one.links.is_up(NodeId(2)));
    // This node itself is no peer.
    zero.links
        .set_peers([(NodeId(0), zero.links.local_address().to_owned())]);
    zero.links.shutdown().await;
}

/// A peer that is taken off the list goes down at both ends, and comes up again when it is wanted again.
pub async fn a_peer_no_longer_wanted_goes_down_and_may_come_back(rig: &dyn Rig) {
    let (mut one, mut two) = two(rig).await;
    two.links.set_peers([]);
    assert_eq!(two.record.down().await, (NodeId(1), CloseReason::NotWanted));
    assert_eq!(one.record.down().await.1.label(), "remote");
    assert!(!two.links.is_up(NodeId(1)));
    two.wants(&[(1, &one)]);
    two.record.up().await;
    one.record.up().await;
    // Taken off and put back at once: the old connection still goes down before the new one comes up.
    one.links.set_peers([]);
    one.wants(&[(2, &two)]);
    assert_eq!(one.record.down().await, (NodeId(2), CloseReason::NotWanted));
    assert_eq!(one.record.up().await.node, NodeId(2));
}

/// However connections come and go, `on_up` and `on_down` alternate, and frames come only between them.
pub async fn ups_and_downs_alternate_under_churn(rig: &dyn Rig) {
    let mut two = node(rig, 2).await;
    two.links.set_peers([(NodeId(1), "nowhere".to_owned())]);
    let mut random = fastrand::Rng::with_seed(3);
    let mut connections = Vec::new();
    for round in 0..60u64 {
        let identity = Identity {
            epoch: 1 + round / 7,
            ..identity(1)
        };
        // A connection of an epoch that is not over yet may have come first.
        let Ok(connection) = intrude(rig, &two, identity).await else {
            continue;
        };
        connection.start(recorder().0);
        for _ in 0..random.u32(0..4) {
            let _ = connection.try_send_with(Lane::Data, 8, |buffer| {
                buffer.copy_from_slice(&round.to_be_bytes())
            });
        }
        match random.u32(0..4) {
            0 => connection.close("over"),
            1 => connection.abort("over"),
            2 => tokio::task::yield_now().await,
            _ => {}
        }
        connections.push(connection);
    }
    two.links.shutdown().await;
    let mut up = false;
    let mut ups = 0;
    while let Some(heard) = two.record.try_next() {
        match heard {
            Heard::Up(_) => {
                assert!(!up, "up twice");
                (up, ups) = (true, ups + 1);
            }
            Heard::Down(..) => {
                assert!(up, "down twice");
                up = false;
            }
            Heard::Frame(..) | Heard::Closed(_) => assert!(up, "{heard:?} while down"),
            Heard::Room(_) | Heard::Slow | Heard::Drained => {}
            Heard::Introduction(..) | Heard::Refused(..) => panic!("{heard:?}"),
            Heard::Outlived(_) => panic!("outlived although all epochs are one"),
        }
    }
    assert!(!up && ups > 0);
    drop(two.handler);
}

/// An epoch that is set at run time is what the next handshake says.
pub async fn links_carry_the_epoch_that_was_set(rig: &dyn Rig) {
    let (mut one, mut two) = two(rig).await;
    one.links.set_epoch(44);
    assert!(one.links.is_up(NodeId(2)), "live connections stay");
    two.links.connection(NodeId(1)).expect("up").close("again");
    two.record.down().await;
    one.record.down().await;
    assert_eq!(two.record.up().await.epoch, 44);
    one.record.up().await;
}
