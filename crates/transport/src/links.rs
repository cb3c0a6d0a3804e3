//! One connection to each wanted peer, kept: who dials whom, what replaces what, and who hears of it. The life of
//! a single link is in `keeper`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::connection::Connection;
use crate::counters::Counters;
use crate::driver::Ending;
use crate::error::{
    AcceptError, CloseReason, ConnectError, HandshakeError, ListenError, RejectReason, Rejection,
    SendError,
};
use crate::handler::{Handler, Verdict};
use crate::identity::{Identity, Local, Newcomer, NodeId, Peer};
use crate::keeper::{self, Link};
use crate::lane::Lane;
use crate::lane_queue::lock;
use crate::limits::Limits;
use crate::transport::{Listener, Security, Transport};

/// What [`Links`] calls. For each peer, `on_up` and `on_down` strictly alternate, beginning with `on_up`, and every
/// frame comes between the two. The calls for one peer come one at a time.
pub trait LinkHandler: Handler {
    /// A connection to the peer is up. Sending to it works from here on.
    fn on_up(&self, peer: &Peer);

    /// The connection is gone. Another one is on its way, unless the peer is not wanted any more.
    fn on_down(&self, peer: &Peer, why: &CloseReason);

    /// Returns the latest epoch of `node` that is known by other ways than its connections; 0 if none is.
    ///
    /// Asked at every handshake: a peer of an earlier epoch is refused.
    fn latest_epoch(&self, node: NodeId) -> u64 {
        let _ = node;
        0
    }

    /// Decides on a peer that passed every other check. `live` is the other end of the connection that this one would
    /// replace, if there is one: as `boot` tells, the same process or another.
    ///
    /// Asked at every handshake, in either direction. Must not block.
    /// Errors: the rejection is sent to the peer, counted on both sides, and the live connection stays.
    fn admit(&self, peer: &Peer, live: Option<&Peer>) -> Result<(), Rejection> {
        let _ = (peer, live);
        Ok(())
    }

    /// Answers a node that introduces itself; see [`Links::introduce`]. Must not block.
    ///
    /// Errors: the rejection is sent to the newcomer and counted on both sides.
    fn on_introduction(&self, newcomer: &Newcomer, request: &[u8]) -> Result<Vec<u8>, Rejection> {
        let _ = (newcomer, request);
        Err(RejectReason::Introduction.because("this node takes no introductions"))
    }

    /// `node` refused a connection of this end, or ended one by a refusal. It is dialed again all the same.
    fn on_refused(&self, node: NodeId, why: &Rejection) {
        let _ = (node, why);
    }

    /// A peer refused this end: it has seen this node in the later epoch `latest`. Only an epoch above that one,
    /// given to [`Links::set_epoch`], will be let in.
    fn on_outlived(&self, latest: u64) {
        let _ = latest;
    }
}

/// Keeps one connection to each wanted peer. Clones are the same links; the last one to be dropped ends them.
///
/// Of each pair the node with the lower id dials, for ever, with growing pauses; the other one waits. A peer that
/// connects again replaces its old connection, unless its epoch is lower.
#[derive(Clone)]
pub struct Links {
    inner: Arc<Inner>,
    /// Ends the tasks, which hold `inner` themselves.
    _guard: Arc<DropGuard>,
}

/// What the tasks of all links share.
pub(crate) struct Inner {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) handler: Arc<dyn LinkHandler>,
    pub(crate) limits: Limits,
    pub(crate) stop: CancellationToken,
    identity: Mutex<Identity>,
    wanted: RwLock<Wanted>,
    local_address: OnceLock<String>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Wanted {
    kept: BTreeMap<NodeId, Kept>,
    /// Links that were given up and have not ended yet. One that is wanted again waits for its predecessor.
    leaving: BTreeMap<NodeId, JoinHandle<()>>,
}

struct Kept {
    link: Arc<Link>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Links {
    /// Listens at `listen` and starts without peers; see [`Links::set_peers`].
    ///
    /// Runs its tasks on the current runtime. Errors: [`ListenError`]; nothing is left running.
    pub async fn start(
        transport: Arc<dyn Transport>,
        listen: &str,
        identity: Identity,
        limits: Limits,
        handler: Arc<dyn LinkHandler>,
    ) -> Result<Links, ListenError> {
        let inner = Arc::new(Inner {
            transport,
            handler,
            limits,
            stop: CancellationToken::new(),
            identity: Mutex::new(identity),
            wanted: RwLock::default(),
            local_address: OnceLock::new(),
            accepting: Mutex::new(None),
        });
        let local: Arc<dyn Local> = inner.clone();
        let listener = inner
            .transport
            .listen(listen, local, inner.limits.clone())
            .await?;
        inner.local_address.get_or_init(|| listener.local_address());
        *lock(&inner.accepting) = Some(tokio::spawn(accept(Arc::clone(&inner), listener)));
        let guard = Arc::new(inner.stop.clone().drop_guard());
        Ok(Links {
            inner,
            _guard: guard,
        })
    }

    /// Sets the wanted peers and their addresses. Links to others are closed, new ones are begun.
    ///
    /// Where this end dials, a changed address ends the connection to the old one: somebody else is the peer now. Where
    /// it waits, the live connection stays. This node itself is skipped.
    /// Does nothing after [`Links::shutdown`]. Panics: outside a tokio runtime.
    pub fn set_peers(&self, peers: impl IntoIterator<Item = (NodeId, String)>) {
        let inner = &self.inner;
        let me = inner.identity().node;
        let mut wanted = inner.wanted_mut();
        if inner.stop.is_cancelled() {
            return;
        }
        let mut gone = std::mem::take(&mut wanted.kept);
        for (node, address) in peers {
            if node == me {
                tracing::debug!(%node, "this node is not its own peer");
                continue;
            }
            if let Some(kept) = gone.remove(&node) {
                if kept.link.set_address(address)
                    && me < node
                    && let Some(live) = kept.link.live()
                {
                    live.close("the peer has another address now");
                }
                wanted.kept.insert(node, kept);
                continue;
            }
            let before = wanted.leaving.remove(&node);
            if let Entry::Vacant(place) = wanted.kept.entry(node) {
                place.insert(Kept::begin(inner, node, address, before));
            }
        }
        wanted.leaving.retain(|_, task| !task.is_finished());
        for (node, kept) in gone {
            kept.stop.cancel();
            wanted.leaving.insert(node, kept.task);
        }
    }

    /// Queues a frame to `node`; see [`Connection::try_send_with`].
    ///
    /// Errors: [`SendError`]; [`SendError::Closed`] also when the node is not wanted or not connected.
    pub fn try_send_with(
        &self,
        node: NodeId,
        lane: Lane,
        len: usize,
        encode: impl FnOnce(&mut [u8]),
    ) -> Result<(), SendError> {
        self.connection(node)
            .ok_or(SendError::Closed)?
            .try_send_with(lane, len, encode)
    }

    /// Introduces this node to whoever listens at `address`, and returns who that is and the answer.
    ///
    /// A node that is no wanted peer of anybody begins so. It makes no link: what the answer says, and whom the nodes
    /// want from then on, is the layers' above. For the sizes see
    /// [`Transport::introduce`](crate::Transport::introduce).
    /// Errors: [`ConnectError`]; a refusal is [`ConnectError::refusal`].
    pub async fn introduce(
        &self,
        address: &str,
        request: &[u8],
    ) -> Result<(Peer, Vec<u8>), ConnectError> {
        let inner = &self.inner;
        let local: Arc<dyn Local> = inner.clone();
        let limits = inner.limits.clone();
        inner
            .transport
            .introduce(address, local, limits, request)
            .await
    }

    /// Returns the live connection to `node`, between its `on_up` and its `on_down`.
    #[must_use]
    pub fn connection(&self, node: NodeId) -> Option<Connection> {
        self.inner.wanted().kept.get(&node)?.link.live()
    }

    /// Returns whether frames to `node` are accepted now.
    #[must_use]
    pub fn is_up(&self, node: NodeId) -> bool {
        self.connection(node)
            .is_some_and(|connection| !connection.is_closed())
    }

    /// Returns the address that peers dial, with the real port where 0 was asked for.
    #[must_use]
    pub fn local_address(&self) -> &str {
        self.inner.local_address.get().map_or("", String::as_str)
    }

    /// Returns the counters of the transport.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        self.inner.transport.counters()
    }

    /// Returns what protects the connections now.
    #[must_use]
    pub fn security(&self) -> Security {
        self.inner.transport.security()
    }

    /// Changes the epoch that later handshakes carry. Live connections stay: the layer above must tell its peers.
    pub fn set_epoch(&self, epoch: u64) {
        lock(&self.inner.identity).epoch = epoch;
    }

    /// Stops listening and dialing, closes every connection gracefully, and waits for the last `on_down`.
    ///
    /// Takes at most about [`Limits::linger`]. Later calls return at once; sends fail with [`SendError::Closed`].
    pub async fn shutdown(&self) {
        self.inner.stop.cancel();
        let mut tasks: Vec<_> = lock(&self.inner.accepting).take().into_iter().collect();
        let wanted = std::mem::take(&mut *self.inner.wanted_mut());
        tasks.extend(wanted.kept.into_values().map(|kept| kept.task));
        tasks.extend(wanted.leaving.into_values());
        for task in tasks {
            // A handler that panicked took its own link's task with it; the others go on.
            let _ = task.await;
        }
    }
}

impl Kept {
    fn begin(
        inner: &Arc<Inner>,
        node: NodeId,
        address: String,
        before: Option<JoinHandle<()>>,
    ) -> Kept {
        let link = Arc::new(Link::new(node, address));
        let stop = inner.stop.child_token();
        let keep = keeper::keep(Arc::clone(inner), Arc::clone(&link), stop.clone());
        let task = tokio::spawn(async move {
            if let Some(before) = before {
                let _ = before.await;
            }
            keep.await;
        });
        Kept { link, stop, task }
    }
}

impl Inner {
    fn wanted(&self) -> RwLockReadGuard<'_, Wanted> {
        self.wanted.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What both directions ask last of a peer that is wanted.
    pub(crate) fn judge(&self, link: &Link, peer: &Peer) -> Result<(), Rejection> {
        self.judge_epoch(link, peer.epoch)?;
        // spec: LINK-7
        let live = link.live();
        self.handler
            .admit(peer, live.as_ref().map(Connection::peer))
    }

    /// Refuses a life of a node that is over: a later one is connected, was connected, or was heard of.
    ///
    /// Where none is connected, the rejection names the latest: whose clock went back finds its way from there.
    // spec: LINK-4, LINK-6
    fn judge_epoch(&self, link: &Link, epoch: u64) -> Result<(), Rejection> {
        let node = link.node();
        let latest = link.seen().max(self.handler.latest_epoch(node));
        if epoch >= latest {
            return Ok(());
        }
        if link.live().is_some() {
            return Err(RejectReason::StaleEpoch.because(format!(
                "node {node} is connected, its latest epoch is {latest}, refused epoch {epoch}"
            )));
        }
        let text = format!("node {node} was seen in epoch {latest}, refused epoch {epoch}");
        Err(Rejection {
            known_epoch: latest,
            ..RejectReason::Outlived.because(text)
        })
    }

    fn wanted_mut(&self) -> RwLockWriteGuard<'_, Wanted> {
        self.wanted.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Local for Inner {
    fn identity(&self) -> Identity {
        *lock(&self.identity)
    }

    /// Whom the listener lets in: wanted peers that should dial, in an epoch no lower than the live one.
    fn admit(&self, peer: &Peer) -> Result<(), Rejection> {
        // spec: LINK-2, LINK-3, LINK-4
        if self.stop.is_cancelled() {
            return Err(RejectReason::ShuttingDown.because("shutting down"));
        }
        let (node, me) = (peer.node, self.identity().node);
        // Not held any longer: the handler may be changing what is wanted.
        let kept = self
            .wanted()
            .kept
            .get(&node)
            .map(|kept| Arc::clone(&kept.link));
        let Some(link) = kept else {
            return Err(RejectReason::UnknownNode.because(format!("node {me} has no peer {node}")));
        };
        if node > me {
            return Err(
                RejectReason::WrongDirection.because(format!("node {me} dials node {node}"))
            );
        }
        self.judge(&link, peer)
    }

    // spec: SHAKE-9
    fn introduce(&self, newcomer: &Newcomer, request: &[u8]) -> Result<Vec<u8>, Rejection> {
        if self.stop.is_cancelled() {
            return Err(RejectReason::ShuttingDown.because("shutting down"));
        }
        self.handler.on_introduction(newcomer, request)
    }
}

/// Accepts peers and hands each to its link, until stopped.
async fn accept(inner: Arc<Inner>, mut listener: Box<dyn Listener>) {
    let mut loud = Loud::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = inner.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(connection) => {
                let link = inner
                    .wanted()
                    .kept
                    .get(&connection.peer().node)
                    .map(|kept| Arc::clone(&kept.link));
                match link {
                    Some(link) => link.arrive(connection),
                    None => turn_away(&connection, CloseReason::NotWanted),
                }
            }
            Err(AcceptError::Io(error)) => {
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(inner.limits.backoff_min).await;
            }
            // spec: SHAKE-4, TLS-2, TLS-4
            Err(AcceptError::Handshake {
                address,
                source: why @ (HandshakeError::RejectedPeer(_) | HandshakeError::Tls(_)),
            }) if loud.due() => {
                tracing::warn!(%address, %why, "refused a peer");
            }
            // Counted by variant. Not louder: whoever reaches the port decides how often this happens.
            Err(error) => tracing::debug!(%error, "a peer was not let in"),
        }
    }
}

/// Lets one line of log through per second.
#[derive(Default)]
struct Loud(Option<Instant>);

impl Loud {
    fn due(&mut self) -> bool {
        let now = Instant::now();
        let due = self
            .0
            .is_none_or(|last| now - last >= Duration::from_secs(1));
        if due {
            self.0 = Some(now);
        }
        due
    }
}

/// Ends a connection that shook hands and is not used after all, and says why.
pub(crate) fn turn_away(connection: &Connection, why: CloseReason) {
    struct Deaf;
    impl Handler for Deaf {
        fn on_frame(&self, _: &Peer, _: Lane, _: &[u8]) -> Verdict {
            Verdict::Continue
        }
    }
    connection.start(Arc::new(Deaf));
    connection.end(why, Ending::Abrupt);
}
