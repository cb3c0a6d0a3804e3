//! Every limit of this crate.

/// Most pages that one simulated pool holds; a larger configured capacity is cut to this. Unit: pages.
///
/// Slots are 32 bits wide and the highest value means "no page".
pub const POOL_PAGES_MAX: usize = u32::MAX as usize - 1;

/// Longest accepted line of a trace. Unit: bytes, with the line end. A block id costs about 8, so this is
/// a prompt of some 60 million tokens at 512 tokens a block.
pub const TRACE_LINE_BYTES_MAX: u64 = 1 << 20;

/// Largest accepted `input_length` and `output_length` of a trace request. Unit: tokens.
pub const TRACE_TOKENS_MAX: u64 = 1 << 26;

/// Token ids that this crate makes up are below this. Unit: none.
pub const VOCABULARY: u32 = 128_000;
