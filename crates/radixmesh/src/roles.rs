//! What role every rank has now: what the role in a peer's certificate is compared with. The running node keeps it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use radix_core::id::Rank;
use topology::Role;
use transport::NodeId;

/// A table that one thread writes and handshakes read. Clones are the same table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roles(Arc<ArcSwap<BTreeMap<Rank, Role>>>);

impl Roles {
    pub(crate) fn set(&self, roles: impl IntoIterator<Item = (Rank, Role)>) {
        self.0.store(Arc::new(roles.into_iter().collect()));
    }

    /// Returns the role of a node; `None` where it is no member that is known, so that nothing can differ.
    pub(crate) fn of(&self, node: NodeId) -> Option<String> {
        let rank = Rank(u16::try_from(node.0).ok()?);
        self.0.load().get(&rank).map(ToString::to_string)
    }
}
