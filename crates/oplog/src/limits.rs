//! Every limit of this crate that is part of the protocol. What an operator may tune is in
//! [`Config`](crate::Config); what both sides of a link must agree on is here.

use std::time::Duration;

/// Pages of one insert op. Fits a `u16` index.
pub const OP_PAGES_MAX: usize = 16_384;
/// Pages of a spelled-out [`Parent::Path`](crate::Parent::Path).
pub const PATH_PAGES_MAX: usize = 65_536;
/// Ranges of one remove op.
pub const OP_RANGES_MAX: usize = 8_192;
/// Encoded ops of one batch, in bytes. One op at all its limits fits.
pub const BATCH_BYTES_MAX: usize = 768 * 1024;
/// Ops of one batch.
pub const BATCH_OPS_MAX: u32 = 65_536;
/// The last place in a log; far beyond what any origin writes, far below overflow.
pub const SEQ_MAX: u64 = 1 << 62;
/// Bytes of one snapshot chunk.
pub const SNAPSHOT_CHUNK_BYTES_MAX: usize = 192 * 1024;
/// Chunks of one snapshot.
pub const SNAPSHOT_CHUNKS_MAX: u32 = 16_384;
/// How many times smaller than the ops net changes must be to be sent instead: a loaded snapshot leaves no tail.
pub(crate) const DELTA_SHRINK_MIN: u64 = 2;
/// Every so many pulls that start, one goes to the log that waits the longest, whatever its priority.
pub(crate) const PULL_TURN: u64 = 4;
/// Closed batches that wait for a flush; beyond it the oldest is not broadcast (peers pull it).
pub const READY_BATCHES_MAX: usize = 256;
/// Peers remembered as being ahead in one log.
pub const PEERS_AHEAD_MAX: usize = 8;
/// Times the pull delay that a log which came in order so far is waited for. It is late rather than lost.
pub(crate) const PATIENCE: u32 = 5;
/// What the answer to a pull may take longer for each op that lacks, up to the longest back-off.
pub(crate) const PULL_ANSWER_PER_OP: Duration = Duration::from_micros(10);
/// Rounds over all known peers after which a pull is given up until somebody claims again to be ahead.
pub const PULL_ROUNDS_MAX: u32 = 8;
/// Chunks sent for one pull or one `SnapshotMore`.
pub const SNAPSHOT_WINDOW: u32 = 8;
/// Times a half-received snapshot is asked for again before its responder counts as dead.
pub const SNAPSHOT_STALLS_MAX: u32 = 3;
/// Times a snapshot stands still in all before a peer that has as much and was not asked in vain is asked instead.
pub const SNAPSHOT_HALTS_MAX: u32 = 2;
/// Bookkeeping charged to each buffered batch, in bytes.
pub const BATCH_OVERHEAD_BYTES: usize = 128;
