//! Pages and their fingerprints. A page is `page_size` tokens; inside the tree it is one 64-bit
//! keyed hash of those tokens alone. The path supplies the chain.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::id::Namespace;

/// The 64-bit keyed local hash of one page's tokens. Unit: one page.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
#[repr(transparent)]
pub struct Fingerprint(pub u64);

/// The cluster's secret seed for fingerprints. There is no default: the caller injects it.
///
/// All nodes of a cluster must agree on it; [`FingerprintKey::id`] can be compared without telling it.
/// Source: XXH3-64 with a seed (<https://github.com/Cyan4973/xxHash>).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FingerprintKey(u64);

impl FingerprintKey {
    /// Wraps a secret.
    #[must_use]
    pub const fn new(secret: u64) -> Self {
        FingerprintKey(secret)
    }

    /// Returns a value that is equal for equal keys and does not reveal the key.
    #[must_use]
    pub fn id(self) -> u64 {
        xxh3_64_with_seed(b"radixmesh fingerprint key id", self.0)
    }

    /// Returns the fingerprint of one page. Units: `tokens` are token ids.
    #[must_use]
    pub fn page(self, tokens: &[u32]) -> Fingerprint {
        let mut bytes = [0u8; PAGE_BYTES_ON_STACK];
        let len = tokens.len() * 4;
        if len <= PAGE_BYTES_ON_STACK {
            for (chunk, token) in bytes.chunks_exact_mut(4).zip(tokens) {
                chunk.copy_from_slice(&token.to_le_bytes());
            }
            Fingerprint(xxh3_64_with_seed(&bytes[..len], self.0))
        } else {
            let bytes: Vec<u8> = tokens
                .iter()
                .flat_map(|token| token.to_le_bytes())
                .collect();
            Fingerprint(xxh3_64_with_seed(&bytes, self.0))
        }
    }

    /// Appends the fingerprints of all whole pages of `tokens` to `out`; a partial last page is left out.
    ///
    /// Panics: when `page_size` is 0.
    pub fn pages(self, tokens: &[u32], page_size: usize, out: &mut Vec<Fingerprint>) {
        assert!(page_size > 0, "page_size is at least 1 token");
        out.extend(tokens.chunks_exact(page_size).map(|page| self.page(page)));
    }

    /// Returns the namespace of a name such as `"model=llama;lora=;salt="`. The empty name is the default one.
    #[must_use]
    pub fn namespace(self, name: &str) -> Namespace {
        if name.is_empty() {
            Namespace::DEFAULT
        } else {
            Namespace(xxh3_64_with_seed(
                name.as_bytes(),
                self.0 ^ NAMESPACE_DOMAIN,
            ))
        }
    }
}

impl std::fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FingerprintKey(id {:016x})", self.id())
    }
}

/// Pages up to this many bytes (64 tokens) are hashed without allocating.
const PAGE_BYTES_ON_STACK: usize = 256;
/// Separates namespace names from token bytes under the same key.
const NAMESPACE_DOMAIN: u64 = 0x6e61_6d65_7370_6163;
