//! The writer: decides at every write which lane goes next, keeps frames whole, and owns the bytes on their way
//! from the lane queues to the socket.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio::time::Instant;

use crate::counters::{Counters, add};
use crate::frame::sealed_length;
use crate::lane::Lane;
use crate::lane_queue::LaneQueue;
use crate::limits::STEP_WRITES_MAX;
use crate::window::Window;

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
    /// Bytes were written that a stream with a buffer of its own may still hold.
    unflushed: bool,
    chunk: usize,
    /// How much of the bulk lane may go.
    window: Window,
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
    pub(crate) fn new(chunk: usize, window: Window) -> Outbound {
        Outbound {
            lanes: Default::default(),
            last: Vec::new(),
            shut: false,
            unflushed: false,
            chunk,
            window,
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
            // spec: LANE-2
            self.refill(queues, counters);
            let bulk_max = self.bulk_max();
            let (order, parts) = self.next_parts(bulk_max);
            if parts[0].is_empty() {
                if self.unflushed {
                    ready!(Pin::new(stream).poll_flush(cx))?;
                    self.unflushed = false;
                }
                return Poll::Ready(Ok(Wrote::All));
            }
            let written = ready!(write(Pin::new(&mut *stream), cx, &parts))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            add(&counters.bytes_out, written as u64);
            let lengths = parts.map(<[u8]>::len);
            self.unflushed = true;
            self.settle(order, lengths, written, queues, &mut room);
        }
        Poll::Ready(Ok(Wrote::Some))
    }

    /// Learns how much bulk the other end has seen. Returns whether that can be.
    pub(crate) fn seen(&mut self, seen: u64) -> bool {
        self.window.seen(seen, Instant::now())
    }

    /// Returns whether anything that is queued may be written now.
    pub(crate) fn has_work(&self, queues: &[LaneQueue; Lane::COUNT]) -> bool {
        let bulk = Lane::Bulk.index();
        let may_go = |index: usize| index != bulk || self.window.room() > 0;
        (0..Lane::COUNT).any(|index| queues[index].queued() > 0 && may_go(index))
    }

    /// Puts a last frame behind all that is queued. The other end is not listened to from here on.
    pub(crate) fn close_with(&mut self, frame: Vec<u8>) {
        self.window.lift();
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

    /// Bytes of the bulk lane that may go now, behind a torn frame of it: whole frames, as far as the window has room.
    // spec: LANE-6
    fn bulk_max(&mut self) -> usize {
        let lane = &self.lanes[Lane::Bulk.index()];
        let rest = &lane.rest()[lane.torn..];
        let room = usize::try_from(self.window.room()).unwrap_or(usize::MAX);
        let mut end = 0;
        // What one write cannot hold is not looked at.
        while end < room.min(self.chunk) && end < rest.len() {
            end += sealed_length(&rest[end..]);
        }
        if end < rest.len() && end >= room {
            self.window.is_closed();
        }
        end
    }

    /// Chooses what one write offers: the rest of a torn frame, then control, data, bulk, together one chunk.
    ///
    /// A part may end inside a frame; it is then the last one, and its frame is torn.
    fn next_parts(&self, bulk_max: usize) -> ([usize; PARTS], [&[u8]; PARTS]) {
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
            let mut rest = &lane.rest()[lane.torn..];
            if index == Lane::Bulk.index() {
                rest = &rest[..rest.len().min(bulk_max)];
            }
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
            if index == Lane::Bulk.index() {
                self.window.wrote(part, Instant::now());
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{self, Kind, Parsed};
    use crate::handshake;
    use std::task::Waker;

    /// A socket that takes as much as it likes.
    struct Fickle {
        random: fastrand::Rng,
        written: Vec<u8>,
        most: usize,
    }

    impl AsyncWrite for Fickle {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let most = self.most;
            match self.random.usize(0..=most) {
                0 => Poll::Pending,
                some => {
                    let some = some.min(bytes.len());
                    self.written.extend_from_slice(&bytes[..some]);
                    Poll::Ready(Ok(some))
                }
            }
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            parts: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let all: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
            assert!(all.len() <= 64, "a write of {} bytes", all.len());
            self.as_mut().poll_write(cx, &all)
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn queues() -> [LaneQueue; Lane::COUNT] {
        Lane::ALL.map(|lane| LaneQueue::new(lane, 100_000))
    }

    fn frames(mut bytes: &[u8]) -> Vec<(Kind, Vec<u8>)> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let Ok(Parsed::Frame {
                kind,
                payload,
                total,
            }) = frame::parse(bytes, 1000)
            else {
                panic!("{} bytes are no frame", bytes.len())
            };
            frames.push((kind, payload.to_vec()));
            bytes = &bytes[total..];
        }
        frames
    }

    #[test]
    fn frames_stay_whole_and_in_their_lanes_order_however_little_is_written_at_once() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let queues = queues();
            let mut outbound = Outbound::new(64, Window::new(1 << 20));
            let mut socket = Fickle {
                random: random.fork(),
                written: Vec::new(),
                most: random.usize(1..100),
            };
            let mut pushed: [Vec<Vec<u8>>; Lane::COUNT] = Default::default();
            let mut cx = Context::from_waker(Waker::noop());
            let counters = Counters::default();
            for round in 0.. {
                if round < 200 && random.u32(0..3) == 0 {
                    let lane = random.usize(0..Lane::COUNT);
                    let payload = vec![random.u8(..); random.usize(0..150)];
                    queues[lane]
                        .push(payload.len(), |buffer| buffer.copy_from_slice(&payload))
                        .unwrap();
                    pushed[lane].push(payload);
                }
                let step = outbound.poll_step(&mut cx, &mut socket, &queues, &counters, |_| ());
                if round >= 200 && matches!(step, Poll::Ready(Ok(Wrote::All))) {
                    break;
                }
            }
            let mut arrived: [Vec<Vec<u8>>; Lane::COUNT] = Default::default();
            for (kind, payload) in frames(&socket.written) {
                let Kind::Lane(lane) = kind else {
                    panic!("seed {seed}: {kind:?}")
                };
                arrived[lane.index()].push(payload);
            }
            assert_eq!(arrived, pushed, "seed {seed}");
            assert!(
                queues.iter().all(|queue| queue.queued() == 0),
                "seed {seed}"
            );
            assert_eq!(counters.bytes_out.into_inner(), socket.written.len() as u64);
        }
    }

    #[test]
    fn an_abrupt_end_finishes_the_torn_frame_and_nothing_else() {
        for seed in 0..100 {
            let mut random = fastrand::Rng::with_seed(seed);
            let queues = queues();
            let mut outbound = Outbound::new(64, Window::new(1 << 20));
            let mut socket = Fickle {
                random: random.fork(),
                written: Vec::new(),
                most: 50,
            };
            for lane in &queues {
                lane.push(100, |buffer| buffer.fill(1)).unwrap();
                lane.push(100, |buffer| buffer.fill(2)).unwrap();
            }
            let mut cx = Context::from_waker(Waker::noop());
            let counters = Counters::default();
            for _ in 0..random.u32(0..6) {
                let _ = outbound.poll_step(&mut cx, &mut socket, &queues, &counters, |_| ());
            }
            let begun = socket.written.len().div_ceil(112);
            outbound.keep_only_torn();
            outbound.close_with(handshake::explain(Kind::Close, 0, "bye"));
            while !matches!(
                outbound.poll_step(&mut cx, &mut socket, &queues, &counters, |_| ()),
                Poll::Ready(Ok(Wrote::All))
            ) {}
            let frames = frames(&socket.written);
            assert_eq!(frames.len(), begun + 1, "seed {seed}");
            assert_eq!(frames[begun].0, Kind::Close, "seed {seed}");
        }
    }

    #[test]
    fn control_waits_for_one_frame_and_not_for_the_lane() {
        let queues = queues();
        let mut outbound = Outbound::new(64, Window::new(1 << 20));
        let mut socket = Fickle {
            random: fastrand::Rng::with_seed(1),
            written: Vec::new(),
            most: 30,
        };
        for _ in 0..20 {
            queues[2].push(88, |_| ()).unwrap();
        }
        let mut cx = Context::from_waker(Waker::noop());
        let counters = Counters::default();
        while socket.written.is_empty() {
            let _ = outbound.poll_step(&mut cx, &mut socket, &queues, &counters, |_| ());
        }
        let begun = socket.written.len().div_ceil(100);
        queues[0].push(1, |_| ()).unwrap();
        while queues[2].queued() > 0 {
            let _ = outbound.poll_step(&mut cx, &mut socket, &queues, &counters, |_| ());
        }
        let at = frames(&socket.written)
            .iter()
            .position(|(kind, _)| *kind == Kind::Lane(Lane::Control));
        assert_eq!(at, Some(begun));
    }
}
