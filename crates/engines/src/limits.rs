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

/// Longest batch of KV events that is decoded. Unit: bytes.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// How deep a block's extra keys are looked into; what lies deeper is compared byte by byte.
pub const EXTRA_DEPTH_MAX: usize = 6;

/// Longest list inside a block's extra keys that is looked into; a longer one is compared byte by byte.
pub const EXTRA_LIST_MAX: usize = 1 << 10;

/// Blocks of one event that may have extra keys; an event with more cannot be read.
pub const EXTRA_BLOCKS_MAX: usize = 1 << 18;

/// Largest block of an engine. Unit: tokens.
pub const BLOCK_TOKENS_MAX: u32 = 1 << 16;

/// Layer groups of one engine that are told apart; blocks of a group with a higher number are ignored.
pub const GROUPS_MAX: u32 = 32;

/// Default and largest number of blocks that are remembered of one source, held or only named.
pub const BLOCKS_MAX: usize = 1 << 24;

/// Blocks of one source whose parents are not known. When there are more, those that wait longest are forgotten.
pub const ORPHANS_MAX: usize = 1 << 16;

/// Tokens of the blocks whose parents are not known. Unit: tokens.
pub const ORPHAN_TOKENS_MAX: usize = 1 << 22;

/// Blocks that may continue one block within the same page of the mesh (where an engine's blocks are smaller).
pub const SIBLINGS_MAX: u32 = 1 << 12;

/// Longest path of a source. Unit: pages. Not above what one publish of a node may have.
pub const PATH_PAGES_MAX: u32 = 262_144;

/// Batches of one source that wait for a gap before them to be closed.
pub const PENDING_BATCHES_MAX: usize = 1 << 14;

/// Bytes of the batches that wait for a gap before them to be closed. Unit: bytes.
pub const PENDING_BYTES_MAX: usize = 64 << 20;

/// How often a replay is asked for before the gap counts as lost.
pub const REPLAY_TRIES_MAX: u32 = 5;

/// Longest JSON answer of TensorRT-LLM that is decoded. Unit: bytes.
pub const TRT_BYTES_MAX: usize = 16 << 20;
