//! Bookkeeping by hand of the streams of real servers: all in order, nothing lost.

use std::collections::{BTreeMap, BTreeSet};

use engines::event::{Batch, EngineHash, Event, Stored};
use engines::source::namespace;
use radix_core::id::Tier;
use radix_core::page::FingerprintKey;

use crate::mesh::Held;

/// A block: its parent, its tokens, its path's salt.
type Known = (Option<EngineHash>, Vec<u32>, Option<String>);

/// A reader that knows one engine and one kind of stream: all in order, nothing lost, one copy of each block.
#[derive(Default)]
pub(crate) struct ByHand {
    blocks: BTreeMap<EngineHash, Known>,
    held: BTreeSet<EngineHash>,
}

impl ByHand {
    pub(crate) fn batch(&mut self, payload: &[u8]) {
        for event in Batch::open(payload).expect("a batch") {
            match event.expect("an event") {
                Event::Stored(stored) => self.stored(&stored),
                Event::Removed(removed) => removed.hashes.iter().for_each(|hash| {
                    self.held.remove(hash);
                }),
                Event::Cleared => self.held.clear(),
                other => panic!("no engine of these said {other:?}"),
            }
        }
    }

    fn stored(&mut self, stored: &Stored) {
        let mut parent = stored.parent;
        let blocks = stored.tokens.chunks(stored.block_size as usize);
        for (&hash, tokens) in stored.hashes.iter().zip(blocks) {
            self.blocks
                .insert(hash, (parent, tokens.to_vec(), stored.salt.clone()));
            self.held.insert(hash);
            parent = Some(hash);
        }
    }

    /// Returns what is held, by definition; paths without a salt are in `base`'s namespace.
    pub(crate) fn pages(&self, key: FingerprintKey, base: &str, page_size: usize) -> Held {
        let mut held = Held::new();
        for &hash in &self.held {
            let mut chain = Vec::new();
            let mut next = Some(hash);
            while let Some(hash) = next {
                chain.push(hash);
                next = self.blocks[&hash].0;
            }
            let (mut tokens, mut usable, mut salt) = (Vec::new(), Vec::new(), None);
            for hash in chain.iter().rev() {
                let (parent, own, own_salt) = &self.blocks[hash];
                tokens.extend(own);
                usable.extend(own.iter().map(|_| self.held.contains(hash)));
                if parent.is_none() {
                    salt = own_salt.clone();
                }
            }
            let root = namespace(key, base, None, salt.as_deref());
            let mut pages = Vec::new();
            key.pages(&tokens, page_size, &mut pages);
            // Pages that end before this block are held, or not, by the blocks before it.
            let before = tokens.len() - self.blocks[&hash].1.len();
            for end in before / page_size + 1..=pages.len() {
                if usable[(end - 1) * page_size..end * page_size]
                    .iter()
                    .all(|&held| held)
                {
                    let path = (root, pages[..end].to_vec());
                    held.entry(path).or_default().insert(Tier::Device);
                }
            }
        }
        held
    }
}
