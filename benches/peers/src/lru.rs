//! The cache of one worker: blocks in a tree, the least recently used leaf goes first. Each block is named by the
//! hash of the path that it ends.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

struct Block {
    parent: Option<u64>,
    children: u32,
    used: u64,
}

/// The blocks that one worker holds.
#[derive(Default)]
pub(crate) struct Lru {
    blocks: FxHashMap<u64, Block>,
    /// Leaves by last use.
    leaves: BTreeSet<(u64, u64)>,
    clock: u64,
}

impl Lru {
    /// Returns the names of all blocks, sorted.
    pub(crate) fn names(&self) -> Vec<u64> {
        let mut names: Vec<u64> = self.blocks.keys().copied().collect();
        names.sort_unstable();
        names
    }

    /// Marks a block as used now. Returns whether it is held.
    pub(crate) fn touch(&mut self, name: u64) -> bool {
        let Some(block) = self.blocks.get_mut(&name) else {
            return false;
        };
        self.clock += 1;
        let before = std::mem::replace(&mut block.used, self.clock);
        if block.children == 0 {
            self.leaves.remove(&(before, name));
            self.leaves.insert((self.clock, name));
        }
        true
    }

    /// Adds a block behind one that is held. Panics: when it is held itself.
    pub(crate) fn insert(&mut self, name: u64, parent: Option<u64>) {
        self.clock += 1;
        if let Some(parent) = parent {
            let block = self.held(parent);
            block.children += 1;
            let used = block.used;
            self.leaves.remove(&(used, parent));
        }
        let block = Block {
            parent,
            children: 0,
            used: self.clock,
        };
        let before = self.blocks.insert(name, block);
        assert!(before.is_none(), "block {name:x} is stored twice");
        self.leaves.insert((self.clock, name));
    }

    /// Drops leaves until at most `capacity` blocks are held; returns what went, in order.
    pub(crate) fn evict(&mut self, capacity: usize) -> Vec<u64> {
        let mut gone = Vec::new();
        while self.blocks.len() > capacity
            && let Some((_, name)) = self.leaves.pop_first()
        {
            gone.push(name);
            let parent = self.blocks.remove(&name).and_then(|block| block.parent);
            if let Some(parent) = parent {
                let block = self.held(parent);
                block.children -= 1;
                if block.children == 0 {
                    let used = block.used;
                    self.leaves.insert((used, parent));
                }
            }
        }
        gone
    }

    fn held(&mut self, name: u64) -> &mut Block {
        self.blocks
            .get_mut(&name)
            .expect("a block goes before its parent")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_leaf_goes_first_and_a_parent_only_after_its_children() {
        let mut lru = Lru::default();
        lru.insert(1, None);
        lru.insert(2, Some(1));
        lru.insert(3, Some(1));
        assert!(lru.touch(2));
        assert_eq!(lru.evict(2), [3]);
        assert!(!lru.touch(3));
        assert_eq!(lru.evict(0), [2, 1]);
    }
}
