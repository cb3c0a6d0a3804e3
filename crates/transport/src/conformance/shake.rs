//! Ends that do not belong together.

use super::rig::{Rig, count, identity, listen, meet};
use crate::error::{AcceptError, ConnectError, HandshakeError, RejectReason, Rejection};
use crate::identity::{Identity, Local, Peer};
use crate::limits::Limits;

/// Another cluster, other settings, no common protocol, the same node: each is rejected with its reason, which the
/// dialer learns, and both count.
pub async fn mismatches_are_rejected_by_name_on_both_sides(rig: &dyn Rig) {
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
            RejectReason::Protocol,
            Identity {
                protocol: (0, 0),
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
        (RejectReason::OwnNode, identity(2)),
    ];
    for (reason, dialer) in cases {
        rejected(rig, reason, dialer, identity(2)).await;
    }
}

/// A peer that the listener's [`Local::admit`] turns down learns why.
pub async fn an_unwelcome_peer_is_rejected_by_name_on_both_sides(rig: &dyn Rig) {
    struct Picky;
    impl Local for Picky {
        fn identity(&self) -> Identity {
            identity(2)
        }
        fn admit(&self, peer: &Peer) -> Result<(), Rejection> {
            Err(RejectReason::UnknownNode.because(format!("who is node {}?", peer.node)))
        }
    }
    let text = rejected(rig, RejectReason::UnknownNode, identity(1), Picky).await;
    assert_eq!(text, "who is node 1?");
}

async fn rejected(
    rig: &dyn Rig,
    reason: RejectReason,
    dialer: Identity,
    local: impl Local,
) -> String {
    let near = rig.transport(dialer.node);
    let far = rig.transport(local.identity().node);
    let mut listener = listen(rig, &far, local, Limits::default()).await;
    let (dialed, accepted) = meet(&near, dialer, &mut *listener).await;
    let Err(ConnectError::Handshake {
        source: HandshakeError::RejectedByPeer(told),
        ..
    }) = dialed
    else {
        panic!("{reason:?}: dialer got {dialed:?}")
    };
    let Err(AcceptError::Handshake {
        source: HandshakeError::RejectedPeer(said),
        ..
    }) = accepted
    else {
        panic!("{reason:?}: listener got {accepted:?}")
    };
    assert_eq!(told, said);
    assert_eq!(told.reason, reason);
    assert_eq!(count(&*near, "rejects_received", reason.label()), 1);
    assert_eq!(count(&*far, "rejects_sent", reason.label()), 1);
    told.text
}
