//! The reader: one buffer, a parser over it, and a borrowed slice per frame for the handler.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::counters::{Counters, add};
use crate::error::{CloseReason, ProtocolError};
use crate::frame::{self, HEADER_BYTES, Kind, Parsed};
use crate::handler::{Handler, Verdict};
use crate::handshake;
use crate::identity::Peer;
use crate::limits::READ_BUFFER_MIN;

/// The reading half of a connection.
#[derive(Debug)]
pub(crate) struct Inbound {
    /// `[consumed][start: unread][end: free]`
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    payload_max: usize,
    /// The size that the buffer grows to when reads fill it. A larger frame grows it further.
    chunk: usize,
    /// Whole frames may be left in the buffer: the handler had no room for them.
    paused: bool,
}

impl Inbound {
    pub(crate) fn new(payload_max: usize, chunk: usize) -> Inbound {
        Inbound {
            buffer: vec![0; READ_BUFFER_MIN.min(chunk)],
            start: 0,
            end: 0,
            payload_max,
            chunk,
            paused: false,
        }
    }

    /// Reads once and delivers every whole frame. `Pending` when nothing came, or the handler has no room.
    pub(crate) fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (dyn AsyncRead + Send + Unpin),
        handler: &dyn Handler,
        peer: &Peer,
        counters: &Counters,
    ) -> Poll<Result<(), CloseReason>> {
        if self.paused {
            ready!(self.poll_deliver(cx, handler, peer, counters))?;
        }
        let mut free = ReadBuf::new(&mut self.buffer[self.end..]);
        ready!(Pin::new(stream).poll_read(cx, &mut free)).map_err(CloseReason::from)?;
        let read = free.filled().len();
        if read == 0 {
            return Poll::Ready(Err(match self.end - self.start {
                0 => CloseReason::PeerGone,
                bytes => CloseReason::Protocol(ProtocolError::CutShort { bytes }),
            }));
        }
        self.end += read;
        add(&counters.bytes_in, read as u64);
        self.poll_deliver(cx, handler, peer, counters)
    }

    /// Delivers the whole frames of the buffer, then makes room for the next read.
    fn poll_deliver(
        &mut self,
        cx: &mut Context<'_>,
        handler: &dyn Handler,
        peer: &Peer,
        counters: &Counters,
    ) -> Poll<Result<(), CloseReason>> {
        let mut frames = [0u64; 3];
        let result = loop {
            match frame::parse(&self.buffer[self.start..self.end], self.payload_max) {
                Err(error) => break Poll::Ready(Err(CloseReason::Protocol(error))),
                Ok(Parsed::Need(total)) => {
                    self.make_room(total);
                    break Poll::Ready(Ok(()));
                }
                Ok(Parsed::Frame {
                    kind: Kind::Lane(lane),
                    payload,
                    total,
                }) => {
                    if handler.poll_ready(cx).is_pending() {
                        break Poll::Pending;
                    }
                    frames[lane.index()] += 1;
                    if let Verdict::Disconnect(why) = handler.on_frame(peer, lane, payload) {
                        break Poll::Ready(Err(CloseReason::Handler(why)));
                    }
                    self.start += total;
                }
                Ok(Parsed::Frame { kind, payload, .. }) => {
                    break Poll::Ready(Err(ending(kind, payload)));
                }
            }
        };
        for (counter, frames) in counters.frames_in.iter().zip(frames) {
            if frames > 0 {
                add(counter, frames);
            }
        }
        let paused = result.is_pending();
        if paused && !self.paused {
            add(&counters.reads_paused, 1);
        }
        self.paused = paused;
        result
    }

    /// Makes the buffer able to hold the frame of `total` bytes whose beginning is at `start`, and one read more.
    ///
    /// `total` has passed the limit, so the buffer never exceeds the larger one of `chunk` and a whole frame.
    fn make_room(&mut self, total: usize) {
        let filled = self.end == self.buffer.len();
        let unread = self.end - self.start;
        if unread == 0 {
            (self.start, self.end) = (0, 0);
        } else if filled || self.start + total > self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, unread);
        }
        if filled && self.buffer.len() < self.chunk {
            self.buffer
                .resize((self.buffer.len() * 2).min(self.chunk), 0);
        }
        if self.buffer.len() < total {
            self.buffer.resize(total.max(HEADER_BYTES), 0);
        }
    }

    /// Throws away what arrives until the peer closes, so that closing does not reset what we said last.
    pub(crate) async fn drain(
        &mut self,
        stream: &mut (dyn AsyncRead + Send + Unpin),
    ) -> io::Result<()> {
        use tokio::io::AsyncReadExt;
        while stream.read(&mut self.buffer).await? > 0 {}
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.len()
    }
}

/// The meaning of a frame that is not on a lane, after the handshake.
fn ending(kind: Kind, payload: &[u8]) -> CloseReason {
    let reason = match kind {
        Kind::Close => handshake::closing(payload).map(|explanation| CloseReason::Remote {
            code: explanation.code,
            text: explanation.text,
        }),
        Kind::Reject => handshake::rejection(payload).map(CloseReason::Rejected),
        Kind::Lane(_) | Kind::Hello | Kind::Welcome => {
            Err(ProtocolError::Unexpected { kind: kind.code() })
        }
    };
    reason.unwrap_or_else(CloseReason::Protocol)
}
