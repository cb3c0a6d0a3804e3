//! Frames out of arbitrary bytes, of every kind that there is: a new kind is made as soon as it decodes.

use bytes::Bytes;
use node::wire::{self, VERSION, WireError};

/// Takes what it needs from the front of the input; zeroes where there is no more.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    pub(crate) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// Returns every kind that a frame can have.
pub(crate) fn kinds() -> Vec<u8> {
    let is_kind = |kind: &u8| {
        let error = wire::decode(&Bytes::copy_from_slice(&[VERSION, *kind])).err();
        !matches!(error, Some(WireError::Kind { .. }))
    };
    (0..=u8::MAX).filter(is_kind).collect()
}

/// Makes a frame whose fields are the input's bytes, or small numbers in their place: those meet each other.
///
/// What is left behind the fields is cut off, so that most of what comes out is a frame.
pub(crate) fn forged(kinds: &[u8], input: &mut Input<'_>, fields_max: usize) -> Bytes {
    let kind = kinds[usize::from(input.byte()) % kinds.len()];
    let small = !input.byte().is_multiple_of(4);
    let len = usize::from(input.byte()) % (fields_max + 1);
    let mut bytes = vec![VERSION, kind];
    let fields = input.take(len).iter();
    bytes.extend(fields.map(|byte| {
        if small && *byte < 250 {
            byte % 8
        } else {
            *byte
        }
    }));
    whole(bytes)
}

/// Cuts off what is left behind the fields.
pub(crate) fn whole(mut bytes: Vec<u8>) -> Bytes {
    let shared = Bytes::copy_from_slice(&bytes);
    if let Err(WireError::Trailing { len, .. }) = wire::decode(&shared) {
        bytes.truncate(bytes.len() - len);
    }
    bytes.into()
}
