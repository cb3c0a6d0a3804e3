//! One batch: what a publisher sends for one step of its scheduler.
//!
//! `[time, [event..], rank?]`, and an event is `["kind", value..]` or `{"type": "kind", name: value..}`.

use thiserror::Error;

use crate::event::Event;
use crate::event::draft::{Draft, Tag};
use crate::event::field::{Field, Kind};
use crate::event::reader::{Item, Malformed, Reader};
use crate::limits::PAYLOAD_BYTES_MAX;

/// A payload that is no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BatchError {
    /// It is longer than [`PAYLOAD_BYTES_MAX`].
    ///
    /// State: unchanged, nothing was read. Caller: what the batch said is lost.
    #[error("a payload of {bytes} bytes; at most {PAYLOAD_BYTES_MAX} are read")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It is not an array of a time and a list of events.
    ///
    /// State: unchanged. Caller: what the batch said is lost.
    #[error("the payload is not a batch of events")]
    Malformed,
}

/// An event that could not be read. The events around it can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EventError {
    /// It is of a kind that this release of the decoder does not know.
    ///
    /// State: unchanged; the event was passed over. It is taken to say nothing about copies.
    #[error("the kind of an event is not known")]
    UnknownKind,
    /// It does not say what it is.
    ///
    /// State: unchanged; the event was passed over. What it said is lost.
    #[error("an event without a kind")]
    NoKind,
    /// Something was stored, but not what.
    ///
    /// State: unchanged; the event was passed over. Pages are missing, none is wrong.
    #[error("a `BlockStored` that cannot be read")]
    BadStored,
    /// Something was removed, but not what.
    ///
    /// State: unchanged; the event was passed over. Pages are claimed that are gone.
    #[error("a `BlockRemoved` that cannot be read")]
    BadRemoved,
    /// The payload ends inside the event.
    ///
    /// State: unchanged; this event and all behind it are lost.
    #[error("the payload ends inside an event")]
    Truncated,
}

/// What was passed over in a batch without harm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Fields whose names or places are not known.
    pub unknown_fields: u64,
    /// Known optional fields with a value of another type.
    pub odd_fields: u64,
}

/// The events of one payload, decoded one by one.
///
/// Cost: O(bytes). Allocates for the event at hand only.
#[derive(Debug)]
pub struct Batch<'a> {
    reader: Reader<'a>,
    events_left: usize,
    skipped: Skipped,
}

impl<'a> Batch<'a> {
    /// Opens a payload.
    ///
    /// Errors: [`BatchError`].
    pub fn open(payload: &'a [u8]) -> Result<Self, BatchError> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(BatchError::TooLong {
                bytes: payload.len(),
            });
        }
        let mut reader = Reader::new(payload);
        let (Ok(Item::Array(2..)), Ok(())) = (reader.item(), reader.skip()) else {
            return Err(BatchError::Malformed);
        };
        match reader.item() {
            Ok(Item::Array(events_left)) => Ok(Batch {
                reader,
                events_left,
                skipped: Skipped::default(),
            }),
            _ => Err(BatchError::Malformed),
        }
    }

    /// Returns what was passed over so far.
    #[must_use]
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    fn event(&mut self) -> Result<Event, EventError> {
        let begin = self.reader;
        let mut draft = Draft::default();
        match self.fields(&mut draft) {
            Ok(()) => draft.finish(),
            Err(Malformed) => {
                self.reader = begin;
                if self.reader.skip().is_err() {
                    self.events_left = 0;
                    return Err(EventError::Truncated);
                }
                Err(match draft.tag {
                    Tag::Known(Kind::Stored) => EventError::BadStored,
                    Tag::Known(Kind::Removed) => EventError::BadRemoved,
                    Tag::Unknown => EventError::UnknownKind,
                    Tag::Missing | Tag::Known(Kind::Cleared) => EventError::NoKind,
                })
            }
        }
    }

    fn fields(&mut self, draft: &mut Draft) -> Result<(), Malformed> {
        let (reader, skipped) = (&mut self.reader, &mut self.skipped);
        let item = reader.item()?;
        match item {
            Item::Map(fields) => draft.read_map(fields, reader, skipped),
            Item::Array(len @ 1..) => {
                draft.read(Field::Kind, reader, skipped)?;
                for place in 0..len - 1 {
                    let field = match draft.tag {
                        Tag::Known(kind) => kind.field(place),
                        Tag::Unknown | Tag::Missing => Some(Field::Unused),
                    };
                    match field {
                        Some(field) => draft.read(field, reader, skipped)?,
                        None => {
                            let beyond = reader.item()?;
                            if let Item::Map(fields) = beyond {
                                draft.read_map(fields, reader, skipped)?;
                            } else {
                                reader.skip_inside(&beyond)?;
                                skipped.unknown_fields += 1;
                            }
                        }
                    }
                }
                Ok(())
            }
            item => {
                reader.skip_inside(&item)?;
                Ok(())
            }
        }
    }
}

impl Iterator for Batch<'_> {
    type Item = Result<Event, EventError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.events_left = self.events_left.checked_sub(1)?;
        Some(self.event())
    }
}

/// Returns the data-parallel rank that a payload says it is of, without decoding its events.
///
/// For a socket that many publishers connect to. Cost: O(bytes), no allocation.
#[must_use]
pub fn peek_rank(payload: &[u8]) -> Option<u32> {
    let mut reader = Reader::new(payload);
    let Ok(Item::Array(3..)) = reader.item() else {
        return None;
    };
    reader.skip().ok()?;
    reader.skip().ok()?;
    match reader.item() {
        Ok(Item::Int(rank)) => u32::try_from(rank).ok(),
        _ => None,
    }
}
