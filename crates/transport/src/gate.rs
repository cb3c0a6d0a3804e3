//! The listening side that every transport shares: concurrent, bounded handshakes over whatever streams arrive.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::{AbortHandle, JoinSet};

use crate::connection::Connection;
use crate::counters::{Counters, add};
use crate::error::{AcceptError, HandshakeError};
use crate::identity::Local;
use crate::limits::Limits;
use crate::stream::Duplex;
use crate::transport::Listener;

/// Where raw streams come from.
pub(crate) trait Source: Send {
    /// What arrives.
    type Raw: Send + 'static;

    fn local_address(&self) -> String;

    /// Waits for a stream and the address it comes from. Dropping the future loses nothing.
    fn next(&mut self) -> impl Future<Output = io::Result<(Self::Raw, String)>> + Send;

    /// Makes a byte stream of what arrived. Runs within the time limit of the handshake.
    fn open(
        &self,
        raw: Self::Raw,
    ) -> impl Future<Output = Result<Duplex, HandshakeError>> + Send + 'static;
}

/// A listener over a source.
pub(crate) struct Gate<S> {
    source: S,
    local: Arc<dyn Local>,
    limits: Limits,
    counters: Arc<Counters>,
    shaking: JoinSet<Result<Option<Connection>, (String, HandshakeError)>>,
    /// The same tasks, the oldest first, each with the address it serves.
    oldest: VecDeque<(String, AbortHandle)>,
}

impl<S: Source> Gate<S> {
    pub(crate) fn new(
        source: S,
        local: Arc<dyn Local>,
        limits: Limits,
        counters: Arc<Counters>,
    ) -> Gate<S> {
        Gate {
            source,
            local,
            limits,
            counters,
            shaking: JoinSet::new(),
            oldest: VecDeque::new(),
        }
    }

    /// Starts a handshake. Returns whether an older one had to make room: those who are honest are quick, so the
    /// oldest is the likeliest to be silent.
    fn admit(&mut self, raw: S::Raw, address: String) -> bool {
        // spec: SHAKE-8
        self.oldest.retain(|(_, task)| !task.is_finished());
        let host = host(&address).to_owned();
        let evict = self.make_room(&host);
        let open = self.source.open(raw);
        let (local, limits, counters) = (
            Arc::clone(&self.local),
            self.limits.clone(),
            Arc::clone(&self.counters),
        );
        let task = self.shaking.spawn(async move {
            let shaken = Connection::answer(open, &address, &*local, &limits, &counters).await;
            shaken.map_err(|error| (address, error))
        });
        self.oldest.push_back((host, task));
        evict
    }

    /// Drops the oldest handshake of `host` if that one has too many, else the oldest of all if there are too many.
    fn make_room(&mut self, host: &str) -> bool {
        let of_host = || self.oldest.iter().filter(|(from, _)| from == host);
        let limits = &self.limits;
        let (place, counter) = if of_host().count() >= limits.connections_pending_per_source_max {
            let place = self.oldest.iter().position(|(from, _)| from == host);
            (place, &self.counters.handshakes_evicted_of_source)
        } else if self.oldest.len() >= limits.connections_pending_max {
            (Some(0), &self.counters.handshakes_evicted)
        } else {
            return false;
        };
        if let Some((_, task)) = place.and_then(|place| self.oldest.remove(place)) {
            task.abort();
        }
        add(counter, 1);
        true
    }
}

/// The part of an address that its owner cannot choose anew for each connection.
fn host(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

#[async_trait]
impl<S: Source> Listener for Gate<S> {
    fn local_address(&self) -> String {
        self.source.local_address()
    }

    async fn accept(&mut self) -> Result<Connection, AcceptError> {
        loop {
            tokio::select! {
                biased;
                Some(shaken) = self.shaking.join_next() => match shaken {
                    Ok(Ok(Some(connection))) => return Ok(connection),
                    // Introduced, answered, and gone.
                    Ok(Ok(None)) => {}
                    Ok(Err((address, source))) => return Err(AcceptError::Handshake { address, source }),
                    // Evicted, and counted when it was.
                    Err(_) => {}
                },
                arrived = self.source.next() => {
                    let (raw, address) = arrived.map_err(|error| {
                        add(&self.counters.accepts_failed, 1);
                        AcceptError::Io(error)
                    })?;
                    if self.admit(raw, address) {
                        return Err(AcceptError::Evicted { pending: self.oldest.len() });
                    }
                }
            }
        }
    }
}
