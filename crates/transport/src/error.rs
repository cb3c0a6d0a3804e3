//! Everything that can go wrong, by name. Each family has fixed labels, so that every error can be counted.

use std::borrow::Cow;
use std::fmt;
use std::io;

use crate::lane::Lane;
use crate::limits::LimitsError;
use crate::tls::TlsError;

/// The peer broke the framing or the handshake.
///
/// State: the connection is closed; nothing of the offending frame was delivered. Caller: none; the peer is
/// broken, hostile, or of another version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The announced frame is larger than the limit. Found before anything is allocated for it.
    #[error("frame announces {length} bytes, limit is {max}")]
    TooLong {
        /// The announced length.
        length: usize,
        /// The largest length accepted here.
        max: usize,
    },
    /// The announced frame cannot even hold its header.
    #[error("frame announces {length} bytes, a header needs 8")]
    TooShort {
        /// The announced length.
        length: usize,
    },
    /// The framing version is not ours.
    #[error("framing version {got}, this end speaks 1")]
    Version {
        /// The version in the header.
        got: u8,
    },
    /// No frame of that kind exists.
    #[error("unknown frame kind {got}")]
    Kind {
        /// The kind in the header.
        got: u8,
    },
    /// A reserved flag is set.
    #[error("unknown frame flags {got:#06x}")]
    Flags {
        /// The flags in the header.
        got: u16,
    },
    /// The bytes are not those that were sent.
    #[error("checksum {sent:#010x} in the frame, {computed:#010x} computed")]
    Checksum {
        /// The checksum in the header.
        sent: u32,
        /// The checksum of what arrived.
        computed: u32,
    },
    /// A kind that exists, at a moment when it is not allowed.
    #[error("frame kind {kind} is not allowed here")]
    Unexpected {
        /// The kind in the header.
        kind: u8,
    },
    /// The first bytes of a hello are not ours.
    #[error("hello begins with {got:#018x}")]
    Magic {
        /// What stands there.
        got: u64,
    },
    /// The body of a handshake or closing frame does not decode.
    #[error("malformed body of frame kind {kind}")]
    Malformed {
        /// The kind in the header.
        kind: u8,
    },
    /// The body of a handshake or closing frame decodes before its end.
    #[error("{bytes} bytes behind the body of frame kind {kind}")]
    Trailing {
        /// The kind in the header.
        kind: u8,
        /// How many bytes too many.
        bytes: usize,
    },
    /// The peer closed in the middle of a frame.
    #[error("the stream ended inside a frame, after {bytes} bytes of it")]
    CutShort {
        /// The bytes of the frame that had arrived.
        bytes: usize,
    },
}

impl ProtocolError {
    /// The labels of all variants, in order.
    pub const LABELS: [&'static str; 11] = [
        "too_long",
        "too_short",
        "version",
        "kind",
        "flags",
        "checksum",
        "unexpected",
        "magic",
        "malformed",
        "trailing",
        "cut_short",
    ];

    /// Returns the name under which the error is counted.
    #[must_use]
    pub fn label(&self) -> &'static str {
        Self::LABELS[self.index()]
    }

    pub(crate) fn index(&self) -> usize {
        match self {
            ProtocolError::TooLong { .. } => 0,
            ProtocolError::TooShort { .. } => 1,
            ProtocolError::Version { .. } => 2,
            ProtocolError::Kind { .. } => 3,
            ProtocolError::Flags { .. } => 4,
            ProtocolError::Checksum { .. } => 5,
            ProtocolError::Unexpected { .. } => 6,
            ProtocolError::Magic { .. } => 7,
            ProtocolError::Malformed { .. } => 8,
            ProtocolError::Trailing { .. } => 9,
            ProtocolError::CutShort { .. } => 10,
        }
    }
}

/// Why an end refuses to shake hands. The numbers are the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum RejectReason {
    /// A reason that this version does not know.
    Other = 0,
    /// The other end belongs to another cluster.
    Cluster = 1,
    /// The settings that must be equal differ.
    Config = 2,
    /// No protocol version is understood by both.
    Protocol = 3,
    /// The other end claims to be this very node.
    OwnNode = 4,
    /// The node is not one of the wanted peers.
    UnknownNode = 5,
    /// The node is not the one that was dialed.
    WrongNode = 6,
    /// The node should wait to be dialed: of two nodes the lower one dials.
    WrongDirection = 7,
    /// A connection of a later epoch of the same node is live.
    StaleEpoch = 8,
    /// This end is shutting down.
    ShuttingDown = 9,
    /// This end speaks TLS only.
    TlsRequired = 10,
    /// The other end's certificate has not one name of a node.
    CertName = 11,
    /// The other end's certificate is of another cluster.
    CertCluster = 12,
    /// The other end's certificate is of another node than it claims to be.
    CertRank = 13,
    /// The other end's certificate is of another role than the node has.
    CertRole = 14,
    /// A later epoch of the same node was seen, though none is connected. The rejection names it.
    Outlived = 15,
    /// The node is connected already, as another process that is alive.
    RankTaken = 16,
    /// The introduction is not accepted for another reason, which the text names.
    Introduction = 17,
}

impl RejectReason {
    /// The labels of all variants, in order.
    pub const LABELS: [&'static str; 18] = [
        "other",
        "cluster",
        "config",
        "protocol",
        "own_node",
        "unknown_node",
        "wrong_node",
        "wrong_direction",
        "stale_epoch",
        "shutting_down",
        "tls_required",
        "cert_name",
        "cert_cluster",
        "cert_rank",
        "cert_role",
        "outlived",
        "rank_taken",
        "introduction",
    ];

    const ALL: [RejectReason; 18] = [
        RejectReason::Other,
        RejectReason::Cluster,
        RejectReason::Config,
        RejectReason::Protocol,
        RejectReason::OwnNode,
        RejectReason::UnknownNode,
        RejectReason::WrongNode,
        RejectReason::WrongDirection,
        RejectReason::StaleEpoch,
        RejectReason::ShuttingDown,
        RejectReason::TlsRequired,
        RejectReason::CertName,
        RejectReason::CertCluster,
        RejectReason::CertRank,
        RejectReason::CertRole,
        RejectReason::Outlived,
        RejectReason::RankTaken,
        RejectReason::Introduction,
    ];

    /// Returns the name under which the reason is counted.
    #[must_use]
    pub fn label(self) -> &'static str {
        Self::LABELS[self as usize]
    }

    /// Returns the rejection with this reason and a text for the other end's log.
    pub fn because(self, text: impl Into<String>) -> Rejection {
        Rejection {
            reason: self,
            text: text.into(),
            known_epoch: 0,
        }
    }

    pub(crate) fn from_code(code: u16) -> RejectReason {
        Self::ALL
            .get(usize::from(code))
            .copied()
            .unwrap_or(RejectReason::Other)
    }
}

/// A refusal to shake hands, as sent to the other end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {text}", reason.label())]
pub struct Rejection {
    /// The reason, for programs.
    pub reason: RejectReason,
    /// The reason, for people; at most 200 bytes on the wire.
    pub text: String,
    /// The latest epoch that the refusing end saw of the refused node. Only with [`RejectReason::Outlived`], else 0.
    pub known_epoch: u64,
}

/// A handshake that did not become a connection.
///
/// State: the stream is closed. Caller: a dialer tries again later; a listener goes on accepting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The other end did not finish in time.
    #[error("no handshake within the time limit")]
    Timeout,
    /// The other end closed before the handshake was done.
    #[error("closed during the handshake")]
    Closed,
    /// There is no TLS session with the other end.
    #[error("no TLS session: {0}")]
    Tls(#[from] TlsError),
    /// The other end broke the protocol.
    #[error("protocol error in the handshake: {0}")]
    Protocol(#[from] ProtocolError),
    /// The other end refused this one.
    #[error("rejected by the peer: {0}")]
    RejectedByPeer(Rejection),
    /// This end refused the other.
    #[error("rejected the peer: {0}")]
    RejectedPeer(Rejection),
    /// The stream failed.
    #[error("stream failed during the handshake: {text}")]
    Io {
        /// The kind of failure.
        kind: io::ErrorKind,
        /// What the system said.
        text: String,
    },
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> HandshakeError {
        let inner = error.get_ref();
        if let Some(tls) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return HandshakeError::Tls(tls.into());
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => HandshakeError::Closed,
            kind => HandshakeError::Io {
                kind,
                text: error.to_string(),
            },
        }
    }
}

/// A dial that did not become a connection.
///
/// State: nothing is left open. Caller: try again later, unless it is [`ConnectError::Limits`] or
/// [`ConnectError::TooLarge`].
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A limit is out of range.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// The network did not answer in time.
    #[error("no connection to {address} within the time limit")]
    Timeout {
        /// The dialed address.
        address: String,
    },
    /// The network refused.
    #[error("cannot connect to {address}: {source}")]
    Io {
        /// The dialed address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The request of an introduction is larger than a handshake frame.
    ///
    /// State: nothing was dialed. Caller: shorten it.
    #[error("an introduction of {length} bytes exceeds {max} bytes")]
    TooLarge {
        /// The request's length.
        length: usize,
        /// The bound.
        max: usize,
    },
    /// The other end answered, and the handshake failed.
    #[error("no handshake with {address}: {source}")]
    Handshake {
        /// The dialed address.
        address: String,
        /// Why.
        source: HandshakeError,
    },
}

impl ConnectError {
    /// Returns the other end's refusal, if that is what it was.
    #[must_use]
    pub fn refusal(&self) -> Option<&Rejection> {
        match self {
            ConnectError::Handshake {
                source: HandshakeError::RejectedByPeer(rejection),
                ..
            } => Some(rejection),
            _ => None,
        }
    }
}

/// A listener that could not be made.
///
/// State: nothing is left open.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// A limit is out of range.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// The address cannot be listened at.
    #[error("cannot listen at {address}: {source}")]
    Io {
        /// The address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
}

/// One connection that did not come about. The listener stays usable.
///
/// State: the listener is as before. Caller: call `accept` again, after a pause if it is [`AcceptError::Io`].
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The system could not accept, for example for want of file descriptors.
    #[error("cannot accept: {0}")]
    Io(io::Error),
    /// A peer came and the handshake failed.
    #[error("no handshake with {address}: {source}")]
    Handshake {
        /// The peer's address.
        address: String,
        /// Why.
        source: HandshakeError,
    },
    /// Too many peers were shaking hands, all together or of one address; the one that had been at it for longest
    /// was dropped.
    #[error("dropped the oldest of {pending} pending handshakes")]
    Evicted {
        /// How many there are now.
        pending: usize,
    },
}

/// A frame that was not accepted.
///
/// State: nothing was queued and the encoder was not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The lane holds too much already. Caller: drop the frame, or send it after
    /// [`Handler::on_room`](crate::Handler::on_room).
    #[error("lane {lane} is full: {queued} of {max} bytes are queued")]
    Full {
        /// The lane.
        lane: Lane,
        /// Bytes queued, headers included.
        queued: usize,
        /// The lane's bound.
        max: usize,
    },
    /// The frame can never be sent. Caller: cut it up.
    #[error("frame of {length} bytes exceeds {max} bytes")]
    TooLarge {
        /// The frame's length.
        length: usize,
        /// The largest payload of that lane on that connection.
        max: usize,
    },
    /// There is no connection, or it is closing. Caller: wait for the next one.
    #[error("not connected")]
    Closed,
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// This end called [`Connection::close`](crate::Connection::close) or `abort`.
    Local(Cow<'static, str>),
    /// This end's handler answered [`Verdict::Disconnect`](crate::Verdict::Disconnect).
    Handler(&'static str),
    /// The other end closed, and said why.
    Remote {
        /// The wire code of its reason.
        code: u16,
        /// Its words, cleaned of control characters.
        text: String,
    },
    /// The other end refused this one after the handshake.
    Rejected(Rejection),
    /// The other end closed without a word: its process ended, or the link was cut.
    PeerGone,
    /// The other end broke the protocol.
    Protocol(ProtocolError),
    /// The stream failed.
    Io {
        /// The kind of failure; `TimedOut` when the peer fell silent.
        kind: io::ErrorKind,
        /// What the system said.
        text: String,
    },
    /// A newer connection of the same node took over.
    Replaced,
    /// The node is no longer a wanted peer.
    NotWanted,
    /// This end is shutting down.
    Shutdown,
    /// The connection's task ended without closing it: its handler panicked, or its runtime went away.
    Abandoned,
}

impl CloseReason {
    /// The labels of all variants, in order.
    pub const LABELS: [&'static str; 11] = [
        "local",
        "handler",
        "remote",
        "rejected",
        "peer_gone",
        "protocol",
        "io",
        "replaced",
        "not_wanted",
        "shutdown",
        "abandoned",
    ];

    /// Returns the name under which the reason is counted.
    #[must_use]
    pub fn label(&self) -> &'static str {
        Self::LABELS[self.index()]
    }

    pub(crate) fn index(&self) -> usize {
        match self {
            CloseReason::Local(_) => 0,
            CloseReason::Handler(_) => 1,
            CloseReason::Remote { .. } => 2,
            CloseReason::Rejected(_) => 3,
            CloseReason::PeerGone => 4,
            CloseReason::Protocol(_) => 5,
            CloseReason::Io { .. } => 6,
            CloseReason::Replaced => 7,
            CloseReason::NotWanted => 8,
            CloseReason::Shutdown => 9,
            CloseReason::Abandoned => 10,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Local(text) => write!(f, "closed here: {text}"),
            CloseReason::Handler(text) => write!(f, "closed by the handler: {text}"),
            CloseReason::Remote { code, text } => {
                write!(f, "closed by the peer (code {code}): {text}")
            }
            CloseReason::Rejected(rejection) => write!(f, "rejected by the peer: {rejection}"),
            CloseReason::PeerGone => f.write_str("the peer went away"),
            CloseReason::Protocol(error) => write!(f, "protocol error: {error}"),
            CloseReason::Io { text, .. } => write!(f, "stream failed: {text}"),
            CloseReason::Replaced => f.write_str("replaced by a newer connection"),
            CloseReason::NotWanted => f.write_str("no longer a wanted peer"),
            CloseReason::Shutdown => f.write_str("shutting down"),
            CloseReason::Abandoned => f.write_str("the connection's task is gone"),
        }
    }
}

impl From<io::Error> for CloseReason {
    fn from(error: io::Error) -> CloseReason {
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted => CloseReason::PeerGone,
            kind => CloseReason::Io {
                kind,
                text: error.to_string(),
            },
        }
    }
}
