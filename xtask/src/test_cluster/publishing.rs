//! A steady trickle of publishes at every engine node, each timed: what the others feel while something happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use radixmeshd::client::Client;
use tokio::task::JoinSet;

use super::burst::item;
use super::stats::Distribution;

/// Pause between two publishes at one node.
const PAUSE: Duration = Duration::from_millis(2);

/// One publish.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// At which of the nodes, in the order they were given.
    pub(crate) node: usize,
    /// When it was asked for.
    pub(crate) at: Instant,
    /// Until it was answered, over HTTP.
    pub(crate) took: Duration,
}

/// Publishes that go on until they are stopped, in a thread of their own: what else this process does must not be
/// measured with them.
#[derive(Debug)]
pub(crate) struct Publishing {
    /// Taken by whoever waits for it.
    thread: Option<JoinHandle<Published>>,
    stop: Arc<AtomicBool>,
}

/// What was published.
#[derive(Debug, Default)]
pub(crate) struct Published {
    samples: Vec<Sample>,
    /// Why the first publish that was not taken was not.
    pub(crate) failed: Option<String>,
}

impl Publishing {
    /// Begins to publish `tokens` random tokens at a time at each of the admin ports.
    ///
    /// Errors: there is no thread left.
    pub(crate) fn start(admins: Vec<String>, tokens: u32, seed: u64) -> anyhow::Result<Publishing> {
        let stop = Arc::new(AtomicBool::new(false));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let stopped = Arc::clone(&stop);
        let publish = async move {
            let mut streams = JoinSet::new();
            for (node, admin) in admins.into_iter().enumerate() {
                let random = fastrand::Rng::with_seed(seed ^ 0x7075_626c ^ (node as u64) << 32);
                let at = (node, admin);
                streams.spawn(stream(at, random, tokens, Arc::clone(&stopped)));
            }
            let mut all = Published::default();
            while let Some(stream) = streams.join_next().await {
                let stream = stream.expect("a publisher does not panic and is not cancelled");
                all.samples.extend(stream.samples);
                all.failed = all.failed.or(stream.failed);
            }
            all
        };
        let thread = std::thread::Builder::new()
            .name("publishing".to_owned())
            .spawn(move || runtime.block_on(publish))?;
        Ok(Publishing {
            thread: Some(thread),
            stop,
        })
    }

    /// Ends it. Takes as long as the last publish does.
    pub(crate) fn stop(mut self) -> Published {
        self.stop.store(true, Relaxed);
        let thread = self.thread.take();
        let published = thread.map(|thread| thread.join().expect("publishing does not panic"));
        published.unwrap_or_default()
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

async fn stream(
    (node, admin): (usize, String),
    mut random: fastrand::Rng,
    tokens: u32,
    stop: Arc<AtomicBool>,
) -> Published {
    let mut published = Published::default();
    let client = match Client::new(&admin) {
        Ok(client) => client,
        Err(error) => {
            published.failed = Some(error.to_string());
            return published;
        }
    };
    while !stop.load(Relaxed) {
        let mut body = String::from("{\"items\":[");
        item(&mut body, &mut random, tokens);
        body.push_str("]}");
        let at = Instant::now();
        let answer = client.raw("/publish", "application/json", body).await;
        let took = at.elapsed();
        match answer {
            Ok((200, _)) => published.samples.push(Sample { node, at, took }),
            Ok((status, text)) => {
                let _ = published.failed.get_or_insert(format!("{status}: {text}"));
            }
            Err(error) => {
                let _ = published.failed.get_or_insert(error.to_string());
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    published
}

impl Published {
    /// Returns how long the publishes took that were asked for in this time. Unit: ms.
    pub(crate) fn within(&self, from: Instant, to: Instant) -> Option<Distribution> {
        self.of(|sample| (from..to).contains(&sample.at))
    }

    /// Returns the same of the node where the longest of them was, and which one that is.
    pub(crate) fn worst_within(&self, from: Instant, to: Instant) -> Option<(usize, Distribution)> {
        let asked = |sample: &&Sample| (from..to).contains(&sample.at);
        let asked = self.samples.iter().filter(asked);
        let node = asked.max_by_key(|sample| sample.took)?.node;
        let there = self.of(|sample| sample.node == node && (from..to).contains(&sample.at))?;
        Some((node, there))
    }

    fn of(&self, counts: impl Fn(&Sample) -> bool) -> Option<Distribution> {
        let took = self.samples.iter().filter(|sample| counts(sample));
        let took = took.map(|sample| sample.took.as_secs_f64() * 1e3);
        Distribution::of(&mut took.collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publish_counts_when_it_was_asked_for() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let sample = |node, at, took| Sample {
            node,
            at: start + ms(at),
            took: ms(took),
        };
        let published = Published {
            samples: vec![
                sample(1, 0, 9),
                sample(1, 10, 2),
                sample(2, 15, 4),
                sample(1, 20, 7),
            ],
            failed: None,
        };
        let within = published.within(start + ms(10), start + ms(20)).unwrap();
        assert_eq!((within.count, within.p50, within.max), (2, 2.0, 4.0));
        let (node, there) = published.worst_within(start, start + ms(20)).unwrap();
        assert_eq!((node, there.count, there.max), (1, 2, 9.0));
        assert_eq!(published.within(start + ms(30), start + ms(40)), None);
    }
}
