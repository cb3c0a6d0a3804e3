//! The one message of this crate. Its bytes are the wire module's business.

use radix_core::id::{Incarnation, Seq};
use serde::{Deserialize, Serialize};

use crate::limits;

/// "I am here, and my log ends there": from a node to its next live successor in the ring.
///
/// It carries the end of the sender's own log, so that a lost *last* op is found without a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Hops left, this one included; [`limits::HEARTBEAT_TTL`] when sent, and never forwarded.
    pub ttl: u8,
    /// Whether the sender asks for a heartbeat in return, at once.
    pub echo: bool,
    /// The sender's life.
    pub inc: Incarnation,
    /// The last op of the sender's own log.
    pub seq: Seq,
}

impl Heartbeat {
    pub(crate) fn new(echo: bool, (inc, seq): (Incarnation, Seq)) -> Heartbeat {
        Heartbeat {
            ttl: limits::HEARTBEAT_TTL,
            echo,
            inc,
            seq,
        }
    }
}
