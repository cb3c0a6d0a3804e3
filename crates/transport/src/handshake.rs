//! Hello, then Welcome or Reject: how two ends learn who they are. Introduce, then Introduced or Reject: how a
//! newcomer learns who is there. Time limits are the caller's; what is claimed is judged in `claims`.
//!
//! Spec: `docs/protocols/framing.md` SHAKE-1 to SHAKE-9.

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::claims::Claims;
use crate::error::{HandshakeError, ProtocolError, RejectReason, Rejection};
use crate::frame::{self, HEADER_BYTES, Kind, Parsed};
use crate::identity::{Local, Newcomer, Peer};
use crate::limits::{Limits, TEXT_BYTES_MAX};
use crate::stream::Duplex;
use crate::tls::{Proof, TlsError};

/// First eight bytes of the body of a dialer's first frame: "RADXMESH".
const MAGIC: [u8; 8] = *b"RADXMESH";

/// How a TLS hello begins: a handshake record of version 3.x.
const TLS_HELLO: usize = 0x1603;

/// What both ends know when the hands are shaken.
pub(crate) struct Agreed {
    pub(crate) peer: Peer,
    /// The smaller one of both ends' largest payloads.
    pub(crate) frame_bytes_max: usize,
}

/// A code and its explanation: the body of Reject and of Close.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Explanation {
    pub(crate) code: u16,
    pub(crate) text: String,
}

/// What became of a handshake that went well.
pub(crate) enum Answered {
    /// A connection stands.
    Linked(Agreed),
    /// A newcomer introduced itself and has its answer. It will close the stream.
    Introduced,
}

/// Shakes hands as the end that dialed.
pub(crate) async fn dial(
    stream: &mut Duplex,
    local: &dyn Local,
    limits: &Limits,
    address: &str,
) -> Result<Agreed, HandshakeError> {
    let me = local.identity();
    let hello = encode(Kind::Hello, &MAGIC, &Claims::of(&me, limits));
    let (welcome, body) = ask(stream, &hello, limits.handshake_bytes_max).await?;
    if welcome != Kind::Welcome {
        return Err(unexpected(welcome));
    }
    let (claims, protocol): (Claims, u16) = decode(welcome, &body)?;
    let judged = claims.judge(&me, stream.proof.as_ref());
    let admitted = judged.and_then(|expected| {
        agree(protocol, expected)?;
        let peer = claims.peer(protocol, address);
        local.admit(&peer)?;
        Ok(peer)
    });
    match admitted {
        Ok(peer) => Ok(agreed(peer, &claims, limits)),
        Err(rejection) => Err(reject(stream, rejection).await),
    }
}

/// Introduces this end to whoever listens at the other, and returns who that is and its answer.
// spec: SHAKE-9
pub(crate) async fn introduce(
    stream: &mut Duplex,
    local: &dyn Local,
    limits: &Limits,
    address: &str,
    request: &[u8],
) -> Result<(Peer, Vec<u8>), HandshakeError> {
    let me = local.identity();
    let words = encode(Kind::Introduce, &MAGIC, &(Claims::of(&me, limits), request));
    let (kind, body) = ask(stream, &words, limits.introduction_bytes_max).await?;
    if kind != Kind::Introduced {
        return Err(unexpected(kind));
    }
    let (claims, protocol, answer): (Claims, u16, Vec<u8>) = decode(kind, &body)?;
    let judged = claims.judge_newcomer(&me, stream.proof.as_ref());
    match judged.and_then(|expected| agree(protocol, expected)) {
        Ok(()) => Ok((claims.peer(protocol, address), answer)),
        Err(rejection) => Err(reject(stream, rejection).await),
    }
}

/// Shakes hands as the end that was dialed.
pub(crate) async fn answer(
    stream: &mut Duplex,
    local: &dyn Local,
    limits: &Limits,
    address: &str,
) -> Result<Answered, HandshakeError> {
    let (kind, body) = read_frame(stream, limits.handshake_bytes_max)
        .await
        .map_err(name_tls)?;
    match kind {
        Kind::Hello => welcome(stream, local, limits, address, &body).await,
        Kind::Introduce => meet(stream, local, limits, address, &body).await,
        Kind::Lane(_)
        | Kind::Welcome
        | Kind::Introduced
        | Kind::Reject
        | Kind::Close
        | Kind::Seen => Err(unexpected(kind)),
    }
}

async fn welcome(
    stream: &mut Duplex,
    local: &dyn Local,
    limits: &Limits,
    address: &str,
    hello: &[u8],
) -> Result<Answered, HandshakeError> {
    let claims: Claims = decode(Kind::Hello, behind_magic(Kind::Hello, hello)?)?;
    let me = local.identity();
    let judged = claims.judge(&me, stream.proof.as_ref());
    let admitted = judged.and_then(|protocol| {
        let peer = claims.peer(protocol, address);
        local.admit(&peer)?;
        Ok(peer)
    });
    match admitted {
        Ok(peer) => {
            let body = (Claims::of(&me, limits), peer.protocol);
            write(stream, &encode(Kind::Welcome, &[], &body)).await?;
            Ok(Answered::Linked(agreed(peer, &claims, limits)))
        }
        Err(rejection) => Err(reject(stream, rejection).await),
    }
}

/// Answers a newcomer. What role it may have is in its request, so the layer above compares it with the certificate.
async fn meet(
    stream: &mut Duplex,
    local: &dyn Local,
    limits: &Limits,
    address: &str,
    body: &[u8],
) -> Result<Answered, HandshakeError> {
    let body = behind_magic(Kind::Introduce, body)?;
    let (claims, request): (Claims, Vec<u8>) = decode(Kind::Introduce, body)?;
    let me = local.identity();
    let answered = claims
        .judge_newcomer(&me, stream.proof.as_ref())
        .and_then(|protocol| {
            let newcomer = Newcomer {
                peer: claims.peer(protocol, address),
                name: stream.proof.as_ref().and_then(Proof::name).cloned(),
            };
            Ok((protocol, local.introduce(&newcomer, &request)?))
        })
        .and_then(|(protocol, answer)| {
            let body = (Claims::of(&me, limits), protocol, answer);
            let frame = encode(Kind::Introduced, &[], &body);
            if frame.len() - HEADER_BYTES <= limits.introduction_bytes_max {
                return Ok(frame);
            }
            let text = format!("the answer has {} bytes, too many", frame.len());
            Err(RejectReason::Introduction.because(text))
        });
    match answered {
        Ok(frame) => {
            write(stream, &frame).await?;
            stream.write.shutdown().await?;
            Ok(Answered::Introduced)
        }
        Err(rejection) => Err(reject(stream, rejection).await),
    }
}

/// Sends the dialer's first frame and reads what comes back, which a refusal may be.
async fn ask(
    stream: &mut Duplex,
    frame: &[u8],
    answer_max: usize,
) -> Result<(Kind, Vec<u8>), HandshakeError> {
    write(stream, frame).await?;
    let (kind, body) = read_frame(stream, answer_max).await?;
    match kind {
        Kind::Reject => Err(HandshakeError::RejectedByPeer(rejection(&body)?)),
        Kind::Welcome | Kind::Introduced => Ok((kind, body)),
        Kind::Lane(_) | Kind::Hello | Kind::Introduce | Kind::Close | Kind::Seen => {
            Err(unexpected(kind))
        }
    }
}

/// Checks the protocol that the listener names: it follows from both ends' claims.
fn agree(named: u16, expected: u16) -> Result<(), Rejection> {
    if named == expected {
        return Ok(());
    }
    let text = format!("agreed on {named} where {expected} follows");
    Err(RejectReason::Protocol.because(text))
}

fn agreed(peer: Peer, claims: &Claims, limits: &Limits) -> Agreed {
    Agreed {
        peer,
        frame_bytes_max: limits.frame_bytes_max.min(claims.frame_bytes_max()),
    }
}

fn unexpected(kind: Kind) -> HandshakeError {
    ProtocolError::Unexpected { kind: kind.code() }.into()
}

async fn write(stream: &mut Duplex, frame: &[u8]) -> Result<(), HandshakeError> {
    stream.write.write_all(frame).await?;
    stream.write.flush().await?;
    Ok(())
}

/// Decodes the body of a Reject. That of an outlived node has a third field.
pub(crate) fn rejection(body: &[u8]) -> Result<Rejection, ProtocolError> {
    if let Ok((Explanation { code, text }, known_epoch)) = decode(Kind::Reject, body)
        && RejectReason::from_code(code) == RejectReason::Outlived
    {
        return Ok(Rejection {
            known_epoch,
            ..RejectReason::Outlived.because(clean(&text))
        });
    }
    let Explanation { code, text } = decode(Kind::Reject, body)?;
    Ok(RejectReason::from_code(code).because(clean(&text)))
}

/// Decodes the body of a Close.
pub(crate) fn closing(body: &[u8]) -> Result<Explanation, ProtocolError> {
    let Explanation { code, text } = decode(Kind::Close, body)?;
    Ok(Explanation {
        code,
        text: clean(&text),
    })
}

/// Decodes the body of a Seen: how much bulk the other end has seen.
pub(crate) fn seen(body: &[u8]) -> Result<u64, ProtocolError> {
    decode(Kind::Seen, body)
}

/// Builds the body of a Seen.
pub(crate) fn seen_body(bytes: u64) -> Vec<u8> {
    postcard::to_stdvec(&bytes).expect("plain data into memory always encodes")
}

/// Builds a Close or a Reject.
pub(crate) fn explain(kind: Kind, code: u16, text: &str) -> Vec<u8> {
    encode(
        kind,
        &[],
        &Explanation {
            code,
            text: clean(text),
        },
    )
}

/// Builds a Reject.
pub(crate) fn refuse(rejection: &Rejection) -> Vec<u8> {
    let code = rejection.reason as u16;
    if rejection.reason != RejectReason::Outlived {
        return explain(Kind::Reject, code, &rejection.text);
    }
    let text = clean(&rejection.text);
    let body = (Explanation { code, text }, rejection.known_epoch);
    encode(Kind::Reject, &[], &body)
}

async fn reject(stream: &mut Duplex, rejection: Rejection) -> HandshakeError {
    let frame = refuse(&rejection);
    // The refusal stands, whether or not the other end still hears of it.
    if stream.write.write_all(&frame).await.is_ok() {
        let _ = stream.write.shutdown().await;
    }
    HandshakeError::RejectedPeer(rejection)
}

/// Returns what stands behind the eight bytes that say which protocol this is.
fn behind_magic(kind: Kind, body: &[u8]) -> Result<&[u8], ProtocolError> {
    let Some((magic, rest)) = body.split_first_chunk::<8>() else {
        return Err(ProtocolError::Malformed { kind: kind.code() });
    };
    if *magic != MAGIC {
        return Err(ProtocolError::Magic {
            got: u64::from_be_bytes(*magic),
        });
    }
    Ok(rest)
}

fn encode(kind: Kind, prefix: &[u8], body: &impl Serialize) -> Vec<u8> {
    let mut frame = vec![0; HEADER_BYTES];
    frame.extend_from_slice(prefix);
    let mut frame =
        postcard::to_extend(body, frame).expect("plain data into memory always encodes");
    frame::seal(&mut frame, kind);
    frame
}

fn decode<'a, T: Deserialize<'a>>(kind: Kind, body: &'a [u8]) -> Result<T, ProtocolError> {
    let kind = kind.code();
    let (value, rest) =
        postcard::take_from_bytes(body).map_err(|_| ProtocolError::Malformed { kind })?;
    // spec: FRAME-6
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(ProtocolError::Trailing {
            kind,
            bytes: rest.len(),
        })
    }
}

/// A frame that announces as much as the first four bytes of a TLS hello read as is one.
fn name_tls(error: HandshakeError) -> HandshakeError {
    match error {
        // spec: TLS-4
        HandshakeError::Protocol(ProtocolError::TooLong { length, .. })
            if length >> 16 == TLS_HELLO =>
        {
            TlsError::TlsPeer.into()
        }
        other => other,
    }
}

/// Keeps a peer's words from forging log lines or filling them.
fn clean(text: &str) -> String {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end]
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// Reads one frame and not a byte more, so that what follows is left to the connection's reader.
async fn read_frame(
    stream: &mut Duplex,
    payload_max: usize,
) -> Result<(Kind, Vec<u8>), HandshakeError> {
    let mut bytes = Vec::new();
    let mut have = 0;
    loop {
        match frame::parse(&bytes[..have], payload_max)? {
            Parsed::Frame { kind, payload, .. } => return Ok((kind, payload.to_vec())),
            Parsed::Need(need) => bytes.resize(need, 0),
        }
        match stream.read.read(&mut bytes[have..]).await? {
            0 if have == 0 => return Err(HandshakeError::Closed),
            0 => return Err(ProtocolError::CutShort { bytes: have }.into()),
            more => have += more,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::tests::identity;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn golden_bytes_of_every_handshake_frame() {
        let words = Claims::of(&identity(), &Limits::default());
        assert_eq!(
            hex(&encode(Kind::Hello, &MAGIC, &words)),
            "0000001d011000001a4b93ac524144584d4553480104c1010309b001cf01808040"
        );
        assert_eq!(
            hex(&encode(Kind::Welcome, &[], &(words, 2u16))),
            "0000001601110000f2d143250104c1010309b001cf0180804002"
        );
        assert_eq!(
            hex(&explain(Kind::Reject, RejectReason::Cluster as u16, "no")),
            "0000000c011200009105bb9701026e6f"
        );
        assert_eq!(
            hex(&refuse(&Rejection {
                known_epoch: 300,
                ..RejectReason::Outlived.because("old")
            })),
            "0000000f011200001bd6de7d0f036f6c64ac02"
        );
        assert_eq!(
            hex(&explain(Kind::Close, 1, "bye")),
            "0000000d01130000ef13df3e0103627965"
        );
        let request: &[u8] = b"let me in";
        assert_eq!(
            hex(&encode(Kind::Introduce, &MAGIC, &(words, request))),
            "000000270114000061878974524144584d4553480104c1010309b001cf01808040096c6574206d6520696e"
        );
        let answer: &[u8] = b"come";
        assert_eq!(
            hex(&encode(Kind::Introduced, &[], &(words, 2u16, answer))),
            "0000001b01150000d8b757810104c1010309b001cf018080400204636f6d65"
        );
        let mut frame = vec![0; HEADER_BYTES];
        frame.extend(seen_body(300));
        frame::seal(&mut frame, Kind::Seen);
        assert_eq!(hex(&frame), "0000000a011600003b6ef4e2ac02");
        assert_eq!(seen(&frame[HEADER_BYTES..]), Ok(300));
    }

    #[test]
    fn a_peers_text_is_cut_and_cleaned() {
        assert_eq!(clean("a\nb\u{1b}[31m"), "a?b?[31m");
        let long = "é".repeat(150);
        assert_eq!(clean(&long).len(), 200);
        assert_eq!(clean(&format!("x{long}")).len(), 199);
    }

    #[test]
    fn bytes_behind_a_body_are_an_error() {
        let frame = explain(Kind::Close, 1, "bye");
        let mut body = frame[HEADER_BYTES..].to_vec();
        assert!(closing(&body).is_ok());
        body.push(0);
        assert_eq!(
            closing(&body),
            Err(ProtocolError::Trailing { kind: 19, bytes: 1 })
        );
        assert_eq!(
            closing(&body[..2]),
            Err(ProtocolError::Malformed { kind: 19 })
        );
    }
}
