//! Arbitrary bytes as frames and as the other end of a handshake. Tests only.
//!
//! `cargo xtask fuzz link-frame handshake` runs these for as long as one likes.

use std::io::Cursor;

use crate::claims::tests::identity;
use crate::error::HandshakeError;
use crate::frame::{self, HEADER_BYTES, Kind, Parsed};
use crate::handshake;
use crate::identity::{Identity, NodeId};
use crate::limits::Limits;
use crate::stream::Duplex;

/// Payload limit of the parser here, in bytes.
const PAYLOAD_MAX: usize = 200;

/// Returns every kind that a frame can have: a new one is tried as soon as it is known.
fn kinds() -> Vec<Kind> {
    (0..=u8::MAX)
        .filter_map(|code| Kind::from_code(code).ok())
        .collect()
}

fn sealed(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; HEADER_BYTES];
    frame.extend_from_slice(payload);
    frame::seal(&mut frame, kind);
    frame
}

/// However the bytes come in, they are the same frame, the same error, or not enough yet.
fn check_frame(bytes: &[u8]) {
    let all = frame::parse(bytes, PAYLOAD_MAX);
    for end in 0..bytes.len() {
        match frame::parse(&bytes[..end], PAYLOAD_MAX) {
            // spec: FRAME-2
            Ok(Parsed::Need(need)) => {
                assert!(need > end && need <= 4 + 8 + PAYLOAD_MAX);
            }
            early => {
                assert_eq!(early, all);
                break;
            }
        }
    }
    if let Ok(Parsed::Frame {
        kind,
        payload,
        total,
    }) = all
    {
        assert!(payload.len() <= PAYLOAD_MAX && total <= bytes.len());
        assert_eq!(sealed(kind, payload), bytes[..total]);
    }
}

/// A frame that was sealed is read back; with one bit changed it is not.
fn check_sealed(kinds: &[Kind], bytes: &[u8]) {
    let &[which, bit, ref payload @ ..] = bytes else {
        return;
    };
    let kind = kinds[usize::from(which) % kinds.len()];
    let payload = &payload[..payload.len().min(PAYLOAD_MAX)];
    let mut frame = sealed(kind, payload);
    let total = frame.len();
    let expected = Ok(Parsed::Frame {
        kind,
        payload,
        total,
    });
    assert_eq!(frame::parse(&frame, PAYLOAD_MAX), expected);
    let bit = usize::from(bit) % (total * 8);
    frame[bit / 8] ^= 1 << (bit % 8);
    check_frame(&frame);
    // spec: FRAME-4
    assert!(!matches!(
        frame::parse(&frame, PAYLOAD_MAX),
        Ok(Parsed::Frame { .. })
    ));
}

/// What the other end says: the bytes as they are, or as the body of a frame, or as what follows the first word of one.
fn said(kinds: &[Kind], bytes: &[u8]) -> Vec<u8> {
    let &[how, which, ref body @ ..] = bytes else {
        return bytes.to_vec();
    };
    let kind = kinds[usize::from(which) % kinds.len()];
    // Small numbers fit together by chance.
    let small = |body: &[u8]| -> Vec<u8> { body.iter().map(|byte| byte % 4).collect() };
    match how % 8 {
        0 => bytes.to_vec(),
        1 => sealed(kind, body),
        2 => sealed(kind, &small(body)),
        3 => sealed(kind, &[b"RADXMESH", body].concat()),
        4 => sealed(Kind::Hello, &[&b"RADXMESH"[..], &small(body)].concat()),
        5 => sealed(Kind::Introduce, &[&b"RADXMESH"[..], &small(body)].concat()),
        6 => [sealed(kind, &small(body)), body.to_vec()].concat(),
        _ => sealed(Kind::Welcome, &small(body)),
    }
}

/// This end, of whom small numbers are true.
fn me() -> Identity {
    Identity {
        cluster: 1,
        node: NodeId(2),
        epoch: 3,
        boot: 1,
        config_hash: 1,
        protocol: (1, 2),
    }
}

fn check_handshake(kinds: &[Kind], bytes: &[u8]) {
    let said = said(kinds, bytes);
    let limits = Limits::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without drivers");
    let stream = || Duplex::new(Cursor::new(said.clone()), tokio::io::sink());
    for me in [me(), identity()] {
        let ends = runtime.block_on(async {
            let answered = handshake::answer(&mut stream(), &me, &limits, "a")
                .await
                .map(drop);
            let dialed = handshake::dial(&mut stream(), &me, &limits, "a").await;
            let dialed = dialed.map(|agreed| {
                assert_ne!(agreed.peer.node, me.node);
                assert!(agreed.frame_bytes_max <= limits.frame_bytes_max);
                let (low, high) = me.protocol;
                assert!((low..=high).contains(&agreed.peer.protocol));
            });
            let met = handshake::introduce(&mut stream(), &me, &limits, "a", b"hello").await;
            [answered, dialed, met.map(drop)]
        });
        for end in ends {
            let is_named = !matches!(
                end,
                Err(HandshakeError::Io { .. } | HandshakeError::Timeout)
            );
            assert!(is_named, "{end:?}");
        }
    }
    // What is said at the end of a connection is read by others.
    let texts = [
        handshake::rejection(bytes).map(|rejection| rejection.text),
        handshake::closing(bytes).map(|closing| closing.text),
    ];
    for text in texts.into_iter().flatten() {
        assert!(text.len() <= 200 && !text.chars().any(char::is_control));
    }
    let _ = handshake::seen(bytes);
}

#[test]
fn any_bytes_are_a_frame_or_a_named_error_however_they_arrive() {
    let kinds = kinds();
    bolero::check!(name = "link-frame")
        .with_iterations(1_000)
        .with_max_len(260)
        .for_each(|bytes: &[u8]| {
            check_frame(bytes);
            check_sealed(&kinds, bytes);
        });
}

#[test]
fn any_bytes_are_a_handshake_or_a_named_error() {
    let kinds = kinds();
    bolero::check!(name = "handshake")
        .with_iterations(500)
        .with_max_len(260)
        .for_each(|bytes: &[u8]| check_handshake(&kinds, bytes));
}
