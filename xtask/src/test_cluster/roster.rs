//! Who is there: a client of each node, by rank. Nodes come and go while requests are under way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use radixmeshd::client::Client;
use radixmeshd::cluster::Cluster;

/// Clones share what they know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roster(Arc<Mutex<BTreeMap<u16, Client>>>);

impl Roster {
    /// Returns the roster of all nodes of a cluster.
    pub(crate) fn of(cluster: &Cluster) -> Roster {
        let roster = Roster::default();
        for rank in 0..cluster.len() {
            roster.set(rank, cluster.client(rank).clone());
        }
        roster
    }

    /// Notes where a node is reached from now on.
    pub(crate) fn set(&self, rank: u16, client: Client) {
        self.lock().insert(rank, client);
    }

    /// Notes that a node is gone for good.
    pub(crate) fn remove(&self, rank: u16) {
        self.lock().remove(&rank);
    }

    /// Returns a client of a node, if there is one.
    pub(crate) fn get(&self, rank: u16) -> Option<Client> {
        self.lock().get(&rank).cloned()
    }

    /// Returns all of them.
    pub(crate) fn all(&self) -> BTreeMap<u16, Client> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u16, Client>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
