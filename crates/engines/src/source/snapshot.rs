//! What a node keeps of a source over its own restart: small, and enough to go on from.
//!
//! The engine's names of its blocks, the pages they mean, and the last batch. A restored source publishes nothing until
//! the publisher is seen to be the one it was; then it publishes all of it.

use radix_core::id::{Namespace, Tier};
use radix_core::page::Fingerprint;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::event::EngineHash;
use crate::limits::{BLOCK_TOKENS_MAX, GROUPS_MAX, PATH_PAGES_MAX};
use crate::source::block::{Block, Mark, NONE};
use crate::source::forest::{At, Forest};
use crate::source::names::Slot;
use crate::source::output::Cause;
use crate::source::refs::{Ref, Refs};
use crate::source::sequence::Last;
use crate::source::{Source, SourceConfig};

/// The layout of [`SourceSnapshot`]. A snapshot with another number is refused.
const FORMAT: u16 = 1;

/// What is remembered of one source; about 30 bytes a block in a compact encoding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceSnapshot {
    format: u16,
    key_id: u64,
    page_size: u16,
    namespace: String,
    degraded: bool,
    window_max: u64,
    /// The last batch and the digest of its payload.
    last: Option<(u64, Option<u64>)>,
    /// Parents before what continues them.
    blocks: Vec<BlockRecord>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct BlockRecord {
    /// `None` when another block has its name by now.
    name: Option<EngineHash>,
    /// The record of its parent, counted from 1; 0 at the root.
    parent: u32,
    /// At the root; otherwise the parent's.
    namespace: Namespace,
    len: u32,
    pages: Vec<Fingerprint>,
    tail: Vec<u32>,
    extra: u64,
    /// Group, tier, count.
    refs: Vec<(u8, u8, u32)>,
}

/// Why a snapshot cannot be gone on from. The source begins anew instead, and asks for all that its publisher remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// It was written by another release.
    ///
    /// State: no source was made.
    #[error("a snapshot of format {found}; this release reads {FORMAT}")]
    Format {
        /// Its format.
        found: u16,
    },
    /// It was written under another fingerprint key, page size or namespace: its pages mean nothing here.
    ///
    /// State: no source was made.
    #[error("the snapshot is of another configuration")]
    Configuration,
    /// It has more blocks than the source may remember.
    ///
    /// State: no source was made.
    #[error("a snapshot of {blocks} blocks; at most {blocks_max} may be remembered")]
    TooLong {
        /// As many it has.
        blocks: usize,
        /// As many may be.
        blocks_max: usize,
    },
    /// It contradicts itself.
    ///
    /// State: no source was made.
    #[error("block {block} of the snapshot contradicts what is before it")]
    Corrupt {
        /// Its place.
        block: usize,
    },
}

impl Source {
    /// Returns what to keep. Batches behind a gap and orphans are not in it: a replay brings them again.
    ///
    /// Cost: O(blocks). Write it less often than each second, but several times within what the publisher can replay
    /// (10,000 batches by default).
    #[must_use]
    pub fn snapshot(&self) -> SourceSnapshot {
        SourceSnapshot {
            format: FORMAT,
            key_id: self.config.key.id(),
            page_size: self.config.page_size,
            namespace: self.config.namespace.clone(),
            degraded: self.degraded,
            window_max: self.window_max,
            last: self.sequence.last.map(|last| (last.seq, last.digest)),
            blocks: self.forest.records(),
        }
    }

    /// Goes on from a snapshot. The first tick asks whether the publisher is still the one it was.
    ///
    /// Errors: [`SnapshotError`].
    pub fn restore(
        config: SourceConfig,
        snapshot: &SourceSnapshot,
    ) -> Result<Source, SnapshotError> {
        if snapshot.format != FORMAT {
            return Err(SnapshotError::Format {
                found: snapshot.format,
            });
        }
        if (snapshot.key_id, snapshot.page_size) != (config.key.id(), config.page_size)
            || snapshot.namespace != config.namespace
        {
            return Err(SnapshotError::Configuration);
        }
        let mut source = Source::new(config);
        source.forest.restore(&snapshot.blocks)?;
        let last = snapshot.last.map(|(seq, digest)| Last { seq, digest });
        source.sequence.resume(last);
        source.degraded = snapshot.degraded;
        source.window_max = snapshot.window_max;
        source.proved = last.is_none();
        source.cause = Cause::Began;
        Ok(source)
    }
}

impl Forest {
    fn records(&self) -> Vec<BlockRecord> {
        let mut records = Vec::with_capacity(self.len());
        let roots = (0..self.blocks.len()).filter_map(|slot| {
            let slot = Slot::try_from(slot).expect("slots are 32 bits wide");
            let block = self.get(slot);
            let root = block.parent == NONE && !block.is(Mark::FREE) && !block.is(Mark::ORPHAN);
            root.then_some((slot, 0))
        });
        let mut found: Vec<(Slot, u32)> = Vec::new();
        for root in roots {
            found.push(root);
            while let Some((slot, parent)) = found.pop() {
                records.push(self.record(slot, parent));
                let parent = u32::try_from(records.len()).expect("slots are 32 bits wide");
                found.extend(self.children(slot).into_iter().map(|child| (child, parent)));
            }
        }
        records
    }

    fn record(&self, slot: Slot, parent: u32) -> BlockRecord {
        let block = self.get(slot);
        let counts = |refs: &Refs| {
            let counted = refs.iter().filter(|entry| entry.is_some());
            counted
                .map(|entry| (entry.group, entry.tier as u8, entry.count))
                .collect()
        };
        BlockRecord {
            name: self.owns_its_name(slot).then_some(block.name),
            parent,
            namespace: if parent == 0 {
                self.pages.namespace(block.page)
            } else {
                Namespace::DEFAULT
            },
            len: block.len,
            pages: self.pages.last(block.page, block.pages),
            tail: block.tail().to_vec(),
            extra: block.extra(),
            refs: block.refs(self.present()).map(counts).unwrap_or_default(),
        }
    }

    fn restore(&mut self, records: &[BlockRecord]) -> Result<(), SnapshotError> {
        let blocks_max = self.blocks_max();
        if records.len() > blocks_max {
            return Err(SnapshotError::TooLong {
                blocks: records.len(),
                blocks_max,
            });
        }
        for (at, record) in records.iter().enumerate() {
            self.restore_one(at, record)
                .ok_or(SnapshotError::Corrupt { block: at })?;
        }
        Ok(())
    }

    /// Blocks are restored into an empty forest in order, so record `n` is slot `n`.
    fn restore_one(&mut self, number: usize, record: &BlockRecord) -> Option<()> {
        let parent = match record.parent {
            0 => NONE,
            parent => parent - 1,
        };
        let (start, depth, at) = if parent == NONE {
            (0, 0, At::Root(record.namespace))
        } else {
            let before = self.blocks.get(parent as usize)?;
            let depth = self.pages.depth(before.page);
            (before.end(), depth, At::Under(parent))
        };
        let end = start.checked_add(record.len)?;
        let pages = u32::try_from(record.pages.len()).ok()?;
        let tail = u32::try_from(record.tail.len()).ok()?;
        let page_size = self.page_size();
        let sound = record.len > 0
            && record.len <= BLOCK_TOKENS_MAX
            && pages == end / page_size - start / page_size
            && tail
                == if pages == 0 {
                    record.len
                } else {
                    end % page_size
                };
        let short = depth.checked_add(pages)? <= PATH_PAGES_MAX;
        let new = record.name.is_none_or(|name| !self.is_named(name));
        if !(sound && short && new) {
            return None;
        }
        let mut block = Block::new(record.name.unwrap_or(EngineHash::int(0)), record.len);
        block.start = start;
        block.page = self.page_below(at, &record.pages);
        block.pages = pages;
        block.set_rare(record.tail.clone().into_boxed_slice(), record.extra, None);
        let slot = self.restore_block(block, parent, record.name)?;
        (slot as usize == number).then_some(())?;
        for &(group, tier, count) in &record.refs {
            let tier = *Tier::ALL.get(usize::from(tier))?;
            let known = |entry: &Ref| entry.group == group && entry.tier == tier;
            if u32::from(group) >= GROUPS_MAX || self.refs(slot).iter().any(known) {
                return None;
            }
            self.refs(slot).set(Ref { group, tier, count });
        }
        Some(())
    }
}
