//! What a connection calls when something arrives. Nothing here knows how frames are moved.

use std::task::{Context, Poll};

use crate::error::CloseReason;
use crate::identity::Peer;
use crate::lane::Lane;

/// What becomes of a connection after a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Go on.
    Continue,
    /// Close the connection; the reason is told to the peer. Frames that already arrived are dropped.
    Disconnect(&'static str),
}

/// Receives the frames of the connections that were started with it.
///
/// The calls for one connection come one at a time, from the task of that connection; those for several
/// connections may come at once when the runtime has several threads. A call must not block: it holds up the
/// connection, and on a single-threaded runtime everything else. It may send on any connection.
pub trait Handler: Send + Sync + 'static {
    /// Takes a frame. `frame` is borrowed from the read buffer: copy what is kept.
    fn on_frame(&self, peer: &Peer, lane: Lane, frame: &[u8]) -> Verdict;

    /// Learns that the connection ended. Called once per started connection, after its last frame.
    fn on_close(&self, peer: &Peer, why: &CloseReason) {
        let _ = (peer, why);
    }

    /// Learns that a lane that refused a frame with [`SendError::Full`](crate::SendError::Full) has drained to
    /// half its bound.
    fn on_room(&self, peer: &Peer, lane: Lane) {
        let _ = (peer, lane);
    }

    /// Learns that the data lane of a connection refused a frame: the peer does not keep up. It is told from the task of
    /// the connection, soon after the refusal, and not again before [`on_drained`](Self::on_drained).
    ///
    /// The other lanes have bounds of their own: control frames still pass.
    fn on_slow(&self, peer: &Peer) {
        let _ = peer;
    }

    /// Learns that the data lane has drained below a quarter of its bound since [`on_slow`](Self::on_slow). A connection
    /// that ends while it is slow never says so.
    fn on_drained(&self, peer: &Peer) {
        let _ = peer;
    }

    /// Says whether one more frame can be taken. While it cannot, the connection reads nothing from its stream,
    /// and so holds up its sender: this is how an inbox stays bounded.
    ///
    /// Asked before every frame. With `Pending`, `cx` must be woken when there is room again; several
    /// connections with the same handler bring several wakers. A paused connection does not notice that its peer
    /// closed until it reads again or fails to write. Over TCP a pause longer than
    /// [`Limits::silence_max`](crate::Limits::silence_max) may end the connection.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Ready(())
    }
}
