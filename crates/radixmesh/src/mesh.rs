//! A running node: starts its threads, hands out handles, ends it again.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use node::{Boot, Publish, PublishError, Receipt};
use radix_core::TooManyReaders;
use radix_core::id::{Incarnation, Namespace, Rank};
use radix_core::page::Fingerprint;
use radix_core::time::Timestamp;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use topology::ForgetError;
use transport::Transport;

use crate::admin;
use crate::clock;
use crate::config::{Config, ConfigError};
use crate::core::{Applied, Published};
use crate::driver::{COMMANDS_MAX, Command, Report};
use crate::ended::Ended;
use crate::engine::EngineHost;
use crate::host::{Host, Started};
use crate::incarnation;
use crate::lookup::{Desk, Lookup};
use crate::record;
use crate::source::{Feed, News, Reporter, SourceReport, Sources, SourcesStartError};

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
    /// Another process has the rank, and did not go away.
    ///
    /// State: nothing is left running, here or in the mesh. Caller: stop the other one, or take another rank.
    #[error("rank {rank} cannot join: {why}; it was asked again for {waited:?}")]
    RankTaken {
        /// As given.
        rank: Rank,
        /// The time limit.
        waited: Duration,
        /// What the members said; names the holder's address.
        why: String,
    },
    /// No member answered.
    ///
    /// State: nothing is left running. Caller: name members that run, or wait longer.
    #[error("rank {rank} cannot join: no member answered within {waited:?}; last {why}")]
    NoAnswer {
        /// As given.
        rank: Rank,
        /// The time limit.
        waited: Duration,
        /// What came of the last attempt.
        why: String,
    },
    /// Every member that was asked refused this node for good.
    ///
    /// State: nothing is left running. Caller: correct what the message names.
    #[error("rank {rank} is not let in: {why}")]
    NotLetIn {
        /// As given.
        rank: Rank,
        /// What the members said.
        why: String,
    },
    /// The engines behind the node cannot be followed.
    ///
    /// State: nothing is left running.
    #[error(transparent)]
    Sources(#[from] SourcesStartError),
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

/// Why a prompt that was sent to an engine was not taken in.
///
/// State: unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ObserveError {
    /// No engine of that name is configured.
    #[error("no source is called `{engine}`")]
    Unknown {
        /// As given.
        engine: String,
    },
    /// The engine publishes events; a guess beside them would only be wrong.
    #[error(
        "source `{engine}` tells itself what it holds; only an approximate one is told of prompts"
    )]
    TellsItself {
        /// As given.
        engine: String,
    },
    /// The node is gone.
    #[error(transparent)]
    ShutDown(#[from] ShutDown),
}

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
    sources: watch::Receiver<Vec<SourceReport>>,
    /// Tells of prompts; set once the sources are followed.
    reporter: OnceLock<Reporter>,
}

/// Ends a node and waits for it.
pub struct Running {
    mesh: Mesh,
    admin: Option<admin::Server>,
    sources: Option<Sources>,
    driver: Option<JoinHandle<()>>,
    end: watch::Receiver<Option<Ended>>,
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

    /// Waits until the node has ended, and returns why: most nodes only do when they are told to.
    pub async fn ended(&mut self) -> Ended {
        match self.end.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone().unwrap_or(Ended::Failed),
            Err(_) => Ended::Failed,
        }
    }

    /// Ends the admin port, then the node; returns when both are gone.
    pub async fn shutdown(mut self) {
        if let Some(admin) = self.admin.take() {
            admin.shutdown();
        }
        if let Some(sources) = self.sources.take() {
            sources.stop().await;
        }
        // The node may have ended by itself.
        let _ = self.mesh.inner.commands.send(Command::Shutdown).await;
        if let Some(driver) = self.driver.take() {
            let _ = tokio::task::spawn_blocking(move || driver.join()).await;
        }
    }
}

impl Mesh {
    /// Starts a node over `transport`: listens, joins where [`Config::join`] says so, and answers until it is shut down.
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
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let (ended, end) = watch::channel(None);
        let host = Host {
            config: config.clone(),
            transport,
            boot: Boot {
                inc,
                seed: boot_seed(),
            },
            policy: routing::Policy::new(config.routing.clone()).map_err(ConfigError::from)?,
            record,
            inbox,
            ended,
        };
        let (started, listening) = oneshot::channel();
        let driver = std::thread::Builder::new()
            .name("radixmesh-node".to_owned())
            .spawn(move || host.run(started))
            .map_err(StartError::Thread)?;
        let broke_off = || StartError::Thread(io::Error::other("it broke off"));
        let Started {
            local_address,
            shared,
        } = listening.await.map_err(|_| broke_off())??;
        let desk = Arc::new(Desk {
            shared,
            key: config.fingerprint_key,
            page_size: usize::from(config.page_size),
            requests: AtomicU64::new(0),
        });
        let engine = config
            .simulated_engine
            .map(|engine| EngineHost::new(engine, config.page_size));
        let admin_at = config.admin.clone();
        let (told, reports) = watch::channel(Vec::new());
        let mesh = Mesh {
            inner: Arc::new(Inner {
                config,
                desk,
                commands,
                local_address,
                started: clock::now(),
                engine,
                sources: reports,
                reporter: OnceLock::new(),
            }),
        };
        let mut running = Running {
            mesh,
            admin: None,
            sources: None,
            driver: Some(driver),
            end,
        };
        match Sources::start(running.mesh.config(), running.mesh.clone(), told) {
            Ok(sources) => {
                if let Some(sources) = &sources {
                    // Nobody set it before.
                    let _ = running.mesh.inner.reporter.set(sources.reporter());
                }
                running.sources = sources;
            }
            Err(error) => {
                running.shutdown().await;
                return Err(error.into());
            }
        }
        if let Some(address) = admin_at {
            match admin::Server::start(&address, running.mesh.clone()) {
                Ok(server) => running.admin = Some(server),
                Err(error) => {
                    running.shutdown().await;
                    return Err(StartError::Listen {
                        address,
                        purpose: "the admin port",
                        reason: error.to_string(),
                    });
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

    /// Begins to leave the mesh: not ready from now on, and gone after `drain`. Said again, the earlier end holds.
    ///
    /// Returns when that has begun; [`Running::ended`] tells when it is done.
    /// Errors: [`ShutDown`].
    pub async fn leave(&self, drain: Duration) -> Result<(), ShutDown> {
        self.ask(|reply| Command::Leave { drain, reply }).await
    }

    /// Forgets a member that is down, in all its lives up to the one returned.
    ///
    /// Errors: [`ForgetError`] when it was refused; [`ShutDown`].
    pub async fn forget(&self, rank: Rank) -> Result<Result<Incarnation, ForgetError>, ShutDown> {
        self.ask(|reply| Command::Forget { rank, reply }).await
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
        namespace: Namespace,
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

    /// Returns the state of the engines that this node follows, at most some 50 ms old; the first of them soon after the start.
    #[must_use]
    pub fn sources(&self) -> Vec<SourceReport> {
        self.inner.sources.borrow().clone()
    }

    /// Tells that a prompt was sent to an engine that is configured as [`Feed::Approximate`](crate::source::Feed::Approximate):
    /// its pages are taken for cached for the configured time. Waits while too much is waiting.
    ///
    /// Errors: [`ObserveError`]; nothing was taken in.
    pub async fn observe(
        &self,
        engine: &str,
        namespace: Namespace,
        pages: Vec<Fingerprint>,
    ) -> Result<(), ObserveError> {
        let configured = &self.inner.config.sources;
        let known = configured.iter().find(|settings| settings.name == engine);
        let source = match known {
            None => Err(ObserveError::Unknown {
                engine: engine.to_owned(),
            }),
            Some(settings) => match settings.feed {
                Feed::Approximate { .. } => Ok(settings.first),
                Feed::Zmq(_) | Feed::Discover { .. } | Feed::TrtHttp { .. } => {
                    Err(ObserveError::TellsItself {
                        engine: engine.to_owned(),
                    })
                }
            },
        }?;
        let reporter = self.inner.reporter.get().ok_or(ShutDown)?;
        let news = News::Observed { namespace, pages };
        Ok(reporter.tell(source, news).await.ok_or(ShutDown)?)
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
