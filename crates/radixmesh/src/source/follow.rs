//! Stays at one engine: finds out where it publishes, subscribes, and begins anew when that breaks.

use std::time::Duration;

use radix_core::id::SourceId;

use super::discover;
use super::drain;
use super::heard::{News, Reporter};
use super::settings::{Feed, SourceSettings, ZmqFeed, at_rank};
use super::sockets::{Publishers, subscribe};

/// First and longest wait before an engine is tried again; doubled in between.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Starts what follows an engine; it ends with the receiver.
pub(crate) fn spawn(engine: &SourceSettings, to: &Reporter) {
    match &engine.feed {
        Feed::Zmq(feed) if feed.bind && engine.ranks > 1 => {
            let publishers = Publishers::Ranked(engine.sources().collect());
            tokio::spawn(stay(feed.clone(), publishers, to.clone()));
        }
        Feed::Zmq(feed) => {
            for (rank, source) in (0..).zip(engine.sources()) {
                if let Some(feed) = of_rank(feed, rank) {
                    tokio::spawn(stay(feed, Publishers::One(source), to.clone()));
                }
            }
        }
        Feed::Discover { url } => {
            for (rank, source) in (0..).zip(engine.sources()) {
                tokio::spawn(look_and_stay(url.clone(), rank, source, to.clone()));
            }
        }
        Feed::TrtHttp { url, every } => {
            let sources = engine.sources().collect();
            tokio::spawn(drain::stay(url.clone(), *every, sources, to.clone()));
        }
        Feed::Approximate { .. } => {}
    }
}

/// Returns the sockets of one data-parallel rank.
pub(crate) fn of_rank(feed: &ZmqFeed, rank: u16) -> Option<ZmqFeed> {
    Some(ZmqFeed {
        endpoint: at_rank(&feed.endpoint, rank)?,
        replay: feed.replay.as_ref().and_then(|at| at_rank(at, rank)),
        ..feed.clone()
    })
}

async fn stay(feed: ZmqFeed, publishers: Publishers, to: Reporter) {
    let mut wait = Backoff::new();
    loop {
        let began = tokio::time::Instant::now();
        let Some(error) = subscribe(&feed, &publishers, &to).await else {
            return;
        };
        if down(&to, publishers.all(), &error).await.is_none() {
            return;
        }
        wait.pause(began.elapsed()).await;
    }
}

async fn look_and_stay(url: String, rank: u16, source: SourceId, to: Reporter) {
    let mut wait = Backoff::new();
    loop {
        let began = tokio::time::Instant::now();
        let error = match discover::look(&url, rank).await {
            Err(error) => error.to_string(),
            Ok(feed) => {
                let endpoint = feed.replay.clone();
                let news = News::ReplayAt { endpoint };
                if to.tell(source, news).await.is_none() {
                    return;
                }
                match subscribe(&feed, &Publishers::One(source), &to).await {
                    Some(error) => error,
                    None => return,
                }
            }
        };
        if down(&to, &[source], &error).await.is_none() {
            return;
        }
        wait.pause(began.elapsed()).await;
    }
}

/// Tells that sources cannot be heard; `None` when nobody listens any more.
pub(crate) async fn down(to: &Reporter, sources: &[SourceId], error: &str) -> Option<()> {
    for source in sources {
        let error = error.to_owned();
        to.tell(*source, News::Down { error }).await?;
    }
    Some(())
}

/// The waits between attempts to reach an engine.
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) fn new() -> Backoff {
        Backoff(RETRY.0)
    }

    /// Waits before the next attempt; the shortest time after one that lasted.
    pub(crate) async fn pause(&mut self, lasted: Duration) {
        if lasted > RETRY.1 * 10 {
            self.0 = RETRY.0;
        }
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(RETRY.1);
    }
}
