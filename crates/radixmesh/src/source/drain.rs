//! TensorRT-LLM's HTTP port: what it says is taken away by asking, so only one may ask.

use std::time::Duration;

use engines::event::{TrtEvents, decode_trt};
use engines::limits::TRT_BYTES_MAX;
use radix_core::id::SourceId;
use tokio::sync::mpsc::Sender;

use super::discover::{HttpError, body, client};
use super::follow::{down, pause};
use super::heard::{Heard, News};

/// First wait after an attempt that failed.
const RETRY: Duration = Duration::from_millis(100);

/// Drains an engine until nobody listens.
pub(crate) async fn stay(url: String, every: Duration, sources: Vec<SourceId>, to: Sender<Heard>) {
    let url = format!("{}/kv_cache_events", url.trim_end_matches('/'));
    let (mut wait, mut is_up) = (RETRY, false);
    loop {
        let began = tokio::time::Instant::now();
        match drain(&url).await {
            Ok(events) => {
                let found = !events.is_empty();
                for source in &sources {
                    let mut told = Vec::with_capacity(2);
                    if !is_up {
                        let endpoint = url.clone();
                        told.push(News::Up { endpoint });
                    }
                    if found {
                        told.push(News::Drained(events.clone()));
                    }
                    for news in told {
                        let source = *source;
                        if to.send(Heard { source, news }).await.is_err() {
                            return;
                        }
                    }
                }
                (wait, is_up) = (RETRY, true);
                if !found {
                    tokio::time::sleep(every).await;
                }
            }
            Err(error) => {
                is_up = false;
                for source in &sources {
                    if down(&to, *source, &error.to_string()).await.is_none() {
                        return;
                    }
                }
                pause(&mut wait, began.elapsed()).await;
            }
        }
        if to.is_closed() {
            return;
        }
    }
}

async fn drain(url: &str) -> Result<TrtEvents, HttpError> {
    let answer = client()?.post(url).send().await?;
    let bytes = body(url, answer, TRT_BYTES_MAX).await?;
    decode_trt(&bytes).map_err(|error| HttpError::Nonsense {
        url: url.to_owned(),
        why: error.to_string(),
    })
}
