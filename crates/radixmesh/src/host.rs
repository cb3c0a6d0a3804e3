//! The node's thread, from its first socket to its last: listens, joins where that is wanted, runs the driver, closes
//! the links.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use node::{Boot, Node, NodeConfig};
use radix_core::id::Incarnation;
use tokio::sync::{mpsc, oneshot, watch};
use topology::Record;
use transport::{Identity, LinkHandler, Links, Security, Transport};

use crate::clock;
use crate::config::{Config, ConfigError};
use crate::core::{Core, node_id};
use crate::driver::{self, Command, Shared};
use crate::ended::Ended;
use crate::inbound::Inbound;
use crate::incarnation;
use crate::join;
use crate::mesh::StartError;
use crate::record;
use crate::rejoin;
use crate::roster::Roster;

/// What the thread needs to begin.
pub(crate) struct Host {
    pub(crate) config: Config,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) boot: Boot,
    pub(crate) policy: routing::Policy,
    pub(crate) record: Option<record::Writer>,
    pub(crate) inbox: mpsc::Receiver<Command>,
    /// Told the end.
    pub(crate) ended: watch::Sender<Option<Ended>>,
}

/// What is known once the node listens and, where it had to, joined.
pub(crate) struct Started {
    pub(crate) local_address: String,
    pub(crate) shared: Arc<Shared>,
}

impl Host {
    /// The body of the thread.
    pub(crate) fn run(self, started: oneshot::Sender<Result<Started, StartError>>) {
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(error) => return drop(started.send(Err(StartError::Thread(error)))),
        };
        let ended = self.ended.clone();
        let how = runtime.block_on(self.live(started));
        runtime.shutdown_timeout(Duration::from_secs(1));
        // Nobody may be waiting for it.
        ended.send_replace(Some(how));
    }

    async fn live(self, started: oneshot::Sender<Result<Started, StartError>>) -> Ended {
        let (shared, links) = match self.start().await {
            Ok(begun) => begun,
            Err(error) => {
                // Who wanted it went away.
                let _ = started.send(Err(error));
                return Ended::Failed;
            }
        };
        let told = started.send(Ok(Started {
            local_address: links.local_address().to_owned(),
            shared: Arc::clone(&shared),
        }));
        let mut how = Ended::Stopped;
        if told.is_ok() {
            let watch = tokio::spawn(rejoin::watch(Arc::clone(&shared), links.clone()));
            // As a task: waking the future of `block_on` itself costs a write to the runtime's event descriptor.
            how = match tokio::spawn(driver::run(Arc::clone(&shared))).await {
                Ok(how) => how,
                Err(error) => {
                    tracing::error!(%error, "the node's driver ended");
                    Ended::Failed
                }
            };
            watch.abort();
        }
        shared.core().links = None;
        links.shutdown().await;
        shared.core().refuse_commands();
        how
    }

    /// Listens, joins, and builds the node. Nobody is linked before the node is there to hear of it.
    async fn start(self) -> Result<(Arc<Shared>, Links), StartError> {
        let Host {
            config,
            transport,
            mut boot,
            policy,
            record,
            inbox,
            ..
        } = self;
        let is_open = transport.security() == Security::Plaintext && !config.plaintext;
        let inbound = Arc::new(Inbound::new(is_open));
        let handler: Arc<dyn LinkHandler> = inbound.clone();
        let at = listen_address(&config);
        let (identity, limits) = (identity(&config, boot), transport::Limits::default());
        let links = Links::start(transport, at, identity, limits, handler)
            .await
            .map_err(|error| StartError::Listen {
                address: at.to_owned(),
                purpose: "peers",
                reason: error.to_string(),
            })?;
        let (mut table, mut greeted) = (Vec::new(), None);
        if let Some(join) = &config.join {
            match join::enter(&links, &config, join).await {
                Ok(welcome) => (table, greeted) = (welcome.records, Some(welcome.greeted)),
                Err(error) => {
                    links.shutdown().await;
                    return Err(error);
                }
            }
            // The member that answered may know of a later life than this was to be.
            if let Some(inc) = own_life(&config, &table).filter(|inc| *inc != boot.inc) {
                boot.inc = inc;
                links.set_epoch(inc.0);
                if let Some(dir) = &config.state_dir {
                    incarnation::keep(dir, inc).map_err(StartError::StateDir)?;
                }
            }
        }
        let node = Node::new(node_config(&config, table), boot, clock::now())
            .map_err(ConfigError::from)?;
        let roster = Roster::first(&node, &config, policy);
        let mut core = Core::new(node, inbox, record, &config);
        core.links = Some(links.clone());
        core.peers_changed = true;
        core.standing.greeted.extend(greeted);
        let shared = Arc::new(Shared::new(core, config, roster));
        inbound.open(Arc::clone(&shared));
        shared.settle(&mut shared.core());
        Ok((shared, links))
    }
}

/// A runtime that looks for other threads' publishes after each step, and for frames and timers after a few:
/// a step may be a frame of thousands of ops, and tokio's own intervals count steps, not time.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .global_queue_interval(1)
        .event_interval(4)
        .build()
}

fn own_life(config: &Config, table: &[Record]) -> Option<Incarnation> {
    let own = table.iter().find(|record| record.rank == config.me);
    own.map(|record| record.inc)
}

fn listen_address(config: &Config) -> &str {
    let own = &config.own().address;
    config.listen.as_deref().unwrap_or(own)
}

fn identity(config: &Config, boot: Boot) -> Identity {
    let protocol = u16::from(node::wire::VERSION);
    Identity {
        cluster: cluster_id(&config.cluster),
        node: node_id(config.me),
        epoch: boot.inc.0,
        boot: boot.seed,
        config_hash: config.hash(),
        protocol: (protocol, protocol),
    }
}

fn cluster_id(name: &str) -> u128 {
    let half = |domain| u128::from(radix_core::FingerprintKey::new(domain).namespace(name).0);
    half(1) << 64 | half(2)
}

pub(crate) fn node_config(config: &Config, table: Vec<Record>) -> NodeConfig {
    let mut topology = topology::Config::with_seeds(config.me, config.seeds());
    topology.table = table;
    topology.fanout = config.fanout;
    topology.heartbeat = config.heartbeat;
    topology.misses = config.misses;
    topology.forget_after = config.forget_after;
    topology.exchange = config.exchange;
    topology.jitter = config.exchange / 5;
    let mut node = NodeConfig::new(config.me, vec![(config.me, config.own().role)]);
    node.topology = topology;
    node.cold_start = config.cold_start;
    // One chunk is what a heartbeat may have to wait for on a narrow way.
    node.log.snapshot_chunk_bytes = SNAPSHOT_CHUNK_BYTES;
    node
}

/// Pieces of snapshots. Unit: bytes. 8 of them make a window of the logs' protocol.
const SNAPSHOT_CHUNK_BYTES: usize = 16 * 1024;
