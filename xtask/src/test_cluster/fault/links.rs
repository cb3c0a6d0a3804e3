//! What makes the links between nodes suffer: a proxy in front of each, or the system's own network.

use std::path::PathBuf;

use radixmeshd::cluster::Cluster;

use super::super::netns::Netns;
use super::proxies::Proxies;
use super::schedule::Fault;

/// See the module.
#[derive(Debug)]
pub(crate) enum Links {
    /// Nothing can be done to them.
    Plain,
    /// User space: streams break, stall and slow down, packets are never lost.
    Proxies(Proxies),
    /// A network namespace for each node: packets are lost.
    Netns(Netns),
}

impl Links {
    /// Returns the file with the token of the admin ports, where they have one.
    pub(crate) fn token(&self) -> Option<PathBuf> {
        match self {
            Links::Netns(netns) => Some(netns.token()),
            Links::Plain | Links::Proxies(_) => None,
        }
    }

    /// Lets links work to all nodes that a cluster has now.
    ///
    /// Errors: the address of a node is none.
    pub(crate) fn aim(&self, cluster: &Cluster) -> anyhow::Result<()> {
        match self {
            Links::Proxies(proxies) => proxies.aim(cluster),
            Links::Plain | Links::Netns(_) => Ok(()),
        }
    }

    /// Makes the links suffer what these faults do to them, and nothing else.
    ///
    /// Errors: a command of the system failed.
    pub(crate) async fn apply(&self, faults: &[&Fault]) -> anyhow::Result<()> {
        match self {
            Links::Plain => Ok(()),
            Links::Proxies(proxies) => {
                proxies.apply(faults);
                Ok(())
            }
            Links::Netns(netns) => netns.apply(faults).await,
        }
    }
}
