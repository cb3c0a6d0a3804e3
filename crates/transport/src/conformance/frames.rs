//! Frames between two ends that mean well.

use super::rig::{Heard, Pair, Rig, identity, pair, recorder, send, within};
use crate::error::{CloseReason, SendError};
use crate::handler::{Handler, Verdict};
use crate::identity::Peer;
use crate::lane::Lane;
use crate::limits::Limits;
use crate::{Connection, NodeId};

use std::sync::{Arc, OnceLock};

/// Frames of one lane arrive whole, once, and in order, whatever their sizes.
pub async fn frames_keep_their_order_within_a_lane(rig: &dyn Rig) {
    const FRAMES: u32 = 5_000;
    let Pair {
        dialer, acceptor, ..
    } = pair(rig, Limits::default()).await;
    let (near, mut room) = recorder();
    let (far, mut record) = recorder();
    dialer.start(near);
    acceptor.start(far);
    let length =
        |n: u32| 4 + (n as usize * 7919) % if n.is_multiple_of(100) { 200_000 } else { 300 };
    let sender = async {
        let mut random = fastrand::Rng::with_seed(1);
        for n in 0..FRAMES {
            let lane = *random
                .choice(Lane::ALL.as_slice())
                .expect("there are lanes");
            while let Err(error) = dialer.try_send_with(lane, length(n).min(100_000), |buffer| {
                buffer[..4].copy_from_slice(&n.to_be_bytes());
                buffer[4..].fill(n as u8);
            }) {
                assert!(matches!(error, SendError::Full { .. }), "{error}");
                room.next().await;
            }
        }
    };
    let receiver = async {
        let mut last = [None; Lane::COUNT];
        for _ in 0..FRAMES {
            let (lane, frame) = record.frame().await;
            let n = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
            assert!(
                last[lane as usize] < Some(n),
                "lane {lane}: {n} after {last:?}"
            );
            assert_eq!(frame.len(), length(n).min(100_000));
            assert!(frame[4..].iter().all(|byte| *byte == n as u8));
            last[lane as usize] = Some(n);
        }
    };
    within(async { tokio::join!(sender, receiver) }).await;
}

/// A control frame that is queued after bulk and data frames arrives before them.
pub async fn control_overtakes_bulk(rig: &dyn Rig) {
    let Pair {
        dialer, acceptor, ..
    } = pair(rig, Limits::default()).await;
    for _ in 0..40 {
        send(&dialer, Lane::Bulk, &[1; 60_000]);
    }
    send(&dialer, Lane::Data, b"data");
    send(&dialer, Lane::Control, b"control");
    let (near, _room) = recorder();
    let (far, mut record) = recorder();
    acceptor.start(far);
    dialer.start(near);
    assert_eq!(record.frame().await, (Lane::Control, b"control".to_vec()));
    assert_eq!(record.frame().await, (Lane::Data, b"data".to_vec()));
    // Under way, a control frame waits for what the network holds already, not for what the lane holds.
    assert_eq!(record.frame().await.0, Lane::Bulk);
    send(&dialer, Lane::Bulk, b"the last one");
    send(&dialer, Lane::Control, b"urgent");
    let mut lanes = Vec::new();
    loop {
        let (lane, frame) = record.frame().await;
        lanes.push(lane);
        if frame == b"the last one" {
            break;
        }
    }
    assert!(
        lanes.contains(&Lane::Control),
        "the control frame came last"
    );
}

/// The encoder gets a zeroed buffer of the asked length, and what it writes arrives.
pub async fn frames_are_encoded_in_place(rig: &dyn Rig) {
    let Pair {
        dialer, acceptor, ..
    } = pair(rig, Limits::default()).await;
    for len in [0, 1, 17, 4096] {
        let encode = |buffer: &mut [u8]| {
            assert_eq!(buffer, vec![0; len]);
            buffer.fill(7);
        };
        dialer.try_send_with(Lane::Data, len, encode).expect("room");
    }
    assert_eq!(dialer.queued_bytes(Lane::Data), 4 * 12 + 1 + 17 + 4096);
    assert_eq!(dialer.queued_bytes(Lane::Control), 0);
    let (far, mut record) = recorder();
    acceptor.start(far);
    dialer.start(recorder().0);
    for len in [0, 1, 17, 4096] {
        assert_eq!(record.frame().await, (Lane::Data, vec![7; len]));
    }
    assert_eq!(dialer.queued_bytes(Lane::Data), 0);
}

/// A frame over the limit of the frame, of the peer, or of the lane is refused as too large; the largest arrives.
pub async fn a_frame_that_can_never_fit_is_refused(rig: &dyn Rig) {
    let limits = Limits {
        frame_bytes_max: 300_000,
        ..Limits::default()
    };
    let Pair {
        dialer, acceptor, ..
    } = pair(rig, limits).await;
    let never = |_: &mut [u8]| panic!("encoded although too large");
    let refused = SendError::TooLarge {
        length: 300_001,
        max: 300_000,
    };
    assert_eq!(
        dialer.try_send_with(Lane::Bulk, 300_001, never),
        Err(refused)
    );
    let lane_max = 256 * 1024 - 12;
    let refused = SendError::TooLarge {
        length: lane_max + 1,
        max: lane_max,
    };
    assert_eq!(
        dialer.try_send_with(Lane::Control, lane_max + 1, never),
        Err(refused)
    );
    let (far, mut record) = recorder();
    acceptor.start(far);
    dialer.start(recorder().0);
    send(&dialer, Lane::Bulk, &vec![3; 300_000]);
    assert_eq!(record.frame().await, (Lane::Bulk, vec![3; 300_000]));
}

/// Each end knows the other's node, epoch and process, and both know the agreed protocol.
pub async fn both_ends_know_each_other(rig: &dyn Rig) {
    let Pair {
        dialer, acceptor, ..
    } = pair(rig, Limits::default()).await;
    for (peer, node) in [(dialer.peer(), 2), (acceptor.peer(), 1)] {
        let identity = identity(node);
        assert_eq!(
            (peer.node, peer.epoch, peer.boot, peer.protocol),
            (NodeId(node), 1, identity.boot, 3)
        );
        assert!(!peer.address.is_empty());
    }
}

/// What was accepted before a close still arrives, then both ends learn who closed and why.
pub async fn close_delivers_what_is_queued_and_is_seen_by_both(rig: &dyn Rig) {
    let Pair {
        dialer,
        acceptor,
        transports,
    } = pair(rig, Limits::default()).await;
    let (near, mut near_record) = recorder();
    let (far, mut far_record) = recorder();
    dialer.start(near);
    acceptor.start(far);
    send(&dialer, Lane::Bulk, b"last words");
    dialer.close("done");
    assert!(dialer.is_closed());
    let late = dialer.try_send_with(Lane::Data, 1, |_| panic!("encoded although closed"));
    assert_eq!(late, Err(SendError::Closed));
    assert_eq!(
        far_record.frame().await,
        (Lane::Bulk, b"last words".to_vec())
    );
    let remote = CloseReason::Remote {
        code: 0,
        text: "done".into(),
    };
    assert_eq!(far_record.closed().await, remote);
    assert_eq!(within(acceptor.closed()).await, remote);
    assert_eq!(
        near_record.closed().await,
        CloseReason::Local("done".into())
    );
    assert_eq!(
        within(dialer.closed()).await,
        CloseReason::Local("done".into())
    );
    assert_eq!(super::rig::count(&*transports[0], "closed", "local"), 1);
    assert_eq!(super::rig::count(&*transports[1], "closed", "remote"), 1);
}

/// An abort does not wait for the queue, and both ends learn of it.
pub async fn abort_drops_what_is_queued_and_is_seen_by_both(rig: &dyn Rig) {
    let Pair {
        dialer, acceptor, ..
    } = pair(rig, Limits::default()).await;
    let (far, mut record) = recorder();
    acceptor.start(far);
    dialer.start(recorder().0);
    send(&dialer, Lane::Data, b"never written");
    dialer.abort("no");
    assert_eq!(
        record.closed().await,
        CloseReason::Remote {
            code: 0,
            text: "no".into()
        }
    );
    assert_eq!(
        within(dialer.closed()).await,
        CloseReason::Local("no".into())
    );
}

/// A handler may send on its own connection from within `on_frame`, for ever.
pub async fn a_handler_may_send_while_it_receives(rig: &dyn Rig) {
    struct Bounce {
        connection: OnceLock<Connection>,
        bounces: u32,
    }
    impl Handler for Bounce {
        fn on_frame(&self, _: &Peer, lane: Lane, frame: &[u8]) -> Verdict {
            let n = u32::from_be_bytes(frame.try_into().expect("four bytes"));
            let connection = self.connection.get().expect("set before the start");
            if n == self.bounces {
                connection.close("enough");
            } else {
                send(connection, lane, &(n + 1).to_be_bytes());
            }
            Verdict::Continue
        }
    }
    let Pair {
        dialer, acceptor, ..
    } = pair(rig, Limits::default()).await;
    for connection in [&dialer, &acceptor] {
        let bounce = Bounce {
            connection: OnceLock::new(),
            bounces: 2_000,
        };
        bounce.connection.get_or_init(|| connection.clone());
        connection.start(Arc::new(bounce));
    }
    send(&dialer, Lane::Control, &0u32.to_be_bytes());
    assert_eq!(within(acceptor.closed()).await.label(), "local");
    assert_eq!(within(dialer.closed()).await.label(), "remote");
}

/// A handler's verdict ends the connection before the next frame, and the peer is told its reason.
pub async fn a_handler_may_disconnect(rig: &dyn Rig) {
    let Pair {
        dialer, acceptor, ..
    } = pair(rig, Limits::default()).await;
    let (far, mut record) = recorder();
    acceptor.start(far);
    dialer.start(recorder().0);
    send(&dialer, Lane::Data, b"disconnect");
    send(&dialer, Lane::Data, b"too late");
    assert_eq!(record.frame().await.1, b"disconnect");
    assert_eq!(record.closed().await, CloseReason::Handler("as you wish"));
    assert_eq!(record.try_next(), None::<Heard>);
    let CloseReason::Remote { text, .. } = within(dialer.closed()).await else {
        panic!("not told")
    };
    assert_eq!(text, "as you wish");
}

/// A connection that was closed before it was started calls `on_close` and nothing else.
pub async fn a_connection_closed_before_its_start_tells_its_handler(rig: &dyn Rig) {
    let Pair {
        dialer, acceptor, ..
    } = pair(rig, Limits::default()).await;
    dialer.close("early");
    let (near, mut record) = recorder();
    dialer.start(near);
    assert_eq!(record.closed().await, CloseReason::Local("early".into()));
    acceptor.start(recorder().0);
    assert_eq!(within(acceptor.closed()).await, CloseReason::PeerGone);
}
