//! Stays at one engine: finds out where it publishes, subscribes, and begins anew when that breaks.

use std::time::Duration;

use radix_core::id::SourceId;
use tokio::sync::mpsc::Sender;

use super::discover;
use super::drain;
use super::heard::{Heard, News};
use super::settings::{Feed, SourceSettings, ZmqFeed, at_rank};
use super::sockets::{Publishers, subscribe};

/// First and longest wait before a subscription is made again; doubled in between.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Starts what follows an engine; it ends with the receiver.
pub(crate) fn spawn(engine: &SourceSettings, to: &Sender<Heard>) {
    match &engine.feed {
        Feed::Zmq(feed) if feed.bind => {
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

async fn stay(feed: ZmqFeed, publishers: Publishers, to: Sender<Heard>) {
    let mut wait = RETRY.0;
    loop {
        let began = tokio::time::Instant::now();
        let Some(error) = subscribe(&feed, &publishers, &to).await else {
            return;
        };
        for source in publishers.all() {
            if down(&to, *source, &error).await.is_none() {
                return;
            }
        }
        pause(&mut wait, began.elapsed()).await;
    }
}

async fn look_and_stay(url: String, rank: u16, source: SourceId, to: Sender<Heard>) {
    let mut wait = RETRY.0;
    loop {
        let began = tokio::time::Instant::now();
        let error = match discover::look(&url, rank).await {
            Err(error) => error.to_string(),
            Ok(feed) => {
                let endpoint = feed.replay.clone();
                let news = News::ReplayAt { endpoint };
                if to.send(Heard { source, news }).await.is_err() {
                    return;
                }
                match subscribe(&feed, &Publishers::One(source), &to).await {
                    Some(error) => error,
                    None => return,
                }
            }
        };
        if down(&to, source, &error).await.is_none() {
            return;
        }
        pause(&mut wait, began.elapsed()).await;
    }
}

/// Tells that a source cannot be heard; `None` when nobody listens any more.
pub(crate) async fn down(to: &Sender<Heard>, source: SourceId, error: &str) -> Option<()> {
    let error = error.to_owned();
    let news = News::Down { error };
    to.send(Heard { source, news }).await.ok()
}

/// Waits before the next attempt; less after one that lasted.
pub(crate) async fn pause(wait: &mut Duration, lasted: Duration) {
    if lasted > RETRY.1 * 10 {
        *wait = RETRY.0;
    }
    tokio::time::sleep(*wait).await;
    *wait = (*wait * 2).min(RETRY.1);
}
