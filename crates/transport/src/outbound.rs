//! The writer: decides at every write which lane goes next, keeps frames whole, and owns the bytes on their way
//! from the lane queues to the socket.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::counters::{Counters, add};
use crate::frame::sealed_length;
use crate::lane::Lane;
use crate::lane_queue::LaneQueue;
use crate::limits::STEP_WRITES_MAX;

/// Frames taken out of a queue and not yet written.
#[derive(Debug, Default)]
struct Taken {
    bytes: Vec<u8>,
    /// Start of what is unwritten.
    at: usize,
    /// Unwritten bytes of a frame whose beginning is written. It must be finished before any other frame.
    torn: usize,
}

impl Taken {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    fn advance(&mut self, written: usize) {
        let end = self.at + written;
        if end == self.bytes.len() {
            self.bytes.clear();
            (self.at, self.torn) = (0, 0);
            return;
        }
        let mut boundary = self.at + self.torn;
        while boundary < end {
            boundary += sealed_length(&self.bytes[boundary..]);
        }
        (self.at, self.torn) = (end, boundary - end);
    }
}

/// The writing half of a connection.
#[derive(Debug)]
pub(crate) struct Outbound {
    lanes: [Taken; Lane::COUNT],
    /// The Close frame, behind everything else.
    last: Vec<u8>,
    /// Nothing more is taken from the queues.
    shut: bool,
    chunk: usize,
}

/// What became of a step of the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    /// Nothing is left to write.
    All,
    /// More could be written at once; it is someone else's turn.
    Some,
}

impl Outbound {
    pub(crate) fn new(chunk: usize) -> Outbound {
        Outbound {
            lanes: Default::default(),
            last: Vec::new(),
            shut: false,
            chunk,
        }
    }

    /// Writes a few chunks. `Pending` when the socket is full.
    ///
    /// `room` is called with every lane that has room again after refusing a frame.
    pub(crate) fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (dyn AsyncWrite + Send + Unpin),
        queues: &[LaneQueue; Lane::COUNT],
        counters: &Counters,
        mut room: impl FnMut(Lane),
    ) -> Poll<io::Result<Wrote>> {
        for _ in 0..STEP_WRITES_MAX {
            self.refill(queues, counters);
            let (order, parts) = self.next_parts();
            if parts[0].is_empty() {
                return Poll::Ready(Ok(Wrote::All));
            }
            let written = ready!(write(Pin::new(&mut *stream), cx, &parts))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            add(&counters.bytes_out, written as u64);
            let lengths = parts.map(<[u8]>::len);
            self.settle(order, lengths, written, queues, &mut room);
        }
        Poll::Ready(Ok(Wrote::Some))
    }

    /// Puts a last frame behind all that is queued.
    pub(crate) fn close_with(&mut self, frame: Vec<u8>) {
        self.last = frame;
    }

    /// Gives up everything queued but a frame whose beginning is already written.
    pub(crate) fn keep_only_torn(&mut self) {
        self.shut = true;
        for lane in &mut self.lanes {
            lane.bytes.truncate(lane.at + lane.torn);
            if lane.torn == 0 {
                lane.bytes.clear();
                lane.at = 0;
            }
        }
    }

    fn refill(&mut self, queues: &[LaneQueue; Lane::COUNT], counters: &Counters) {
        if self.shut {
            return;
        }
        for (index, (taken, queue)) in self.lanes.iter_mut().zip(queues).enumerate() {
            if taken.bytes.is_empty() && queue.queued() > 0 {
                let frames = queue.take(&mut taken.bytes);
                add(&counters.frames_out[index], frames);
            }
        }
    }

    /// Chooses what one write offers: the rest of a torn frame, then control, data, bulk, together one chunk.
    ///
    /// A part may end inside a frame; it is then the last one, and its frame is torn.
    fn next_parts(&self) -> ([usize; PARTS], [&[u8]; PARTS]) {
        let mut order = [0; PARTS];
        let mut parts: [&[u8]; PARTS] = [&[]; PARTS];
        let mut used = 0;
        let mut left = self.chunk;
        let mut offer = |bytes: &[u8]| {
            let length = bytes.len().min(left);
            left -= length;
            length
        };
        let torn = self.lanes.iter().position(|lane| lane.torn > 0);
        if let Some(index) = torn {
            let lane = &self.lanes[index];
            let length = offer(&lane.rest()[..lane.torn]);
            (order[used], parts[used]) = (index, &lane.rest()[..length]);
            used += 1;
        }
        for (index, lane) in self.lanes.iter().enumerate() {
            let rest = &lane.rest()[lane.torn..];
            let length = offer(rest);
            if length > 0 {
                (order[used], parts[used]) = (index, &rest[..length]);
                used += 1;
            }
        }
        let length = offer(&self.last);
        if length > 0 {
            (order[used], parts[used]) = (LAST, &self.last[..length]);
        }
        (order, parts)
    }

    fn settle(
        &mut self,
        order: [usize; PARTS],
        lengths: [usize; PARTS],
        mut written: usize,
        queues: &[LaneQueue; Lane::COUNT],
        room: &mut impl FnMut(Lane),
    ) {
        for (index, length) in order.into_iter().zip(lengths) {
            let part = length.min(written);
            if part == 0 {
                continue;
            }
            written -= part;
            if index == LAST {
                self.last.drain(..part);
                continue;
            }
            self.lanes[index].advance(part);
            if queues[index].written(part) {
                room(Lane::ALL[index]);
            }
        }
    }
}

/// Places of one write: a torn frame, the lanes, the Close frame.
const PARTS: usize = Lane::COUNT + 2;
/// The place of the Close frame.
const LAST: usize = Lane::COUNT;

fn write(
    stream: Pin<&mut (dyn AsyncWrite + Send + Unpin)>,
    cx: &mut Context<'_>,
    parts: &[&[u8]; PARTS],
) -> Poll<io::Result<usize>> {
    if parts[1].is_empty() {
        return stream.poll_write(cx, parts[0]);
    }
    stream.poll_write_vectored(cx, &parts.map(IoSlice::new))
}
