//! Every bound and default of this crate in one place.

use std::time::Duration;

/// Most members of a flat ring, this node included. Larger clusters are split into cells.
pub const MEMBERS_MAX: usize = 4096;

/// Largest ring for which a plain ring (fan-out 1) is the default; above it, fingers are.
pub const RING_MEMBERS_MAX: usize = 16;

/// Fan-out of the default finger tree. See `docs/protocols/topology.md`, "Choosing the fan-out".
pub const FINGER_FANOUT: u16 = 4;

/// Hops a broadcast may travel beyond the known members: others may know members that we do not.
pub const TTL_SLACK: u16 = 8;

/// Hops of a heartbeat: from a node to its neighbour, no further.
pub const HEARTBEAT_TTL: u8 = 1;

/// Default time between two heartbeats to the successor.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// Default number of heartbeats that may be missing before a neighbour is asked directly.
pub const MISSES: u16 = 3;

/// Default time between two version-vector exchanges.
pub const EXCHANGE: Duration = Duration::from_millis(500);

/// Default spread of that time, to either side.
pub const JITTER: Duration = Duration::from_millis(100);
