//! What a source has seen, for its operator. Every limit and every oddity has a count.

/// Counts since the source was made; they never go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Batches taken in.
    pub batches: u64,
    /// Events taken in.
    pub events: u64,
    /// Bytes of the batches taken in.
    pub bytes: u64,
    /// Batches that came again.
    pub duplicate_batches: u64,
    /// Times that batches were found missing.
    pub gaps: u64,
    /// Gaps that no replay could close.
    pub gaps_lost: u64,
    /// Replays asked for, polls included.
    pub replays: u64,
    /// Batches that only a replay brought.
    pub replayed_batches: u64,
    /// Times that the publisher was found to live another life.
    pub restarts: u64,
    /// Times that the engine dropped everything.
    pub clears: u64,
    /// Messages whose frames fit no release, or that answer a question of the past.
    pub odd_messages: u64,
    /// Payloads that are no batches.
    pub malformed_batches: u64,
    /// Events of kinds that are not known.
    pub unknown_events: u64,
    /// Events that could not be read.
    pub malformed_events: u64,
    /// Fields that are not known.
    pub unknown_fields: u64,
    /// Optional fields of another type than expected.
    pub odd_fields: u64,
    /// Stored events whose names and tokens do not fit together.
    pub odd_stored: u64,
    /// Events about layers that keep less than every token.
    pub partial_attention: u64,
    /// Events about places outside the engine, or with media that are not known.
    pub elsewhere: u64,
    /// Names stored without tokens that were not known.
    pub unknown_stored: u64,
    /// Removals of what was not held.
    pub unknown_removed: u64,
    /// Names that came to mean other tokens.
    pub renamed_blocks: u64,
    /// Blocks taken as held because the engine continued them.
    pub inferred_blocks: u64,
    /// Orphans whose parents came.
    pub adopted_blocks: u64,
    /// Orphans given up for want of room.
    pub forgotten_orphans: u64,
    /// Blocks not taken in because a limit was reached.
    pub refused_blocks: u64,
}
