//! The connection to one source, as its host keeps it.

use std::time::Duration;

use engines::Approximate;
use engines::source::{Cause, Counters, Source, SourceStats, Standing};
use radix_core::id::SourceId;
use radix_core::time::Timestamp;
use tokio::task::JoinHandle;

use super::heard::{News, Reporter};
use super::settings::SourceSettings;
use super::sockets;
use super::status::{SocketCounters, SourceReport};

/// One source's connection.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) rank: u16,
    pub(crate) is_up: bool,
    /// Where lost batches are asked for.
    pub(crate) replay: Option<String>,
    pub(crate) cause: Cause,
    pub(crate) socket: SocketCounters,
    endpoint: String,
    last_error: Option<String>,
    down_after: Duration,
    /// Since when it cannot be heard, while its copies stand.
    down_since: Option<Timestamp>,
    asking: Option<JoinHandle<()>>,
}

impl Line {
    pub(crate) fn new(engine: &SourceSettings, rank: u16, replay: Option<String>) -> Line {
        Line {
            name: engine.name.clone(),
            rank,
            is_up: false,
            replay,
            cause: Cause::Began,
            socket: SocketCounters::default(),
            endpoint: String::new(),
            last_error: None,
            down_after: engine.down_after,
            down_since: None,
            asking: None,
        }
    }

    /// Under which key it is kept.
    pub(crate) fn key(&self) -> String {
        format!("{}/{}", self.name, self.rank)
    }

    pub(crate) fn up(&mut self, endpoint: String) {
        tracing::info!(engine = self.name, rank = self.rank, endpoint, "subscribed");
        self.is_up = true;
        self.endpoint = endpoint;
        self.down_since = None;
        self.last_error = None;
        self.socket.connects += 1;
    }

    pub(crate) fn down(&mut self, now: Timestamp, error: String) {
        if self.last_error.as_ref() != Some(&error) {
            tracing::warn!(
                engine = self.name,
                rank = self.rank,
                error,
                "cannot be heard"
            );
        }
        self.socket.connect_errors += 1;
        // Never heard: there is nothing to withdraw.
        if std::mem::take(&mut self.is_up) {
            self.down_since = Some(now);
        }
        self.last_error = Some(error);
    }

    /// Returns whether it was away for so long that its copies are to be withdrawn now.
    pub(crate) fn withdraw(&mut self, now: Timestamp) -> bool {
        let is_due = self.deadline().is_some_and(|at| at <= now);
        if is_due {
            self.down_since = None;
            self.socket.withdrawals += 1;
        }
        is_due
    }

    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.down_since.map(|since| since.after(self.down_after))
    }

    pub(crate) fn replay_failed(&mut self, error: String) {
        self.socket.replay_errors += 1;
        self.last_error = Some(error);
    }

    /// A batch came of a rank that is not configured.
    pub(crate) fn stray(&mut self, rank: u32) {
        if self.socket.stray_batches == 0 {
            tracing::warn!(
                engine = self.name,
                stray = rank,
                "batches of a rank beyond `ranks` are passed over"
            );
        }
        self.socket.stray_batches += 1;
        self.last_error = Some(format!(
            "batches of data-parallel rank {rank} came, which is beyond `ranks`"
        ));
    }

    /// Asks the publisher for what is missing; an earlier question is void.
    pub(crate) fn ask(&mut self, source: SourceId, ask: u32, from: u64, to: &Reporter) {
        if let Some(earlier) = self.asking.take() {
            earlier.abort();
        }
        let to = to.clone();
        let replay = self.replay.clone();
        self.asking = Some(tokio::spawn(async move {
            match replay {
                Some(endpoint) => sockets::replay(endpoint, source, ask, from, to).await,
                None => {
                    let error = "the engine has no replay endpoint".to_owned();
                    let news = News::ReplayFailed { ask, error };
                    // Nobody listens any more: the node ends.
                    let _ = to.tell(source, news).await;
                }
            }
        }));
    }

    pub(crate) fn report(&self, source: &Source) -> SourceReport {
        SourceReport {
            standing: source.standing(),
            cause: self.cause,
            counters: source.counters(),
            stats: source.stats(),
            ..self.bare(source.config().source)
        }
    }

    /// What there is to say of an engine whose contents are guessed.
    pub(crate) fn report_guess(&self, source: SourceId, guess: &Approximate) -> SourceReport {
        SourceReport {
            approximate: true,
            stats: SourceStats {
                blocks: guess.pages(),
                ..SourceStats::default()
            },
            ..self.bare(source)
        }
    }

    fn bare(&self, source: SourceId) -> SourceReport {
        SourceReport {
            name: self.name.clone(),
            rank: self.rank,
            source,
            endpoint: self.endpoint.clone(),
            connected: self.is_up,
            standing: Standing::Degraded,
            cause: Cause::Began,
            approximate: false,
            last_error: self.last_error.clone(),
            counters: Counters::default(),
            stats: SourceStats::default(),
            socket: self.socket,
        }
    }
}
