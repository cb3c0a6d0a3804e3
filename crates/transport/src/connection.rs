//! A connection between two ends that know each other. It moves frames; what they say is the caller's business.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::counters::{Counters, add};
use crate::driver::{self, Ending};
use crate::error::{CloseReason, HandshakeError, SendError};
use crate::handler::Handler;
use crate::handshake::{self, Agreed, Answered};
use crate::identity::{Local, Peer};
use crate::lane::Lane;
use crate::lane_queue::{LaneQueue, Signal, lock};
use crate::limits::Limits;
use crate::stream::Duplex;

/// One end of a connection. Clones are the same end.
///
/// It carries nothing until [`Connection::start`]; frames may be queued before. A started connection lives until
/// either end closes it, however many clones there are; one that was never started closes with its last clone.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
}

/// What the clones of a connection and its task share.
pub(crate) struct Shared {
    pub(crate) peer: Peer,
    pub(crate) limits: Limits,
    pub(crate) lanes: [LaneQueue; Lane::COUNT],
    pub(crate) signal: Signal,
    pub(crate) counters: Arc<Counters>,
    payload_bytes_max: [usize; Lane::COUNT],
    stage: Mutex<Stage>,
    /// Frames are no longer accepted.
    refusing: AtomicBool,
    end: Mutex<Option<(CloseReason, Ending)>>,
    ended: watch::Sender<Option<CloseReason>>,
}

/// Where the stream is.
enum Stage {
    /// Here: the connection is not started.
    Fresh(Duplex),
    /// With the connection's task.
    Started,
    /// Closed before the connection was started.
    Closed(CloseReason),
}

impl Shared {
    pub(crate) fn refuse(&self) {
        self.refusing.store(true, SeqCst);
    }

    /// Returns how the connection was asked to end, once.
    pub(crate) fn end_requested(&self) -> Option<(CloseReason, Ending)> {
        if self.refusing.load(SeqCst) {
            lock(&self.end).take()
        } else {
            None
        }
    }

    /// Publishes the reason. The first one stands.
    pub(crate) fn finish(&self, reason: CloseReason) {
        self.refuse();
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            if first {
                self.counters.closed(&reason);
                *ended = Some(reason);
            }
            first
        });
    }
}

impl Connection {
    /// Shakes hands over `stream` as the end that dialed `address`. For transports.
    ///
    /// `limits` must pass [`Limits::check`]. Errors: [`HandshakeError`], counted; the stream is closed.
    pub async fn dial_over(
        stream: Duplex,
        address: &str,
        local: &dyn Local,
        limits: &Limits,
        counters: &Arc<Counters>,
    ) -> Result<Connection, HandshakeError> {
        Connection::dial(async { Ok(stream) }, address, local, limits, counters).await
    }

    /// Opens a stream and shakes hands over it, all within one time limit.
    pub(crate) async fn dial(
        open: impl Future<Output = Result<Duplex, HandshakeError>>,
        address: &str,
        local: &dyn Local,
        limits: &Limits,
        counters: &Arc<Counters>,
    ) -> Result<Connection, HandshakeError> {
        let shake = async {
            let mut stream = open.await?;
            let agreed = handshake::dial(&mut stream, local, limits, address).await?;
            Ok((stream, agreed))
        };
        let (stream, agreed) = in_time(shake, limits, counters).await?;
        Ok(Connection::over(stream, agreed, limits, counters))
    }

    /// Introduces this end over `stream` to whoever listens at `address`; see
    /// [`Transport::introduce`](crate::Transport::introduce). For transports.
    ///
    /// `limits` must pass [`Limits::check`]. Errors: [`HandshakeError`], counted; the stream is closed.
    pub async fn introduce_over(
        stream: Duplex,
        address: &str,
        local: &dyn Local,
        limits: &Limits,
        counters: &Arc<Counters>,
        request: &[u8],
    ) -> Result<(Peer, Vec<u8>), HandshakeError> {
        let open = async { Ok(stream) };
        Connection::introduce(open, address, local, limits, counters, request).await
    }

    /// Opens a stream and introduces this end over it, all within one time limit.
    pub(crate) async fn introduce(
        open: impl Future<Output = Result<Duplex, HandshakeError>>,
        address: &str,
        local: &dyn Local,
        limits: &Limits,
        counters: &Arc<Counters>,
        request: &[u8],
    ) -> Result<(Peer, Vec<u8>), HandshakeError> {
        let shake = async {
            let mut stream = open.await?;
            handshake::introduce(&mut stream, local, limits, address, request).await
        };
        add(&counters.introductions, 1);
        in_time(shake, limits, counters).await
    }

    /// Shakes hands over `stream` as the end that was dialed from `address`. For transports.
    ///
    /// `None`: a newcomer introduced itself and was answered; there is no connection.
    /// `limits` must pass [`Limits::check`]. Errors: [`HandshakeError`], counted; the stream is closed.
    pub async fn answer_over(
        stream: Duplex,
        address: &str,
        local: &dyn Local,
        limits: &Limits,
        counters: &Arc<Counters>,
    ) -> Result<Option<Connection>, HandshakeError> {
        Connection::answer(async { Ok(stream) }, address, local, limits, counters).await
    }

    /// Opens a stream that arrived and shakes hands over it, all within one time limit.
    pub(crate) async fn answer(
        open: impl Future<Output = Result<Duplex, HandshakeError>>,
        address: &str,
        local: &dyn Local,
        limits: &Limits,
        counters: &Arc<Counters>,
    ) -> Result<Option<Connection>, HandshakeError> {
        let shake = async {
            let mut stream = open.await?;
            let answered = handshake::answer(&mut stream, local, limits, address).await?;
            Ok((stream, answered))
        };
        let (stream, answered) = in_time(shake, limits, counters).await?;
        match answered {
            Answered::Linked(agreed) => {
                let connection = Connection::over(stream, agreed, limits, counters);
                Ok(Some(connection))
            }
            Answered::Introduced => {
                add(&counters.introductions_answered, 1);
                Ok(None)
            }
        }
    }

    fn over(
        stream: Duplex,
        agreed: Agreed,
        limits: &Limits,
        counters: &Arc<Counters>,
    ) -> Connection {
        add(&counters.opened, 1);
        let lane = |lane: Lane| LaneQueue::new(lane, limits.lane_bytes_max[lane.index()]);
        let shared = Shared {
            payload_bytes_max: Lane::ALL
                .map(|lane| limits.payload_bytes_max(lane, agreed.frame_bytes_max)),
            peer: agreed.peer,
            limits: limits.clone(),
            lanes: Lane::ALL.map(lane),
            signal: Signal::default(),
            counters: Arc::clone(counters),
            stage: Mutex::new(Stage::Fresh(stream)),
            refusing: AtomicBool::new(false),
            end: Mutex::new(None),
            ended: watch::Sender::new(None),
        };
        Connection {
            shared: Arc::new(shared),
        }
    }

    /// Returns the other end.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.shared.peer
    }

    /// Queues a frame of `len` bytes payload, which `encode` writes in place (it gets `len` zeroes).
    ///
    /// Never blocks and never writes to the stream, so it may be called from a handler. `Ok` means accepted in
    /// the lane's order, not delivered. `encode` runs under the lane's lock: it must not send on this lane.
    ///
    /// Units: `len` in bytes.   Cost: the encoding, a checksum of it, one uncontended lock.
    /// Errors: [`SendError`]; nothing queued, `encode` not called.
    pub fn try_send_with(
        &self,
        lane: Lane,
        len: usize,
        encode: impl FnOnce(&mut [u8]),
    ) -> Result<(), SendError> {
        let shared = &*self.shared;
        if shared.refusing.load(SeqCst) {
            return Err(SendError::Closed);
        }
        let max = shared.payload_bytes_max[lane.index()];
        if len > max {
            add(&shared.counters.sends_too_large, 1);
            return Err(SendError::TooLarge { length: len, max });
        }
        let pushed = shared.lanes[lane.index()].push(len, encode);
        match pushed {
            Ok(()) => shared.signal.notify(),
            Err(_) => {
                add(&shared.counters.sends_full[lane.index()], 1);
                // The connection's task tells of it: whoever sends may hold locks that its handler wants.
                shared.signal.notify();
            }
        }
        pushed
    }

    /// Returns the bytes of `lane` that were accepted and not yet written, frame headers included.
    #[must_use]
    pub fn queued_bytes(&self, lane: Lane) -> usize {
        self.shared.lanes[lane.index()].queued()
    }

    /// Returns the largest payload that `lane` takes, in bytes: the least of both ends' frame limits and the lane.
    #[must_use]
    pub fn payload_bytes_max(&self, lane: Lane) -> usize {
        self.shared.payload_bytes_max[lane.index()]
    }

    /// Starts the connection's task on the current runtime; from now on `handler` is called.
    ///
    /// Panics: when called twice, or outside a tokio runtime. Both are errors of the program.
    pub fn start(&self, handler: Arc<dyn Handler>) {
        let stage = std::mem::replace(&mut *lock(&self.shared.stage), Stage::Started);
        match stage {
            Stage::Fresh(stream) => {
                tokio::spawn(driver::run(Arc::clone(&self.shared), stream, handler));
            }
            Stage::Closed(reason) => handler.on_close(&self.shared.peer, &reason),
            Stage::Started => panic!("the connection to {} was started twice", self.shared.peer),
        }
    }

    /// Closes: what is queued is still delivered, then `reason`, both within [`Limits::linger`].
    ///
    /// Returns at once; see [`Connection::closed`]. The first reason stands. One that is not started just ends.
    pub fn close(&self, reason: impl Into<Cow<'static, str>>) {
        self.end(CloseReason::Local(reason.into()), Ending::Graceful);
    }

    /// Closes and drops what is queued. The peer is still told `reason` if it listens.
    pub fn abort(&self, reason: impl Into<Cow<'static, str>>) {
        self.end(CloseReason::Local(reason.into()), Ending::Abrupt);
    }

    /// Returns whether the connection is closed or closing: no frame is accepted any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.refusing.load(SeqCst)
    }

    /// Waits until the connection has ended and its handler has heard of it.
    ///
    pub async fn closed(&self) -> CloseReason {
        let mut ended = self.shared.ended.subscribe();
        match ended.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(CloseReason::Abandoned),
            Err(_) => CloseReason::Abandoned,
        }
    }

    pub(crate) fn end(&self, reason: CloseReason, ending: Ending) {
        self.shared.refuse();
        let mut stage = lock(&self.shared.stage);
        if matches!(*stage, Stage::Fresh(_)) {
            *stage = Stage::Closed(reason.clone());
            drop(stage);
            self.shared.finish(reason);
            return;
        }
        drop(stage);
        lock(&self.shared.end).get_or_insert((reason, ending));
        self.shared.signal.notify();
    }
}

/// Holds a handshake to its time limit, and counts how it failed.
async fn in_time<T>(
    shake: impl Future<Output = Result<T, HandshakeError>>,
    limits: &Limits,
    counters: &Counters,
) -> Result<T, HandshakeError> {
    let shaken = tokio::time::timeout(limits.handshake_timeout, shake).await;
    shaken
        .unwrap_or(Err(HandshakeError::Timeout))
        .inspect_err(|error| counters.handshake_failed(error))
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.shared.peer)
            .field("closed", &self.is_closed())
            .finish()
    }
}
