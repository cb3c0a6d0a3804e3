//! What the sources of a node tell of themselves.

use engines::source::{Cause, Counters, SourceStats, Standing};
use radix_core::id::SourceId;

/// One source: one data-parallel rank of one engine.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceReport {
    /// The engine's name, as configured.
    pub name: String,
    /// Its data-parallel rank.
    pub rank: u16,
    /// Under which source it publishes.
    pub source: SourceId,
    /// Where its events come from; empty until that was found out.
    pub endpoint: String,
    /// The subscription is up.
    pub connected: bool,
    /// How far what the mesh was told is what the engine holds.
    pub standing: Standing,
    /// Why it is so.
    pub cause: Cause,
    /// What is told is a guess from what was routed there, not the engine's word.
    pub approximate: bool,
    /// The last thing that went wrong with its sockets.
    pub last_error: Option<String>,
    /// What it has seen.
    pub counters: Counters,
    /// What it remembers.
    pub stats: SourceStats,
    /// What its sockets did.
    pub socket: SocketCounters,
}

/// What the sockets of one source did. They never go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketCounters {
    /// Times the subscription came up.
    pub connects: u64,
    /// Times it could not be made, or broke.
    pub connect_errors: u64,
    /// Replays that could not be asked for, or broke off.
    pub replay_errors: u64,
    /// Times the engine was gone for so long that its copies were withdrawn.
    pub withdrawals: u64,
    /// Publishes that the node refused.
    pub publish_errors: u64,
    /// Batches of data-parallel ranks that are not configured; they are passed over.
    pub stray_batches: u64,
    /// Snapshots that could not be written.
    pub store_errors: u64,
}
