//! What the tasks at the sockets tell the one that holds the sources.

use std::sync::Arc;

use bytes::Bytes;
use engines::event::TrtEvents;
use radix_core::id::{Namespace, SourceId};
use radix_core::page::Fingerprint;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// News that wait; what the sockets bring beyond that waits in the kernel, and then in the engine.
const NEWS_MAX: usize = 1_024;
/// Bytes of the messages that wait. One that is larger waits until it is alone. Unit: bytes.
const NEWS_BYTES_MAX: usize = 64 << 20;

/// News of one source.
pub(crate) struct Heard {
    pub(crate) source: SourceId,
    pub(crate) news: News,
    /// The room it takes up while it waits.
    _room: OwnedSemaphorePermit,
}

/// What happened at its sockets.
pub(crate) enum News {
    /// The subscription is up.
    Up { endpoint: String },
    /// It could not be made, or broke.
    Down { error: String },
    /// The engine said where lost batches are asked for, or that they are nowhere.
    ReplayAt { endpoint: Option<String> },
    /// A message of the subscription.
    Live(Vec<Bytes>),
    /// A message of a data-parallel rank that is not configured.
    Stray { rank: u32 },
    /// A message of a replay.
    Replayed { ask: u32, frames: Vec<Bytes> },
    /// A replay could not be asked for, or broke off.
    ReplayFailed { ask: u32, error: String },
    /// Events that TensorRT-LLM's HTTP port gave away.
    Drained(TrtEvents),
    /// A prompt was sent to an engine that says nothing itself.
    Observed {
        namespace: Namespace,
        pages: Vec<Fingerprint>,
    },
}

impl News {
    /// Unit: bytes, of what others decide how long it is.
    fn bytes(&self) -> usize {
        match self {
            News::Live(frames) | News::Replayed { frames, .. } => {
                frames.iter().map(Bytes::len).sum()
            }
            News::Observed { pages, .. } => pages.len() * size_of::<Fingerprint>(),
            News::Up { .. }
            | News::Down { .. }
            | News::ReplayAt { .. }
            | News::Stray { .. }
            | News::ReplayFailed { .. }
            | News::Drained(_) => 0,
        }
    }
}

/// The way of news to the task that holds the sources. Clones share its room.
#[derive(Clone)]
pub(crate) struct Reporter {
    to: mpsc::Sender<Heard>,
    room: Arc<Semaphore>,
}

impl Reporter {
    pub(crate) fn new() -> (Reporter, mpsc::Receiver<Heard>) {
        let (to, inbox) = mpsc::channel(NEWS_MAX);
        let room = Arc::new(Semaphore::new(NEWS_BYTES_MAX));
        (Reporter { to, room }, inbox)
    }

    /// Waits until there is room; `None` when nobody listens any more.
    pub(crate) async fn tell(&self, source: SourceId, news: News) -> Option<()> {
        let bytes = news.bytes().min(NEWS_BYTES_MAX);
        let permits = u32::try_from(bytes).ok()?;
        let room = Arc::clone(&self.room).acquire_many_owned(permits);
        let heard = Heard {
            source,
            news,
            _room: room.await.ok()?,
        };
        self.to.send(heard).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn what_waits_is_bounded_in_bytes_and_anything_fits_alone() {
        let (reporter, mut inbox) = Reporter::new();
        let message = |bytes| News::Live(vec![Bytes::from(vec![0; bytes])]);
        let tell = |bytes| reporter.tell(SourceId(0), message(bytes));
        tell(NEWS_BYTES_MAX * 2).await.unwrap();
        let second = tokio::time::timeout(Duration::from_millis(50), tell(1)).await;
        assert!(second.is_err(), "no room");
        drop(inbox.recv().await.unwrap());
        tell(1).await.unwrap();
        drop(inbox);
        assert_eq!(tell(1).await, None);
    }
}
