//! Writes batches as engines of several eras do: for test doubles, benchmarks and simulations. Nothing decodes by it.

use rmp::encode as mp;

/// How a release writes its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Events are maps that leave out what is the default; otherwise arrays of `fields` values.
    pub maps: bool,
    /// Values of a `BlockStored` array behind its kind, 5 to 12. A `BlockRemoved` has those of the same era.
    pub fields: usize,
    /// How block names are written.
    pub names: NameForm,
    /// The salt is a field; otherwise it is one of the block's extra keys, where there are any.
    pub salt_field: bool,
    /// The batch names its data-parallel rank.
    pub rank: bool,
}

/// How block names are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameForm {
    /// 64 bits without a sign.
    Unsigned,
    /// 64 bits with a sign.
    Signed,
    /// 32 bytes.
    Bytes,
}

const ARRAYS: Dialect = Dialect {
    maps: false,
    fields: 5,
    names: NameForm::Unsigned,
    salt_field: false,
    rank: true,
};
const MAPS: Dialect = Dialect {
    maps: true,
    fields: 12,
    ..ARRAYS
};

impl Dialect {
    /// vLLM 0.9.
    pub const VLLM_0_9: Dialect = Dialect {
        rank: false,
        ..ARRAYS
    };
    /// vLLM 0.10.2 to 0.13.
    pub const VLLM_0_10_2: Dialect = Dialect {
        fields: 6,
        ..ARRAYS
    };
    /// vLLM 0.14 to 0.16.
    pub const VLLM_0_14: Dialect = Dialect {
        fields: 7,
        ..ARRAYS
    };
    /// vLLM 0.22 and 0.23.
    pub const VLLM_0_22: Dialect = Dialect {
        fields: 11,
        ..ARRAYS
    };
    /// vLLM since 0.24, and TensorRT-LLM's publisher.
    pub const VLLM_0_32: Dialect = MAPS;
    /// vLLM since 0.24 with names of bytes.
    pub const VLLM_0_32_BYTES: Dialect = Dialect {
        names: NameForm::Bytes,
        ..MAPS
    };
    /// SGLang since 0.5.20.
    pub const SGLANG_0_5_23: Dialect = Dialect {
        names: NameForm::Signed,
        salt_field: true,
        ..MAPS
    };

    /// Whether a salt can be told at all.
    #[must_use]
    pub fn tells_salt(self) -> bool {
        self.salt_field || self.fields >= 8
    }

    /// Whether a tier can be told.
    #[must_use]
    pub fn tells_medium(self) -> bool {
        self.fields >= 6
    }

    /// Whether layer groups can be told apart.
    #[must_use]
    pub fn tells_group(self) -> bool {
        self.fields >= 10
    }
}

/// One event to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Say {
    /// `BlockStored`.
    Stored {
        /// Names.
        hashes: Vec<u64>,
        /// What the first continues.
        parent: Option<u64>,
        /// Tokens of all.
        tokens: Vec<u32>,
        /// Unit: tokens.
        block_size: u32,
        /// The adapter's name.
        lora: Option<String>,
        /// The salt.
        salt: Option<String>,
        /// "GPU", ..
        medium: &'static str,
        /// The layer group and its kind.
        group: (u32, &'static str),
    },
    /// `BlockRemoved`.
    Removed {
        /// Names.
        hashes: Vec<u64>,
        /// "GPU", ..
        medium: &'static str,
        /// The layer group.
        group: u32,
    },
    /// `AllBlocksCleared`.
    Cleared,
    /// A kind that no decoder knows.
    Unknown,
}

impl Dialect {
    /// Returns the name that decoding gives to a block.
    #[must_use]
    pub fn name(self, hash: u64) -> crate::event::EngineHash {
        match self.names {
            NameForm::Unsigned | NameForm::Signed => crate::event::EngineHash::int(hash),
            NameForm::Bytes => crate::event::EngineHash::bytes(&wide(hash)),
        }
    }

    /// Appends one batch to `out`.
    ///
    /// Panics: never; writing to memory cannot fail.
    pub fn write(self, events: &[Say], rank: u32, out: &mut Vec<u8>) {
        array(out, if self.rank { 3 } else { 2 });
        mp::write_f64(out, 1_700_000_000.5).expect(MEMORY);
        array(out, events.len());
        for event in events {
            self.event(event, out);
        }
        if self.rank {
            int(out, u64::from(rank));
        }
    }

    fn event(self, event: &Say, out: &mut Vec<u8>) {
        let removed_values = match self.fields {
            ..6 => 1,
            6..9 => 2,
            _ => 3,
        };
        match event {
            Say::Cleared => self.head(out, "AllBlocksCleared", 0),
            Say::Unknown => {
                self.head(out, "BlockDreamt", 1);
                self.key(out, "of");
                array(out, 1);
                nil(out);
            }
            Say::Removed {
                hashes,
                medium,
                group,
            } => {
                self.head(out, "BlockRemoved", removed_values);
                self.key(out, "block_hashes");
                self.hashes(out, hashes);
                if removed_values > 1 {
                    self.key(out, "medium");
                    text(out, medium);
                }
                if removed_values > 2 {
                    self.key(out, "group_idx");
                    int(out, u64::from(*group));
                }
            }
            Say::Stored {
                hashes,
                parent,
                tokens,
                block_size,
                lora,
                salt,
                medium,
                group: (group, kind),
            } => {
                let salt_field = self.salt_field && salt.is_some();
                let values = self.fields.min(11) + usize::from(salt_field);
                self.head(out, "BlockStored", values);
                self.key(out, "block_hashes");
                self.hashes(out, hashes);
                self.key(out, "parent_block_hash");
                match parent {
                    Some(parent) => self.hash(out, *parent),
                    None => nil(out),
                }
                self.key(out, "token_ids");
                array(out, tokens.len());
                tokens.iter().for_each(|&token| int(out, u64::from(token)));
                self.key(out, "block_size");
                int(out, u64::from(*block_size));
                self.key(out, "lora_id");
                nil(out);
                let later: [(&str, Write<'_>); 6] = [
                    ("medium", &|out| text(out, medium)),
                    ("lora_name", &|out| optional(out, lora.as_deref())),
                    ("extra_keys", &|out| {
                        self.extra_keys(out, hashes.len(), parent.is_none(), lora, salt);
                    }),
                    ("group_idx", &|out| int(out, u64::from(*group))),
                    ("kv_cache_spec_kind", &|out| text(out, kind)),
                    ("kv_cache_spec_sliding_window", &nil),
                ];
                for (name, write) in later.iter().take(self.fields.saturating_sub(5)) {
                    self.key(out, name);
                    write(out);
                }
                if salt_field {
                    self.key(out, "cache_salt");
                    optional(out, salt.as_deref());
                }
            }
        }
    }

    fn extra_keys(
        self,
        out: &mut Vec<u8>,
        blocks: usize,
        root: bool,
        lora: &Option<String>,
        salt: &Option<String>,
    ) {
        let salt = salt.as_deref().filter(|_| root && !self.salt_field);
        if lora.is_none() && salt.is_none() {
            return nil(out);
        }
        array(out, blocks);
        for block in 0..blocks {
            let salt = salt.filter(|_| block == 0);
            let keys: Vec<&str> = lora.as_deref().into_iter().chain(salt).collect();
            if keys.is_empty() {
                nil(out);
            } else {
                array(out, keys.len());
                keys.into_iter().for_each(|key| text(out, key));
            }
        }
    }

    fn head(self, out: &mut Vec<u8>, kind: &str, values: usize) {
        let len = u32::try_from(values + 1).expect("few");
        if self.maps {
            mp::write_map_len(out, len).expect(MEMORY);
            self.key(out, "type");
        } else {
            mp::write_array_len(out, len).expect(MEMORY);
        }
        text(out, kind);
    }

    fn key(self, out: &mut Vec<u8>, name: &str) {
        if self.maps {
            text(out, name);
        }
    }

    fn hashes(self, out: &mut Vec<u8>, hashes: &[u64]) {
        array(out, hashes.len());
        hashes.iter().for_each(|&hash| self.hash(out, hash));
    }

    fn hash(self, out: &mut Vec<u8>, hash: u64) {
        match self.names {
            NameForm::Unsigned => int(out, hash),
            NameForm::Signed => {
                mp::write_sint(out, hash.cast_signed()).expect(MEMORY);
            }
            NameForm::Bytes => mp::write_bin(out, &wide(hash)).expect(MEMORY),
        }
    }
}

/// Writes one value.
type Write<'a> = &'a dyn Fn(&mut Vec<u8>);

const MEMORY: &str = "writing to memory cannot fail";

fn wide(hash: u64) -> [u8; 32] {
    let mut bytes = [0x5a; 32];
    bytes[..8].copy_from_slice(&hash.to_be_bytes());
    bytes
}

fn array(out: &mut Vec<u8>, len: usize) {
    let len = u32::try_from(len).expect("batches are far shorter");
    mp::write_array_len(out, len).expect(MEMORY);
}

fn int(out: &mut Vec<u8>, value: u64) {
    mp::write_uint(out, value).expect(MEMORY);
}

fn text(out: &mut Vec<u8>, value: &str) {
    mp::write_str(out, value).expect(MEMORY);
}

fn nil(out: &mut Vec<u8>) {
    mp::write_nil(out).expect(MEMORY);
}

fn optional(out: &mut Vec<u8>, value: Option<&str>) {
    match value {
        Some(value) => text(out, value),
        None => nil(out),
    }
}
