//! A proxy in front of every link between two nodes, all in a thread of their own.

use std::collections::BTreeMap;

use anyhow::Context;
use faultnet::{Condition, Proxy};
use radixmeshd::cluster::Cluster;
use tokio::runtime::{Builder, Runtime};

use super::schedule::Fault;

/// The proxies of a cluster, by the ranks of who dials and who is dialed. Of two nodes the lower rank dials.
#[derive(Debug)]
pub(crate) struct Proxies {
    links: BTreeMap<(u16, u16), Proxy>,
    nodes: u16,
    /// Taken when this is dropped.
    runtime: Option<Runtime>,
}

impl Proxies {
    /// Starts a proxy for every link of `nodes` nodes; they refuse until they are aimed.
    ///
    /// Errors: no port or no thread is left.
    pub(crate) async fn start(nodes: u16, seed: u64) -> anyhow::Result<Proxies> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("proxies")
            .enable_all()
            .build()?;
        let mut links = BTreeMap::new();
        for dialer in 0..nodes {
            for target in dialer + 1..nodes {
                let seed = seed ^ u64::from(dialer) << 32 ^ u64::from(target);
                let proxy = runtime.spawn(Proxy::start(seed)).await??;
                links.insert((dialer, target), proxy);
            }
        }
        Ok(Proxies {
            links,
            nodes,
            runtime: Some(runtime),
        })
    }

    /// Returns where each node dials each other one.
    pub(crate) fn via(&self) -> Vec<Vec<Option<String>>> {
        let address = |dialer, target| {
            let proxy = self.links.get(&(dialer, target))?;
            Some(proxy.address().to_string())
        };
        (0..self.nodes)
            .map(|dialer| (0..self.nodes).map(|to| address(dialer, to)).collect())
            .collect()
    }

    /// Lets connections through, to the nodes that a cluster has now.
    ///
    /// Errors: the address of a node is none.
    pub(crate) fn aim(&self, cluster: &Cluster) -> anyhow::Result<()> {
        for (&(_, target), proxy) in &self.links {
            if target >= cluster.len() {
                continue;
            }
            let address = cluster.address(target);
            let target = address.parse();
            proxy.aim(target.with_context(|| format!("{address} is no socket address"))?);
        }
        Ok(())
    }

    /// Makes the links suffer what these faults do to them, and nothing else.
    pub(crate) fn apply(&self, faults: &[&Fault]) {
        for (&(dialer, target), proxy) in &self.links {
            let of_each = faults.iter().map(|fault| fault.condition(dialer, target));
            proxy.set(of_each.fold(Condition::PASS, Condition::worse));
        }
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        self.links.clear();
        if let Some(runtime) = self.runtime.take() {
            // Waiting is not allowed here, and there is nothing to wait for.
            runtime.shutdown_background();
        }
    }
}
