//! Every byte that leaves a node. `docs/protocols/wire.md` is the text to this code.
//!
//! ```text
//! [version u8 = 1][kind u8][fields: postcard][ops: the rest, for the kinds that carry a batch]
//! ```
//!
//! Ops are relayed verbatim: a relay writes a new head and appends the origin's bytes untouched.

use bytes::Bytes;
use oplog::{Batch, Message};
use radix_core::id::{Incarnation, OriginId, Rank, Seq};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use topology::limits::RECORDS_PER_MESSAGE_MAX;
use topology::ring_round::Token;

use crate::check::Said;
use crate::effect::Lane;

mod introduction;

pub use introduction::{
    Answer, Introduction, WHY_BYTES_MAX, decode_answer, decode_introduction, encode_answer,
    encode_introduction,
};

/// The version this code writes and the only one it reads.
pub const VERSION: u8 = 1;

/// A message between nodes.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// Ops on their way round the ring.
    Broadcast {
        /// The receiver relays to the open arc (receiver, end).
        end: Rank,
        /// Hops left; a defence, the shrinking arc alone terminates.
        ttl: u16,
        /// The ops.
        batch: Batch,
    },
    /// A message of the logs: offers, pulls and their answers.
    Log(Message),
    /// "I caught up", or not yet, or not any more. Sent when a link comes up and on change.
    Readiness {
        /// Whether the sender may be routed to and may be the base of a join.
        ready: bool,
    },
    /// A message of the topology: heartbeats, questions about others, records of members.
    Topology(topology::Message),
    /// The token of a ring check.
    Check(Box<Token<Said>>),
}

/// A frame as bytes: a small head of its own and a shared body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    head: Vec<u8>,
    body: Bytes,
}

impl Encoded {
    /// Returns the frame's length in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a frame is never empty")]
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Writes the frame. Panics: when `out` is not exactly [`len`](Self::len) bytes.
    pub fn write_to(&self, out: &mut [u8]) {
        let (head, body) = out.split_at_mut(self.head.len());
        head.copy_from_slice(&self.head);
        body.copy_from_slice(&self.body);
    }

    /// Returns the frame in one piece.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.len());
        out.extend_from_slice(&self.head);
        out.extend_from_slice(&self.body);
        out.into()
    }
}

/// Why bytes are not a frame.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// Fewer than two bytes.
    ///
    /// State: unchanged.
    #[error("a frame has at least 2 bytes, this one has {len}")]
    Short {
        /// Length of the input.
        len: usize,
    },
    /// Another version.
    ///
    /// State: unchanged. Caller: upgrade the older side.
    #[error("wire version {version} is not {VERSION}")]
    Version {
        /// As received.
        version: u8,
    },
    /// No such kind.
    ///
    /// State: unchanged.
    #[error("frame kind {kind} is unknown")]
    Kind {
        /// As received.
        kind: u8,
    },
    /// The fields of the kind do not decode.
    ///
    /// State: unchanged.
    #[error("the fields of a {kind} frame do not decode")]
    Fields {
        /// Name of the kind.
        kind: &'static str,
    },
    /// Bytes are left over.
    ///
    /// State: unchanged.
    #[error("{len} bytes are left behind the fields of a {kind} frame")]
    Trailing {
        /// Name of the kind.
        kind: &'static str,
        /// How many.
        len: usize,
    },
}

const KIND_BROADCAST: u8 = 1;
const KIND_BATCH: u8 = 2;
const KIND_LOG: u8 = 3;
// 4 was a heartbeat of its own kind; it is not given again.
const KIND_READINESS: u8 = 5;
const KIND_TOPOLOGY: u8 = 6;
const KIND_CHECK: u8 = 7;
// 8 and 9 are an introduction and its answer: no frames of a link.

/// Place of `topology::Message::Members` among the kinds of topology messages.
const TOPOLOGY_MEMBERS: u32 = 4;

/// Head of a batch; the ops follow up to the end of the frame.
#[derive(Serialize, Deserialize)]
struct BatchHead {
    rank: Rank,
    inc: Incarnation,
    first: Seq,
    count: u32,
}

#[derive(Serialize, Deserialize)]
struct BroadcastHead {
    end: Rank,
    ttl: u16,
    batch: BatchHead,
}

impl BatchHead {
    fn of(batch: &Batch) -> Self {
        BatchHead {
            rank: batch.origin.rank,
            inc: batch.origin.inc,
            first: batch.first,
            count: batch.count,
        }
    }

    fn with(self, ops: Bytes) -> Batch {
        Batch {
            origin: OriginId {
                rank: self.rank,
                inc: self.inc,
            },
            first: self.first,
            count: self.count,
            ops,
        }
    }
}

/// Encodes a frame and says which lane it takes.
#[must_use]
pub fn encode(frame: &Frame) -> (Lane, Encoded) {
    match frame {
        Frame::Broadcast { end, ttl, batch } => {
            let head = head(
                KIND_BROADCAST,
                &BroadcastHead {
                    end: *end,
                    ttl: *ttl,
                    batch: BatchHead::of(batch),
                },
            );
            (
                Lane::Data,
                Encoded {
                    head,
                    body: batch.ops.clone(),
                },
            )
        }
        Frame::Log(Message::Batch(batch)) => (
            Lane::Data,
            Encoded {
                head: head(KIND_BATCH, &BatchHead::of(batch)),
                body: batch.ops.clone(),
            },
        ),
        Frame::Log(message) => {
            let lane = if message.is_bulk() {
                Lane::Bulk
            } else {
                Lane::Control
            };
            (
                lane,
                Encoded {
                    head: head(KIND_LOG, message),
                    body: Bytes::new(),
                },
            )
        }
        Frame::Readiness { ready } => control(head(KIND_READINESS, ready)),
        Frame::Topology(message) => control(head(KIND_TOPOLOGY, message)),
        Frame::Check(token) => control(head(KIND_CHECK, token)),
    }
}

fn control(head: Vec<u8>) -> (Lane, Encoded) {
    let body = Bytes::new();
    (Lane::Control, Encoded { head, body })
}

/// Decodes one whole frame. Ops share `bytes`; they are checked by the log, not here.
///
/// Errors: [`WireError`]; never panics on any input.
pub fn decode(bytes: &Bytes) -> Result<Frame, WireError> {
    let &[version, kind, ref fields @ ..] = bytes.as_ref() else {
        return Err(WireError::Short { len: bytes.len() });
    };
    if version != VERSION {
        return Err(WireError::Version { version });
    }
    match kind {
        KIND_BROADCAST => {
            let (head, rest) = take::<BroadcastHead>("broadcast", fields)?;
            Ok(Frame::Broadcast {
                end: head.end,
                ttl: head.ttl,
                batch: head.batch.with(bytes.slice_ref(rest)),
            })
        }
        KIND_BATCH => {
            let (head, rest) = take::<BatchHead>("batch", fields)?;
            Ok(Frame::Log(Message::Batch(head.with(bytes.slice_ref(rest)))))
        }
        KIND_LOG => match whole("log", fields)? {
            // A batch travels as its own kind; a second form would be a second set of bytes to get wrong.
            Message::Batch(_) => Err(WireError::Fields { kind: "log" }),
            message => Ok(Frame::Log(message)),
        },
        KIND_READINESS => Ok(Frame::Readiness {
            ready: whole("readiness", fields)?,
        }),
        KIND_TOPOLOGY => Ok(Frame::Topology(topology_message(fields)?)),
        KIND_CHECK => {
            let token: Box<Token<Said>> = whole("check", fields)?;
            if token.is_sound() {
                Ok(Frame::Check(token))
            } else {
                Err(WireError::Fields { kind: "check" })
            }
        }
        kind => Err(WireError::Kind { kind }),
    }
}

/// Looks at how many records a message claims to carry before there is room made for them.
// spec: WIRE-11
fn topology_message(fields: &[u8]) -> Result<topology::Message, WireError> {
    let kind = "topology";
    let (which, rest) = take::<u32>(kind, fields)?;
    if which == TOPOLOGY_MEMBERS {
        let (records, _) = take::<u32>(kind, rest)?;
        if records as usize > RECORDS_PER_MESSAGE_MAX {
            return Err(WireError::Fields { kind });
        }
    }
    whole(kind, fields)
}

fn head<T: Serialize>(kind: u8, fields: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    out.extend_from_slice(&[VERSION, kind]);
    postcard::to_extend(fields, out).expect("frames hold only serializable plain data")
}

fn take<'a, T: Deserialize<'a>>(
    kind: &'static str,
    fields: &'a [u8],
) -> Result<(T, &'a [u8]), WireError> {
    postcard::take_from_bytes(fields).map_err(|_| WireError::Fields { kind })
}

fn whole<'a, T: Deserialize<'a>>(kind: &'static str, fields: &'a [u8]) -> Result<T, WireError> {
    let (value, rest) = take(kind, fields)?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(WireError::Trailing {
            kind,
            len: rest.len(),
        })
    }
}
