//! One direction of a connection: reads, keeps what is not due yet, writes. Never writes behind a hole.

use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::condition::{Condition, Flow, Side, Way};
use crate::limits::{CHUNK_BYTES, QUEUE_BYTES_MAX, QUEUE_TIME};
use crate::pace::Pace;
use crate::proxy::Ledger;

/// The connection must be reset.
#[derive(Debug)]
pub(crate) struct Reset;

/// Bytes that wait for their time.
struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
    /// How many of them are written.
    written: usize,
}

/// See the module.
pub(crate) struct Pump<'a> {
    from: &'a TcpStream,
    to: &'a TcpStream,
    side: Side,
    condition: watch::Receiver<Condition>,
    ledger: &'a Ledger,
    pace: Pace,
    queue: VecDeque<Chunk>,
    queued: usize,
    /// The sender will send no more.
    ended: bool,
    /// Bytes or the end of the stream were swallowed.
    has_hole: bool,
    /// The receiver is gone, and the sender must not hear of it yet.
    is_deaf: bool,
}

impl<'a> Pump<'a> {
    pub(crate) fn new(
        (from, to): (&'a TcpStream, &'a TcpStream),
        side: Side,
        condition: watch::Receiver<Condition>,
        ledger: &'a Ledger,
        seed: u64,
    ) -> Pump<'a> {
        Pump {
            from,
            to,
            side,
            condition,
            ledger,
            pace: Pace::new(seed, Instant::now()),
            queue: VecDeque::new(),
            queued: 0,
            ended: false,
            has_hole: false,
            is_deaf: false,
        }
    }

    /// Moves bytes until the sender ended and everything is written.
    ///
    /// Errors: the connection must be reset.
    pub(crate) async fn run(mut self) -> Result<(), Reset> {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let condition = *self.condition.borrow_and_update();
            let way = *condition.way(self.side);
            let swallows = way.flow == Flow::Swallow;
            let hides = condition.way(self.side.other()).flow == Flow::Swallow;
            if condition.cut || (self.has_hole && !swallows) || (self.is_deaf && !hides) {
                return Err(Reset);
            }
            if swallows {
                self.lose_queue();
            }
            if self.ended && self.queue.is_empty() && !self.has_hole && !self.is_deaf {
                // The other end may have closed already.
                let _ = SockRef::from(self.to).shutdown(Shutdown::Write);
                return Ok(());
            }
            let due = match way.flow {
                Flow::Pass => self.queue.front().map(|chunk| chunk.due),
                Flow::Hold | Flow::Swallow => None,
            };
            let reads = !self.ended && way.flow != Flow::Hold && self.queued < room(&way);
            let turn = tokio::select! {
                biased;
                changed = self.condition.changed() => match changed {
                    Ok(()) => Ok(()),
                    Err(_) => return Err(Reset),
                },
                writable = ready_to_write(self.to, due) => match writable {
                    Ok(()) => self.write(hides),
                    Err(error) => Err(error),
                },
                readable = self.from.readable(), if reads => match readable {
                    Ok(()) => self.read(&mut buffer, &way),
                    Err(error) => Err(error),
                },
            };
            match turn {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Who sent is gone; in this direction even that does not arrive.
                Err(_) if swallows => (self.ended, self.has_hole) = (true, true),
                Err(_) => return Err(Reset),
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8], way: &Way) -> io::Result<()> {
        let bytes = self.from.try_read(buffer)?;
        if bytes == 0 {
            self.ended = true;
            self.has_hole |= way.flow == Flow::Swallow;
            return Ok(());
        }
        if way.flow == Flow::Swallow || self.is_deaf {
            self.has_hole |= way.flow == Flow::Swallow;
            self.ledger.swallowed(self.side, bytes);
            return Ok(());
        }
        self.queue.push_back(Chunk {
            due: self.pace.due(way, bytes, Instant::now()),
            bytes: buffer[..bytes].to_vec(),
            written: 0,
        });
        self.queued += bytes;
        self.ledger.queued(self.queued);
        Ok(())
    }

    /// Writes of the chunk in front what the socket takes. `hides`: the sender must not hear that nobody takes it.
    fn write(&mut self, hides: bool) -> io::Result<()> {
        let Some(chunk) = self.queue.front_mut() else {
            return Ok(());
        };
        match self.to.try_write(&chunk.bytes[chunk.written..]) {
            Ok(bytes) => {
                chunk.written += bytes;
                self.queued -= bytes;
                self.ledger.passed(self.side, bytes);
                if chunk.written == chunk.bytes.len() {
                    self.queue.pop_front();
                }
                Ok(())
            }
            Err(error) if error.kind() != io::ErrorKind::WouldBlock && hides => {
                self.is_deaf = true;
                self.queue.clear();
                self.queued = 0;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn lose_queue(&mut self) {
        if self.queued > 0 {
            self.ledger.swallowed(self.side, self.queued);
            self.has_hole = true;
        }
        self.queue.clear();
        self.queued = 0;
    }
}

/// Bytes that a direction holds at most.
fn room(way: &Way) -> usize {
    let Some(rate) = way.rate else {
        return QUEUE_BYTES_MAX;
    };
    let queue = way.queue.unwrap_or(QUEUE_TIME);
    let bytes = rate.get() as f64 * (way.delay + way.jitter + queue).as_secs_f64();
    (bytes as usize).clamp(CHUNK_BYTES, QUEUE_BYTES_MAX)
}

async fn ready_to_write(to: &TcpStream, due: Option<Instant>) -> io::Result<()> {
    match due {
        Some(due) => {
            sleep_until(due).await;
            to.writable().await
        }
        None => std::future::pending().await,
    }
}
