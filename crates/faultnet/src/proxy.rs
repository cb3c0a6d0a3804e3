//! An address in front of another one, and what it is told to do with the connections that come.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::carry;
use crate::condition::{Condition, Side};
use crate::limits::{BACKLOG, CONNECTIONS_MAX, SOCKET_BUFFER_BYTES};

/// A listener whose connections go on to a target, under a [`Condition`] that can be changed at any time.
///
/// Runs on the runtime that started it. Dropping it closes the listener and all connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    target: Arc<Mutex<Option<SocketAddr>>>,
    wanted: watch::Sender<Condition>,
    ledger: Arc<Ledger>,
    task: JoinHandle<()>,
}

/// What a proxy did so far. Lists are `[forth, back]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that arrived.
    pub arrived: u64,
    /// Connections that were reset, on arrival or later.
    pub reset: u64,
    /// Bytes that were delivered.
    pub passed_bytes: [u64; 2],
    /// Bytes that were not and never will be.
    pub swallowed_bytes: [u64; 2],
    /// The most that one direction of a connection held. Unit: bytes.
    pub queued_bytes_max: usize,
}

impl Proxy {
    /// Listens at a free loopback port. Connections are reset until the proxy is [aimed](Proxy::aim).
    ///
    /// `seed` draws the jitter. Errors: there is no port. Panics: outside a tokio runtime.
    pub async fn start(seed: u64) -> io::Result<Proxy> {
        let socket = TcpSocket::new_v4()?;
        // Accepted connections inherit both.
        socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
        socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let target = Arc::default();
        let wanted = watch::Sender::new(Condition::PASS);
        let ledger = Arc::new(Ledger::default());
        let serve = Serve {
            listener,
            target: Arc::clone(&target),
            wanted: wanted.subscribe(),
            applied: watch::Sender::new(Condition::PASS),
            toggle_at: None,
            ledger: Arc::clone(&ledger),
            random: fastrand::Rng::with_seed(seed),
        };
        let task = tokio::spawn(serve.run());
        Ok(Proxy {
            address,
            target,
            wanted,
            ledger,
            task,
        })
    }

    /// Returns the address to dial instead of the target's.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets where later connections go.
    pub fn aim(&self, target: SocketAddr) {
        *lock(&self.target) = Some(target);
    }

    /// Sets the condition, also for connections that are there. Returns before everything has happened.
    pub fn set(&self, condition: Condition) {
        self.wanted.send_if_modified(|wanted| {
            let differs = *wanted != condition;
            *wanted = condition;
            differs
        });
    }

    /// Returns the condition that was set last.
    #[must_use]
    pub fn condition(&self) -> Condition {
        *self.wanted.borrow()
    }

    /// Returns what the proxy did so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        *lock(&self.ledger.0)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes connections and applies conditions.
struct Serve {
    listener: TcpListener,
    target: Arc<Mutex<Option<SocketAddr>>>,
    wanted: watch::Receiver<Condition>,
    /// What holds at the moment: the wanted condition, cut in the first half of a flap.
    applied: watch::Sender<Condition>,
    toggle_at: Option<Instant>,
    ledger: Arc<Ledger>,
    random: fastrand::Rng,
}

impl Serve {
    async fn run(mut self) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                changed = self.wanted.changed() => match changed {
                    Ok(()) => self.apply(true),
                    Err(_) => return,
                },
                () = at(self.toggle_at) => {
                    let was_cut = self.applied.borrow().cut;
                    self.apply(!was_cut);
                }
                Some(_) = connections.join_next() => {}
                arrived = self.listener.accept() => match arrived {
                    Ok((stream, _)) => self.arrive(stream, &mut connections),
                    // It went away again, or the process has no descriptor left for the moment.
                    Err(_) => tokio::task::yield_now().await,
                },
            }
        }
    }

    /// Applies the wanted condition; if it flaps, the first half of its period or the second.
    fn apply(&mut self, first_half: bool) {
        let wanted = *self.wanted.borrow_and_update();
        self.toggle_at = wanted.flap.map(|period| Instant::now() + period / 2);
        self.applied.send_replace(Condition {
            cut: wanted.cut || (wanted.flap.is_some() && first_half),
            ..wanted
        });
    }

    fn arrive(&mut self, stream: TcpStream, connections: &mut JoinSet<()>) {
        lock(&self.ledger.0).arrived += 1;
        let target = *lock(&self.target);
        let (Some(target), true) = (target, connections.len() < CONNECTIONS_MAX) else {
            return carry::reset(&stream, &self.ledger);
        };
        // An option that cannot be set costs time, nothing else.
        let _ = stream.set_nodelay(true);
        let (condition, ledger) = (self.applied.subscribe(), Arc::clone(&self.ledger));
        let seed = self.random.u64(..);
        connections
            .spawn(async move { carry::carry(stream, target, condition, &ledger, seed).await });
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The counts, as the connections write them.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Counts>);

impl Ledger {
    pub(crate) fn passed(&self, side: Side, bytes: usize) {
        lock(&self.0).passed_bytes[side as usize] += bytes as u64;
    }

    pub(crate) fn swallowed(&self, side: Side, bytes: usize) {
        lock(&self.0).swallowed_bytes[side as usize] += bytes as u64;
    }

    pub(crate) fn queued(&self, bytes: usize) {
        let mut counts = lock(&self.0);
        counts.queued_bytes_max = counts.queued_bytes_max.max(bytes);
    }

    pub(crate) fn reset(&self) {
        lock(&self.0).reset += 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
