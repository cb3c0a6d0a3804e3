//! The one task behind a started connection: reads, delivers, writes, in turns, and closes in good order.

use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::AsyncWriteExt;

use crate::connection::Shared;
use crate::error::{CloseReason, ProtocolError};
use crate::frame::Kind;
use crate::handler::Handler;
use crate::handshake;
use crate::inbound::Inbound;
use crate::lane::Lane;
use crate::lane_queue::LaneQueue;
use crate::limits::TURN_STEPS_MAX;
use crate::outbound::{Outbound, Wrote};
use crate::stream::Duplex;
use crate::window::Window;

/// How a connection that ends treats what is still queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Deliver it, say why, wait for the peer to close; within `Limits::linger`.
    Graceful,
    /// Drop it, say why, wait for the peer to close; within `Limits::linger`.
    Abrupt,
    /// Drop it and be gone.
    Silent,
}

struct Driver {
    shared: Arc<Shared>,
    handler: Arc<dyn Handler>,
    stream: Duplex,
    inbound: Inbound,
    outbound: Outbound,
    /// The handler was told that the data lane overflowed, and not yet that it drained.
    is_slow: bool,
    /// Bulk that the peer was told is seen. Unit: bytes.
    told_seen: u64,
}

/// Runs a connection until it ends.
pub(crate) fn run(
    shared: Arc<Shared>,
    stream: Duplex,
    handler: Arc<dyn Handler>,
) -> impl Future<Output = ()> + Send {
    let limits = &shared.limits;
    let inbound = Inbound::new(limits.frame_bytes_max, limits.read_chunk);
    let window = Window::new(limits.bulk_window_bytes_max);
    let outbound = Outbound::new(limits.write_chunk, window);
    let guard = Finish {
        shared: Arc::clone(&shared),
        reason: CloseReason::Abandoned,
    };
    let mut driver = Box::new(Driver {
        shared,
        handler,
        stream,
        inbound,
        outbound,
        is_slow: false,
        told_seen: 0,
    });
    async move {
        let (reason, ending) = poll_fn(|cx| driver.poll_turn(cx)).await;
        driver.shared.refuse();
        let linger = driver.shared.limits.linger;
        // The reason stands, whether or not the peer still hears of it.
        let _ = tokio::time::timeout(linger, driver.say_goodbye(&reason, ending)).await;
        let Driver {
            shared,
            handler,
            stream,
            ..
        } = *driver;
        drop(stream);
        handler.on_close(&shared.peer, &reason);
        guard.because(reason);
    }
}

impl Driver {
    /// Reads and writes what can be read and written, within bounds. Ready when the connection must end.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<(CloseReason, Ending)> {
        self.shared.signal.disarm();
        for _ in 0..TURN_STEPS_MAX {
            if let Some(end) = self.shared.end_requested() {
                return Poll::Ready(end);
            }
            let read = match self.poll_read(cx) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(reason)) => {
                    let ending = match reason {
                        CloseReason::Handler(_) | CloseReason::Protocol(_) => Ending::Abrupt,
                        _ => Ending::Silent,
                    };
                    return Poll::Ready((reason, ending));
                }
                Poll::Pending => false,
            };
            if let Err(error) = self.exchange_seen() {
                return Poll::Ready((CloseReason::Protocol(error), Ending::Abrupt));
            }
            let wrote = match self.poll_write(cx) {
                Poll::Ready(Ok(wrote)) => Some(wrote),
                Poll::Ready(Err(error)) => return Poll::Ready((error.into(), Ending::Silent)),
                Poll::Pending => None,
            };
            self.tell_pressure();
            if read || wrote == Some(Wrote::Some) {
                continue;
            }
            // About to sleep: ask for a wake-up first, then look again.
            self.shared.signal.arm(cx.waker());
            let more_to_write =
                wrote == Some(Wrote::All) && self.outbound.has_work(&self.shared.lanes);
            if let Some(end) = self.shared.end_requested() {
                return Poll::Ready(end);
            }
            let news = !self.is_slow && self.data_lane().has_overflowed();
            if !more_to_write && !news {
                return Poll::Pending;
            }
            self.shared.signal.disarm();
        }
        // The others' turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        let shared = &self.shared;
        self.inbound.poll_step(
            cx,
            &mut *self.stream.read,
            &*self.handler,
            &shared.peer,
            &shared.counters,
        )
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Wrote>> {
        let (shared, handler) = (&self.shared, &self.handler);
        let room = |lane: Lane| handler.on_room(&shared.peer, lane);
        self.outbound.poll_step(
            cx,
            &mut *self.stream.write,
            &shared.lanes,
            &shared.counters,
            room,
        )
    }

    /// Takes in what the peer has seen of our bulk, and tells it what was seen of its own.
    // spec: LANE-6
    fn exchange_seen(&mut self) -> Result<(), ProtocolError> {
        if let Some(seen) = self.inbound.take_seen()
            && !self.outbound.seen(seen)
        {
            let kind = Kind::Seen.code();
            return Err(ProtocolError::Malformed { kind });
        }
        let delivered = self.inbound.bulk_delivered();
        if delivered > self.told_seen {
            let body = handshake::seen_body(delivered);
            let lane = &self.shared.lanes[Lane::Control.index()];
            let told = lane.push_kind(Kind::Seen, body.len(), |to| to.copy_from_slice(&body));
            // A lane without room has something to write: the next turn tells.
            if told.is_ok() {
                self.told_seen = delivered;
            }
        }
        Ok(())
    }

    fn data_lane(&self) -> &LaneQueue {
        &self.shared.lanes[Lane::Data.index()]
    }

    /// Tells of a data lane that overflowed, and when it has drained.
    // spec: LANE-5
    fn tell_pressure(&mut self) {
        let (peer, handler) = (&self.shared.peer, &self.handler);
        if self.is_slow && self.data_lane().has_drained() {
            handler.on_drained(peer);
            self.is_slow = false;
        }
        if !self.is_slow && self.data_lane().has_overflowed() {
            handler.on_slow(peer);
            self.is_slow = true;
        }
    }

    async fn say_goodbye(&mut self, reason: &CloseReason, ending: Ending) -> io::Result<()> {
        // spec: CLOSE-1
        match ending {
            Ending::Silent => return Ok(()),
            Ending::Graceful => {}
            Ending::Abrupt => self.outbound.keep_only_torn(),
        }
        self.outbound.close_with(farewell(reason));
        while poll_fn(|cx| self.poll_write(cx)).await? != Wrote::All {}
        self.stream.write.shutdown().await?;
        self.inbound.drain(&mut *self.stream.read).await
    }
}

/// The frame that tells the peer why this end closes.
fn farewell(reason: &CloseReason) -> Vec<u8> {
    let code = u16::try_from(reason.index()).expect("there are few reasons");
    let text = match reason {
        CloseReason::Local(text) => text.to_string(),
        CloseReason::Handler(text) => (*text).to_string(),
        CloseReason::Rejected(rejection) => {
            return handshake::refuse(rejection);
        }
        other => other.to_string(),
    };
    handshake::explain(Kind::Close, code, &text)
}

/// Tells everyone that the connection is over, also when its task is dropped half-way.
struct Finish {
    shared: Arc<Shared>,
    reason: CloseReason,
}

impl Finish {
    fn because(mut self, reason: CloseReason) {
        self.reason = reason;
    }
}

impl Drop for Finish {
    fn drop(&mut self) {
        self.shared.finish(self.reason.clone());
    }
}
