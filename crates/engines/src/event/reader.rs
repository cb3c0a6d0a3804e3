//! Reads MessagePack from a slice: no recursion, and no length is believed before as many bytes are there.
//!
//! The table of markers is `rmp`'s. Source: <https://github.com/msgpack/msgpack/blob/master/spec.md>.

use rmp::Marker;

/// The bytes are not MessagePack, or end too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// One value, or the head of a container whose elements follow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Item<'a> {
    Nil,
    Bool(bool),
    /// Not negative.
    Int(u64),
    /// Negative.
    Neg(i64),
    Float(f64),
    Str(&'a [u8]),
    Bin(&'a [u8]),
    /// As many elements follow.
    Array(usize),
    /// As many keys and values follow.
    Map(usize),
    /// An extension: nothing here needs one.
    Ext(&'a [u8]),
}

/// A place in a payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    #[cfg(test)]
    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(head)
    }

    fn number<const LEN: usize>(&mut self) -> Result<[u8; LEN], Malformed> {
        let (head, rest) = self.rest.split_first_chunk::<LEN>().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<usize, Malformed> {
        Ok(usize::from(u8::from_be_bytes(self.number()?)))
    }

    fn u16(&mut self) -> Result<usize, Malformed> {
        Ok(usize::from(u16::from_be_bytes(self.number()?)))
    }

    fn u32(&mut self) -> Result<usize, Malformed> {
        usize::try_from(u32::from_be_bytes(self.number()?)).map_err(|_| Malformed)
    }

    /// Reads the next value or container head.
    pub(crate) fn item(&mut self) -> Result<Item<'a>, Malformed> {
        let [marker] = self.number()?;
        Ok(match Marker::from_u8(marker) {
            Marker::FixPos(value) => Item::Int(u64::from(value)),
            Marker::FixNeg(value) => Item::Neg(i64::from(value)),
            Marker::Null => Item::Nil,
            Marker::True => Item::Bool(true),
            Marker::False => Item::Bool(false),
            Marker::U8 => Item::Int(u64::from(u8::from_be_bytes(self.number()?))),
            Marker::U16 => Item::Int(u64::from(u16::from_be_bytes(self.number()?))),
            Marker::U32 => Item::Int(u64::from(u32::from_be_bytes(self.number()?))),
            Marker::U64 => Item::Int(u64::from_be_bytes(self.number()?)),
            Marker::I8 => signed(i64::from(i8::from_be_bytes(self.number()?))),
            Marker::I16 => signed(i64::from(i16::from_be_bytes(self.number()?))),
            Marker::I32 => signed(i64::from(i32::from_be_bytes(self.number()?))),
            Marker::I64 => signed(i64::from_be_bytes(self.number()?)),
            Marker::F32 => Item::Float(f64::from(f32::from_be_bytes(self.number()?))),
            Marker::F64 => Item::Float(f64::from_be_bytes(self.number()?)),
            Marker::FixStr(len) => Item::Str(self.take(usize::from(len))?),
            Marker::Str8 => Item::Str(self.u8().and_then(|len| self.take(len))?),
            Marker::Str16 => Item::Str(self.u16().and_then(|len| self.take(len))?),
            Marker::Str32 => Item::Str(self.u32().and_then(|len| self.take(len))?),
            Marker::Bin8 => Item::Bin(self.u8().and_then(|len| self.take(len))?),
            Marker::Bin16 => Item::Bin(self.u16().and_then(|len| self.take(len))?),
            Marker::Bin32 => Item::Bin(self.u32().and_then(|len| self.take(len))?),
            Marker::FixArray(len) => self.array(usize::from(len))?,
            Marker::Array16 => self.u16().and_then(|len| self.array(len))?,
            Marker::Array32 => self.u32().and_then(|len| self.array(len))?,
            Marker::FixMap(len) => self.map(usize::from(len))?,
            Marker::Map16 => self.u16().and_then(|len| self.map(len))?,
            Marker::Map32 => self.u32().and_then(|len| self.map(len))?,
            Marker::FixExt1 => self.ext(1)?,
            Marker::FixExt2 => self.ext(2)?,
            Marker::FixExt4 => self.ext(4)?,
            Marker::FixExt8 => self.ext(8)?,
            Marker::FixExt16 => self.ext(16)?,
            Marker::Ext8 => self.u8().and_then(|len| self.ext(len))?,
            Marker::Ext16 => self.u16().and_then(|len| self.ext(len))?,
            Marker::Ext32 => self.u32().and_then(|len| self.ext(len))?,
            Marker::Reserved => return Err(Malformed),
        })
    }

    /// Every element is at least a byte, so a longer claim than that is a lie.
    fn array(&self, len: usize) -> Result<Item<'a>, Malformed> {
        (len <= self.rest.len())
            .then_some(Item::Array(len))
            .ok_or(Malformed)
    }

    fn map(&self, len: usize) -> Result<Item<'a>, Malformed> {
        (len <= self.rest.len() / 2)
            .then_some(Item::Map(len))
            .ok_or(Malformed)
    }

    fn ext(&mut self, len: usize) -> Result<Item<'a>, Malformed> {
        self.take(1)?;
        Ok(Item::Ext(self.take(len)?))
    }

    /// Reads one integer that fits a token. `None` leaves the place as it was: the value is something else.
    #[inline]
    pub(crate) fn token(&mut self) -> Option<u32> {
        let (token, rest) = match *self.rest {
            [value @ 0..=0x7f, ref rest @ ..] => (u32::from(value), rest),
            [0xcd, a, b, ref rest @ ..] => (u32::from(u16::from_be_bytes([a, b])), rest),
            [0xcc, a, ref rest @ ..] => (u32::from(a), rest),
            [0xce, a, b, c, d, ref rest @ ..] => (u32::from_be_bytes([a, b, c, d]), rest),
            _ => return None,
        };
        self.rest = rest;
        Some(token)
    }

    /// Passes over one value with all that is in it. Cost: O(bytes of it); each step reads at least one.
    pub(crate) fn skip(&mut self) -> Result<(), Malformed> {
        let mut values_left = 1u64;
        while values_left > 0 {
            let item = self.item()?;
            values_left = values_left - 1 + inner(&item);
        }
        Ok(())
    }

    /// Passes over one value and returns the bytes it is made of.
    pub(crate) fn raw(&mut self) -> Result<&'a [u8], Malformed> {
        let before = self.rest;
        self.skip()?;
        Ok(&before[..before.len() - self.rest.len()])
    }

    /// Passes over what an [`Item`] that was already read still holds.
    pub(crate) fn skip_inside(&mut self, item: &Item<'_>) -> Result<(), Malformed> {
        for _ in 0..inner(item) {
            self.skip()?;
        }
        Ok(())
    }
}

/// How many values follow a container's head.
fn inner(item: &Item<'_>) -> u64 {
    match *item {
        Item::Array(len) => len as u64,
        Item::Map(len) => 2 * len as u64,
        Item::Nil
        | Item::Bool(_)
        | Item::Int(_)
        | Item::Neg(_)
        | Item::Float(_)
        | Item::Str(_)
        | Item::Bin(_)
        | Item::Ext(_) => 0,
    }
}

fn signed(value: i64) -> Item<'static> {
    u64::try_from(value).map_or(Item::Neg(value), Item::Int)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(bytes: &[u8]) -> Result<Item<'_>, Malformed> {
        let mut reader = Reader::new(bytes);
        let item = reader.item()?;
        assert!(reader.is_at_end(), "{bytes:02x?} holds one item");
        Ok(item)
    }

    #[test]
    fn integers_of_every_width_have_one_value() {
        for bytes in [
            &[0x05][..],
            &[0xcc, 5],
            &[0xcd, 0, 5],
            &[0xce, 0, 0, 0, 5],
            &[0xcf, 0, 0, 0, 0, 0, 0, 0, 5],
            &[0xd0, 5],
            &[0xd1, 0, 5],
            &[0xd2, 0, 0, 0, 5],
            &[0xd3, 0, 0, 0, 0, 0, 0, 0, 5],
        ] {
            assert_eq!(only(bytes), Ok(Item::Int(5)));
        }
        assert_eq!(only(&[0xff]), Ok(Item::Neg(-1)));
        assert_eq!(
            only(&[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0]),
            Ok(Item::Neg(i64::MIN))
        );
    }

    #[test]
    fn a_length_is_not_believed_before_the_bytes_are_there() {
        for bytes in [
            &[0xdd, 0xff, 0xff, 0xff, 0xff][..],
            &[0xdf, 0xff, 0xff, 0xff, 0xff],
            &[0xc6, 0xff, 0xff, 0xff, 0xff],
            &[0xdb, 0xff, 0xff, 0xff, 0xff, b'a'],
            &[0x93, 1, 2],
            &[0x81, 1],
            &[0xc1],
            &[],
        ] {
            let mut reader = Reader::new(bytes);
            let head = reader.item();
            assert_eq!(head, Err(Malformed), "{bytes:02x?}");
        }
    }

    #[test]
    fn a_million_nested_arrays_are_skipped_without_a_deep_stack() {
        let mut bytes = vec![0x91; 1 << 20];
        bytes.push(0xc0);
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.skip(), Ok(()));
        assert!(reader.is_at_end());
        assert_eq!(Reader::new(&bytes[..1 << 20]).skip(), Err(Malformed));
    }
}
