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
    fn local_address(&self) -> String;

    /// Waits for a stream and the address it comes from. Dropping the future loses nothing.
    fn next(&mut self) -> impl Future<Output = io::Result<(Duplex, String)>> + Send;
}

/// A listener over a source.
pub(crate) struct Gate<S> {
    source: S,
    local: Arc<dyn Local>,
    limits: Limits,
    counters: Arc<Counters>,
    shaking: JoinSet<Result<Connection, (String, HandshakeError)>>,
    /// The same tasks, the oldest first.
    oldest: VecDeque<AbortHandle>,
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
    fn admit(&mut self, stream: Duplex, address: String) -> bool {
        // spec: SHAKE-8
        self.oldest.retain(|task| !task.is_finished());
        let evict = self.oldest.len() >= self.limits.connections_pending_max;
        if evict {
            if let Some(task) = self.oldest.pop_front() {
                task.abort();
            }
            add(&self.counters.handshakes_evicted, 1);
        }
        let (local, limits, counters) = (
            Arc::clone(&self.local),
            self.limits.clone(),
            Arc::clone(&self.counters),
        );
        let task = self.shaking.spawn(async move {
            let shaken =
                Connection::answer_over(stream, &address, &*local, &limits, &counters).await;
            shaken.map_err(|error| (address, error))
        });
        self.oldest.push_back(task);
        evict
    }
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
                    Ok(Ok(connection)) => return Ok(connection),
                    Ok(Err((address, source))) => return Err(AcceptError::Handshake { address, source }),
                    // Evicted, and counted when it was.
                    Err(_) => {}
                },
                arrived = self.source.next() => {
                    let (stream, address) = arrived.map_err(|error| {
                        add(&self.counters.accepts_failed, 1);
                        AcceptError::Io(error)
                    })?;
                    if self.admit(stream, address) {
                        return Err(AcceptError::Evicted { pending: self.limits.connections_pending_max });
                    }
                }
            }
        }
    }
}
