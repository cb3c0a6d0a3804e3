//! An event while its fields arrive, in any order and any encoding.

use crate::event::batch::{EventError, Skipped};
use crate::event::extra::{Key, divide};
use crate::event::field::{Field, Kind};
use crate::event::reader::{Item, Malformed, Reader};
use crate::event::{Attention, EngineHash, Event, Group, Lora, Place, Removed, Stored};
use crate::limits::EXTRA_BLOCKS_MAX;

/// The kind of an event, as far as it is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tag {
    #[default]
    Missing,
    Unknown,
    Known(Kind),
}

/// What is known of an event so far.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) tag: Tag,
    hashes: Option<Vec<EngineHash>>,
    parent: Option<EngineHash>,
    tokens: Vec<u32>,
    /// Tokens that are no token ids: where, and a digest.
    odd_tokens: Vec<(usize, u64)>,
    block_size: u32,
    lora_id: Option<u64>,
    lora_name: Option<String>,
    salt: Option<String>,
    place: Place,
    remote: bool,
    /// The blocks that have keys of their own.
    keys: Vec<(usize, Vec<Key>)>,
    /// Keys of every block.
    event_keys: Vec<Key>,
    group: Group,
    windowed: bool,
}

impl Draft {
    /// Reads the value of one field. Optional fields of an odd type are counted and passed over.
    pub(crate) fn read(
        &mut self,
        field: Field,
        reader: &mut Reader<'_>,
        skipped: &mut Skipped,
    ) -> Result<(), Malformed> {
        match field {
            Field::Hashes => self.hashes = Some(hashes(reader)?),
            Field::Tokens => self.read_tokens(reader)?,
            Field::Parent => {
                let item = reader.item()?;
                self.parent = match item {
                    Item::Nil => None,
                    item => Some(hash(&item).ok_or(Malformed)?),
                };
            }
            Field::ExtraKeys | Field::BlockKeys | Field::EventKeys => {
                self.read_keys(field, reader, skipped)?;
            }
            Field::Unused => reader.skip()?,
            Field::Kind
            | Field::BlockSize
            | Field::LoraId
            | Field::LoraName
            | Field::Medium
            | Field::GroupIndex
            | Field::Attention
            | Field::Window
            | Field::Salt
            | Field::Locality => {
                let item = reader.item()?;
                if let Item::Map(fields) = item {
                    // One release put the newer fields into a map at the end of its array.
                    return self.read_map(fields, reader, skipped);
                }
                reader.skip_inside(&item)?;
                if !self.scalar(field, &item) {
                    skipped.odd_fields += 1;
                }
            }
        }
        Ok(())
    }

    /// Reads names and values.
    pub(crate) fn read_map(
        &mut self,
        fields: usize,
        reader: &mut Reader<'_>,
        skipped: &mut Skipped,
    ) -> Result<(), Malformed> {
        for _ in 0..fields {
            let name = reader.item()?;
            reader.skip_inside(&name)?;
            let field = match name {
                Item::Str(name) | Item::Bin(name) => Field::of_name(name),
                Item::Nil
                | Item::Bool(_)
                | Item::Int(_)
                | Item::Neg(_)
                | Item::Float(_)
                | Item::Array(_)
                | Item::Map(_)
                | Item::Ext(_) => None,
            };
            match field {
                Some(field) if is_scalar(field) => {
                    let item = reader.item()?;
                    reader.skip_inside(&item)?;
                    if !self.scalar(field, &item) {
                        skipped.odd_fields += 1;
                    }
                }
                Some(field) => self.read(field, reader, skipped)?,
                None => {
                    reader.skip()?;
                    skipped.unknown_fields += 1;
                }
            }
        }
        Ok(())
    }

    /// Takes a value that is not a container; `false` when it has no meaning for the field.
    fn scalar(&mut self, field: Field, item: &Item<'_>) -> bool {
        let (text, int) = (text(item), int(item));
        let nil = *item == Item::Nil;
        match field {
            Field::Kind => {
                self.tag = match text.and_then(Kind::of_name) {
                    Some(kind) => Tag::Known(kind),
                    None => Tag::Unknown,
                };
                return text.is_some();
            }
            Field::BlockSize => match int.and_then(|size| u32::try_from(size).ok()) {
                Some(size) => self.block_size = size,
                None => return nil,
            },
            Field::LoraId => self.lora_id = int,
            Field::LoraName => self.lora_name = text.map(lossy),
            Field::Salt => self.salt = text.map(lossy),
            Field::Medium => match text {
                Some(medium) => self.place = Place::of_medium(medium),
                None if nil => self.place = Place::default(),
                // A medium that cannot be read is not taken for the accelerator's.
                None => self.place = Place::Elsewhere,
            },
            Field::GroupIndex => match int {
                Some(index) => self.group.index = u32::try_from(index).unwrap_or(u32::MAX),
                None => return nil,
            },
            Field::Attention => {
                if let Some(kind) = text {
                    self.group.attention = Attention::of_kind(kind);
                }
            }
            Field::Window => self.windowed = int.is_some(),
            Field::Locality => {
                self.remote = text.is_some_and(|text| text.eq_ignore_ascii_case(b"remote"));
            }
            Field::Hashes
            | Field::Parent
            | Field::Tokens
            | Field::ExtraKeys
            | Field::BlockKeys
            | Field::EventKeys
            | Field::Unused => return false,
        }
        nil || text.is_some() || int.is_some()
    }

    fn read_tokens(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let len = match reader.item()? {
            Item::Array(len) => len,
            Item::Nil => 0,
            _ => return Err(Malformed),
        };
        self.tokens.reserve_exact(len);
        for at in 0..len {
            if let Some(token) = reader.token() {
                self.tokens.push(token);
                continue;
            }
            // Pairs of neighbours, as draft models key their blocks: a block's own token is the first.
            let mut ahead = *reader;
            if let Item::Array(2) = ahead.item()?
                && let Some(token) = ahead.token()
            {
                ahead.skip()?;
                *reader = ahead;
                self.tokens.push(token);
                continue;
            }
            // Not a token id (an image's digest, say): the block is told apart by it instead.
            if self.odd_tokens.len() >= EXTRA_BLOCKS_MAX {
                return Err(Malformed);
            }
            self.odd_tokens.push((at, Key::read(reader, 0)?.digest()));
            self.tokens.push(0);
        }
        Ok(())
    }

    fn read_keys(
        &mut self,
        field: Field,
        reader: &mut Reader<'_>,
        skipped: &mut Skipped,
    ) -> Result<(), Malformed> {
        let item = reader.item()?;
        let Item::Array(len) = item else {
            reader.skip_inside(&item)?;
            skipped.odd_fields += u64::from(item != Item::Nil);
            return Ok(());
        };
        for block in 0..len {
            let key = Key::read(reader, 0)?;
            if self.keys.len().max(self.event_keys.len()) >= EXTRA_BLOCKS_MAX {
                return Err(Malformed);
            }
            match (field, key) {
                (_, Key::Nil) => {}
                (Field::EventKeys, key) => self.event_keys.push(key),
                (Field::ExtraKeys, Key::List(keys)) => self.keys.push((block, keys)),
                (_, key) => self.keys.push((block, vec![key])),
            }
        }
        Ok(())
    }

    /// Makes the event of what arrived.
    pub(crate) fn finish(self) -> Result<Event, EventError> {
        let kind = match self.tag {
            Tag::Known(kind) => kind,
            Tag::Unknown => return Err(EventError::UnknownKind),
            Tag::Missing => return Err(EventError::NoKind),
        };
        let place = if self.remote {
            Place::Elsewhere
        } else {
            self.place
        };
        let mut group = self.group;
        if self.windowed && group.attention != Attention::Full {
            group.attention = Attention::Partial;
        }
        match kind {
            Kind::Cleared => Ok(Event::Cleared),
            Kind::Removed => Ok(Event::Removed(Removed {
                hashes: self.hashes.ok_or(EventError::BadRemoved)?,
                place,
                group,
            })),
            Kind::Stored => {
                let hashes = self.hashes.as_ref().ok_or(EventError::BadStored)?;
                let mut extra = Vec::new();
                let mut salt = self.salt;
                let root = self.parent.is_none();
                for (block, keys) in self.keys {
                    let own = divide(
                        keys,
                        root && block == 0,
                        self.lora_name.as_deref(),
                        &mut salt,
                    );
                    mix(&mut extra, block, own, hashes.len());
                }
                if !self.event_keys.is_empty() {
                    let own = Key::List(self.event_keys).digest();
                    (0..hashes.len()).for_each(|block| mix(&mut extra, block, own, hashes.len()));
                }
                for (at, own) in self.odd_tokens {
                    let size = usize::try_from(self.block_size.max(1)).unwrap_or(usize::MAX);
                    let place = u64::try_from(at % size).unwrap_or(0);
                    mix(
                        &mut extra,
                        at / size,
                        own.rotate_left(17) ^ place,
                        hashes.len(),
                    );
                }
                Ok(Event::Stored(Stored {
                    parent: self.parent,
                    tokens: self.tokens,
                    block_size: self.block_size,
                    lora: lora(self.lora_name, self.lora_id),
                    salt: salt.filter(|salt| !salt.is_empty()),
                    extra,
                    place,
                    group,
                    hashes: self.hashes.unwrap_or_default(),
                }))
            }
        }
    }
}

/// Adds a key to what a block depends on. Blocks beyond the last are left out.
pub(crate) fn mix(extra: &mut Vec<u64>, block: usize, own: u64, blocks: usize) {
    if own == 0 || block >= blocks {
        return;
    }
    if extra.len() <= block {
        extra.resize(block + 1, 0);
    }
    let mixed = extra[block]
        .rotate_left(5)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ own;
    extra[block] = mixed.max(1);
}

pub(crate) fn lora(name: Option<String>, id: Option<u64>) -> Option<Lora> {
    match (name.filter(|name| !name.is_empty()), id) {
        (Some(name), _) => Some(Lora::Name(name)),
        (None, Some(id)) => Some(Lora::Id(id)),
        (None, None) => None,
    }
}

fn hashes(reader: &mut Reader<'_>) -> Result<Vec<EngineHash>, Malformed> {
    let item = reader.item()?;
    if let Item::Array(len) = item {
        // `len` values were seen to fit the payload; most hashes take 9 bytes of it.
        let mut hashes = Vec::with_capacity(len.min(1 << 16));
        for _ in 0..len {
            hashes.push(hash(&reader.item()?).ok_or(Malformed)?);
        }
        return Ok(hashes);
    }
    Ok(vec![hash(&item).ok_or(Malformed)?])
}

fn hash(item: &Item<'_>) -> Option<EngineHash> {
    match *item {
        Item::Int(value) => Some(EngineHash::int(value)),
        Item::Neg(value) => Some(EngineHash::int(value.cast_unsigned())),
        Item::Str(name) | Item::Bin(name) => Some(EngineHash::bytes(name)),
        Item::Nil
        | Item::Bool(_)
        | Item::Float(_)
        | Item::Array(_)
        | Item::Map(_)
        | Item::Ext(_) => None,
    }
}

fn text<'a>(item: &Item<'a>) -> Option<&'a [u8]> {
    match *item {
        Item::Str(text) | Item::Bin(text) => Some(text),
        Item::Nil
        | Item::Bool(_)
        | Item::Int(_)
        | Item::Neg(_)
        | Item::Float(_)
        | Item::Array(_)
        | Item::Map(_)
        | Item::Ext(_) => None,
    }
}

fn int(item: &Item<'_>) -> Option<u64> {
    match *item {
        Item::Int(value) => Some(value),
        Item::Neg(value) => Some(value.cast_unsigned()),
        Item::Nil
        | Item::Bool(_)
        | Item::Float(_)
        | Item::Str(_)
        | Item::Bin(_)
        | Item::Array(_)
        | Item::Map(_)
        | Item::Ext(_) => None,
    }
}

fn is_scalar(field: Field) -> bool {
    match field {
        Field::Kind
        | Field::BlockSize
        | Field::LoraId
        | Field::LoraName
        | Field::Medium
        | Field::GroupIndex
        | Field::Attention
        | Field::Window
        | Field::Salt
        | Field::Locality => true,
        Field::Hashes
        | Field::Parent
        | Field::Tokens
        | Field::ExtraKeys
        | Field::BlockKeys
        | Field::EventKeys
        | Field::Unused => false,
    }
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}
