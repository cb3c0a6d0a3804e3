//! A network namespace for each node, on this machine: faults then happen in the system's network, not in a proxy.
//!
//! ```text
//! namespace of rank R     mesh 198.18.ID.R+2 --- veth --- bridge rmxIDmb     no address here: only nodes are on it
//!                         ctl  198.19.ID.R+2 --- veth --- bridge rmxIDcb     198.19.ID.1: admin ports, never disturbed
//! ```
//!
//! [`claim`] keeps runs apart and cleans up behind dead ones, [`means`] finds out what the system offers, [`rules`] says
//! what faults mean for each node, [`command`] runs the programs. Both networks are reserved for benchmarks (RFC 2544),
//! so they are nobody's.

mod claim;
mod command;
mod means;
mod rules;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use radixmesh::admin::Token;
use radixmeshd::cluster::{ClusterSpec, Host};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::fault::Fault;
use claim::Claim;
use command::run;
pub(crate) use means::Means;
use means::{Filter, Shaper};
use rules::{Suffers, suffers};

/// Nodes of one run at most: the addresses of a network.
const NODES_MAX: u16 = 250;

/// Namespaces that stand. Dropping it removes them, and kills what still runs in them.
#[derive(Debug)]
pub(crate) struct Netns {
    claim: Claim,
    nodes: u16,
    means: Means,
    applied: Mutex<Applied>,
}

#[derive(Debug, Default)]
struct Applied {
    suffers: Vec<Suffers>,
    /// By rank: what takes its link down and up.
    flaps: BTreeMap<u16, JoinHandle<()>>,
}

impl Netns {
    /// Removes what dead runs left, makes a namespace for each node, and finds out what can be done to them.
    ///
    /// Errors: a sentence that says why it is not possible here; nothing is left behind.
    pub(crate) async fn make(nodes: u16) -> anyhow::Result<Netns> {
        let made = Netns::try_make(nodes).await;
        made.context(
            "`--netns` is not possible here; without it, `--fault` puts proxies between the nodes",
        )
    }

    async fn try_make(nodes: u16) -> anyhow::Result<Netns> {
        anyhow::ensure!(
            rustix::process::geteuid().is_root(),
            "it needs root, to make network namespaces"
        );
        anyhow::ensure!(
            nodes <= NODES_MAX,
            "{nodes} nodes are more than {NODES_MAX}"
        );
        run("ip", &["-V"], "")
            .await
            .context("it needs `ip` (package iproute2)")?;
        claim::sweep().await?;
        let claim = Claim::take()?;
        // From here on, dropping it cleans up.
        let mut netns = Netns {
            claim,
            nodes,
            means: Means::default(),
            applied: Mutex::default(),
        };
        netns.build().await?;
        netns.means = means::probe(&netns.claim.link("m", 0), &netns.claim.namespace(0)).await;
        eprintln!("namespaces {}*: {}", netns.claim.prefix(), netns.means);
        Ok(netns)
    }

    async fn build(&self) -> anyhow::Result<()> {
        let claim = &self.claim;
        let (mesh, control) = (claim.link("mb", ""), claim.link("cb", ""));
        let mut batch = String::new();
        let mut add = |line: String| batch.extend([line.as_str(), "\n"]);
        for bridge in [&mesh, &control] {
            add(format!("link add {bridge} type bridge"));
            add(format!("link set {bridge} up"));
        }
        add(format!("addr add {}/24 dev {control}", claim.control(0)));
        for rank in 0..self.nodes {
            let namespace = claim.namespace(rank);
            add(format!("netns add {namespace}"));
            for (letter, name, bridge) in [("m", "mesh", &mesh), ("c", "ctl", &control)] {
                let end = claim.link(letter, rank);
                add(format!(
                    "link add {end} type veth peer name {name} netns {namespace}"
                ));
                add(format!("link set {end} master {bridge} up"));
            }
        }
        run("ip", &["-batch", "-"], &batch).await?;
        for rank in 0..self.nodes {
            let (mesh, control) = (self.mesh(rank), self.control(rank));
            let batch = format!(
                "link set lo up\naddr add {mesh}/24 dev mesh\naddr add {control}/24 dev ctl\n\
                 link set mesh up\nlink set ctl up\n"
            );
            let namespace = claim.namespace(rank);
            run("ip", &["-n", &namespace, "-batch", "-"], &batch).await?;
        }
        Ok(())
    }

    /// Returns where the token of the admin ports is.
    pub(crate) fn token(&self) -> PathBuf {
        self.claim.token_path()
    }

    /// Returns what the system offers.
    pub(crate) fn means(&self) -> &Means {
        &self.means
    }

    fn mesh(&self, rank: u16) -> Ipv4Addr {
        self.claim.mesh(rank + 2)
    }

    fn control(&self, rank: u16) -> Ipv4Addr {
        self.claim.control(rank + 1)
    }

    /// Makes the nodes of a cluster run in the namespaces.
    ///
    /// Errors: the token of their admin ports cannot be written.
    pub(crate) fn place(&self, spec: &mut ClusterSpec) -> anyhow::Result<()> {
        let host = |rank: u16| Host {
            mesh: IpAddr::V4(self.mesh(rank)),
            admin: IpAddr::V4(self.control(rank)),
            enter: ["ip", "netns", "exec", &self.claim.namespace(rank)]
                .map(str::to_owned)
                .to_vec(),
        };
        spec.hosts = (0..self.nodes).map(host).collect();
        let token = self.claim.token()?;
        let text = toml::Value::from(self.token().to_string_lossy().into_owned()).to_string();
        spec.set.push(("admin_token_file".to_owned(), text));
        spec.admin_token = Some(Token::new(&token).map_err(anyhow::Error::msg)?);
        let sealed = spec.set.iter().any(|(key, _)| key == "security.ca_file");
        spec.set
            .push(("security.plaintext".to_owned(), (!sealed).to_string()));
        Ok(())
    }

    /// Makes the links suffer what these faults do to them, and nothing else.
    ///
    /// Errors: a command of the system failed.
    pub(crate) async fn apply(&self, faults: &[&Fault]) -> anyhow::Result<()> {
        let mut applied = self.applied.lock().await;
        let wanted = suffers(faults, self.nodes);
        applied.suffers.resize(wanted.len(), Suffers::default());
        for (rank, new) in (0..).zip(&wanted) {
            let old = applied.suffers[usize::from(rank)].clone();
            if (&old.drop, &old.reset, old.side) != (&new.drop, &new.reset, new.side) {
                self.filter(rank, new).await?;
            }
            if old.shape != new.shape {
                self.shape(rank, new).await?;
            }
            if old.flap != new.flap {
                self.flap(rank, new.flap, &mut applied.flaps).await?;
            }
            applied.suffers[usize::from(rank)] = new.clone();
        }
        Ok(())
    }

    async fn filter(&self, rank: u16, suffers: &Suffers) -> anyhow::Result<()> {
        let namespace = self.claim.namespace(rank);
        let list = |ranks: &std::collections::BTreeSet<u16>| -> Vec<Ipv4Addr> {
            ranks.iter().map(|&rank| self.mesh(rank)).collect()
        };
        let (drop, reset) = (list(&suffers.drop), list(&suffers.reset));
        let (program, script) = match self.means.filter {
            Filter::Nft => ("nft", rules::nft(&drop, &reset)),
            Filter::Iptables => ("iptables-restore", rules::iptables(&drop, &reset)),
            Filter::Bridges => return self.join_side(rank, suffers.side).await,
        };
        let words = ["netns", "exec", &namespace, program];
        let file: &[&str] = if program == "nft" { &["-f", "-"] } else { &[] };
        run("ip", &[&words, file].concat(), &script).await
    }

    /// Moves the node to the bridge of its side of all partitions.
    async fn join_side(&self, rank: u16, side: u8) -> anyhow::Result<()> {
        let bridge = match side {
            0 => self.claim.link("mb", ""),
            side => self.claim.link("p", u16::from(side)),
        };
        if side > 0 {
            // It may be there from a partition before.
            let _ = run("ip", &["link", "add", &bridge, "type", "bridge"], "").await;
            run("ip", &["link", "set", &bridge, "up"], "").await?;
        }
        let end = self.claim.link("m", rank);
        run("ip", &["link", "set", &end, "master", &bridge], "").await
    }

    async fn shape(&self, rank: u16, suffers: &Suffers) -> anyhow::Result<()> {
        let namespace = self.claim.namespace(rank);
        let end = self.claim.link("m", rank);
        let verb = if suffers.shape.is_some() {
            "replace"
        } else {
            "del"
        };
        let shape = suffers.shape.map(|way| match self.means.shaper {
            Shaper::Netem => rules::netem(&way),
            Shaper::Tbf | Shaper::Nothing => rules::tbf(&way),
        });
        let words = shape.unwrap_or_default();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        // What leaves the node, and what comes to it.
        let out = ["-n", &namespace, "qdisc", verb, "dev", "mesh", "root"];
        let to = ["qdisc", verb, "dev", &end, "root"];
        run("tc", &[&out, &words[..]].concat(), "").await?;
        run("tc", &[&to, &words[..]].concat(), "").await
    }

    async fn flap(
        &self,
        rank: u16,
        period: Option<Duration>,
        flaps: &mut BTreeMap<u16, JoinHandle<()>>,
    ) -> anyhow::Result<()> {
        let end = self.claim.link("m", rank);
        if let Some(task) = flaps.remove(&rank) {
            task.abort();
            // It was aborted; nothing else can come of it.
            let _ = task.await;
        }
        let Some(period) = period else {
            return run("ip", &["link", "set", &end, "up"], "").await;
        };
        let task = tokio::spawn(async move {
            for state in ["down", "up"].iter().cycle() {
                if let Err(error) = run("ip", &["link", "set", &end, state], "").await {
                    return eprintln!("a link does not flap: {error:#}");
                }
                tokio::time::sleep(period / 2).await;
            }
        });
        flaps.insert(rank, task);
        Ok(())
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        for task in self.applied.get_mut().flaps.values() {
            task.abort();
        }
    }
}
