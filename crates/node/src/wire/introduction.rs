//! What a node says that wants to join, and what it is answered. Both travel inside a handshake of the
//! transport, before there is a link; rank and life of the joiner are those of the handshake.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use topology::limits::{ADDRESS_BYTES_MAX, MEMBERS_MAX};
use topology::{IntroduceError, Record, Role, bounded};

use super::{VERSION, WireError, head, whole};

/// Longest explanation of a refusal. Unit: bytes.
pub const WHY_BYTES_MAX: usize = 1_024;

const KIND_INTRODUCTION: u8 = 8;
const KIND_ANSWER: u8 = 9;

/// "I want to join, and this is where I am dialed."
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// What the node will do.
    pub role: Role,
    /// Where it is dialed.
    pub address: String,
}

/// What a joiner is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Every member known, the joiner among them, with the life that it shall take.
    Welcome(#[serde(deserialize_with = "records")] Vec<Record>),
    /// It may not join.
    Refused {
        /// Whether it may be otherwise soon: the rank's holder may be dead and not found so yet.
        retry: bool,
        /// Why, for people.
        why: String,
    },
}

impl From<Result<Vec<Record>, IntroduceError>> for Answer {
    fn from(result: Result<Vec<Record>, IntroduceError>) -> Answer {
        match result {
            Ok(records) => Answer::Welcome(records),
            Err(error) => Answer::Refused {
                retry: matches!(
                    error,
                    IntroduceError::RankTaken { .. } | IntroduceError::Leaving
                ),
                why: error.to_string(),
            },
        }
    }
}

fn records<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Record>, D::Error> {
    bounded::list(from, MEMBERS_MAX)
}

/// Encodes what a joiner says.
#[must_use]
pub fn encode_introduction(introduction: &Introduction) -> Bytes {
    head(KIND_INTRODUCTION, introduction).into()
}

/// Decodes what a joiner says.
///
/// Errors: [`WireError`], for an address longer than [`ADDRESS_BYTES_MAX`], too; never panics on any input.
pub fn decode_introduction(bytes: &[u8]) -> Result<Introduction, WireError> {
    let kind = "introduction";
    let introduction: Introduction = whole(kind, fields(KIND_INTRODUCTION, bytes)?)?;
    if introduction.address.len() > ADDRESS_BYTES_MAX {
        return Err(WireError::Fields { kind });
    }
    Ok(introduction)
}

/// Encodes what a joiner is answered.
#[must_use]
pub fn encode_answer(answer: &Answer) -> Bytes {
    head(KIND_ANSWER, answer).into()
}

/// Decodes what a joiner is answered.
///
/// Errors: [`WireError`], for more or longer parts than the limits, too; never panics on any input.
pub fn decode_answer(bytes: &[u8]) -> Result<Answer, WireError> {
    let kind = "answer";
    let answer: Answer = whole(kind, fields(KIND_ANSWER, bytes)?)?;
    let fits = match &answer {
        Answer::Welcome(records) => records
            .iter()
            .all(|record| record.address.len() <= ADDRESS_BYTES_MAX),
        Answer::Refused { why, .. } => why.len() <= WHY_BYTES_MAX,
    };
    if fits {
        Ok(answer)
    } else {
        Err(WireError::Fields { kind })
    }
}

fn fields(expected: u8, bytes: &[u8]) -> Result<&[u8], WireError> {
    match *bytes {
        [version, ..] if version != VERSION && bytes.len() >= 2 => {
            Err(WireError::Version { version })
        }
        [_, kind, ref fields @ ..] if kind == expected => Ok(fields),
        [_, kind, ..] => Err(WireError::Kind { kind }),
        [] | [_] => Err(WireError::Short { len: bytes.len() }),
    }
}
