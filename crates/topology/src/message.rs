//! What topologies say to each other. The bytes are the wire module's business; the order of the
//! variants and of their fields is part of them, so both only grow at the end.

use radix_core::id::{Incarnation, Rank, Seq};
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::record::Record;

/// A message over one direct link. Never forwarded.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Message {
    /// A probe or the answer to one.
    Heartbeat(Heartbeat),
    /// "I do not hear `target`. Do you?"
    ProbeFor {
        /// The member asked about.
        target: Rank,
        /// Comes back in the answer.
        nonce: u32,
    },
    /// The answer to [`ProbeFor`](Message::ProbeFor).
    ProbeResult {
        /// The member asked about.
        target: Rank,
        /// As asked.
        nonce: u32,
        /// Whether the answering node has heard the target since it was asked.
        heard: bool,
    },
    /// "My table hashes to this." Who has another one answers with its own.
    Digest {
        /// [`Topology::table_hash`](crate::Topology::table_hash).
        table: u64,
    },
    /// What the sender believes of some members.
    Members {
        /// At most [`limits::RECORDS_PER_MESSAGE_MAX`].
        records: Vec<Record>,
        /// When set, `records` is all that the sender has of ranks `.0 ..= .1`, and what the receiver
        /// knows better there goes back.
        all_of: Option<(Rank, Rank)>,
    },
}

/// "I am here, and my log ends there": a probe, or the answer to one.
///
/// It carries the end of the sender's own log, so that a lost *last* op is found without a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Hops left, this one included; [`limits::HEARTBEAT_TTL`] when sent, and never forwarded.
    pub ttl: u8,
    /// Whether this is a probe: it is answered at once.
    pub echo: bool,
    /// The sender's life.
    pub inc: Incarnation,
    /// The last op of the sender's own log.
    pub seq: Seq,
    /// The probe's number; an answer repeats it.
    pub nonce: u32,
}

impl Heartbeat {
    pub(crate) fn probe(nonce: u32, (inc, seq): (Incarnation, Seq)) -> Heartbeat {
        Heartbeat {
            ttl: limits::HEARTBEAT_TTL,
            echo: true,
            inc,
            seq,
            nonce,
        }
    }

    pub(crate) fn answer(&self, (inc, seq): (Incarnation, Seq)) -> Heartbeat {
        Heartbeat {
            ttl: limits::HEARTBEAT_TTL,
            echo: false,
            inc,
            seq,
            nonce: self.nonce,
        }
    }
}
