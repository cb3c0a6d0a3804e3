//! What a mesh would make of a source's commands, literally: every page by its whole path.

use std::collections::{BTreeMap, BTreeSet};

use engines::source::{Command, Output};
use radix_core::id::{Namespace, Tier};
use radix_core::page::Fingerprint;

/// Whole path of a page -> the tiers where it is held.
pub(crate) type Held = BTreeMap<(Namespace, Vec<Fingerprint>), BTreeSet<Tier>>;

/// The copies of one source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mesh {
    pub(crate) held: Held,
}

impl Mesh {
    /// Applies the publishes among outputs. A source never says what the mesh knows already.
    pub(crate) fn apply(&mut self, outputs: &[Output]) {
        for output in outputs {
            let Output::Publish(command) = output else {
                continue;
            };
            match command {
                Command::Store {
                    namespace,
                    tier,
                    pages,
                    from,
                    ..
                } => {
                    assert!((*from as usize) < pages.len(), "a publish is about a page");
                    for end in *from as usize + 1..=pages.len() {
                        let path = (*namespace, pages[..end].to_vec());
                        let new = self.held.entry(path).or_default().insert(*tier);
                        assert!(new, "stored twice");
                    }
                }
                Command::Evict {
                    namespace,
                    pages,
                    from,
                    ..
                } => {
                    assert!((*from as usize) < pages.len(), "a publish is about a page");
                    for end in *from as usize + 1..=pages.len() {
                        let path = (*namespace, pages[..end].to_vec());
                        assert!(
                            self.held.remove(&path).is_some(),
                            "evicted what is not held"
                        );
                    }
                }
                Command::Reset { .. } => self.held.clear(),
            }
        }
    }
}
