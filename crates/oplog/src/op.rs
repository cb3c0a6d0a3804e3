//! Ops, the words of a log, and what makes one valid. How they travel is in [`batch`](crate::batch).

use radix_core::id::{CopyRange, Namespace, Seq, SourceId, Tier};
use radix_core::page::Fingerprint;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::limits::{OP_PAGES_MAX, OP_RANGES_MAX, PATH_PAGES_MAX};

/// Pages of one op or path; on the wire 8 bytes each, little endian, behind a varint byte count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages(pub Vec<Fingerprint>);

/// Where an insert continues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Parent {
    /// At the first page of a namespace.
    Root(Namespace),
    /// Behind a live copy of this same log.
    Copy {
        /// The insert op that named the copy.
        seq: Seq,
        /// The page inside that op.
        idx: u16,
    },
    /// Behind a path of which this log holds no last page: the only form that costs the whole prefix.
    Path {
        /// The namespace the path begins in.
        namespace: Namespace,
        /// The path's pages from the root.
        pages: Pages,
    },
}

/// "I now hold the KV of these pages." The copy of page `i` is named `(seq of this op, i)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Insert {
    /// The engine that holds them.
    pub source: SourceId,
    /// Where their bytes lie.
    pub tier: Tier,
    /// What they continue.
    pub parent: Parent,
    /// The new pages: 1 ..= [`OP_PAGES_MAX`].
    pub pages: Pages,
}

/// One entry of a log. Append only: new kinds go to the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Copies are born.
    Insert(Insert),
    /// Copies die. Ranges that name no live copy are skipped.
    Remove {
        /// Which.
        copies: Vec<CopyRange>,
    },
    /// Every copy of one source dies: its engine restarted or cleared its cache.
    ResetSource {
        /// Which source.
        source: SourceId,
    },
    /// What the origin's replica looked like after the op before this one.
    Checkpoint {
        /// Chain digest of the log up to the op before.
        chain: u64,
        /// Set digest of the origin's live copies.
        set: u64,
    },
}

/// Why an op may not stand in a log.
///
/// State: unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OpError {
    /// An insert of no pages, a path of no pages, or a remove of no ranges: it would say nothing.
    #[error("an op names at least one page or range")]
    Empty,
    /// More pages than [`OP_PAGES_MAX`].
    #[error("{pages} pages exceed {OP_PAGES_MAX} per insert")]
    TooManyPages {
        /// As given.
        pages: usize,
    },
    /// A spelled-out path longer than [`PATH_PAGES_MAX`].
    #[error("a path of {pages} pages exceeds {PATH_PAGES_MAX}")]
    PathTooLong {
        /// As given.
        pages: usize,
    },
    /// More ranges than [`OP_RANGES_MAX`].
    #[error("{ranges} ranges exceed {OP_RANGES_MAX} per remove")]
    TooManyRanges {
        /// As given.
        ranges: usize,
    },
    /// A range of no copies, or one that no insert can have named.
    #[error("range of {len} copies at {seq}.{idx} names nothing an insert can name")]
    Range {
        /// The insert op named.
        seq: Seq,
        /// First page.
        idx: u16,
        /// Pages.
        len: u16,
    },
}

impl Op {
    /// Checks the limits that every replica checks before it applies.
    ///
    /// Errors: [`OpError`]. Cost: O(ranges).
    // spec: OPLOG-2
    pub fn check(&self) -> Result<(), OpError> {
        match self {
            Op::Insert(insert) => {
                if let Parent::Path { pages, .. } = &insert.parent {
                    match pages.0.len() {
                        0 => return Err(OpError::Empty),
                        1..=PATH_PAGES_MAX => {}
                        pages => return Err(OpError::PathTooLong { pages }),
                    }
                }
                match insert.pages.0.len() {
                    0 => Err(OpError::Empty),
                    1..=OP_PAGES_MAX => Ok(()),
                    pages => Err(OpError::TooManyPages { pages }),
                }
            }
            Op::Remove { copies } => {
                match copies.len() {
                    0 => return Err(OpError::Empty),
                    1..=OP_RANGES_MAX => {}
                    ranges => return Err(OpError::TooManyRanges { ranges }),
                }
                let wrong = |range: &&CopyRange| {
                    range.seq == Seq::ZERO
                        || range.len == 0
                        || usize::from(range.idx) + usize::from(range.len) > OP_PAGES_MAX
                };
                match copies.iter().find(wrong) {
                    Some(&CopyRange { seq, idx, len }) => Err(OpError::Range { seq, idx, len }),
                    None => Ok(()),
                }
            }
            Op::ResetSource { .. } | Op::Checkpoint { .. } => Ok(()),
        }
    }

    /// Appends the op's bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        *out = postcard::to_extend(self, std::mem::take(out))
            .expect("a Vec grows, and every length in an op is known");
    }
}

/// Pages that are written without allocating.
const PAGES_ON_STACK: usize = 64;

impl Serialize for Pages {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut stack = [0; PAGES_ON_STACK * 8];
        if let Some(bytes) = stack.get_mut(..self.0.len() * 8) {
            for (bytes, page) in bytes.chunks_exact_mut(8).zip(&self.0) {
                bytes.copy_from_slice(&page.0.to_le_bytes());
            }
            return serializer.serialize_bytes(bytes);
        }
        let bytes: Vec<u8> = self
            .0
            .iter()
            .flat_map(|page| page.0.to_le_bytes())
            .collect();
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Pages {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Pages;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes, eight for each page")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Pages, E> {
                let (pages, rest) = bytes.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(E::invalid_length(bytes.len(), &self));
                }
                Ok(Pages(
                    pages
                        .iter()
                        .map(|page| Fingerprint(u64::from_le_bytes(*page)))
                        .collect(),
                ))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}
