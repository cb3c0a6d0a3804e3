//! The fields of an event: their places in the array encoding, their names in the map encoding.

/// What a value of an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Kind,
    Hashes,
    Parent,
    Tokens,
    BlockSize,
    LoraId,
    LoraName,
    Medium,
    /// Per block: a list of keys or nothing.
    ExtraKeys,
    /// Per block: one key or nothing.
    BlockKeys,
    /// Keys of the whole event.
    EventKeys,
    GroupIndex,
    Attention,
    Window,
    Salt,
    Locality,
    /// Known, and of no interest here.
    Unused,
}

/// `BlockStored` as an array: every release so far only appended to it.
const STORED: [Field; 15] = [
    Field::Hashes,
    Field::Parent,
    Field::Tokens,
    Field::BlockSize,
    Field::LoraId,
    Field::Medium,
    Field::LoraName,
    Field::ExtraKeys,
    Field::GroupIndex,
    Field::Attention,
    Field::Window,
    Field::Locality,
    Field::Unused,
    Field::Unused,
    Field::Unused,
];
/// `BlockRemoved` as an array.
const REMOVED: [Field; 5] = [
    Field::Hashes,
    Field::Medium,
    Field::GroupIndex,
    Field::Locality,
    Field::Unused,
];

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Stored,
    Removed,
    Cleared,
}

impl Kind {
    pub(crate) fn of_name(name: &[u8]) -> Option<Kind> {
        match name {
            b"BlockStored" => Some(Kind::Stored),
            b"BlockRemoved" => Some(Kind::Removed),
            b"AllBlocksCleared" => Some(Kind::Cleared),
            _ => None,
        }
    }

    /// The field at a place of the array encoding, counted behind the kind.
    pub(crate) fn field(self, place: usize) -> Option<Field> {
        match self {
            Kind::Stored => STORED.get(place),
            Kind::Removed => REMOVED.get(place),
            Kind::Cleared => None,
        }
        .copied()
    }
}

impl Field {
    pub(crate) fn of_name(name: &[u8]) -> Option<Field> {
        Some(match name {
            b"type" => Field::Kind,
            b"block_hashes" => Field::Hashes,
            b"parent_block_hash" => Field::Parent,
            b"token_ids" => Field::Tokens,
            b"block_size" => Field::BlockSize,
            b"lora_id" => Field::LoraId,
            b"lora_name" => Field::LoraName,
            b"medium" => Field::Medium,
            b"extra_keys" => Field::ExtraKeys,
            b"block_mm_infos" => Field::BlockKeys,
            b"mm_keys" => Field::EventKeys,
            b"group_idx" => Field::GroupIndex,
            b"kv_cache_spec_kind" => Field::Attention,
            b"kv_cache_spec_sliding_window" => Field::Window,
            b"cache_salt" => Field::Salt,
            b"locality" => Field::Locality,
            b"ownership" | b"session_id" | b"lookahead_token_ids" => Field::Unused,
            _ => return None,
        })
    }
}
