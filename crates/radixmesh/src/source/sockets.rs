//! The ZeroMQ sockets of one source: a subscription that is made again whenever it breaks, and a connection of its own
//! for each replay.

use std::time::Duration;

use bytes::Bytes;
use engines::event::Replayed;
use radix_core::id::SourceId;
use zeromq::{
    DealerSocket, Socket, SocketEvent, SocketRecv, SocketSend, SubSocket, ZmqError, ZmqMessage,
};

use super::heard::{News, Reporter};
use super::settings::ZmqFeed;

/// How long a connection may take to open.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// What a subscription to one endpoint is of.
pub(crate) enum Publishers {
    /// One source, which the engine's endpoint is of.
    One(SourceId),
    /// Ranks of an engine connect here: the one that a batch names says whose it is.
    Ranked(Vec<SourceId>),
}

impl Publishers {
    pub(crate) fn all(&self) -> &[SourceId] {
        match self {
            Publishers::One(source) => std::slice::from_ref(source),
            Publishers::Ranked(sources) => sources,
        }
    }

    /// Returns whose a message is, the first source's when it does not say; or the rank that is none of them.
    fn of(&self, frames: &[Bytes]) -> Result<SourceId, u32> {
        match self {
            Publishers::One(source) => Ok(*source),
            Publishers::Ranked(sources) => {
                let named = frames
                    .last()
                    .and_then(|payload| engines::event::peek_rank(payload));
                let rank = named.unwrap_or(0);
                sources.get(rank as usize).copied().ok_or(rank)
            }
        }
    }
}

/// Subscribes once, and reads until the subscription breaks; returns why, or `None` when nobody listens any more.
pub(crate) async fn subscribe(
    feed: &ZmqFeed,
    publishers: &Publishers,
    to: &Reporter,
) -> Option<String> {
    let mut socket = SubSocket::new();
    let mut monitor = socket.monitor();
    let opened = async {
        socket.subscribe(&feed.topic).await?;
        if feed.bind {
            socket.bind(&feed.endpoint).await.map(drop)
        } else {
            socket.connect(&feed.endpoint).await
        }
    };
    match tokio::time::timeout(CONNECT_MAX, opened).await {
        Err(_) => return Some(format!("{} does not answer", feed.endpoint)),
        Ok(Err(error)) => return Some(format!("{}: {error}", feed.endpoint)),
        Ok(Ok(())) => {}
    }
    // Engines that connect here; where this end connected, the one publisher.
    let mut peers = 0usize;
    loop {
        tokio::select! {
            biased;
            event = monitor.recv() => match event {
                Ok(SocketEvent::Connected(..) | SocketEvent::Accepted(..)) => {
                    peers += 1;
                    // Whose connection it is shows with its first message only. That a rank came again while others stayed
                    // shows in the numbers of its batches.
                    if peers == 1 {
                        tell(to, publishers, || News::Up { endpoint: feed.endpoint.clone() }).await?;
                    }
                }
                Ok(SocketEvent::Disconnected(_)) => {
                    peers = peers.saturating_sub(1);
                    if !feed.bind {
                        return Some(format!("{} closed the connection", feed.endpoint));
                    }
                    if peers == 0 {
                        let error = format!("nobody is connected to {}", feed.endpoint);
                        tell(to, publishers, || News::Down { error: error.clone() }).await?;
                    }
                }
                Ok(_) => {}
                Err(_) => return Some(format!("{} broke off", feed.endpoint)),
            },
            message = socket.recv() => match message {
                Ok(message) => {
                    let frames = message.into_vec();
                    match publishers.of(&frames) {
                        Ok(source) => to.tell(source, News::Live(frames)).await?,
                        Err(rank) => to.tell(publishers.all()[0], News::Stray { rank }).await?,
                    }
                }
                Err(error) if feed.bind => tracing::debug!(%error, endpoint = feed.endpoint, "a publisher broke off"),
                Err(error) => return Some(format!("{}: {error}", feed.endpoint)),
            },
        }
    }
}

async fn tell(to: &Reporter, publishers: &Publishers, news: impl Fn() -> News) -> Option<()> {
    for source in publishers.all() {
        to.tell(*source, news()).await?;
    }
    Some(())
}

/// Asks for everything from batch `from` on, and hands the answers on until the end or until it breaks.
pub(crate) async fn replay(endpoint: String, source: SourceId, ask: u32, from: u64, to: Reporter) {
    let Err(error) = answers(&endpoint, source, ask, from, &to).await else {
        return;
    };
    let error = format!("replay from {endpoint}: {error}");
    let news = News::ReplayFailed { ask, error };
    // Nobody listens any more: the node ends.
    let _ = to.tell(source, news).await;
}

async fn answers(
    endpoint: &str,
    source: SourceId,
    ask: u32,
    from: u64,
    to: &Reporter,
) -> Result<(), ZmqError> {
    let mut socket = DealerSocket::new();
    let silent = |_| ZmqError::Other("no answer");
    tokio::time::timeout(CONNECT_MAX, socket.connect(endpoint))
        .await
        .map_err(silent)??;
    let frames: Vec<Bytes> = Replayed::request(from)
        .into_iter()
        .map(Bytes::from)
        .collect();
    let question = ZmqMessage::try_from(frames).map_err(|_| ZmqError::Other("no frames"))?;
    socket.send(question).await?;
    loop {
        // Silence is judged by who asked: it asks again, which ends this task.
        let frames = socket.recv().await?.into_vec();
        let parts: Vec<&[u8]> = frames.iter().map(|frame| &frame[..]).collect();
        let is_end = matches!(Replayed::parse(&parts), Ok(Replayed::End));
        let news = News::Replayed { ask, frames };
        if to.tell(source, news).await.is_none() || is_end {
            return Ok(());
        }
    }
}
