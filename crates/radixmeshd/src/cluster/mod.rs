//! A cluster of real processes on this machine, for the demo, tests and experiments: starts them, waits for them,
//! kills and restarts single ones, and leaves nothing behind. It drives no requests; see [`drive`](crate::drive).
//!
//! ```no_run
//! use std::time::Duration;
//! use radixmeshd::cluster::{Cluster, ClusterSpec};
//! # async fn example() -> Result<(), radixmeshd::cluster::ClusterError> {
//! let spec = ClusterSpec { prefill: 2, decode: 1, router: 1, ..ClusterSpec::new("target/release/radixmeshd") };
//! let mut cluster = Cluster::start(spec).await?;
//! cluster.kill(1).await;
//! cluster.restart(1).await?;
//! cluster.wait_ready(Duration::from_secs(10)).await?;
//! cluster.wait_converged(Duration::from_secs(10)).await?;
//! # Ok(())
//! # }
//! ```

mod child;
mod error;
mod ports;
mod spec;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use radixmesh::admin::api::StatusResponse;
use radixmesh::topology::Role;

use crate::client::Client;
use crate::compare::Comparison;
use crate::listening::Listening;

use child::Child;
pub use error::ClusterError;
pub use spec::ClusterSpec;

/// Pause between two looks at a cluster that is awaited.
const POLL: Duration = Duration::from_millis(15);
/// How often new ports are tried when somebody took one in between.
const START_ATTEMPTS_MAX: usize = 3;

/// Running processes. Dropping it kills all of them and removes its directory, unless the caller named that.
#[derive(Debug)]
pub struct Cluster {
    spec: ClusterSpec,
    config: PathBuf,
    dir: Dir,
    nodes: Vec<Node>,
}

/// One member.
#[derive(Debug)]
struct Node {
    role: Role,
    mesh: String,
    /// Its configuration file: the shared one, unless it reaches members in ways of its own.
    config: PathBuf,
    client: Client,
    child: Option<Child>,
}

impl Cluster {
    /// Starts all nodes and waits until each sees each other one as up and ready.
    ///
    /// The processes stop by themselves when this one ends in whatever way: they read the end of their stdin.
    ///
    /// Errors: [`ClusterError`]; nothing is left running.
    pub async fn start(spec: ClusterSpec) -> Result<Cluster, ClusterError> {
        let mut cluster = Cluster::launch(spec).await?;
        let limit = cluster.spec.start_max;
        match cluster.wait_ready(limit).await {
            Ok(()) => Ok(cluster),
            Err(error) => {
                cluster.kill_all().await;
                Err(error)
            }
        }
    }

    /// Starts all nodes and waits only until each listens.
    ///
    /// Errors: [`ClusterError`]; nothing is left running.
    pub async fn launch(spec: ClusterSpec) -> Result<Cluster, ClusterError> {
        let mut attempt = 1;
        loop {
            match Cluster::launch_once(spec.clone()).await {
                Err(ClusterError::Exited { log, .. })
                    if attempt < START_ATTEMPTS_MAX && log.contains("in use") =>
                {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn launch_once(mut spec: ClusterSpec) -> Result<Cluster, ClusterError> {
        spec.settle();
        let roles = spec.roles();
        let ports = ports::free(roles.len()).map_err(ClusterError::Ports)?;
        let dir = Dir::new(spec.dir.as_deref()).map_err(ClusterError::Dir)?;
        let config = dir.path.join("cluster.toml");
        let addresses: Vec<String> = ports
            .mesh
            .iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect();
        std::fs::write(&config, spec.toml(&addresses, &dir.path)).map_err(ClusterError::Dir)?;
        let mut nodes = Vec::with_capacity(roles.len());
        for (rank, (role, port)) in roles.into_iter().zip(&ports.admin).enumerate() {
            let client = Client::new(&format!("127.0.0.1:{port}")).map_err(ClusterError::Client)?;
            let mut config = config.clone();
            if let Some(own) = spec.own_toml(rank, &addresses, &dir.path) {
                config = dir.path.join(format!("node-{rank}.toml"));
                std::fs::write(&config, own).map_err(ClusterError::Dir)?;
            }
            nodes.push(Node {
                role,
                mesh: addresses[rank].clone(),
                config,
                client,
                child: None,
            });
        }
        let mut cluster = Cluster {
            spec,
            config,
            dir,
            nodes,
        };
        drop(ports);
        for rank in 0..cluster.len() {
            cluster.spawn(rank)?;
        }
        for rank in 0..cluster.len() {
            cluster.listening(rank).await?;
        }
        Ok(cluster)
    }

    /// Returns how many nodes the cluster has, running or not.
    #[must_use]
    pub fn len(&self) -> u16 {
        u16::try_from(self.nodes.len()).expect("a rank is 16 bits wide")
    }

    /// Returns whether the cluster has no node at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Returns what the cluster was started with.
    #[must_use]
    pub fn spec(&self) -> &ClusterSpec {
        &self.spec
    }

    /// Returns all ranks of a role.
    pub fn ranks(&self, role: Role) -> impl Iterator<Item = u16> + '_ {
        (0..)
            .zip(&self.nodes)
            .filter(move |(_, node)| node.role == role)
            .map(|(rank, _)| rank)
    }

    /// Returns the ranks that run: started and not killed.
    pub fn running(&self) -> impl Iterator<Item = u16> + '_ {
        (0..)
            .zip(&self.nodes)
            .filter(|(_, node)| node.child.is_some())
            .map(|(rank, _)| rank)
    }

    /// Returns a node's role. Panics: when there is no such rank, as all methods that take one.
    #[must_use]
    pub fn role(&self, rank: u16) -> Role {
        self.node(rank).role
    }

    /// Returns where peers reach a node.
    #[must_use]
    pub fn address(&self, rank: u16) -> &str {
        &self.node(rank).mesh
    }

    /// Returns a client of a node's admin port; it stays valid over restarts.
    #[must_use]
    pub fn client(&self, rank: u16) -> &Client {
        &self.node(rank).client
    }

    /// Returns the process of a running node.
    #[must_use]
    pub fn pid(&self, rank: u16) -> Option<u32> {
        self.node(rank).child.as_ref().and_then(Child::pid)
    }

    /// Returns the directory of configuration, logs and records.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir.path
    }

    /// Returns the configuration file of the nodes that reach every member directly.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Returns where a node's stderr goes; a restart appends.
    #[must_use]
    pub fn log(&self, rank: u16) -> PathBuf {
        self.dir.path.join(format!("node-{rank}.log"))
    }

    /// Returns where a node records its own log, with [`ClusterSpec::record_logs`].
    #[must_use]
    pub fn record(&self, rank: u16) -> PathBuf {
        spec::record_path(&self.dir.path, &rank.to_string())
    }

    /// Kills a node at once (SIGKILL) and waits until it is gone. Harmless when it does not run.
    pub async fn kill(&mut self, rank: u16) {
        if let Some(child) = self.node_mut(rank).child.take() {
            child.kill().await;
        }
    }

    /// Kills all nodes at once.
    pub async fn kill_all(&mut self) {
        for rank in 0..self.len() {
            self.kill(rank).await;
        }
    }

    /// Starts a node again, at its old addresses, and waits until it listens; a running one is killed first.
    ///
    /// Errors: [`ClusterError`]; the node does not run then.
    pub async fn restart(&mut self, rank: u16) -> Result<Listening, ClusterError> {
        self.kill(rank).await;
        self.spawn(rank)?;
        self.listening(rank).await
    }

    /// Ends all nodes in good order and waits for them.
    ///
    /// Errors: the first that did not end with success within the limit; it is killed then.
    pub async fn stop(mut self, limit: Duration) -> Result<(), ClusterError> {
        let mut children: Vec<(u16, Child)> = Vec::new();
        for rank in 0..self.len() {
            if let Some(mut child) = self.node_mut(rank).child.take() {
                child.ask_to_stop();
                children.push((rank, child));
            }
        }
        let deadline = Instant::now() + limit;
        let mut result = Ok(());
        for (rank, child) in children {
            let left = deadline.saturating_duration_since(Instant::now());
            let ended = child.ended(left).await;
            if ended != Some(true) && result.is_ok() {
                let log = child::tail(&self.log(rank));
                result = Err(match ended {
                    Some(_) => ClusterError::Exited { rank, log },
                    None => ClusterError::TimedOut {
                        waited: limit,
                        what: format!("rank {rank} to end"),
                    },
                });
            }
        }
        result
    }

    /// Waits until every running node is ready and sees every other running node as up and ready.
    ///
    /// Errors: [`ClusterError::TimedOut`], and [`ClusterError::Exited`] when one of them ends.
    pub async fn wait_ready(&mut self, limit: Duration) -> Result<(), ClusterError> {
        let running: Vec<u16> = self.running().collect();
        self.poll(limit, |statuses| {
            for status in statuses {
                let missing = running.iter().copied().find(|&rank| {
                    let member = status.members.iter().find(|member| member.rank == rank);
                    !member.is_some_and(|member| member.up && member.ready)
                });
                if let Some(missing) = missing {
                    return Err(format!(
                        "rank {} to see rank {missing} up and ready",
                        status.rank
                    ));
                }
            }
            Ok(())
        })
        .await
        .map(drop)
    }

    /// Waits until all running nodes have the same logs, digests included; returns their states then.
    ///
    /// Errors: [`ClusterError::TimedOut`] names the first difference; [`ClusterError::Exited`] when a node ends.
    pub async fn wait_converged(
        &mut self,
        limit: Duration,
    ) -> Result<Vec<StatusResponse>, ClusterError> {
        self.poll(limit, |statuses| match statuses.split_first() {
            Some((first, others)) => others.iter().try_for_each(|other| {
                let comparison = Comparison::of(&first.origins, &other.origins);
                comparison.first().map_or(Ok(()), |difference| {
                    Err(format!(
                        "rank {} (A) and rank {} (B) to agree: {difference}",
                        first.rank, other.rank
                    ))
                })
            }),
            None => Ok(()),
        })
        .await
    }

    /// Returns the states of all running nodes, in rank order.
    ///
    /// Errors: the first node that does not answer.
    pub async fn statuses(&self) -> Result<Vec<StatusResponse>, ClusterError> {
        let mut statuses = Vec::new();
        for rank in self.running() {
            statuses.push(
                self.client(rank)
                    .status()
                    .await
                    .map_err(ClusterError::Client)?,
            );
        }
        Ok(statuses)
    }

    async fn poll(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&[StatusResponse]) -> Result<(), String>,
    ) -> Result<Vec<StatusResponse>, ClusterError> {
        let deadline = Instant::now() + limit;
        loop {
            let what = match self.statuses().await {
                Ok(statuses) => match done(&statuses) {
                    Ok(()) => return Ok(statuses),
                    Err(what) => what,
                },
                Err(error) => format!("an answer: {error}"),
            };
            self.check_alive()?;
            if Instant::now() >= deadline {
                return Err(ClusterError::TimedOut {
                    waited: limit,
                    what,
                });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Errors: [`ClusterError::Exited`] names a node that ended without being killed from here.
    pub fn check_alive(&mut self) -> Result<(), ClusterError> {
        for rank in 0..self.len() {
            if let Some(child) = &mut self.node_mut(rank).child
                && child.has_ended()
            {
                let log = child::tail(&self.log(rank));
                return Err(ClusterError::Exited { rank, log });
            }
        }
        Ok(())
    }

    fn spawn(&mut self, rank: u16) -> Result<(), ClusterError> {
        let log = self.log(rank);
        let (address, admin) = (self.address(rank), self.client(rank).base());
        let arguments = [
            "node",
            "--stop-on-stdin-eof",
            "--config",
            &self.node(rank).config.to_string_lossy(),
            "--local",
            address,
            "--admin",
            admin,
        ];
        let child = Child::spawn(&self.spec.binary, &arguments, &log).map_err(|error| {
            ClusterError::Spawn {
                binary: self.spec.binary.clone(),
                error,
            }
        })?;
        self.node_mut(rank).child = Some(child);
        Ok(())
    }

    async fn listening(&mut self, rank: u16) -> Result<Listening, ClusterError> {
        let (limit, log) = (self.spec.start_max, self.log(rank));
        let child = self
            .node_mut(rank)
            .child
            .as_mut()
            .expect("it was just spawned");
        match tokio::time::timeout(limit, child.listening()).await {
            Ok(Some(listening)) => Ok(listening),
            Ok(None) => {
                self.kill(rank).await;
                Err(ClusterError::Exited {
                    rank,
                    log: child::tail(&log),
                })
            }
            Err(_) => {
                self.kill(rank).await;
                Err(ClusterError::TimedOut {
                    waited: limit,
                    what: format!("rank {rank} to listen"),
                })
            }
        }
    }

    fn node(&self, rank: u16) -> &Node {
        &self.nodes[usize::from(rank)]
    }

    fn node_mut(&mut self, rank: u16) -> &mut Node {
        &mut self.nodes[usize::from(rank)]
    }
}

/// The cluster's directory; removed in the end when it was made here.
#[derive(Debug)]
struct Dir {
    path: PathBuf,
    is_ours: bool,
}

impl Dir {
    fn new(named: Option<&Path>) -> std::io::Result<Dir> {
        if let Some(path) = named {
            std::fs::create_dir_all(path)?;
            return Ok(Dir {
                path: std::path::absolute(path)?,
                is_ours: false,
            });
        }
        loop {
            let name = format!("radixmesh-{}-{:08x}", std::process::id(), fastrand::u32(..));
            let path = std::env::temp_dir().join(name);
            match std::fs::create_dir(&path) {
                Ok(()) => {
                    return Ok(Dir {
                        path,
                        is_ours: true,
                    });
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if self.is_ours {
            // Left over files are a nuisance, no error.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
