//! Every bound of the crate in one place. No behaviour beyond checking them.

use std::time::Duration;

use crate::error::ConnectError;
use crate::frame::HEADER_BYTES;
use crate::lane::Lane;

/// The bounds of a listener, a dial, and the connections that come of them.
///
/// `Limits::default()` is right for a cluster in one data centre. Both ends may differ; the smaller
/// `frame_bytes_max` holds for a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest payload of a frame, in bytes. Default 1 MiB; 4 KiB to 64 MiB.
    ///
    /// A frame travels whole, so one frame of this size is what a control frame may have to wait for: keep
    /// bulk frames near `write_chunk`. The reader's buffer grows to this and no further.
    pub frame_bytes_max: usize,
    /// Largest payload of a handshake frame, in bytes. Default 4 KiB; 512 to `frame_bytes_max`.
    pub handshake_bytes_max: usize,
    /// Largest answer to an introduction, in bytes. Default 256 KiB; `handshake_bytes_max` to 64 MiB.
    pub introduction_bytes_max: usize,
    /// A peer that has not shaken hands after this is dropped. Default 5 s.
    pub handshake_timeout: Duration,
    /// A dial that has no answer of the network after this has failed. Default 3 s.
    pub connect_timeout: Duration,
    /// Unwritten bytes per lane, frame headers included, before [`SendError::Full`](crate::SendError::Full).
    /// Default 256 KiB, 4 MiB, 4 MiB. A frame that is larger than its lane is too large.
    pub lane_bytes_max: [usize; Lane::COUNT],
    /// The most that one write hands to the socket, in bytes. Default 64 KiB; at least 1 KiB.
    ///
    /// Smaller: control frames overtake sooner. Larger: fewer system calls.
    pub write_chunk: usize,
    /// The buffer that the reader grows to by itself, in bytes. Default 256 KiB; at least 1 KiB.
    pub read_chunk: usize,
    /// Bulk that may be on its way at once, in bytes: written, and not yet seen by the other end. Default 256 KiB; 8 KiB
    /// to 64 MiB. It begins at 64 KiB and is less where bulk queues up on the way; one frame may go beyond it.
    ///
    /// This bounds the wait of a control frame wherever the bottleneck is. Smaller: less throughput over long ways.
    pub bulk_window_bytes_max: usize,
    /// `TCP_NOTSENT_LOWAT`: unsent bytes that the kernel may hold. Default 128 KiB.
    ///
    /// What the kernel holds cannot be overtaken, so this bounds the wait of a control frame. Linux only.
    pub notsent_bytes_max: usize,
    /// A peer that acknowledges nothing for this long is gone. Default 3 s; at least 100 ms. Linux only.
    ///
    /// `TCP_USER_TIMEOUT`, and with keepalive probes also for an idle connection. It also ends a connection
    /// whose reader pauses for longer while the sender has more to say: a full receiver is not a live one.
    pub silence_max: Duration,
    /// How long a closing end tries to deliver what is queued, and its reason. Default 250 ms.
    pub linger: Duration,
    /// Handshakes that a listener runs at once; one more drops the oldest of them. Default 64; at least 1.
    pub connections_pending_max: usize,
    /// Those of them that come from one address; one more drops the oldest of that address. Default 32; at least 1.
    ///
    /// Nodes behind one address share it. They come again, so a small number delays them and loses nothing.
    pub connections_pending_per_source_max: usize,
    /// First pause between dials. Default 50 ms.
    pub backoff_min: Duration,
    /// Longest pause between dials; also how long a connection must live to reset the pause. Default 1 s.
    pub backoff_max: Duration,
}

/// Text of a rejection or of a reason for closing, in bytes; the rest is cut off.
pub(crate) const TEXT_BYTES_MAX: usize = 200;
/// What stands before the request of an introduction, in bytes: magic, claims and a length, each number at its longest.
pub(crate) const CLAIMS_BYTES_MAX: usize = 96;
/// What a peer may send before its TLS session stands, in bytes: a chain of a few certificates.
pub(crate) const TLS_HANDSHAKE_BYTES_MAX: usize = 16 * 1024;
/// The largest file of a certificate, a key or CAs, in bytes.
pub(crate) const CREDENTIAL_FILE_BYTES_MAX: usize = 1024 * 1024;
/// First buffer of a reader, in bytes: an idle connection stays small.
pub(crate) const READ_BUFFER_MIN: usize = 16 * 1024;
/// The bulk window of a connection that has just begun, in bytes.
pub(crate) const BULK_WINDOW_START: u64 = 64 * 1024;
/// The bulk window is never less, in bytes: what fills a slow way must not stop.
pub(crate) const BULK_WINDOW_MIN: u64 = 8 * 1024;
/// Writes of bulk whose times are remembered until they are seen. Between them, times are not measured.
pub(crate) const BULK_MARKS_MAX: usize = 64;
/// A drained lane keeps a buffer of this capacity, in bytes, and gives back a larger one.
pub(crate) const LANE_BUFFER_KEPT: usize = 1024 * 1024;
/// Reads in one turn of a connection's task, so that no connection starves the others of its thread.
pub(crate) const TURN_STEPS_MAX: usize = 2;
/// Writes in one step of a turn.
pub(crate) const STEP_WRITES_MAX: usize = 4;

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            frame_bytes_max: 1024 * 1024,
            handshake_bytes_max: 4 * 1024,
            introduction_bytes_max: 256 * 1024,
            handshake_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(3),
            lane_bytes_max: [256 * 1024, 4 * 1024 * 1024, 4 * 1024 * 1024],
            write_chunk: 64 * 1024,
            read_chunk: 64 * 1024,
            bulk_window_bytes_max: 256 * 1024,
            notsent_bytes_max: 128 * 1024,
            silence_max: Duration::from_secs(3),
            linger: Duration::from_millis(250),
            connections_pending_max: 64,
            connections_pending_per_source_max: 32,
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(1),
        }
    }
}

/// A limit is outside its range.
///
/// State: nothing was started. Caller: correct the setting; retrying cannot succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("limit {name} is {value}, outside of {min} to {max}")]
pub struct LimitsError {
    /// The field.
    pub name: &'static str,
    /// Its value, in bytes, milliseconds or pieces.
    pub value: u128,
    /// The least allowed.
    pub min: u128,
    /// The most allowed.
    pub max: u128,
}

impl Limits {
    /// Checks every field against its range.
    ///
    /// Errors: [`LimitsError`] names the first field that is out of range.
    pub fn check(&self) -> Result<(), LimitsError> {
        const MIB: usize = 1024 * 1024;
        let within = |name, value: u128, min: u128, max: u128| {
            if (min..=max).contains(&value) {
                Ok(())
            } else {
                Err(LimitsError {
                    name,
                    value,
                    min,
                    max,
                })
            }
        };
        let bytes = |name, value: usize, min: usize, max: usize| {
            within(name, value as u128, min as u128, max as u128)
        };
        let time = |name, value: Duration, min_ms: u128| {
            within(name, value.as_millis(), min_ms, 3_600_000)
        };
        bytes("frame_bytes_max", self.frame_bytes_max, 4096, 64 * MIB)?;
        bytes(
            "handshake_bytes_max",
            self.handshake_bytes_max,
            512,
            self.frame_bytes_max,
        )?;
        bytes(
            "introduction_bytes_max",
            self.introduction_bytes_max,
            self.handshake_bytes_max,
            64 * MIB,
        )?;
        for lane in self.lane_bytes_max {
            bytes("lane_bytes_max", lane, 2 * HEADER_BYTES, 1024 * MIB)?;
        }
        bytes("write_chunk", self.write_chunk, 1024, 64 * MIB)?;
        bytes("read_chunk", self.read_chunk, 1024, 64 * MIB)?;
        bytes(
            "bulk_window_bytes_max",
            self.bulk_window_bytes_max,
            8 * 1024,
            64 * MIB,
        )?;
        bytes(
            "notsent_bytes_max",
            self.notsent_bytes_max,
            1024,
            1024 * MIB,
        )?;
        bytes(
            "connections_pending_max",
            self.connections_pending_max,
            1,
            65_536,
        )?;
        bytes(
            "connections_pending_per_source_max",
            self.connections_pending_per_source_max,
            1,
            65_536,
        )?;
        time("handshake_timeout", self.handshake_timeout, 1)?;
        time("connect_timeout", self.connect_timeout, 1)?;
        time("silence_max", self.silence_max, 100)?;
        time("linger", self.linger, 0)?;
        time("backoff_min", self.backoff_min, 1)?;
        within(
            "backoff_max",
            self.backoff_max.as_millis(),
            self.backoff_min.as_millis(),
            3_600_000,
        )
    }

    /// Checks the limits, and that an introduction with this request fits into a handshake frame.
    pub(crate) fn check_introduction(&self, request: &[u8]) -> Result<(), ConnectError> {
        self.check()?;
        let max = self.handshake_bytes_max - CLAIMS_BYTES_MAX;
        if request.len() <= max {
            return Ok(());
        }
        Err(ConnectError::TooLarge {
            length: request.len(),
            max,
        })
    }

    /// The largest payload that this end can put into `lane`.
    pub(crate) fn payload_bytes_max(&self, lane: Lane, agreed: usize) -> usize {
        agreed.min(self.lane_bytes_max[lane.index()] - HEADER_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_within_their_ranges() {
        Limits::default().check().unwrap();
    }

    #[test]
    fn a_limit_out_of_range_is_named() {
        let limits = Limits {
            backoff_max: Duration::from_millis(1),
            ..Limits::default()
        };
        assert_eq!(
            limits.check().unwrap_err().to_string(),
            "limit backoff_max is 1, outside of 50 to 3600000"
        );
        let limits = Limits {
            connections_pending_max: 0,
            ..Limits::default()
        };
        assert_eq!(limits.check().unwrap_err().name, "connections_pending_max");
    }
}
