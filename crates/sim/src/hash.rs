//! One number for everything that happened so far.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The hash of a trace. Two runs with equal hashes went the same way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TraceHash(u64);

impl TraceHash {
    /// Adds a few numbers.
    pub(crate) fn words<const N: usize>(&mut self, words: [u64; N]) {
        for word in words {
            // One round of a multiply-and-fold: cheap, and every bit matters.
            let product = u128::from(self.0 ^ word ^ 0x9e37_79b9_7f4a_7c15)
                * u128::from(0xd6e8_feb8_6659_fd93_u64 ^ self.0.rotate_left(32));
            self.0 = (product as u64) ^ ((product >> 64) as u64);
        }
    }

    /// Adds bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    pub(crate) fn value(self) -> u64 {
        self.0
    }
}
