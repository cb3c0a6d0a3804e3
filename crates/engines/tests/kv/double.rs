//! An engine with its publisher, made up: blocks that share prefixes, copies, tiers, groups, salts, restarts; and a
//! way that loses, repeats and cuts off.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use engines::event::Lora;
use engines::event::encode::{Dialect, Say};
use engines::source::namespace;
use fastrand::Rng;
use radix_core::id::{Namespace, Tier};
use radix_core::page::FingerprintKey;

use crate::mesh::Held;

pub(crate) const KEY: FingerprintKey = FingerprintKey::new(99);
const FULL: &str = "full_attention";
const SLIDING: &str = "sliding_window";

/// A path's adapter and salt.
type Scope = (Option<&'static str>, Option<&'static str>);

#[derive(Clone, Debug)]
struct Known {
    parent: Option<u64>,
    tokens: Vec<u32>,
    scope: Scope,
}

/// What an engine is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) dialect: Dialect,
    pub(crate) block_size: usize,
    pub(crate) page_size: u16,
    /// Batches that its publisher can replay.
    pub(crate) buffer: usize,
}

/// The engine.
#[derive(Debug)]
pub(crate) struct Double {
    pub(crate) shape: Shape,
    pub(crate) rng: Rng,
    life: u64,
    blocks: BTreeMap<u64, Known>,
    /// Copies by (group, tier, block).
    copies: BTreeMap<(u32, Tier, u64), u32>,
    pub(crate) seq: u64,
    pub(crate) buffer: VecDeque<(u64, Vec<u8>)>,
}

impl Double {
    pub(crate) fn new(shape: Shape, seed: u64) -> Self {
        Double {
            shape,
            rng: Rng::with_seed(seed),
            life: 0,
            blocks: BTreeMap::new(),
            copies: BTreeMap::new(),
            seq: 0,
            buffer: VecDeque::new(),
        }
    }

    /// Another process: nothing is held, numbers begin again, and names may be others.
    pub(crate) fn restart(&mut self) {
        self.life += u64::from(self.rng.bool());
        self.blocks.clear();
        self.copies.clear();
        self.seq = 0;
        self.buffer.clear();
    }

    /// One step of the scheduler: a batch that was numbered and kept for replay.
    pub(crate) fn step(&mut self) -> (u64, Vec<u8>) {
        let mut says = Vec::new();
        for _ in 0..self.rng.usize(1..4) {
            self.act(&mut says);
        }
        let mut payload = Vec::new();
        self.shape.dialect.write(&says, 0, &mut payload);
        let batch = (self.seq, payload);
        self.seq += 1;
        self.buffer.push_back(batch.clone());
        if self.buffer.len() > self.shape.buffer {
            self.buffer.pop_front();
        }
        batch
    }

    fn act(&mut self, says: &mut Vec<Say>) {
        match self.rng.u32(0..100) {
            0..50 => self.compute(says),
            50..80 => self.evict(says),
            80..92 if self.shape.dialect.tells_medium() => self.offload(says),
            92..94 => says.push(Say::Unknown),
            94 => {
                self.copies.clear();
                says.push(Say::Cleared);
            }
            _ if self.shape.dialect.tells_group() => self.sliding(says),
            _ => self.compute(says),
        }
    }

    fn is_held(&self, group: u32, tier: Tier, block: u64) -> bool {
        self.copies.contains_key(&(group, tier, block))
    }

    /// Everything up to a block lies in the accelerator, so that a request can continue it.
    fn is_usable(&self, block: u64) -> bool {
        let mut next = Some(block);
        while let Some(block) = next {
            if !self.is_held(0, Tier::Device, block) {
                return false;
            }
            next = self.blocks[&block].parent;
        }
        true
    }

    /// A request: continues something, or begins anew.
    fn compute(&mut self, says: &mut Vec<Say>) {
        let size = self.shape.block_size;
        let whole = |double: &Double, block: u64| double.blocks[&block].tokens.len() == size;
        let usable: Vec<u64> = self
            .blocks
            .keys()
            .copied()
            .filter(|&block| whole(self, block) && self.is_usable(block))
            .collect();
        let mut parent = self
            .rng
            .choice(&usable)
            .copied()
            .filter(|_| self.rng.u8(0..4) > 0);
        let scope = match parent {
            Some(parent) => self.blocks[&parent].scope,
            None => self.scope(),
        };
        let first = parent;
        let (mut hashes, mut tokens) = (Vec::new(), Vec::new());
        let blocks = self.rng.usize(1..5);
        for block in 0..blocks {
            // Few different tokens, so that paths meet again. The last block may be a partial one.
            let partial = block + 1 == blocks && self.rng.u8(0..8) == 0;
            let len = if partial {
                self.rng.usize(1..=size)
            } else {
                size
            };
            let same = self.rng.u32(0..3);
            let own: Vec<u32> = (0..len)
                .map(|_| {
                    if self.rng.u8(0..6) == 0 {
                        self.rng.u32(0..70_000)
                    } else {
                        same
                    }
                })
                .collect();
            let hash = self.hash(parent, &own, scope);
            if self
                .blocks
                .get(&hash)
                .is_some_and(|known| known.tokens != own)
            {
                return;
            }
            self.blocks.insert(
                hash,
                Known {
                    parent,
                    tokens: own.clone(),
                    scope,
                },
            );
            hashes.push(hash);
            tokens.extend(own);
            parent = Some(hash);
        }
        self.say_stored(says, hashes, first, tokens, scope, Tier::Device, (0, FULL));
    }

    fn scope(&mut self) -> Scope {
        let dialect = self.shape.dialect;
        let lora = (dialect.fields >= 7 && self.rng.u8(0..6) == 0).then_some("sql");
        let salt = (dialect.tells_salt() && self.rng.u8(0..6) == 0).then_some("tenant");
        // Where a salt is a field of its own, adapters are extra keys of nothing.
        (lora, salt)
    }

    fn hash(&self, parent: Option<u64>, tokens: &[u32], scope: Scope) -> u64 {
        let mut words = vec![
            self.life as u32,
            scope.0.is_some().into(),
            scope.1.is_some().into(),
        ];
        if let Some(parent) = parent {
            words.extend([parent as u32, (parent >> 32) as u32]);
        }
        words.push(u32::MAX);
        words.extend(tokens);
        FingerprintKey::new(5).page(&words).0
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one event")]
    fn say_stored(
        &mut self,
        says: &mut Vec<Say>,
        hashes: Vec<u64>,
        parent: Option<u64>,
        tokens: Vec<u32>,
        scope: Scope,
        tier: Tier,
        group: (u32, &'static str),
    ) {
        for &hash in &hashes {
            *self.copies.entry((group.0, tier, hash)).or_default() += 1;
        }
        says.push(Say::Stored {
            hashes,
            parent,
            tokens,
            block_size: u32::try_from(self.shape.block_size).expect("small"),
            lora: scope.0.map(str::to_owned),
            salt: scope.1.map(str::to_owned),
            medium: medium(tier),
            group,
        });
    }

    /// One copy of some blocks goes; interior ones, too.
    fn evict(&mut self, says: &mut Vec<Say>) {
        let held: Vec<_> = self.copies.keys().copied().collect();
        let Some(&(group, tier, hash)) = self.rng.choice(&held) else {
            return;
        };
        let mut hashes = vec![hash];
        // Sometimes a leaf with what is before it, as one event or as several.
        while let Some(parent) = self.blocks[&hashes[hashes.len() - 1]].parent {
            if self.rng.bool() || !self.is_held(group, tier, parent) || hashes.contains(&parent) {
                break;
            }
            hashes.push(parent);
        }
        for &hash in &hashes {
            let copies = self.copies.get_mut(&(group, tier, hash)).expect("is held");
            *copies -= 1;
            if *copies == 0 {
                self.copies.remove(&(group, tier, hash));
            }
        }
        let medium = medium(tier);
        if self.rng.bool() {
            says.push(Say::Removed {
                hashes,
                medium,
                group,
            });
        } else {
            says.extend(hashes.into_iter().map(|hash| Say::Removed {
                hashes: vec![hash],
                medium,
                group,
            }));
        }
    }

    /// A block is copied to another tier, named only, or told whole.
    fn offload(&mut self, says: &mut Vec<Say>) {
        let device = |&(group, tier, hash): &(u32, Tier, u64)| {
            (group == 0 && tier == Tier::Device).then_some(hash)
        };
        let held: Vec<u64> = self.copies.keys().filter_map(device).collect();
        let Some(&hash) = self.rng.choice(&held) else {
            return;
        };
        let known = self.blocks[&hash].clone();
        let tier = if self.rng.bool() {
            Tier::Host
        } else {
            Tier::Disk
        };
        let tokens = if self.rng.bool() {
            known.tokens
        } else {
            Vec::new()
        };
        self.say_stored(
            says,
            vec![hash],
            known.parent,
            tokens,
            known.scope,
            tier,
            (0, FULL),
        );
    }

    /// Another group says something about the same names that concerns no prefix.
    fn sliding(&mut self, says: &mut Vec<Say>) {
        let names: Vec<u64> = self.blocks.keys().copied().collect();
        let Some(&hash) = self.rng.choice(&names) else {
            return;
        };
        let known = self.blocks[&hash].clone();
        says.push(Say::Stored {
            hashes: vec![hash],
            parent: known.parent,
            tokens: known.tokens,
            block_size: u32::try_from(self.shape.block_size).expect("small"),
            lora: None,
            salt: None,
            medium: "GPU",
            group: (1, SLIDING),
        });
        says.push(Say::Removed {
            hashes: vec![hash],
            medium: "GPU",
            group: 1,
        });
    }

    /// The pages that the engine holds, by definition.
    pub(crate) fn truth(&self) -> Held {
        let mut held = Held::new();
        let size = usize::from(self.shape.page_size);
        let blocks: BTreeSet<u64> = self.copies.keys().map(|&(_, _, block)| block).collect();
        for block in blocks {
            let (mut tokens, mut by, mut root) = (Vec::new(), Vec::new(), Namespace::DEFAULT);
            let mut next = Some(block);
            while let Some(block) = next {
                let known = &self.blocks[&block];
                tokens.splice(0..0, known.tokens.iter().copied());
                by.splice(0..0, known.tokens.iter().map(|_| block));
                root = root_of(known.scope);
                next = known.parent;
            }
            let mut pages = Vec::new();
            KEY.pages(&tokens, size, &mut pages);
            for end in 1..=pages.len() {
                for tier in Tier::ALL {
                    let over = &by[(end - 1) * size..end * size];
                    if over.iter().all(|&block| self.is_held(0, tier, block)) {
                        let path = (root, pages[..end].to_vec());
                        held.entry(path).or_default().insert(tier);
                    }
                }
            }
        }
        held
    }
}

fn root_of((lora, salt): Scope) -> Namespace {
    let lora = lora.map(|name| Lora::Name(name.to_owned()));
    namespace(KEY, "", lora.as_ref(), salt)
}

fn medium(tier: Tier) -> &'static str {
    match tier {
        Tier::Device => "GPU",
        Tier::Host => "CPU",
        Tier::Disk => "DISK",
    }
}
