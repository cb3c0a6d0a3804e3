//! The events of TensorRT-LLM as its HTTP port tells them: a JSON array, drained by whoever asks.
//!
//! `[{"event_id": n, "data": {"type": "stored" | "removed" | "updated" | "created" | "all_cleared", ..},
//! "window_size"?, "layer_group_id"?, "attention_dp_rank"?}]`. Its ZeroMQ publisher speaks vLLM's maps instead.

use serde_json::{Map, Value};
use thiserror::Error;

use crate::event::batch::EventError;
use crate::event::draft::{lora, mix};
use crate::event::extra::Key;
use crate::event::{Attention, EngineHash, Event, Group, Moved, Place, Removed, Stored};
use crate::limits::{EXTRA_DEPTH_MAX, EXTRA_LIST_MAX, TRT_BYTES_MAX};
use radix_core::id::Tier;

/// An answer that is no list of events.
#[derive(Debug, Error)]
pub enum TrtError {
    /// It is longer than [`TRT_BYTES_MAX`].
    ///
    /// State: unchanged, nothing was read. Caller: what the answer said is lost, the next one shows a gap.
    #[error("an answer of {bytes} bytes; at most {TRT_BYTES_MAX} are read")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It is not JSON.
    ///
    /// State: unchanged. Caller: what the answer said is lost, the next one shows a gap.
    #[error("the answer is not a list of events: {0}")]
    Json(#[from] serde_json::Error),
}

/// One event of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrtEvent {
    /// Its number: the first of a rank's life is 0. An event without one has `None`.
    pub id: Option<u64>,
    /// The attention-data-parallel rank that it is of.
    pub rank: Option<u32>,
    /// What it says, in order; nothing for news that concern no copy.
    pub events: Result<Vec<Event>, EventError>,
}

/// The events of one answer, in order.
pub type TrtEvents = Vec<TrtEvent>;

/// Decodes an answer. Every event is decoded by itself; `null` is an answer without events.
///
/// Errors: [`TrtError`].
pub fn decode_trt(json: &[u8]) -> Result<TrtEvents, TrtError> {
    if json.len() > TRT_BYTES_MAX {
        return Err(TrtError::TooLong { bytes: json.len() });
    }
    let events = match serde_json::from_slice(json)? {
        Value::Array(events) => events,
        Value::Null => Vec::new(),
        one => vec![one],
    };
    Ok(events.iter().map(event).collect())
}

fn event(value: &Value) -> TrtEvent {
    let number = |name: &str| value.get(name).and_then(Value::as_u64);
    let small = |name: &str| number(name).map(|value| u32::try_from(value).unwrap_or(u32::MAX));
    let group = Group {
        index: small("layer_group_id").unwrap_or(0),
        // Which window keeps every token is for the source to find out: the widest.
        attention: Attention::Full,
        window: number("window_size"),
    };
    TrtEvent {
        id: number("event_id"),
        rank: small("attention_dp_rank"),
        events: value
            .get("data")
            .and_then(Value::as_object)
            .ok_or(EventError::NoKind)
            .and_then(|data| said(data, group)),
    }
}

fn said(data: &Map<String, Value>, group: Group) -> Result<Vec<Event>, EventError> {
    let kind = data.get("type").and_then(Value::as_str);
    match kind.ok_or(EventError::NoKind)? {
        "stored" => stored(data, group).ok_or(EventError::BadStored),
        "removed" => {
            let hashes = data.get("block_hashes").and_then(Value::as_array);
            let hashes = hashes.and_then(|hashes| hashes.iter().map(hash).collect());
            Ok(vec![Event::Removed(Removed {
                hashes: hashes.ok_or(EventError::BadRemoved)?,
                place: Place::Anywhere,
                group,
            })])
        }
        "updated" => updated(data, group).ok_or(EventError::BadRemoved),
        "created" => Ok(vec![Event::Created(group)]),
        "all_cleared" | "cleared" => Ok(vec![Event::Cleared]),
        _ => Err(EventError::UnknownKind),
    }
}

/// Blocks of one size in one tier become one event; the next continues it.
fn stored(data: &Map<String, Value>, group: Group) -> Option<Vec<Event>> {
    let mut parent = match data.get("parent_hash") {
        None | Some(Value::Null) => None,
        Some(name) => Some(hash(name)?),
    };
    let text = |of: &Map<String, Value>, name: &str| {
        of.get(name).and_then(Value::as_str).map(str::to_owned)
    };
    let mut events: Vec<Stored> = Vec::new();
    for block in data.get("blocks")?.as_array()? {
        let block = block.as_object()?;
        let name = hash(block.get("block_hash")?)?;
        let tokens = block.get("tokens")?.as_array()?;
        let block_size = u32::try_from(tokens.len()).ok()?;
        let place = level(
            block
                .get("cache_level")
                .and_then(Value::as_u64)
                .unwrap_or(0),
        );
        let fits = |last: &Stored| last.block_size == block_size && last.place == place;
        if !events.last().is_some_and(fits) {
            let number = |of: &Map<String, Value>| of.get("lora_id").and_then(Value::as_u64);
            events.push(Stored {
                parent,
                block_size,
                lora: lora(
                    text(data, "lora_name").or_else(|| text(block, "lora_name")),
                    number(block).or_else(|| number(data)),
                ),
                salt: text(block, "cache_salt").or_else(|| text(data, "cache_salt")),
                place,
                group,
                ..Stored::default()
            });
        }
        let last = events.last_mut()?;
        let (at, blocks) = (last.hashes.len(), last.hashes.len() + 1);
        for (offset, token) in (0u64..).zip(tokens) {
            let (id, odd) = match token {
                Value::Object(token) => (
                    token.get("token_id")?,
                    token.get("token_extra_id").and_then(int).unwrap_or(0),
                ),
                bare => (bare, 0),
            };
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
            last.tokens.push(id.unwrap_or(0));
            if odd != 0 || id.is_none() {
                let own = Key::List(vec![Key::Int(i128::from(odd)), key(token, 0)]);
                mix(&mut last.extra, at, own.digest() ^ offset, blocks);
            }
        }
        if let Some(Value::Array(keys)) = block.get("mm_keys")
            && !keys.is_empty()
        {
            let keys = keys.iter().map(|value| key(value, 0)).collect();
            mix(&mut last.extra, at, Key::List(keys).digest(), blocks);
        }
        last.hashes.push(name);
        parent = Some(name);
    }
    Some(events.into_iter().map(Event::Stored).collect())
}

fn updated(data: &Map<String, Value>, group: Group) -> Option<Vec<Event>> {
    let name = hash(data.get("block_hash")?)?;
    let of = |diff: &Value, name: &str| diff.get(name).and_then(Value::as_u64).map(level);
    let Some(diff) = data.get("cache_level").filter(|diff| !diff.is_null()) else {
        return Some(Vec::new());
    };
    Some(vec![Event::Moved(Moved {
        hash: name,
        from: of(diff, "old_value")?,
        to: of(diff, "new_value")?,
        group,
    })])
}

fn level(level: u64) -> Place {
    match level {
        0 => Place::In(Tier::Device),
        1 => Place::In(Tier::Host),
        2 => Place::In(Tier::Disk),
        _ => Place::Elsewhere,
    }
}

fn hash(value: &Value) -> Option<EngineHash> {
    match value {
        Value::String(name) => Some(EngineHash::bytes(name.as_bytes())),
        value => int(value).map(EngineHash::int),
    }
}

fn int(value: &Value) -> Option<u64> {
    let negative = || value.as_i64().map(i64::cast_unsigned);
    value.as_u64().or_else(negative)
}

fn key(value: &Value, depth: usize) -> Key {
    match value {
        Value::Null => Key::Nil,
        Value::Bool(value) => Key::Int(i128::from(*value)),
        Value::String(text) => Key::Text(text.clone().into_bytes()),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(value), _) => Key::Int(i128::from(value)),
            (None, Some(value)) => Key::Int(i128::from(value)),
            (None, None) => Key::Bytes(number.to_string().into_bytes()),
        },
        Value::Array(list) if depth < EXTRA_DEPTH_MAX && list.len() <= EXTRA_LIST_MAX => {
            Key::List(list.iter().map(|value| key(value, depth + 1)).collect())
        }
        Value::Object(map) if depth < EXTRA_DEPTH_MAX && map.len() <= EXTRA_LIST_MAX => {
            let pair = |(name, value): (&String, &Value)| {
                let name = Key::Text(name.clone().into_bytes());
                Key::List(vec![name, key(value, depth + 1)])
            };
            Key::map(map.iter().map(pair).collect())
        }
        Value::Array(_) | Value::Object(_) => Key::Bytes(value.to_string().into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(json: &str) -> Vec<Event> {
        let mut events = decode_trt(json.as_bytes()).expect("JSON");
        assert_eq!(events.len(), 1);
        events.remove(0).events.expect("an event")
    }

    #[test]
    fn blocks_of_another_size_or_level_continue_the_chain_in_an_event_of_their_own() {
        let events = decoded(
            r#"[{"event_id":1,"window_size":128,"data":{"type":"stored","parent_hash":null,"blocks":[
            {"type":"stored_block","block_hash":7,"cache_level":0,"priority":35,"mm_keys":[],"tokens":[
              {"type":"unique_token","token_id":1,"token_extra_id":0},{"type":"unique_token","token_id":2,"token_extra_id":0}]},
            {"block_hash":8,"cache_level":0,"tokens":[{"token_id":3},{"token_id":4}]},
            {"block_hash":9,"cache_level":1,"tokens":[{"token_id":5},{"token_id":6}]},
            {"block_hash":18446744073709551615,"cache_level":1,"tokens":[{"token_id":7}]}]}}]"#,
        );
        let parts: Vec<_> = events
            .into_iter()
            .map(|event| match event {
                Event::Stored(stored) => (
                    stored.parent,
                    stored.hashes.len(),
                    stored.tokens,
                    stored.place,
                ),
                other => panic!("{other:?}"),
            })
            .collect();
        let int = EngineHash::int;
        assert_eq!(
            parts,
            [
                (None, 2, vec![1, 2, 3, 4], Place::In(Tier::Device)),
                (Some(int(8)), 1, vec![5, 6], Place::In(Tier::Host)),
                (Some(int(9)), 1, vec![7], Place::In(Tier::Host)),
            ]
        );
    }

    #[test]
    fn a_changed_level_is_a_move_and_a_changed_priority_is_nothing() {
        let moved = decoded(
            r#"{"event_id":2,"data":{"type":"updated","block_hash":"ab","cache_level":{"type":"event_diff","new_value":1,"old_value":0},"priority":null}}"#,
        );
        let [Event::Moved(moved)] = moved[..] else {
            panic!("{moved:?}")
        };
        assert_eq!(
            (moved.hash, moved.from, moved.to),
            (
                EngineHash::bytes(b"ab"),
                Place::In(Tier::Device),
                Place::In(Tier::Host)
            )
        );
        let nothing = decoded(
            r#"{"event_id":3,"data":{"type":"updated","block_hash":5,"cache_level":null,"priority":{"new_value":1,"old_value":2}}}"#,
        );
        assert_eq!(nothing, []);
    }

    #[test]
    fn images_and_salts_are_told_apart_and_odd_events_spoil_no_others() {
        let events = decode_trt(
            br#"[{"event_id":0,"data":{"type":"created","num_blocks_per_cache_level":[8,2]},"window_size":16},
            {"event_id":1,"data":{"type":"stored","blocks":[{"tokens":[]}]}},
            {"event_id":2,"data":{"type":"shrunk"}}, 5,
            {"event_id":3,"attention_dp_rank":2,"data":{"type":"stored","parent_hash":-1,"blocks":[
              {"block_hash":1,"tokens":[{"token_id":1,"token_extra_id":9}],"cache_salt":"t","mm_keys":[{"type":"mm_key","hash":"ff","start_offset":0}]}]}},
            {"event_id":4,"data":{"type":"all_cleared"}}]"#,
        )
        .expect("JSON");
        assert_eq!(events[1].events, Err(EventError::BadStored));
        assert_eq!(events[2].events, Err(EventError::UnknownKind));
        assert_eq!(
            (events[3].id, &events[3].events),
            (None, &Err(EventError::NoKind))
        );
        assert_eq!(events[4].rank, Some(2));
        let Ok([Event::Stored(stored)]) = events[4].events.as_deref() else {
            panic!("{:?}", events[4])
        };
        assert_eq!(stored.parent, Some(EngineHash::int(u64::MAX)));
        assert_eq!(stored.salt.as_deref(), Some("t"));
        assert!(!stored.extra.is_empty());
        assert_eq!(events[5].events, Ok(vec![Event::Cleared]));
    }
}
