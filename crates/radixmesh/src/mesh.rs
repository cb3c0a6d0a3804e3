//! A running node: starts its threads, hands out handles, ends it again.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::Duration;

use node::{Boot, Node, NodeConfig, Publish, PublishError, Receipt};
use radix_core::TooManyReaders;
use radix_core::id::Rank;
use radix_core::time::Timestamp;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use transport::{Identity, LinkHandler, Links, Transport};

use crate::admin;
use crate::clock;
use crate::config::{Config, ConfigError};
use crate::core::{Applied, Core, Published, node_id};
use crate::driver::{self, COMMANDS_MAX, Command, Inbound, Report, Shared};
use crate::engine::EngineHost;
use crate::incarnation;
use crate::lookup::{Desk, Lookup, candidate};
use crate::record;

/// Why a node did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration cannot be run.
    ///
    /// State: nothing was started.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The incarnation could not be kept in the state directory.
    ///
    /// State: nothing was started.
    #[error("the state directory is of no use: {0}")]
    StateDir(#[source] io::Error),
    /// The record of the log could not be opened.
    ///
    /// State: nothing was started.
    #[error("the log's record cannot be opened: {0}")]
    RecordLog(#[source] io::Error),
    /// A listener could not be opened.
    ///
    /// State: nothing is left running.
    #[error("cannot listen on {address} for {purpose}: {reason}")]
    Listen {
        /// As given.
        address: String,
        /// `peers` or `the admin port`.
        purpose: &'static str,
        /// What the system said.
        reason: String,
    },
    /// A thread could not be started.
    ///
    /// State: nothing is left running.
    #[error("a thread could not be started: {0}")]
    Thread(#[source] io::Error),
}

/// The node ended while it was asked.
///
/// State: what was asked may or may not have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the node has shut down")]
pub struct ShutDown;

/// A handle of a running node. Clones share the node; dropping handles does not end it.
#[derive(Clone)]
pub struct Mesh {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    desk: Arc<Desk>,
    commands: mpsc::Sender<Command>,
    local_address: String,
    started: Timestamp,
    engine: Option<EngineHost>,
}

/// Ends a node and waits for it.
pub struct Running {
    mesh: Mesh,
    admin: Option<admin::Server>,
    driver: Option<JoinHandle<()>>,
}

impl Running {
    /// Returns a handle for asking and publishing.
    #[must_use]
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// Returns where the admin port listens.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(admin::Server::address)
    }

    /// Ends the admin port, then the node; returns when both are gone.
    pub async fn shutdown(mut self) {
        if let Some(admin) = self.admin.take() {
            admin.shutdown();
        }
        // The node may have ended by itself.
        let _ = self.mesh.inner.commands.send(Command::Shutdown).await;
        if let Some(driver) = self.driver.take() {
            let _ = tokio::task::spawn_blocking(move || driver.join()).await;
        }
    }
}

impl Mesh {
    /// Starts a node over `transport`: listens, dials, and answers until it is shut down.
    ///
    /// Errors: [`StartError`]; nothing is left running.
    pub async fn start(
        config: Config,
        transport: Arc<dyn Transport>,
    ) -> Result<Running, StartError> {
        config.check()?;
        config.check_links(&transport.security())?;
        let record = match &config.record_log {
            Some(path) => Some(record::Writer::open(path).map_err(StartError::RecordLog)?),
            None => None,
        };
        let inc = incarnation::next(config.state_dir.as_deref(), clock::unix_millis())
            .map_err(StartError::StateDir)?;
        let seed = boot_seed();
        let node = Node::new(node_config(&config), Boot { inc, seed }, clock::now())
            .map_err(ConfigError::from)?;
        let mut policy = routing::Policy::new(config.routing.clone()).map_err(ConfigError::from)?;
        policy.update(
            &node
                .members()
                .iter()
                .filter_map(candidate)
                .collect::<Vec<_>>(),
        );
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let core = Core::new(node, inbox, record, &config);
        let shared = Arc::new(Shared::new(core));
        let desk = Arc::new(Desk {
            shared: Arc::clone(&shared),
            key: config.fingerprint_key,
            page_size: usize::from(config.page_size),
            policy,
            requests: AtomicU64::new(0),
        });

        let identity = Identity {
            cluster: cluster_id(&config.cluster),
            node: node_id(config.me),
            epoch: inc.0,
            boot: seed,
            config_hash: config.hash(),
            protocol: (
                u16::from(node::wire::VERSION),
                u16::from(node::wire::VERSION),
            ),
        };
        let (started, listening) = oneshot::channel();
        let driver = {
            let config = config.clone();
            std::thread::Builder::new()
                .name("radixmesh-node".to_owned())
                .spawn(move || drive(&config, transport, identity, &shared, started))
                .map_err(StartError::Thread)?
        };
        let listen_error = |address: &str, purpose, reason: String| StartError::Listen {
            address: address.to_owned(),
            purpose,
            reason,
        };
        let local_address = match listening.await {
            Ok(Ok(address)) => address,
            Ok(Err(reason)) => return Err(listen_error(listen_address(&config), "peers", reason)),
            Err(_) => {
                return Err(listen_error(
                    listen_address(&config),
                    "peers",
                    "the driver ended".to_owned(),
                ));
            }
        };
        let engine = config
            .simulated_engine
            .map(|engine| EngineHost::new(engine, config.page_size));
        let admin_at = config.admin.clone();
        let mesh = Mesh {
            inner: Arc::new(Inner {
                config,
                desk,
                commands,
                local_address,
                started: clock::now(),
                engine,
            }),
        };
        let mut running = Running {
            mesh,
            admin: None,
            driver: Some(driver),
        };
        if let Some(address) = admin_at {
            match admin::Server::start(&address, running.mesh.clone()) {
                Ok(server) => running.admin = Some(server),
                Err(error) => {
                    running.shutdown().await;
                    return Err(listen_error(&address, "the admin port", error.to_string()));
                }
            }
        }
        Ok(running)
    }

    /// Returns the settings the node runs with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Returns where peers reach this node.
    #[must_use]
    pub fn local_address(&self) -> &str {
        &self.inner.local_address
    }

    /// Returns when the node began to listen.
    #[must_use]
    pub fn started(&self) -> Timestamp {
        self.inner.started
    }

    /// Publishes what one engine stored or dropped, in order, as one unit of sending.
    ///
    /// Errors: one result for each publish; [`ShutDown`] when the node is gone.
    pub async fn publish(&self, publishes: Vec<Publish>) -> Result<Published, ShutDown> {
        if publishes.is_empty() {
            return Ok((clock::now(), Vec::new()));
        }
        let enqueued = clock::now();
        self.ask(|reply| Command::Publish {
            enqueued,
            publishes,
            reply,
        })
        .await
    }

    /// Publishes one thing.
    ///
    /// Errors: [`PublishError`] when it was refused; [`ShutDown`] when the node is gone.
    pub async fn publish_one(
        &self,
        publish: Publish,
    ) -> Result<Result<Receipt, PublishError>, ShutDown> {
        let (_, mut results) = self.publish(vec![publish]).await?;
        results.pop().ok_or(ShutDown)
    }

    /// Returns everything the node tells of itself.
    ///
    /// Errors: [`ShutDown`].
    pub async fn report(&self) -> Result<Report, ShutDown> {
        self.ask(|reply| Command::Status { reply }).await
    }

    /// Returns when ops of `rank` at or behind `from` were applied here, where that is traced.
    ///
    /// Errors: [`ShutDown`].
    pub async fn applied(
        &self,
        rank: Rank,
        from: radix_core::id::Seq,
        max: usize,
    ) -> Result<Vec<Applied>, ShutDown> {
        self.ask(|reply| Command::Applied {
            rank,
            from,
            max,
            reply,
        })
        .await
    }

    /// Returns a reader for one thread: who holds a prefix, where to route it.
    ///
    /// Errors: [`TooManyReaders`] beyond the index's bound.
    pub fn lookup(&self) -> Result<Lookup, TooManyReaders> {
        let desk = &self.inner.desk;
        let reader = desk.shared.core().node.reader()?;
        Ok(Lookup::new(Arc::clone(desk), reader))
    }

    /// Fills `lookup` from the node's own thread: slower, and of one instant however busy the writer is.
    ///
    /// Errors: [`ShutDown`].
    pub async fn read_exact(
        &self,
        lookup: &mut Lookup,
        namespace: radix_core::id::Namespace,
    ) -> Result<(), ShutDown> {
        let pages = lookup.pages.clone();
        let (matches, version) = self
            .ask(|reply| Command::Match {
                namespace,
                pages,
                reply,
            })
            .await?;
        lookup.matches = matches;
        lookup.version = version;
        Ok(())
    }

    /// Returns the simulated engine, where one is hosted.
    #[must_use]
    pub fn engine(&self) -> Option<&EngineHost> {
        self.inner.engine.as_ref()
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, ShutDown> {
        let (reply, answer) = oneshot::channel();
        self.inner
            .commands
            .send(command(reply))
            .await
            .map_err(|_| ShutDown)?;
        answer.await.map_err(|_| ShutDown)
    }
}

/// The body of the node's thread.
fn drive(
    config: &Config,
    transport: Arc<dyn Transport>,
    identity: Identity,
    shared: &Arc<Shared>,
    started: oneshot::Sender<Result<String, String>>,
) {
    let runtime = match node_runtime() {
        Ok(runtime) => runtime,
        Err(error) => return drop(started.send(Err(error.to_string()))),
    };
    runtime.block_on(async move {
        let handler: Arc<dyn LinkHandler> = Arc::new(Inbound(Arc::clone(shared)));
        let limits = transport::Limits::default();
        let links = match Links::start(transport, listen_address(config), identity, limits, handler)
            .await
        {
            Ok(links) => links,
            Err(error) => return drop(started.send(Err(error.to_string()))),
        };
        shared.core().links = Some(links.clone());
        let peers = (0u16..)
            .map(Rank)
            .zip(&config.members)
            .filter(|(rank, _)| *rank != config.me);
        links.set_peers(peers.map(|(rank, member)| (node_id(rank), member.address.clone())));
        if started.send(Ok(links.local_address().to_owned())).is_ok() {
            // As a task: waking the future of `block_on` itself costs a write to the runtime's event descriptor.
            let driver = tokio::spawn(driver::run(Arc::clone(shared)));
            if let Err(error) = driver.await {
                tracing::error!(%error, "the node's driver ended");
            }
        }
        shared.core().links = None;
        links.shutdown().await;
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    shared.core().refuse_commands();
}

/// A runtime that looks for other threads' publishes after each step, and for frames and timers after a few:
/// a step may be a frame of thousands of ops, and tokio's own intervals count steps, not time.
fn node_runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .global_queue_interval(1)
        .event_interval(4)
        .build()
}

fn listen_address(config: &Config) -> &str {
    let own = &config.members[usize::from(config.me.0)].address;
    config.listen.as_deref().unwrap_or(own)
}

fn node_config(config: &Config) -> NodeConfig {
    let mut node = NodeConfig::new(config.me, config.roles());
    node.topology.fanout = config.fanout;
    node.topology.heartbeat = config.heartbeat;
    node.topology.exchange = config.exchange;
    node.topology.jitter = config.exchange / 5;
    node.cold_start = config.cold_start;
    node
}

fn cluster_id(name: &str) -> u128 {
    let half = |domain| u128::from(radix_core::FingerprintKey::new(domain).namespace(name).0);
    half(1) << 64 | half(2)
}

/// A seed from the two clocks and the process: jitter must differ between nodes, nothing more.
fn boot_seed() -> u64 {
    let mixed = [
        clock::now().0,
        clock::unix_millis(),
        u64::from(std::process::id()),
    ];
    mixed.iter().fold(0, |seed, part| {
        fastrand::Rng::with_seed(seed ^ part).u64(..)
    })
}
