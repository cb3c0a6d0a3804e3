//! Peers that do not keep to the protocol.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::rig::{Record, Rig, count, identity, listen, meet, recorder, within};
use crate::connection::Connection;
use crate::error::{AcceptError, CloseReason, HandshakeError, ProtocolError};
use crate::frame::{self, HEADER_BYTES, Kind};
use crate::handshake;
use crate::identity::NodeId;
use crate::lane::Lane;
use crate::limits::Limits;
use crate::stream::Duplex;
use crate::transport::Transport;

const PAYLOAD_MAX: usize = 100_000;

/// A hostile peer that shook hands, and the connection that it is connected to.
struct Victim {
    stream: Duplex,
    connection: Connection,
    record: Record,
    transport: Arc<dyn Transport>,
}

async fn victim(rig: &dyn Rig) -> Victim {
    let transport = rig.transport(NodeId(2));
    let limits = Limits {
        frame_bytes_max: PAYLOAD_MAX,
        linger: Duration::from_millis(20),
        ..Limits::default()
    };
    let mut listener = listen(rig, &transport, identity(2), limits.clone()).await;
    let mut stream = rig
        .dial_raw(&listener.local_address())
        .await
        .expect("a stream");
    let me = identity(1);
    let (shaken, accepted) = within(async {
        tokio::join!(
            handshake::dial(&mut stream, &me, &limits, "victim"),
            listener.accept()
        )
    })
    .await;
    assert!(shaken.is_ok());
    let connection = accepted.expect("accepted");
    let (handler, record) = recorder();
    connection.start(handler);
    Victim {
        stream,
        connection,
        record,
        transport,
    }
}

fn sealed(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; HEADER_BYTES];
    frame.extend_from_slice(payload);
    frame::seal(&mut frame, kind);
    frame
}

/// A good frame, bent by `bend`.
fn bent(kind: Kind, payload: &[u8], bend: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = sealed(kind, payload);
    bend(&mut frame);
    frame
}

/// Whatever is wrong with a frame, the connection ends with its name, the name is counted, the frame before it was
/// delivered, it was not, and the peer is told.
pub async fn every_protocol_error_disconnects_by_name(rig: &dyn Rig) {
    let data = Kind::Lane(Lane::Data);
    let close = |extra: &[u8]| {
        let mut body = handshake::explain(Kind::Close, 0, "bye")[HEADER_BYTES..].to_vec();
        body.extend_from_slice(extra);
        sealed(Kind::Close, &body)
    };
    let too_long = u32::try_from(PAYLOAD_MAX + 9).expect("small").to_be_bytes();
    let cases = [
        (
            "too_long",
            bent(data, b"x", |frame| frame[..4].copy_from_slice(&too_long)),
        ),
        (
            "too_short",
            bent(data, b"x", |frame| {
                frame[..4].copy_from_slice(&7u32.to_be_bytes())
            }),
        ),
        ("version", bent(data, b"x", |frame| frame[4] = 2)),
        ("kind", bent(data, b"x", |frame| frame[5] = 3)),
        ("flags", bent(data, b"x", |frame| frame[7] = 1)),
        ("checksum", bent(data, b"x", |frame| frame[12] ^= 1)),
        ("checksum", bent(data, b"x", |frame| frame[8] ^= 1)),
        ("unexpected", sealed(Kind::Hello, b"")),
        ("unexpected", sealed(Kind::Welcome, b"")),
        ("unexpected", sealed(Kind::Introduce, b"")),
        ("unexpected", sealed(Kind::Introduced, b"")),
        ("malformed", sealed(Kind::Close, b"")),
        ("malformed", sealed(Kind::Reject, &[0x80])),
        ("trailing", close(&[0])),
    ];
    for (label, bytes) in cases {
        let mut victim = victim(rig).await;
        let mut all = sealed(data, b"good");
        all.extend_from_slice(&bytes);
        all.extend_from_slice(&sealed(data, b"after"));
        victim.stream.write.write_all(&all).await.expect("written");
        assert_eq!(
            victim.record.frame().await,
            (Lane::Data, b"good".to_vec()),
            "{label}"
        );
        let CloseReason::Protocol(error) = victim.record.closed().await else {
            panic!("{label}: another reason")
        };
        assert_eq!(error.label(), label);
        assert_eq!(count(&*victim.transport, "protocol_errors", label), 1);
        assert_eq!(count(&*victim.transport, "closed", "protocol"), 1);
        let mut told = Vec::new();
        within(victim.stream.read.read_to_end(&mut told))
            .await
            .expect("an orderly end");
        let Ok(frame::Parsed::Frame {
            kind: Kind::Close,
            payload,
            ..
        }) = frame::parse(&told, 4096)
        else {
            panic!("{label}: the peer was not told")
        };
        assert!(
            handshake::closing(payload)
                .expect("a reason")
                .text
                .starts_with("protocol error"),
            "{label}"
        );
    }
}

/// A stream that ends inside a frame is an error of its own, and nothing of the frame is delivered.
pub async fn a_half_sent_frame_is_not_delivered(rig: &dyn Rig) {
    let frame = sealed(Kind::Lane(Lane::Data), &[9; 1000]);
    for cut in [1, 4, 11, 12, 500, frame.len() - 1] {
        let Victim {
            mut stream,
            mut record,
            transport,
            connection,
        } = victim(rig).await;
        stream
            .write
            .write_all(&frame[..cut])
            .await
            .expect("written");
        drop(stream);
        let expected = CloseReason::Protocol(ProtocolError::CutShort { bytes: cut });
        assert_eq!(record.closed().await, expected);
        assert_eq!(within(connection.closed()).await, expected);
        assert_eq!(count(&*transport, "protocol_errors", "cut_short"), 1);
    }
}

/// Four bytes that announce too much are enough to be refused; no body has to come.
pub async fn an_oversize_length_is_refused_at_once(rig: &dyn Rig) {
    let mut victim = victim(rig).await;
    victim
        .stream
        .write
        .write_all(&u32::MAX.to_be_bytes())
        .await
        .expect("written");
    let length = u32::MAX as usize;
    let expected = CloseReason::Protocol(ProtocolError::TooLong {
        length,
        max: PAYLOAD_MAX + 8,
    });
    assert_eq!(within(victim.connection.closed()).await, expected);
}

/// A first frame that is no hello ends the handshake with a name, and the listener goes on.
pub async fn rubbish_instead_of_a_hello_is_named(rig: &dyn Rig) {
    let transport = rig.transport(NodeId(2));
    let mut listener = listen(rig, &transport, identity(2), Limits::default()).await;
    let cases = [
        ("too_long", 5000u32.to_be_bytes().to_vec()),
        ("too_short", 0u32.to_be_bytes().to_vec()),
        ("unexpected", sealed(Kind::Lane(Lane::Data), b"x")),
        ("unexpected", sealed(Kind::Welcome, b"x")),
        ("malformed", sealed(Kind::Hello, b"x")),
        ("malformed", sealed(Kind::Hello, b"RADXMESH\x01")),
        ("magic", sealed(Kind::Hello, b"RADXMASH\x01")),
        (
            "trailing",
            sealed(
                Kind::Hello,
                b"RADXMESH\x01\x03\x4d\x01\x01\x01\x05\x80\x20too much",
            ),
        ),
        (
            "too_long",
            b"GET / HTTP/1.1\r\nHost: radixmesh\r\n\r\n".to_vec(),
        ),
        ("cut_short", vec![0, 0, 0, 30, 1]),
    ];
    for (label, bytes) in cases {
        let before = count(&*transport, "protocol_errors", label);
        let mut stream = rig
            .dial_raw(&listener.local_address())
            .await
            .expect("a stream");
        stream.write.write_all(&bytes).await.expect("written");
        stream.write.shutdown().await.expect("shut down");
        match within(listener.accept()).await {
            Err(AcceptError::Handshake {
                source: HandshakeError::Protocol(error),
                ..
            }) => {
                assert_eq!(error.label(), label);
            }
            other => panic!("{label}: {other:?}"),
        }
        assert_eq!(count(&*transport, "protocol_errors", label), before + 1);
    }
    let (dialed, accepted) = meet(&rig.transport(NodeId(1)), identity(1), &mut *listener).await;
    dialed.expect("dialed");
    accepted.expect("accepted");
}

/// Random bytes, alone and behind a good beginning, neither stop nor crash a listener.
pub async fn random_bytes_do_not_stop_a_listener(rig: &dyn Rig) {
    let mut random = fastrand::Rng::with_seed(0xbad);
    let transport = rig.transport(NodeId(2));
    let mut listener = listen(rig, &transport, identity(2), Limits::default()).await;
    for round in 0..100 {
        let mut stream = rig
            .dial_raw(&listener.local_address())
            .await
            .expect("a stream");
        let mut bytes: Vec<u8> = (0..random.usize(0..400)).map(|_| random.u8(..)).collect();
        if round % 2 == 0 {
            // With a plausible length and a right checksum, to get further in.
            let mut body = if round % 4 == 0 {
                b"RADXMESH".to_vec()
            } else {
                Vec::new()
            };
            body.extend_from_slice(&bytes);
            bytes = sealed(Kind::Hello, &body);
        }
        // The listener may have closed already.
        let _ = stream.write.write_all(&bytes).await;
        let _ = stream.write.shutdown().await;
        assert!(within(listener.accept()).await.is_err());
    }
    let (dialed, accepted) = meet(&rig.transport(NodeId(1)), identity(1), &mut *listener).await;
    dialed.expect("dialed");
    accepted.expect("accepted");
    // The same to an established connection.
    for _ in 0..20 {
        let mut victim = victim(rig).await;
        let bytes: Vec<u8> = (0..random.usize(1..2000)).map(|_| random.u8(..)).collect();
        let _ = victim.stream.write.write_all(&bytes).await;
        let _ = victim.stream.write.shutdown().await;
        let why = within(victim.connection.closed()).await;
        assert!(matches!(why, CloseReason::Protocol(_)), "{why:?}");
    }
}
