//! What an operator may tune, with default and range. Values outside a range are taken to its nearer end.

use std::time::Duration;

use crate::limits::{BATCH_BYTES_MAX, SNAPSHOT_CHUNK_BYTES_MAX};

/// Settings of a [`Replica`](crate::Replica). They need not agree between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where an open batch is cut, in bytes of encoded ops; a larger op travels alone.
    /// Default 64 KiB, 64 B ..= 768 KiB. Larger saves frames, smaller shortens the wait behind a bulk insert.
    pub batch_bytes_max: usize,
    /// How long an op may wait for company. Default 1 ms, 0 ..= 1 s.
    pub batch_delay: Duration,
    /// Ops kept per log to answer pulls. Default 65,536, 0 ..= 2^24. 0 answers every pull by a snapshot.
    pub tail_ops_max: usize,
    /// Bytes kept per log to answer pulls. Default 8 MiB, 0 ..= 1 GiB.
    pub tail_bytes_max: usize,
    /// Ops kept per log though every member has them, for one that comes late. Default 1,024, 0 ..= 2^24.
    pub tail_stable_ops: usize,
    /// Ops per log that may wait behind a gap. Default 16,384, 0 ..= 2^20.
    pub reorder_ops_max: usize,
    /// Bytes per log that may wait behind a gap. Default 4 MiB, 0 ..= 256 MiB.
    pub reorder_bytes_max: usize,
    /// How long a gap may fill by itself before it is pulled; up to as much again is added by chance.
    /// Default 20 ms, 1 ms ..= 10 s. About twice the round trip.
    pub pull_delay: Duration,
    /// How long a pull may bring nothing before another peer is asked. Default 250 ms, 1 ms ..= 60 s.
    pub pull_timeout: Duration,
    /// Where the doubling of that time ends. Default 2 s, `pull_timeout` ..= 10 min.
    pub pull_backoff_max: Duration,
    /// Bytes of batches sent per pull. Default 1 MiB, 1 B ..= 64 MiB; at least one batch is always sent.
    pub pull_bytes_max: usize,
    /// Bytes of ops below which a pull is answered with them, whatever they come to. Default 64 KiB, 0 ..= 1 GiB.
    /// Above it the net changes are sent instead where they have less than half the bytes.
    pub delta_bytes_min: u64,
    /// Pulls under way at once, all logs together. Default 16, 1 ..= 1,024.
    pub pulls_max: usize,
    /// New ops after which a checkpoint is written. Default 1,024, 1 ..= 2^20.
    pub checkpoint_ops: u32,
    /// Time after the first new op after which a checkpoint is written. Default 1 s, 1 ms ..= 10 min.
    pub checkpoint_interval: Duration,
    /// Bytes of one snapshot chunk. Default 192 KiB, 16 B ..= 192 KiB.
    pub snapshot_chunk_bytes: usize,
    /// Largest snapshot sent or received, in bytes. Default 512 MiB, 1 KiB ..= 2 GiB.
    /// About 9 bytes per copy; both sides hold one such snapshot per session in memory.
    pub snapshot_bytes_max: usize,
    /// Snapshots kept for receivers that need more than one window. Default 4, 1 ..= 64.
    pub sessions_max: usize,
    /// Idle time after which such a snapshot is let go. Default 10 s, 10 ms ..= 10 min.
    pub session_idle: Duration,
    /// Bytes that each peer may have in answer to its pulls, per second. Default 64 MiB, 64 KiB ..= 16 GiB.
    /// A fresh snapshot counts twice: it is made, and it is sent.
    pub serve_bytes_per_s: u64,
    /// Bytes that a peer which asked for nothing in a while may have at once. Default 256 MiB, 1 MiB ..= 16 GiB.
    pub serve_burst_bytes: u64,
    /// Least time between two repairs of the same log after a digest mismatch. Default 10 s, 0 ..= 1 h.
    pub repair_interval: Duration,
    /// Least time between two own new incarnations. Default 1 s, 0 ..= 1 min.
    /// It keeps two processes that were given the same rank from outbidding each other at wire speed.
    pub reincarnate_interval: Duration,
    /// Ranks of which anything is kept. Default 1,024, 1 ..= 65,536.
    pub ranks_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            batch_bytes_max: 64 * 1024,
            batch_delay: Duration::from_millis(1),
            tail_ops_max: 65_536,
            tail_bytes_max: 8 << 20,
            tail_stable_ops: 1_024,
            reorder_ops_max: 16_384,
            reorder_bytes_max: 4 << 20,
            pull_delay: Duration::from_millis(20),
            pull_timeout: Duration::from_millis(250),
            pull_backoff_max: Duration::from_secs(2),
            pull_bytes_max: 1 << 20,
            delta_bytes_min: 64 << 10,
            pulls_max: 16,
            checkpoint_ops: 1_024,
            checkpoint_interval: Duration::from_secs(1),
            snapshot_chunk_bytes: SNAPSHOT_CHUNK_BYTES_MAX,
            snapshot_bytes_max: 512 << 20,
            sessions_max: 4,
            session_idle: Duration::from_secs(10),
            serve_bytes_per_s: 64 << 20,
            serve_burst_bytes: 256 << 20,
            repair_interval: Duration::from_secs(10),
            reincarnate_interval: Duration::from_secs(1),
            ranks_max: 1_024,
        }
    }
}

impl Config {
    /// Returns the settings with every value taken into its range.
    #[must_use]
    pub fn clamped(self) -> Config {
        let ms = Duration::from_millis;
        let s = Duration::from_secs;
        let pull_timeout = self.pull_timeout.clamp(ms(1), s(60));
        Config {
            batch_bytes_max: self.batch_bytes_max.clamp(64, BATCH_BYTES_MAX),
            batch_delay: self.batch_delay.min(s(1)),
            tail_ops_max: self.tail_ops_max.min(1 << 24),
            tail_bytes_max: self.tail_bytes_max.min(1 << 30),
            tail_stable_ops: self.tail_stable_ops.min(1 << 24),
            reorder_ops_max: self.reorder_ops_max.min(1 << 20),
            reorder_bytes_max: self.reorder_bytes_max.min(256 << 20),
            pull_delay: self.pull_delay.clamp(ms(1), s(10)),
            pull_timeout,
            pull_backoff_max: self.pull_backoff_max.clamp(pull_timeout, s(600)),
            pull_bytes_max: self.pull_bytes_max.clamp(1, 64 << 20),
            delta_bytes_min: self.delta_bytes_min.min(1 << 30),
            pulls_max: self.pulls_max.clamp(1, 1_024),
            checkpoint_ops: self.checkpoint_ops.clamp(1, 1 << 20),
            checkpoint_interval: self.checkpoint_interval.clamp(ms(1), s(600)),
            snapshot_chunk_bytes: self
                .snapshot_chunk_bytes
                .clamp(16, SNAPSHOT_CHUNK_BYTES_MAX),
            snapshot_bytes_max: self.snapshot_bytes_max.clamp(1 << 10, 2 << 30),
            sessions_max: self.sessions_max.clamp(1, 64),
            session_idle: self.session_idle.clamp(ms(10), s(600)),
            serve_bytes_per_s: self.serve_bytes_per_s.clamp(64 << 10, 16 << 30),
            serve_burst_bytes: self.serve_burst_bytes.clamp(1 << 20, 16 << 30),
            repair_interval: self.repair_interval.min(s(3_600)),
            reincarnate_interval: self.reincarnate_interval.min(s(60)),
            ranks_max: self.ranks_max.clamp(1, 65_536),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_within_their_ranges() {
        assert_eq!(Config::default().clamped(), Config::default());
    }
}
