//! What an engine says about its KV cache, whatever its release and encoding.
//!
//! Holds the words and their decoders: bytes in, [`Event`]s out. Keeps no state: what events add up to is the
//! business of [`source`](crate::source). Every event is decoded by itself; what is not known is counted and skipped.

mod batch;
mod draft;
pub mod encode;
mod extra;
mod field;
mod frames;
mod reader;
mod trt;

pub use batch::{Batch, BatchError, EventError, Skipped, peek_rank};
pub use frames::{FrameError, Live, Replayed};
pub use trt::{TrtError, TrtEvent, TrtEvents, decode_trt};

use radix_core::id::Tier;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

/// An engine's own name of a block: opaque, never recomputed.
///
/// An integer is kept as its 64 bits (a negative one bit for bit), a byte or text string as 128 bits of a hash of it.
/// What two different strings with one name could confuse is the state of their own engine's source only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EngineHash([u64; 2]);

impl EngineHash {
    /// Names a block by an integer.
    #[must_use]
    pub fn int(name: u64) -> Self {
        EngineHash([name, 0])
    }

    /// Names a block by a string of bytes.
    #[must_use]
    pub fn bytes(name: &[u8]) -> Self {
        let digest = xxh3_128(name);
        // The second word of a string is never 0, so that no string is an integer.
        EngineHash([low(digest), high(digest) | 1])
    }
}

/// As two words: faster than as an array.
impl std::hash::Hash for EngineHash {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let [low, high] = self.0;
        state.write_u64(low);
        state.write_u64(high);
    }
}

impl std::fmt::Debug for EngineHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            [name, 0] => write!(f, "EngineHash({name})"),
            [low, high] => write!(f, "EngineHash({low:016x}{high:016x})"),
        }
    }
}

fn low(digest: u128) -> u64 {
    u64::try_from(digest & u128::from(u64::MAX)).expect("masked to 64 bits")
}

fn high(digest: u128) -> u64 {
    u64::try_from(digest >> 64).expect("the upper 64 bits")
}

/// Where an event's blocks lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this tier of the engine.
    In(Tier),
    /// In whichever tier holds them: the engine does not say.
    Anywhere,
    /// Outside the engine (a shared store, another machine), or in a medium that has no tier here.
    Elsewhere,
}

impl Place {
    /// Returns the place of a medium's name. No name at all means accelerator memory, as in releases that knew no other.
    #[must_use]
    pub fn of_medium(medium: &[u8]) -> Place {
        const TIERS: [(&str, Tier); 14] = [
            ("gpu", Tier::Device),
            ("device", Tier::Device),
            ("hbm", Tier::Device),
            ("npu", Tier::Device),
            ("xpu", Tier::Device),
            ("cpu", Tier::Host),
            ("cpu_pinned", Tier::Host),
            ("host", Tier::Host),
            ("dram", Tier::Host),
            ("disk", Tier::Disk),
            ("storage", Tier::Disk),
            ("ssd", Tier::Disk),
            ("nvme", Tier::Disk),
            ("fs", Tier::Disk),
        ];
        if medium.is_empty() {
            return Place::In(Tier::Device);
        }
        let tier = TIERS
            .iter()
            .find(|(name, _)| medium.eq_ignore_ascii_case(name.as_bytes()));
        tier.map_or(Place::Elsewhere, |&(_, tier)| Place::In(tier))
    }
}

/// Which layers a block's KV is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// Layers that keep every token: a prefix can be reused when its blocks are held.
    Full,
    /// Layers that keep less (a window, a state, another sequence): their blocks say nothing about a prefix.
    Partial,
    /// The engine does not say. Group 0 is then taken as full, any other as partial.
    Unsaid,
}

impl Attention {
    /// Returns the attention of vLLM's `kv_cache_spec_kind`. A kind that is not known is partial: no false match.
    pub(crate) fn of_kind(kind: &[u8]) -> Attention {
        match kind {
            b"full_attention" | b"mla_attention" | b"sink_full_attention" => Attention::Full,
            _ => Attention::Partial,
        }
    }
}

/// A group of layers that share block names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// The engine's number of it; 0 where the engine has no groups.
    pub index: u32,
    /// What it keeps.
    pub attention: Attention,
    /// The attention window, where the engine tells groups apart by it (TensorRT-LLM). Unit: tokens.
    pub window: Option<u64>,
}

impl Default for Group {
    fn default() -> Self {
        Group {
            index: 0,
            attention: Attention::Unsaid,
            window: None,
        }
    }
}

/// Which low-rank adapter computed the KV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lora {
    /// By name.
    Name(String),
    /// By number, in releases that publish no name.
    Id(u64),
}

/// Blocks were stored: `blocks[i]` continues `blocks[i - 1]`, and the first continues `parent`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The names of the blocks.
    pub hashes: Vec<EngineHash>,
    /// What the first block continues; `None` is the root.
    pub parent: Option<EngineHash>,
    /// The tokens of all blocks in order. Empty where the engine only says that named blocks lie in one more tier.
    pub tokens: Vec<u32>,
    /// Unit: tokens. 0 where the engine does not say.
    pub block_size: u32,
    /// The adapter; of interest at the root.
    pub lora: Option<Lora>,
    /// The cache salt; of interest at the root.
    pub salt: Option<String>,
    /// Per block, a digest of what its KV depends on besides the tokens (images, embeddings), 0 for nothing.
    /// Shorter than `hashes` when nothing follows.
    pub extra: Vec<u64>,
    /// Where.
    pub place: Place,
    /// Of which layers.
    pub group: Group,
}

impl Default for Place {
    fn default() -> Self {
        Place::In(Tier::Device)
    }
}

/// One physical copy of each named block is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// The names of the blocks.
    pub hashes: Vec<EngineHash>,
    /// From where.
    pub place: Place,
    /// Of which layers.
    pub group: Group,
}

/// A block went to another tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The block.
    pub hash: EngineHash,
    /// From where.
    pub from: Place,
    /// To where.
    pub to: Place,
    /// Of which layers.
    pub group: Group,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Blocks were stored.
    Stored(Stored),
    /// Blocks are gone.
    Removed(Removed),
    /// A block changed its tier.
    Moved(Moved),
    /// A pool was made; told only so that attention windows are known before their blocks.
    Created(Group),
    /// Every block is gone.
    Cleared,
}
