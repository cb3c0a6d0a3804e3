//! Hello, then Welcome or Reject: how two ends learn who they are. Time limits are the caller's.
//!
//! Spec: `docs/protocols/framing.md` SHAKE-1 to SHAKE-7.

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::error::{HandshakeError, ProtocolError, RejectReason, Rejection};
use crate::frame::{self, HEADER_BYTES, Kind, Parsed};
use crate::identity::{Identity, Local, NodeId, Peer};
use crate::limits::{Limits, TEXT_BYTES_MAX};
use crate::stream::Duplex;
use crate::tls::{Proof, TlsError};

/// First eight bytes of a hello's body: "RADXMESH".
const MAGIC: [u8; 8] = *b"RADXMESH";

/// How a TLS hello begins: a handshake record of version 3.x.
const TLS_HELLO: usize = 0x1603;

/// What both ends know when the hands are shaken.
pub(crate) struct Agreed {
    pub(crate) peer: Peer,
    /// The smaller one of both ends' largest payloads.
    pub(crate) frame_bytes_max: usize,
}

/// One end's words about itself, in a hello and in a welcome. The order of the fields is the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Introduction {
    protocol_min: u16,
    protocol_max: u16,
    cluster: u128,
    node: NodeId,
    epoch: u64,
    boot: u64,
    config_hash: u64,
    frame_bytes_max: u32,
}

/// A code and its explanation: the body of Reject and of Close.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Explanation {
    pub(crate) code: u16,
    pub(crate) text: String,
}

impl Introduction {
    fn of(identity: &Identity, limits: &Limits) -> Introduction {
        Introduction {
            protocol_min: identity.protocol.0,
            protocol_max: identity.protocol.1,
            cluster: identity.cluster,
            node: identity.node,
            epoch: identity.epoch,
            boot: identity.boot,
            config_hash: identity.config_hash,
            frame_bytes_max: u32::try_from(limits.frame_bytes_max)
                .expect("frames are limited to 64 MiB"),
        }
    }

    /// Checks the other end against this one, in the order in which a person would want to hear of it.
    fn check(&self, me: &Identity) -> Result<u16, Rejection> {
        // spec: SHAKE-4
        if self.cluster != me.cluster {
            return Err(RejectReason::Cluster.because(format!("cluster is {:032x}", me.cluster)));
        }
        if self.node == me.node {
            let whom = if self.boot == me.boot {
                "this process itself"
            } else {
                "another process claims to be it"
            };
            return Err(
                RejectReason::OwnNode.because(format!("node {} is this end: {whom}", me.node))
            );
        }
        let protocol = self.protocol_max.min(me.protocol.1);
        if protocol < self.protocol_min.max(me.protocol.0) {
            let (min, max) = me.protocol;
            return Err(
                RejectReason::Protocol.because(format!("node {} speaks {min} to {max}", me.node))
            );
        }
        if self.config_hash != me.config_hash {
            return Err(RejectReason::Config
                .because(format!("node {} has {:016x}", me.node, me.config_hash)));
        }
        Ok(protocol)
    }

    fn peer(&self, protocol: u16, address: &str) -> Peer {
        Peer {
            node: self.node,
            epoch: self.epoch,
            boot: self.boot,
            protocol,
            address: address.to_owned(),
        }
    }

    fn agreed(&self, protocol: u16, address: &str, limits: &Limits) -> Agreed {
        Agreed {
            peer: self.peer(protocol, address),
            frame_bytes_max: limits.frame_bytes_max.min(self.frame_bytes_max as usize),
        }
    }

    /// Judges the other end by what it says and by what it proved.
    fn judge(
        &self,
        local: &dyn Local,
        me: &Identity,
        address: &str,
        proof: Option<&Proof>,
    ) -> Result<u16, Rejection> {
        // spec: TLS-3
        proof.map_or(Ok(()), |proof| proof.check(self.node))?;
        let protocol = self.check(me)?;
        local.admit(&self.peer(protocol, address))?;
        Ok(protocol)
    }
}

/// Shakes hands as the end that dialed.
pub(crate) async fn dial(
    stream: &mut Duplex,
    local: &dyn Local,
    limits: &Limits,
    address: &str,
) -> Result<Agreed, HandshakeError> {
    let me = local.identity();
    stream
        .write
        .write_all(&hello(&Introduction::of(&me, limits)))
        .await?;
    stream.write.flush().await?;
    let (kind, body) = read_frame(stream, limits.handshake_bytes_max).await?;
    match kind {
        Kind::Reject => Err(HandshakeError::RejectedByPeer(rejection(&body)?)),
        Kind::Welcome => {
            let (introduction, protocol): (Introduction, u16) = decode(kind, &body)?;
            match introduction.judge(local, &me, address, stream.proof.as_ref()) {
                Ok(expected) if expected == protocol => {
                    Ok(introduction.agreed(protocol, address, limits))
                }
                Ok(expected) => {
                    let text = format!("agreed on {protocol} where {expected} follows");
                    Err(reject(stream, RejectReason::Protocol.because(text)).await)
                }
                Err(rejection) => Err(reject(stream, rejection).await),
            }
        }
        Kind::Lane(_) | Kind::Hello | Kind::Close => {
            Err(ProtocolError::Unexpected { kind: kind.code() }.into())
        }
    }
}

/// Shakes hands as the end that was dialed.
pub(crate) async fn answer(
    stream: &mut Duplex,
    local: &dyn Local,
    limits: &Limits,
    address: &str,
) -> Result<Agreed, HandshakeError> {
    let (kind, body) = read_frame(stream, limits.handshake_bytes_max)
        .await
        .map_err(name_tls)?;
    if kind != Kind::Hello {
        return Err(ProtocolError::Unexpected { kind: kind.code() }.into());
    }
    let introduction = introduction(&body)?;
    let me = local.identity();
    match introduction.judge(local, &me, address, stream.proof.as_ref()) {
        Ok(protocol) => {
            let welcome = encode(
                Kind::Welcome,
                &[],
                &(Introduction::of(&me, limits), protocol),
            );
            stream.write.write_all(&welcome).await?;
            stream.write.flush().await?;
            Ok(introduction.agreed(protocol, address, limits))
        }
        Err(rejection) => Err(reject(stream, rejection).await),
    }
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

fn hello(introduction: &Introduction) -> Vec<u8> {
    encode(Kind::Hello, &MAGIC, introduction)
}

fn introduction(body: &[u8]) -> Result<Introduction, ProtocolError> {
    let Some((magic, rest)) = body.split_first_chunk::<8>() else {
        return Err(ProtocolError::Malformed {
            kind: Kind::Hello.code(),
        });
    };
    if *magic != MAGIC {
        return Err(ProtocolError::Magic {
            got: u64::from_be_bytes(*magic),
        });
    }
    decode(Kind::Hello, rest)
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

    fn identity() -> Identity {
        Identity {
            cluster: 0xc1,
            node: NodeId(3),
            epoch: 9,
            boot: 0xb0,
            config_hash: 0xcf,
            protocol: (1, 4),
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn golden_bytes_of_every_handshake_frame() {
        let words = Introduction::of(&identity(), &Limits::default());
        assert_eq!(
            hex(&hello(&words)),
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
    }

    #[test]
    fn the_highest_common_protocol_is_agreed() {
        let check = |mine, theirs: (u16, u16)| {
            let me = Identity {
                protocol: mine,
                node: NodeId(4),
                ..identity()
            };
            Introduction::of(
                &Identity {
                    protocol: theirs,
                    ..identity()
                },
                &Limits::default(),
            )
            .check(&me)
        };
        assert_eq!(check((1, 4), (1, 4)), Ok(4));
        assert_eq!(check((1, 4), (3, 9)), Ok(4));
        assert_eq!(check((2, 9), (1, 3)), Ok(3));
        assert_eq!(check((3, 3), (3, 3)), Ok(3));
        assert_eq!(
            check((1, 2), (3, 4)).unwrap_err().reason,
            RejectReason::Protocol
        );
        assert_eq!(
            check((5, 6), (1, 4)).unwrap_err().reason,
            RejectReason::Protocol
        );
    }

    #[test]
    fn another_cluster_is_told_so_before_anything_else() {
        let me = Identity {
            cluster: 1,
            ..identity()
        };
        let them = Introduction::of(
            &Identity {
                config_hash: 0,
                protocol: (9, 9),
                ..identity()
            },
            &Limits::default(),
        );
        assert_eq!(them.check(&me).unwrap_err().reason, RejectReason::Cluster);
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
