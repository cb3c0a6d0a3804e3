//! TensorRT-LLM's HTTP port: what it says is taken away by asking, so only one may ask.

use std::time::Duration;

use engines::event::{TrtEvents, decode_trt};
use engines::limits::TRT_BYTES_MAX;
use radix_core::id::SourceId;
use reqwest::Client;

use super::discover::{HttpError, body, client};
use super::follow::{Backoff, down};
use super::heard::{News, Reporter};

/// Drains an engine until nobody listens.
pub(crate) async fn stay(url: String, every: Duration, sources: Vec<SourceId>, to: Reporter) {
    let url = format!("{}/kv_cache_events", url.trim_end_matches('/'));
    let mut wait = Backoff::new();
    loop {
        let began = tokio::time::Instant::now();
        let Some(error) = drain(&url, every, &sources, &to).await else {
            return;
        };
        if down(&to, &sources, &error.to_string()).await.is_none() {
            return;
        }
        wait.pause(began.elapsed()).await;
    }
}

/// Drains until the engine does not answer; returns why, or `None` when nobody listens any more.
async fn drain(
    url: &str,
    every: Duration,
    sources: &[SourceId],
    to: &Reporter,
) -> Option<HttpError> {
    let client = match client() {
        Ok(client) => client,
        Err(error) => return Some(error),
    };
    let mut is_up = false;
    loop {
        let events = match taken(&client, url).await {
            Ok(events) => events,
            Err(error) => return Some(error),
        };
        for source in sources {
            if !is_up {
                let endpoint = url.to_owned();
                to.tell(*source, News::Up { endpoint }).await?;
            }
            if !events.is_empty() {
                to.tell(*source, News::Drained(events.clone())).await?;
            }
        }
        is_up = true;
        if events.is_empty() {
            tokio::time::sleep(every).await;
        }
    }
}

/// Takes what the engine has gathered.
async fn taken(client: &Client, url: &str) -> Result<TrtEvents, HttpError> {
    let answer = client.post(url).send().await?;
    let bytes = body(url, answer, TRT_BYTES_MAX).await?;
    decode_trt(&bytes).map_err(|error| HttpError::Nonsense {
        url: url.to_owned(),
        why: error.to_string(),
    })
}
