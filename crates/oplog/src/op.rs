//! Ops, the words of a log, and batches, the unit in which they travel.

use bytes::Bytes;
use radix_core::id::{CopyRange, Namespace, OriginId, Seq, SourceId, Tier};
use radix_core::page::Fingerprint;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

/// Consecutive ops of one log, encoded once by the origin and relayed verbatim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The log.
    pub origin: OriginId,
    /// Sequence of the first op.
    pub first: Seq,
    /// How many ops: at least 1.
    pub count: u32,
    /// The encoded ops, one behind the other.
    pub ops: Bytes,
}

impl Serialize for Pages {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(self.0.len() * 8);
        for page in &self.0 {
            bytes.extend_from_slice(&page.0.to_le_bytes());
        }
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
                Ok(Pages(pages.iter().map(|page| Fingerprint(u64::from_le_bytes(*page))).collect()))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}
