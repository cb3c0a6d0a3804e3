//! What the tests run on: pairs of connections, and a handler that writes down what it hears.

use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::connection::Connection;
use crate::error::{CloseReason, ConnectError, RejectReason, Rejection};
use crate::handler::{Handler, Verdict};
use crate::identity::{Identity, Local, Newcomer, NodeId, Peer};
use crate::lane::Lane;
use crate::lane_queue::lock;
use crate::limits::Limits;
use crate::links::LinkHandler;
use crate::stream::Duplex;
use crate::transport::{Listener, Transport};

/// What a transport brings to be tested.
#[async_trait]
pub trait Rig: Send + Sync {
    /// Makes a transport with fresh counters, on the same network as the others of this rig. Where connections prove
    /// who they are, it proves that it is `node`.
    fn transport(&self, node: NodeId) -> Arc<dyn Transport>;

    /// Returns an address to listen at that nobody else uses.
    fn address(&self) -> String;

    /// Opens a byte stream to a listener without a handshake, as a hostile node 1 would.
    async fn dial_raw(&self, to: &str) -> io::Result<Duplex>;
}

/// Gives up on a test that hangs.
pub(super) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what)
        .await
        .expect("the test hangs")
}

pub(super) fn identity(node: u64) -> Identity {
    Identity {
        cluster: 77,
        node: NodeId(node),
        epoch: 1,
        boot: 1000 + node,
        config_hash: 5,
        protocol: (1, 3),
    }
}

pub(super) fn count(transport: &dyn Transport, name: &str, label: &str) -> u64 {
    transport
        .counters()
        .get(name, label)
        .expect("a counter of that name")
}

/// Two ends of one connection, not started, and their transports: node 1 dialed node 2.
pub(super) struct Pair {
    pub(super) dialer: Connection,
    pub(super) acceptor: Connection,
    pub(super) transports: [Arc<dyn Transport>; 2],
}

pub(super) async fn pair(rig: &dyn Rig, limits: Limits) -> Pair {
    let transports = [rig.transport(NodeId(1)), rig.transport(NodeId(2))];
    let mut listener = listen(rig, &transports[1], identity(2), limits.clone()).await;
    let address = listener.local_address();
    let (dialed, accepted) = within(async {
        tokio::join!(
            transports[0].connect(&address, Arc::new(identity(1)), limits),
            listener.accept()
        )
    })
    .await;
    Pair {
        dialer: dialed.expect("dialed"),
        acceptor: accepted.expect("accepted"),
        transports,
    }
}

pub(super) async fn listen(
    rig: &dyn Rig,
    transport: &Arc<dyn Transport>,
    local: impl Local,
    limits: Limits,
) -> Box<dyn Listener> {
    transport
        .listen(&rig.address(), Arc::new(local), limits)
        .await
        .expect("listening")
}

/// Connects as `local` to a listener that runs meanwhile. Returns what the dialer got and what the listener got.
pub(super) async fn meet(
    transport: &Arc<dyn Transport>,
    local: Identity,
    listener: &mut dyn Listener,
) -> (
    Result<Connection, ConnectError>,
    Result<Connection, crate::error::AcceptError>,
) {
    let address = listener.local_address();
    within(async {
        tokio::join!(
            transport.connect(&address, Arc::new(local), Limits::default()),
            listener.accept()
        )
    })
    .await
}

/// Something that a handler heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Up(Peer),
    Down(NodeId, CloseReason),
    Frame(Lane, Vec<u8>),
    Room(Lane),
    Closed(CloseReason),
    Outlived(u64),
    Slow,
    Drained,
    Introduction(NodeId, Vec<u8>),
    Refused(NodeId, RejectReason),
}

/// A handler that writes down what it hears, and can be told to have no room.
pub(super) struct Recorder {
    heard: mpsc::UnboundedSender<Heard>,
    /// `None`: there is room.
    stopped: Mutex<Option<Vec<Waker>>>,
    /// Another process does not replace a live one.
    guards: AtomicBool,
}

/// What a recorder wrote down.
pub(super) struct Record(mpsc::UnboundedReceiver<Heard>);

pub(super) fn recorder() -> (Arc<Recorder>, Record) {
    let (heard, record) = mpsc::unbounded_channel();
    (
        Arc::new(Recorder {
            heard,
            stopped: Mutex::new(None),
            guards: AtomicBool::new(false),
        }),
        Record(record),
    )
}

impl Recorder {
    pub(super) fn stop(&self) {
        *lock(&self.stopped) = Some(Vec::new());
    }

    pub(super) fn go_on(&self) {
        for waker in lock(&self.stopped).take().into_iter().flatten() {
            waker.wake();
        }
    }

    pub(super) fn guard_ranks(&self) {
        self.guards.store(true, SeqCst);
    }

    fn hear(&self, heard: Heard) {
        // Whoever stopped listening does not want to know.
        let _ = self.heard.send(heard);
    }
}

impl Handler for Recorder {
    fn on_frame(&self, _: &Peer, lane: Lane, frame: &[u8]) -> Verdict {
        self.hear(Heard::Frame(lane, frame.to_vec()));
        if frame == b"disconnect" {
            Verdict::Disconnect("as you wish")
        } else {
            Verdict::Continue
        }
    }

    fn on_close(&self, _: &Peer, why: &CloseReason) {
        self.hear(Heard::Closed(why.clone()));
    }

    fn on_room(&self, _: &Peer, lane: Lane) {
        self.hear(Heard::Room(lane));
    }

    fn on_slow(&self, _: &Peer) {
        self.hear(Heard::Slow);
    }

    fn on_drained(&self, _: &Peer) {
        self.hear(Heard::Drained);
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *lock(&self.stopped) {
            None => Poll::Ready(()),
            Some(wakers) => {
                wakers.push(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl LinkHandler for Recorder {
    fn on_up(&self, peer: &Peer) {
        self.hear(Heard::Up(peer.clone()));
    }

    fn on_down(&self, peer: &Peer, why: &CloseReason) {
        self.hear(Heard::Down(peer.node, why.clone()));
    }

    fn on_outlived(&self, latest: u64) {
        self.hear(Heard::Outlived(latest));
    }

    fn on_refused(&self, node: NodeId, why: &Rejection) {
        if why.reason != RejectReason::Outlived {
            self.hear(Heard::Refused(node, why.reason));
        }
    }

    fn admit(&self, peer: &Peer, live: Option<&Peer>) -> Result<(), Rejection> {
        match live {
            Some(live) if self.guards.load(SeqCst) && live.boot != peer.boot => {
                let text = format!("node {} lives at {}", live.node, live.address);
                Err(RejectReason::RankTaken.because(text))
            }
            _ => Ok(()),
        }
    }

    fn on_introduction(&self, newcomer: &Newcomer, request: &[u8]) -> Result<Vec<u8>, Rejection> {
        let node = newcomer.peer.node;
        match request {
            b"refuse" => {
                let text = format!("node {node} lives elsewhere");
                return Err(RejectReason::RankTaken.because(text));
            }
            b"large" => return Ok(vec![7; 256 * 1024 - 100]),
            b"too large" => return Ok(vec![7; 256 * 1024]),
            _ => {}
        }
        self.hear(Heard::Introduction(node, request.to_vec()));
        let said = String::from_utf8_lossy(request);
        Ok(format!("node {node} said {said}").into_bytes())
    }
}

impl Record {
    pub(super) async fn next(&mut self) -> Heard {
        within(self.0.recv()).await.expect("the recorder lives")
    }

    pub(super) fn try_next(&mut self) -> Option<Heard> {
        self.0.try_recv().ok()
    }

    pub(super) async fn frame(&mut self) -> (Lane, Vec<u8>) {
        match self.next().await {
            Heard::Frame(lane, frame) => (lane, frame),
            other => panic!("heard {other:?} instead of a frame"),
        }
    }

    pub(super) async fn closed(&mut self) -> CloseReason {
        match self.next().await {
            Heard::Closed(why) => why,
            other => panic!("heard {other:?} instead of a close"),
        }
    }

    pub(super) async fn up(&mut self) -> Peer {
        loop {
            match self.next().await {
                Heard::Up(peer) => return peer,
                other @ Heard::Down(..) => panic!("heard {other:?} instead of an up"),
                _ => {}
            }
        }
    }

    pub(super) async fn down(&mut self) -> (NodeId, CloseReason) {
        loop {
            match self.next().await {
                Heard::Down(node, why) => return (node, why),
                other @ Heard::Up(_) => panic!("heard {other:?} instead of a down"),
                _ => {}
            }
        }
    }
}

pub(super) fn send(connection: &Connection, lane: Lane, payload: &[u8]) {
    connection
        .try_send_with(lane, payload.len(), |buffer| {
            buffer.copy_from_slice(payload)
        })
        .expect("room in the lane");
}
