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
use crate::lane::Lane;
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
    /// Bulk that was delivered, headers included. Unit: bytes.
    bulk: u64,
    /// What the other end said last that it has seen of our bulk.
    seen: Option<u64>,
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
            bulk: 0,
            seen: None,
        }
    }

    /// Returns how much bulk was delivered so far. Unit: bytes.
    pub(crate) fn bulk_delivered(&self) -> u64 {
        self.bulk
    }

    /// Returns, once, what the other end said last that it has seen.
    pub(crate) fn take_seen(&mut self) -> Option<u64> {
        self.seen.take()
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
                    // spec: LANE-4
                    if handler.poll_ready(cx).is_pending() {
                        break Poll::Pending;
                    }
                    frames[lane.index()] += 1;
                    if let Verdict::Disconnect(why) = handler.on_frame(peer, lane, payload) {
                        break Poll::Ready(Err(CloseReason::Handler(why)));
                    }
                    self.start += total;
                    if lane == Lane::Bulk {
                        self.bulk += total as u64;
                    }
                }
                Ok(Parsed::Frame {
                    kind: Kind::Seen,
                    payload,
                    total,
                }) => match handshake::seen(payload) {
                    Ok(seen) => {
                        frames[Lane::Control.index()] += 1;
                        self.seen = Some(seen);
                        self.start += total;
                    }
                    Err(error) => break Poll::Ready(Err(CloseReason::Protocol(error))),
                },
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
}

/// The meaning of a frame that is not on a lane, after the handshake.
fn ending(kind: Kind, payload: &[u8]) -> CloseReason {
    let reason = match kind {
        Kind::Close => handshake::closing(payload).map(|explanation| CloseReason::Remote {
            code: explanation.code,
            text: explanation.text,
        }),
        Kind::Reject => handshake::rejection(payload).map(CloseReason::Rejected),
        Kind::Lane(_)
        | Kind::Hello
        | Kind::Welcome
        | Kind::Introduce
        | Kind::Introduced
        | Kind::Seen => Err(ProtocolError::Unexpected { kind: kind.code() }),
    };
    reason.unwrap_or_else(CloseReason::Protocol)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::seal;
    use crate::identity::NodeId;
    use std::sync::Mutex;
    use std::task::Waker;

    #[derive(Default)]
    struct Sizes(Mutex<Vec<usize>>);

    impl Handler for Sizes {
        fn on_frame(&self, _: &Peer, _: Lane, frame: &[u8]) -> Verdict {
            self.0.lock().unwrap().push(frame.len());
            Verdict::Continue
        }
    }

    /// A stream that gives its bytes in pieces.
    struct Pieces {
        bytes: Vec<u8>,
        at: usize,
        most: usize,
    }

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let some = self
                .most
                .min(into.remaining())
                .min(self.bytes.len() - self.at);
            into.put_slice(&self.bytes[self.at..self.at + some]);
            self.at += some;
            Poll::Ready(Ok(()))
        }
    }

    fn read_all(
        bytes: Vec<u8>,
        most: usize,
        payload_max: usize,
    ) -> (Vec<usize>, CloseReason, usize) {
        let peer = Peer {
            node: NodeId(1),
            epoch: 0,
            boot: 0,
            protocol: 0,
            address: String::new(),
        };
        let (sizes, counters) = (Sizes::default(), Counters::default());
        let mut stream = Pieces { bytes, at: 0, most };
        let mut inbound = Inbound::new(payload_max, 64 * 1024);
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match inbound.poll_step(&mut cx, &mut stream, &sizes, &peer, &counters) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(why)) => {
                    return (sizes.0.into_inner().unwrap(), why, inbound.buffer.len());
                }
                Poll::Pending => panic!("pieces are always ready"),
            }
        }
    }

    fn frames(sizes: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for size in sizes {
            let start = bytes.len();
            bytes.resize(start + HEADER_BYTES + size, 5);
            seal(&mut bytes[start..], Kind::Lane(Lane::Bulk));
        }
        bytes
    }

    #[test]
    fn frames_are_delivered_however_the_stream_is_cut() {
        let mut random = fastrand::Rng::with_seed(4);
        for most in [1, 2, 3, 11, 12, 13, 100, 5_000, 1 << 20] {
            let mut sizes: Vec<_> = (0..200).map(|_| random.usize(0..200)).collect();
            sizes.extend([0, 70_000, 0, 100_000, 3]);
            let (read, why, buffer) = read_all(frames(&sizes), most, 100_000);
            assert_eq!((read, why), (sizes, CloseReason::PeerGone));
            assert_eq!(
                buffer,
                100_000 + HEADER_BYTES,
                "the buffer is as large as the largest frame"
            );
        }
    }

    #[test]
    fn the_buffer_grows_to_its_chunk_and_not_for_a_refused_length() {
        let many = frames(&[100; 5_000]);
        let (read, _, buffer) = read_all(many, usize::MAX, 1 << 20);
        assert_eq!((read.len(), buffer), (5_000, 64 * 1024));
        let (_, why, buffer) = read_all(u32::MAX.to_be_bytes().to_vec(), 4, 1 << 20);
        assert!(matches!(
            why,
            CloseReason::Protocol(ProtocolError::TooLong { .. })
        ));
        assert_eq!(buffer, READ_BUFFER_MIN);
    }
}
