//! Names of prefixes: one 128-bit hash for a namespace and the pages from its root. Equal prefixes have equal keys,
//! and two different ones never do in practice, so the model needs no tree.

use radix_core::Fingerprint;
use radix_core::id::Namespace;
use xxhash_rust::xxh3::xxh3_128;

/// The name of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(u128);

impl Key {
    /// Returns the name of the empty prefix of a namespace.
    pub(crate) fn root(namespace: Namespace) -> Key {
        Key(xxh3_128(&namespace.0.to_le_bytes()))
    }

    /// Returns the name of this prefix with one more page.
    pub(crate) fn then(self, page: Fingerprint) -> Key {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&self.0.to_le_bytes());
        bytes[16..].copy_from_slice(&page.0.to_le_bytes());
        Key(xxh3_128(&bytes))
    }

    /// Returns the names of this prefix with one more page, two more pages, and so on.
    pub(crate) fn walk(self, pages: &[Fingerprint]) -> impl Iterator<Item = Key> {
        pages.iter().scan(self, |at, &page| {
            *at = at.then(page);
            Some(*at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_depends_on_namespace_pages_and_order_alone() {
        let keys = |namespace, pages: &[u64]| {
            let pages: Vec<Fingerprint> = pages.iter().copied().map(Fingerprint).collect();
            Key::root(Namespace(namespace))
                .walk(&pages)
                .collect::<Vec<_>>()
        };
        assert_eq!(keys(0, &[1, 2, 3])[..2], keys(0, &[1, 2, 9])[..2]);
        assert_ne!(keys(0, &[1, 2])[1], keys(0, &[2, 1])[1]);
        assert_ne!(keys(0, &[1]), keys(1, &[1]));
        assert_ne!(keys(0, &[1, 1])[0], keys(0, &[1, 1])[1]);
    }
}
