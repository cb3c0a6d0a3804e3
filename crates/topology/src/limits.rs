//! Every bound and default of this crate in one place.

use std::time::Duration;

/// Most members of a flat ring, this node included. Larger clusters are split into cells.
pub const MEMBERS_MAX: usize = 4096;

/// Longest address of a member. Unit: bytes.
pub const ADDRESS_BYTES_MAX: usize = 255;

/// Most records of one message; more are sent as several.
pub const RECORDS_PER_MESSAGE_MAX: usize = 256;

/// Largest ring for which a plain ring (fan-out 1) is the default; above it, fingers are.
pub const RING_MEMBERS_MAX: usize = 16;

/// Fan-out of the default finger tree, and the least fan-out of what is said of members.
/// See `docs/protocols/topology.md`, "Choosing the fan-out".
pub const FINGER_FANOUT: u16 = 4;

/// Hops a broadcast may travel beyond the known members: others may know members that we do not.
pub const TTL_SLACK: u16 = 8;

/// Hops of a heartbeat: from a node to its neighbour, no further.
pub const HEARTBEAT_TTL: u8 = 1;

/// How many members behind it in the ring a node watches: so many nodes watch each member.
pub const WATCHED: usize = 3;

/// Most members that are asked about one that is not heard.
pub const RELAYS: usize = 3;

/// Most questions of others that wait here for an answer at one time.
pub const QUESTIONS_MAX: usize = 256;

/// Worst local health: verdicts take at most 9 times as long.
pub const HEALTH_MAX: u32 = 8;

/// Heartbeats until a degraded link is looked at again, and a slow member that caught up passes broadcasts on.
pub const RECOVERY_HEARTBEATS: u32 = 3;

/// Heartbeats that a suspected member of a ring of ten has to object; it grows with the logarithm.
pub const SUSPICION_HEARTBEATS: u32 = 4;

/// Default time between two heartbeats.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// Default number of heartbeats that may be missing before others are asked.
pub const MISSES: u16 = 3;

/// Default time between two version-vector exchanges.
pub const EXCHANGE: Duration = Duration::from_millis(500);

/// Default spread of that time, to either side.
pub const JITTER: Duration = Duration::from_millis(100);

/// Default time after which a member that is down is forgotten.
pub const FORGET_AFTER: Duration = Duration::from_secs(600);
