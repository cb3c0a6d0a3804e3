//! Bounds: full lanes, full receivers, silent peers.

use std::time::Duration;

use super::rig::{Heard, Pair, Rig, count, identity, listen, meet, pair, recorder, send, within};
use crate::error::{AcceptError, HandshakeError, SendError};
use crate::identity::NodeId;
use crate::lane::Lane;
use crate::limits::Limits;

/// A lane takes frames up to its bound, refuses the next, counts it, and says when there is room again.
pub async fn a_full_lane_refuses_and_tells_of_room(rig: &dyn Rig) {
    let limits = Limits {
        lane_bytes_max: [4096, 10_000, 10_000],
        ..Limits::default()
    };
    let Pair {
        dialer,
        acceptor,
        transports,
    } = pair(rig, limits).await;
    for _ in 0..4 {
        send(&dialer, Lane::Control, &[0; 1012]);
    }
    let full = SendError::Full {
        lane: Lane::Control,
        queued: 4096,
        max: 4096,
    };
    assert_eq!(
        dialer.try_send_with(Lane::Control, 0, |_| panic!("encoded although full")),
        Err(full)
    );
    send(
        &dialer,
        Lane::Data,
        b"the other lanes have their own bounds",
    );
    assert_eq!(count(&*transports[0], "sends_full", "control"), 1);
    acceptor.start(recorder().0);
    let (near, mut room) = recorder();
    dialer.start(near);
    assert_eq!(room.next().await, Heard::Room(Lane::Control));
    send(&dialer, Lane::Control, &[0; 1012]);
}

/// A receiver without room stops reading, so its sender's lane fills up; when it goes on, everything arrives.
pub async fn a_slow_receiver_holds_up_its_sender_and_drains(rig: &dyn Rig) {
    let Pair {
        dialer,
        acceptor,
        transports,
    } = pair(rig, Limits::default()).await;
    let (near, mut room) = recorder();
    let (far, mut record) = recorder();
    far.stop();
    dialer.start(near);
    acceptor.start(far.clone());
    let mut sent = 0u32;
    let send = |n: u32| {
        dialer.try_send_with(Lane::Bulk, 60_000, |buffer| {
            buffer[..4].copy_from_slice(&n.to_be_bytes())
        })
    };
    // The network's own buffers are bounded too, so without room at the far end this stays full in the end.
    let mut quiet = 0;
    while quiet < 20 {
        match send(sent) {
            Ok(()) => (sent, quiet) = (sent + 1, 0),
            Err(SendError::Full { .. }) => {
                let heard = tokio::time::timeout(Duration::from_millis(5), room.next()).await;
                quiet = if heard.is_ok() { 0 } else { quiet + 1 };
            }
            Err(error) => panic!("{error}"),
        }
        assert!(sent < 10_000, "600 MB went out and nobody took them");
    }
    assert_eq!(record.try_next(), None, "delivered without room");
    assert_eq!(count(&*transports[1], "reads_paused", ""), 1);
    far.go_on();
    for n in 0..sent {
        assert_eq!(record.frame().await.1[..4], n.to_be_bytes());
    }
    assert_eq!(dialer.queued_bytes(Lane::Bulk), 0);
}

/// A data lane that refuses frames is told once, while control frames still pass; that it drained is told once, too.
pub async fn a_peer_that_does_not_keep_up_is_told_once_and_so_is_its_end(rig: &dyn Rig) {
    let Pair {
        dialer, acceptor, ..
    } = pair(rig, Limits::default()).await;
    let (near, mut record) = recorder();
    let (far, _far_record) = recorder();
    far.stop();
    dialer.start(near);
    acceptor.start(far.clone());
    let mut quiet = 0;
    let mut heard = Vec::new();
    while quiet < 20 {
        match dialer.try_send_with(Lane::Data, 60_000, |_| ()) {
            Ok(()) => quiet = 0,
            Err(SendError::Full { .. }) => {
                tokio::time::sleep(Duration::from_millis(5)).await;
                quiet += 1;
            }
            Err(error) => panic!("{error}"),
        }
        heard.extend(std::iter::from_fn(|| record.try_next()));
    }
    let pressure = |heard: &[Heard]| -> Vec<Heard> {
        let told = heard
            .iter()
            .filter(|heard| !matches!(heard, Heard::Room(_)));
        told.cloned().collect()
    };
    // The network may have swallowed a lane's worth in between; the last word stands.
    let told = pressure(&heard);
    assert_eq!(told.last(), Some(&Heard::Slow), "{told:?}");
    assert!(told.windows(2).all(|pair| pair[0] != pair[1]), "{told:?}");
    send(&dialer, Lane::Control, b"still");
    far.go_on();
    loop {
        match record.next().await {
            Heard::Room(_) => {}
            other => break assert_eq!(other, Heard::Drained),
        }
    }
    let left = dialer.queued_bytes(Lane::Data);
    assert!(left <= Limits::default().lane_bytes_max[1] / 4, "{left}");
}

/// Two hundred peers that say nothing are bounded in number and time, and hold up nobody.
pub async fn silent_peers_do_not_stop_a_listener(rig: &dyn Rig) {
    let transport = rig.transport(NodeId(2));
    let limits = Limits {
        connections_pending_max: 16,
        handshake_timeout: Duration::from_secs(3600),
        ..Limits::default()
    };
    let mut listener = listen(rig, &transport, identity(2), limits).await;
    let address = listener.local_address();
    let mut silent = Vec::new();
    let mut evicted = 0;
    while silent.len() < 200 {
        silent.push(rig.dial_raw(&address).await.expect("a stream"));
        if silent.len() > 16 {
            match within(listener.accept()).await {
                Err(AcceptError::Evicted { pending: 16 }) => evicted += 1,
                other => panic!("{other:?} instead of an eviction"),
            }
        }
    }
    assert_eq!(evicted, 184);
    let dialer = rig.transport(NodeId(1));
    let honest = dialer.connect(
        &address,
        std::sync::Arc::new(identity(1)),
        Limits::default(),
    );
    let accepted = async {
        loop {
            match listener.accept().await {
                Ok(connection) => return connection,
                Err(AcceptError::Evicted { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
    };
    let (dialed, accepted) = within(async { tokio::join!(honest, accepted) }).await;
    dialed.expect("an honest peer gets through");
    assert_eq!(accepted.peer().node.0, 1);
    assert_eq!(count(&*transport, "handshakes_evicted", ""), 185);
}

/// Peers of one address that say nothing are bounded among themselves: the oldest of them makes room.
pub async fn silent_peers_of_one_address_only_displace_each_other(rig: &dyn Rig) {
    let transport = rig.transport(NodeId(2));
    let limits = Limits {
        connections_pending_per_source_max: 4,
        handshake_timeout: Duration::from_secs(3600),
        ..Limits::default()
    };
    let mut listener = listen(rig, &transport, identity(2), limits).await;
    let address = listener.local_address();
    let mut silent = Vec::new();
    for number in 1..=20 {
        silent.push(rig.dial_raw(&address).await.expect("a stream"));
        if number > 4 {
            match within(listener.accept()).await {
                Err(AcceptError::Evicted { pending: 4 }) => {}
                other => panic!("{other:?} instead of an eviction"),
            }
        }
    }
    assert_eq!(count(&*transport, "handshakes_evicted_of_source", ""), 16);
    assert_eq!(count(&*transport, "handshakes_evicted", ""), 0);
}

/// A peer that says nothing is dropped after the handshake's time, by name.
pub async fn a_silent_peer_is_timed_out(rig: &dyn Rig) {
    let transport = rig.transport(NodeId(2));
    let limits = Limits {
        handshake_timeout: Duration::from_millis(20),
        ..Limits::default()
    };
    let mut listener = listen(rig, &transport, identity(2), limits).await;
    let _silent = rig
        .dial_raw(&listener.local_address())
        .await
        .expect("a stream");
    match within(listener.accept()).await {
        Err(AcceptError::Handshake {
            source: HandshakeError::Timeout,
            ..
        }) => {}
        other => panic!("{other:?} instead of a timeout"),
    }
    assert_eq!(count(&*transport, "handshakes_timed_out", ""), 1);
    let (dialed, accepted) = meet(&rig.transport(NodeId(1)), identity(1), &mut *listener).await;
    dialed.expect("dialed");
    accepted.expect("accepted");
}
