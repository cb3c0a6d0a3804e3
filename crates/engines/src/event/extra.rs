//! What a block's KV depends on besides its tokens: adapter, salt, images, embeddings.
//!
//! Engines mix such keys into their block hashes, and publish them as lists whose elements have no names. What is told
//! apart here: an adapter's name and a salt count for the whole path below them and become part of the namespace; all
//! other keys belong to their block, and only a digest of them is kept.

use xxhash_rust::xxh3::xxh3_64;

use crate::event::reader::{Item, Malformed, Reader};
use crate::limits::{EXTRA_DEPTH_MAX, EXTRA_LIST_MAX};

/// One key of a block, in no encoding's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Nil,
    Int(i128),
    Text(Vec<u8>),
    Bytes(Vec<u8>),
    List(Vec<Key>),
}

impl Key {
    /// Reads one key; what is nested too deep or too long is kept as the bytes it is made of.
    pub(crate) fn read(reader: &mut Reader<'_>, depth: usize) -> Result<Key, Malformed> {
        let begin = *reader;
        let item = reader.item()?;
        if let Item::Array(len) | Item::Map(len) = item
            && (depth >= EXTRA_DEPTH_MAX || len > EXTRA_LIST_MAX)
        {
            *reader = begin;
            return Ok(Key::Bytes(reader.raw()?.to_vec()));
        }
        Ok(match item {
            Item::Nil => Key::Nil,
            Item::Bool(value) => Key::Int(i128::from(value)),
            Item::Int(value) => Key::Int(i128::from(value)),
            Item::Neg(value) => Key::Int(i128::from(value)),
            Item::Float(value) => Key::Bytes(value.to_be_bytes().to_vec()),
            Item::Str(text) => Key::Text(text.to_vec()),
            Item::Bin(bytes) | Item::Ext(bytes) => Key::Bytes(bytes.to_vec()),
            Item::Array(len) => {
                let keys = (0..len).map(|_| Key::read(reader, depth + 1));
                Key::List(keys.collect::<Result<_, _>>()?)
            }
            Item::Map(len) => {
                let pair = |_| {
                    let name = Key::read(reader, depth + 1)?;
                    Ok(Key::List(vec![name, Key::read(reader, depth + 1)?]))
                };
                let pairs = (0..len).map(pair).collect::<Result<_, _>>()?;
                Key::map(pairs)
            }
        })
    }

    /// The pairs of a map, in an order that does not depend on the encoder's.
    pub(crate) fn map(mut pairs: Vec<Key>) -> Key {
        pairs.sort_by_cached_key(Key::digest);
        Key::List(pairs)
    }

    /// Returns a digest that is equal for equal keys, whatever encoding they came in; never 0.
    pub(crate) fn digest(&self) -> u64 {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        xxh3_64(&bytes).max(1)
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut string = |kind: u8, bytes: &[u8]| {
            out.push(kind);
            out.extend((bytes.len() as u64).to_le_bytes());
            out.extend(bytes);
        };
        match self {
            Key::Nil => out.push(b'n'),
            Key::Int(value) => string(b'i', &value.to_le_bytes()),
            Key::Text(text) => string(b't', text),
            Key::Bytes(bytes) => string(b'b', bytes),
            Key::List(keys) => {
                out.push(b'l');
                out.extend((keys.len() as u64).to_le_bytes());
                keys.iter().for_each(|key| key.write(out));
            }
        }
    }

    fn text(&self) -> Option<&[u8]> {
        match self {
            Key::Text(text) => Some(text),
            Key::Nil | Key::Int(_) | Key::Bytes(_) | Key::List(_) => None,
        }
    }

    /// The value of a key that says what it is: `[tag, value]`.
    fn tagged(&self, tags: &[&str]) -> Option<&[u8]> {
        match self {
            Key::List(pair) => match pair.as_slice() {
                [Key::Text(tag), Key::Text(value)]
                    if tags.iter().any(|name| name.as_bytes() == tag) =>
                {
                    Some(value)
                }
                _ => None,
            },
            Key::Nil | Key::Int(_) | Key::Text(_) | Key::Bytes(_) => None,
        }
    }
}

/// Takes the adapter's name and the salt out of a block's keys and returns a digest of the rest, 0 when nothing is left.
///
/// A bare text is the adapter when it is the first key and the event's `lora_name`; in the first block of a path (`root`)
/// the next bare text is the salt. Everything else belongs to the block.
pub(crate) fn divide(
    keys: Vec<Key>,
    root: bool,
    lora_name: Option<&str>,
    salt: &mut Option<String>,
) -> u64 {
    let (mut rest, mut bare) = (Vec::new(), 0);
    for (at, key) in keys.into_iter().enumerate() {
        let is_name =
            |text: Option<&[u8]>| lora_name.is_some_and(|name| text == Some(name.as_bytes()));
        if key == Key::Nil || at == 0 && is_name(key.text()) {
            continue;
        }
        if key.tagged(&["lora", "lora_name", "lora_path"]).is_some() {
            continue;
        }
        let bare_text = key.text().filter(|_| root && bare == 0);
        if let Some(text) = key.tagged(&["salt", "cache_salt"]).or(bare_text) {
            bare += 1;
            let text = String::from_utf8_lossy(text).into_owned();
            salt.get_or_insert(text);
            continue;
        }
        rest.push(key);
    }
    if rest.is_empty() {
        0
    } else {
        Key::List(rest).digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Key {
        Key::Text(text.as_bytes().to_vec())
    }

    fn divided(keys: Vec<Key>, root: bool, lora: Option<&str>) -> (u64, Option<String>) {
        let mut salt = None;
        let rest = divide(keys, root, lora, &mut salt);
        (rest, salt)
    }

    #[test]
    fn a_bare_text_is_an_adapter_a_salt_or_a_key_by_where_it_stands() {
        let salt = Some("s".to_owned());
        assert_eq!(divided(vec![text("s")], true, None), (0, salt.clone()));
        assert_eq!(divided(vec![text("a")], true, Some("a")), (0, None));
        assert_eq!(
            divided(vec![text("a"), text("s")], true, Some("a")),
            (0, salt.clone())
        );
        assert_eq!(divided(vec![text("a")], false, Some("a")), (0, None));
        let (rest, none) = divided(vec![text("s")], false, None);
        assert!(rest != 0 && none.is_none(), "no salt below the root");
        let tagged = Key::List(vec![text("cache_salt"), text("s")]);
        assert_eq!(divided(vec![tagged], true, None), (0, salt));
    }

    #[test]
    fn images_differ_by_what_they_are_and_where_they_begin() {
        let image = |name: &str, offset| Key::List(vec![text(name), Key::Int(offset)]);
        let digest = |key| divided(vec![key], true, None).0;
        assert_ne!(digest(image("a", 0)), digest(image("b", 0)));
        assert_ne!(digest(image("a", 0)), digest(image("a", 1)));
        assert_eq!(digest(image("a", 0)), digest(image("a", 0)));
    }
}
