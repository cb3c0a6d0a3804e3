//! The chain digest: one number that stands for every byte of a log so far.

use radix_core::id::OriginId;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// 64-bit XXH3 over the encoded ops of one log, each hash seeded with the one before.
///
/// It sees op bytes only, so how the ops were cut into batches does not matter.
/// It finds faults, not forgers: it is not cryptographic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain(u64);

impl Chain {
    /// The digest of the empty log of `origin`.
    // spec: OPLOG-12
    #[must_use]
    pub fn start(origin: OriginId) -> Chain {
        let mut bytes = [0; 10];
        bytes[..2].copy_from_slice(&origin.rank.0.to_le_bytes());
        bytes[2..].copy_from_slice(&origin.inc.0.to_le_bytes());
        Chain(xxh3_64(&bytes))
    }

    /// Takes over a digest, as a snapshot carries it.
    #[must_use]
    pub fn resume(digest: u64) -> Chain {
        Chain(digest)
    }

    /// Adds one encoded op.
    pub fn push(&mut self, op: &[u8]) {
        self.0 = xxh3_64_with_seed(op, self.0);
    }

    /// The digest so far.
    #[must_use]
    pub fn digest(self) -> u64 {
        self.0
    }
}
