//! Lists from peers whose claimed length is checked before anything is set aside for them.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// Reads a list of at most `max` items; for `#[serde(deserialize_with = ..)]`.
///
/// Errors: the format's own, when there are more or one does not decode.
pub fn list<'de, T, D>(from: D, max: usize) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    from.deserialize_seq(List {
        max,
        items: PhantomData,
    })
}

struct List<T> {
    max: usize,
    items: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} items", self.max)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Vec<T>, A::Error> {
        let claimed = from.size_hint().unwrap_or(0);
        if claimed > self.max {
            return Err(Error::invalid_length(claimed, &self));
        }
        let mut items = Vec::with_capacity(claimed);
        while let Some(item) = from.next_element()? {
            if items.len() == self.max {
                return Err(Error::invalid_length(items.len() + 1, &self));
            }
            items.push(item);
        }
        Ok(items)
    }
}
