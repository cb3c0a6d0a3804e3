//! A network inside the process, for tests: the same connections over in-process streams, and links that can be
//! cut, frozen and mended.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, watch};

use crate::connection::Connection;
use crate::counters::Counters;
use crate::error::{ConnectError, HandshakeError, ListenError};
use crate::gate::{Gate, Source};
use crate::identity::{Local, NodeId, Peer};
use crate::lane_queue::lock;
use crate::limits::Limits;
use crate::stream::Duplex;
use crate::transport::{Listener, Security, Transport};

/// Bytes that one direction of a link holds before its sender waits.
const PIPE_BYTES: usize = 64 * 1024;
/// Streams that wait to be accepted by one listener.
const BACKLOG_MAX: usize = 256;

/// The state of the link between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Bytes flow.
    Whole,
    /// Nothing flows and nobody is told, as when a cable is pulled. Dials hang.
    Frozen,
    /// Connections break, dials are refused.
    Cut,
}

/// A network of named addresses. Clones are the same network.
#[derive(Clone, Debug, Default)]
pub struct Network {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    listeners: BTreeMap<String, (NodeId, mpsc::Sender<(DuplexStream, String)>)>,
    links: BTreeMap<(NodeId, NodeId), watch::Sender<Link>>,
    names: u64,
}

impl Network {
    /// Makes a network without nodes, where every link is whole.
    #[must_use]
    pub fn new() -> Network {
        Network::default()
    }

    /// Returns a transport of one node, with counters at zero.
    #[must_use]
    pub fn transport(&self) -> Mem {
        Mem {
            network: self.clone(),
            counters: Arc::default(),
        }
    }

    /// Changes the link between two nodes, also for the connections that exist.
    pub fn set_link(&self, a: NodeId, b: NodeId, state: Link) {
        lock(&self.inner).link(a, b).send_replace(state);
    }

    /// Opens a raw stream from `from` to the listener named `to`, as a hostile peer would.
    ///
    /// Errors: `ConnectionRefused` if nobody listens there, the backlog is full, or the link is cut.
    pub fn dial_raw(&self, from: NodeId, to: &str) -> io::Result<Duplex> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let mut inner = lock(&self.inner);
        let (node, listener) = inner.listeners.get(to).cloned().ok_or_else(refused)?;
        let link = inner.link(from, node).subscribe();
        drop(inner);
        if *link.borrow() == Link::Cut {
            return Err(refused());
        }
        let (near, near_end) = tokio::io::duplex(PIPE_BYTES);
        let (far, far_end) = tokio::io::duplex(PIPE_BYTES);
        listener
            .try_send((far, format!("node-{from}")))
            .map_err(|_| refused())?;
        tokio::spawn(carry(near_end, far_end, link));
        Ok(split(near))
    }
}

impl Inner {
    fn link(&mut self, a: NodeId, b: NodeId) -> &watch::Sender<Link> {
        self.links
            .entry((a.min(b), a.max(b)))
            .or_insert_with(|| watch::Sender::new(Link::Whole))
    }
}

/// Moves bytes between two ends for as long as their link is whole. Ends when either end closes, or at a cut.
async fn carry(mut a: DuplexStream, mut b: DuplexStream, mut link: watch::Receiver<Link>) {
    let mut copy = std::pin::pin!(tokio::io::copy_bidirectional(&mut a, &mut b));
    loop {
        let state = *link.borrow_and_update();
        if state == Link::Cut {
            return;
        }
        tokio::select! {
            biased;
            changed = link.changed() => {
                if changed.is_err() {
                    // The network went away with its last handle: nobody can cut the link any more.
                    let _ = copy.await;
                    return;
                }
            }
            _ = &mut copy, if state == Link::Whole => return,
        }
    }
}

fn split(stream: DuplexStream) -> Duplex {
    let (read, write) = tokio::io::split(stream);
    Duplex::new(read, write)
}

/// One node's transport in a [`Network`]. Addresses are names; the empty name listens at a fresh one.
#[derive(Debug)]
pub struct Mem {
    network: Network,
    counters: Arc<Counters>,
}

#[async_trait]
impl Transport for Mem {
    fn name(&self) -> &'static str {
        "mem"
    }

    fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    fn security(&self) -> Security {
        Security::InProcess
    }

    async fn listen(
        &self,
        at: &str,
        local: Arc<dyn Local>,
        limits: Limits,
    ) -> Result<Box<dyn Listener>, ListenError> {
        limits.check()?;
        let (sender, streams) = mpsc::channel(BACKLOG_MAX);
        let mut inner = lock(&self.network.inner);
        let mut address = at.to_owned();
        if address.is_empty() {
            inner.names += 1;
            address = format!("mem-{}", inner.names);
        }
        if inner
            .listeners
            .get(&address)
            .is_some_and(|(_, listener)| !listener.is_closed())
        {
            return Err(ListenError::Io {
                address,
                source: io::ErrorKind::AddrInUse.into(),
            });
        }
        inner
            .listeners
            .insert(address.clone(), (local.identity().node, sender));
        drop(inner);
        Ok(Box::new(Gate::new(
            MemSource { address, streams },
            local,
            limits,
            Arc::clone(&self.counters),
        )))
    }

    async fn connect(
        &self,
        to: &str,
        local: Arc<dyn Local>,
        limits: Limits,
    ) -> Result<Connection, ConnectError> {
        limits.check()?;
        let stream = self.open(local.identity().node, to)?;
        Connection::dial_over(stream, to, &*local, &limits, &self.counters)
            .await
            .map_err(|source| ConnectError::Handshake {
                address: to.to_owned(),
                source,
            })
    }

    async fn introduce(
        &self,
        to: &str,
        local: Arc<dyn Local>,
        limits: Limits,
        request: &[u8],
    ) -> Result<(Peer, Vec<u8>), ConnectError> {
        limits.check_introduction(request)?;
        let stream = self.open(local.identity().node, to)?;
        Connection::introduce_over(stream, to, &*local, &limits, &self.counters, request)
            .await
            .map_err(|source| ConnectError::Handshake {
                address: to.to_owned(),
                source,
            })
    }
}

impl Mem {
    fn open(&self, from: NodeId, to: &str) -> Result<Duplex, ConnectError> {
        let failed = |source| ConnectError::Io {
            address: to.to_owned(),
            source,
        };
        self.network.dial_raw(from, to).map_err(failed)
    }
}

struct MemSource {
    address: String,
    streams: mpsc::Receiver<(DuplexStream, String)>,
}

impl Source for MemSource {
    type Raw = DuplexStream;

    fn local_address(&self) -> String {
        self.address.clone()
    }

    async fn next(&mut self) -> io::Result<(DuplexStream, String)> {
        match self.streams.recv().await {
            Some(arrived) => Ok(arrived),
            // Another listener took the name; nobody will come here again.
            None => std::future::pending().await,
        }
    }

    fn open(
        &self,
        raw: DuplexStream,
    ) -> impl Future<Output = Result<Duplex, HandshakeError>> + Send + 'static {
        std::future::ready(Ok(split(raw)))
    }
}
