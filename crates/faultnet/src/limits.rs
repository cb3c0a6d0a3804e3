//! Every bound of the crate in one place.

use std::time::Duration;

/// Bytes that one direction of a connection may hold, besides the buffers of the system.
pub(crate) const QUEUE_BYTES_MAX: usize = 256 * 1024;
/// The most that is read at once. Unit: bytes.
pub(crate) const CHUNK_BYTES: usize = 16 * 1024;
/// What a throttled direction may hold unless it is said otherwise, as time at its rate, besides what its delay keeps
/// under way. A real sender keeps the rest itself, where it can see it.
pub(crate) const QUEUE_TIME: Duration = Duration::from_millis(100);
/// What may pass at once after a pause of a throttled direction, as time at its rate.
pub(crate) const BURST_TIME: Duration = Duration::from_millis(20);
/// Buffers of the proxy's own sockets, so that the system does not hide a slow way. Unit: bytes.
pub(crate) const SOCKET_BUFFER_BYTES: u32 = 64 * 1024;
/// Connections of a proxy at one time; one more is reset.
pub(crate) const CONNECTIONS_MAX: usize = 256;
/// Connections that the system may hold for a proxy before it takes them.
pub(crate) const BACKLOG: u32 = 64;
