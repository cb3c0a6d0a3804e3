//! The life of one link: get a connection, use it until it ends, get the next. One task per wanted peer, so that
//! what its handler hears is in order by construction.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::connection::Connection;
use crate::counters::add;
use crate::driver::Ending;
use crate::error::{CloseReason, ConnectError, RejectReason, Rejection};
use crate::handler::Handler;
use crate::identity::{Identity, Local, NodeId, Peer};
use crate::lane_queue::lock;
use crate::links::{Inner, turn_away};

/// What the keeper of a link shares with senders and with the listener.
pub(crate) struct Link {
    node: NodeId,
    address: Mutex<String>,
    live: Mutex<Option<Connection>>,
    /// The latest epoch of a connection that went live.
    seen: AtomicU64,
    /// An accepted connection that waits for the keeper. The latest epoch wins, then the latest arrival.
    arrived: Mutex<Option<Connection>>,
    /// Something arrived, or the address changed.
    changed: Notify,
}

impl Link {
    pub(crate) fn new(node: NodeId, address: String) -> Link {
        Link {
            node,
            address: Mutex::new(address),
            live: Mutex::new(None),
            seen: AtomicU64::new(0),
            arrived: Mutex::new(None),
            changed: Notify::new(),
        }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// Returns the latest epoch that the peer connected in; 0 before the first time.
    pub(crate) fn seen(&self) -> u64 {
        self.seen.load(SeqCst)
    }

    pub(crate) fn live(&self) -> Option<Connection> {
        lock(&self.live).clone()
    }

    /// Changes where the peer is dialed. Returns whether it was elsewhere.
    pub(crate) fn set_address(&self, address: String) -> bool {
        let mut current = lock(&self.address);
        let changed = *current != address;
        if changed {
            *current = address;
            self.changed.notify_one();
        }
        changed
    }

    /// Hands an accepted connection over.
    pub(crate) fn arrive(&self, connection: Connection) {
        let epoch = connection.peer().epoch;
        let mut arrived = lock(&self.arrived);
        let loser = match &*arrived {
            Some(other) if other.peer().epoch > epoch => Some(connection),
            _ => arrived.replace(connection),
        };
        drop(arrived);
        if let Some(loser) = loser {
            turn_away(&loser, CloseReason::Replaced);
        }
        self.changed.notify_one();
    }

    async fn next_arrival(&self) -> Connection {
        loop {
            if let Some(connection) = lock(&self.arrived).take() {
                return connection;
            }
            self.changed.notified().await;
        }
    }
}

/// This end of a dial: only the node that was dialed will do.
struct Dial {
    inner: Arc<Inner>,
    link: Arc<Link>,
}

impl Local for Dial {
    fn identity(&self) -> Identity {
        self.inner.identity()
    }

    fn admit(&self, peer: &Peer) -> Result<(), Rejection> {
        // spec: LINK-1
        let node = self.link.node;
        if peer.node != node {
            let text = format!("dialed node {node} and got node {}", peer.node);
            return Err(RejectReason::WrongNode.because(text));
        }
        self.inner.judge(&self.link, peer)
    }
}

/// Keeps the link until `stop`.
pub(crate) async fn keep(inner: Arc<Inner>, link: Arc<Link>, stop: CancellationToken) {
    let keeper = Keeper {
        dials: inner.identity().node < link.node,
        inner,
        link,
        stop,
    };
    keeper.run().await;
}

struct Keeper {
    inner: Arc<Inner>,
    link: Arc<Link>,
    stop: CancellationToken,
    dials: bool,
}

impl Keeper {
    async fn run(&self) {
        let me = self.inner.identity();
        let mut random =
            fastrand::Rng::with_seed(me.boot ^ me.node.0.rotate_left(32) ^ self.link.node.0);
        let mut backoff = Backoff::new(&self.inner.limits);
        let mut next = None;
        loop {
            let connection = match next.take() {
                Some(connection) => connection,
                None => tokio::select! {
                    biased;
                    () = self.stop.cancelled() => break,
                    connection = self.obtain(&mut backoff, &mut random) => connection,
                },
            };
            let began = Instant::now();
            next = self.live(&connection).await;
            backoff.lived(began.elapsed());
            if self.stop.is_cancelled() {
                break;
            }
            if self.dials {
                self.rest(&mut backoff, &mut random).await;
            }
        }
        if let Some(unused) = next.or_else(|| lock(&self.link.arrived).take()) {
            turn_away(&unused, self.why_stopped());
        }
    }

    async fn obtain(&self, backoff: &mut Backoff, random: &mut fastrand::Rng) -> Connection {
        if !self.dials {
            return self.link.next_arrival().await;
        }
        let mut last = String::new();
        loop {
            let address = lock(&self.link.address).clone();
            let local = Arc::new(Dial {
                inner: Arc::clone(&self.inner),
                link: Arc::clone(&self.link),
            });
            let counters = self.inner.transport.counters();
            add(&counters.dials, 1);
            match self
                .inner
                .transport
                .connect(&address, local, self.inner.limits.clone())
                .await
            {
                Ok(connection) => return connection,
                Err(error) => {
                    add(&counters.dials_failed, 1);
                    self.log(&error, &mut last);
                    if let Some(why) = error.refusal() {
                        self.refused(why);
                    }
                }
            }
            self.rest(backoff, random).await;
        }
    }

    /// Passes on that the peer refused this node, and that it knows a later life of it.
    fn refused(&self, why: &Rejection) {
        self.inner.handler.on_refused(self.link.node, why);
        if why.reason == RejectReason::Outlived {
            self.inner.handler.on_outlived(why.known_epoch);
        }
    }

    /// Says why a dial failed, loudly only when it is news.
    fn log(&self, error: &ConnectError, last: &mut String) {
        let text = error.to_string();
        let node = self.link.node;
        if *last == text {
            tracing::debug!(%node, error = %text, "dial failed again");
        } else if matches!(
            error,
            ConnectError::Io { .. } | ConnectError::Timeout { .. }
        ) {
            tracing::info!(%node, error = %text, "dial failed");
        } else {
            tracing::warn!(%node, error = %text, "dial failed");
        }
        *last = text;
    }

    async fn rest(&self, backoff: &mut Backoff, random: &mut fastrand::Rng) {
        let pause = backoff.pause(random);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            () = self.link.changed.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// Uses a connection until it ends. Returns the one that replaces it, if it was replaced.
    async fn live(&self, connection: &Connection) -> Option<Connection> {
        let handler = &self.inner.handler;
        let peer = connection.peer();
        self.link.seen.fetch_max(peer.epoch, SeqCst);
        *lock(&self.link.live) = Some(connection.clone());
        tracing::info!(%peer, "link up");
        handler.on_up(peer);
        let frames: Arc<dyn Handler> = handler.clone();
        connection.start(frames);
        let replacement = self.wait(connection).await;
        // spec: LINK-5
        // Its task has delivered its last frame: nothing of it can come after `on_down`.
        let why = connection.closed().await;
        *lock(&self.link.live) = None;
        tracing::info!(%peer, %why, "link down");
        handler.on_down(peer, &why);
        if let CloseReason::Rejected(why) = &why {
            self.refused(why);
        }
        replacement
    }

    async fn wait(&self, connection: &Connection) -> Option<Connection> {
        loop {
            let newer = tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    connection.end(self.why_stopped(), Ending::Graceful);
                    return None;
                }
                newer = self.link.next_arrival() => newer,
                _ = connection.closed() => return None,
            };
            let (live, stale) = (connection.peer().epoch, newer.peer().epoch);
            // spec: LINK-4
            if stale < live {
                let text = format!("connected in epoch {live}, refused epoch {stale}");
                turn_away(
                    &newer,
                    CloseReason::Rejected(RejectReason::StaleEpoch.because(text)),
                );
                continue;
            }
            connection.end(CloseReason::Replaced, Ending::Silent);
            return Some(newer);
        }
    }

    fn why_stopped(&self) -> CloseReason {
        if self.inner.stop.is_cancelled() {
            CloseReason::Shutdown
        } else {
            CloseReason::NotWanted
        }
    }
}
