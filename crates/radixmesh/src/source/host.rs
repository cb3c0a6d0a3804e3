//! The thread that holds the sources of a node: takes what their sockets hear, publishes what follows, and keeps what a
//! restart needs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use engines::source::{Command, Input, Output, Source, SourceConfig};
use engines::{Approximate, Intake};
use radix_core::id::SourceId;
use radix_core::time::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::follow;
use super::heard::{Heard, News, Reporter};
use super::line::Line;
use super::publish::Publisher;
use super::settings::{Feed, SourceSettings};
use super::status::SourceReport;
use super::store::{Store, StoreError};
use crate::clock;
use crate::config::Config;
use crate::mesh::Mesh;

/// News taken in before their publishes go out.
const NEWS_BURST: usize = 256;
/// How often what changed is written to the store.
const STORE_EVERY: Duration = Duration::from_secs(5);
/// Oldest that a report may be.
const REPORT_EVERY: Duration = Duration::from_millis(50);

/// A node's sources, from outside.
pub(crate) struct Sources {
    to: Reporter,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sources {
    /// Starts following the engines of a node, if it has any, and keeps telling of them.
    ///
    /// Errors: [`SourcesStartError`].
    pub(crate) fn start(
        config: &Config,
        mesh: Mesh,
        told: watch::Sender<Vec<SourceReport>>,
    ) -> Result<Option<Sources>, SourcesStartError> {
        if config.sources.is_empty() {
            return Ok(None);
        }
        let store = match &config.state_dir {
            Some(dir) => Some(Arc::new(Store::open(dir)?)),
            None => None,
        };
        let (stop, stopped) = oneshot::channel();
        let (to, inbox) = Reporter::new();
        let host = Host::new(config, mesh, store, told);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(SourcesStartError::Thread)?;
        let news = to.clone();
        let thread = std::thread::Builder::new()
            .name("radixmesh-sources".to_owned())
            .spawn(move || runtime.block_on(host.run(news, inbox, stopped)))
            .map_err(SourcesStartError::Thread)?;
        Ok(Some(Sources {
            to,
            stop: Some(stop),
            thread: Some(thread),
        }))
    }

    /// Returns the way in for prompts that were sent to engines without events.
    pub(crate) fn reporter(&self) -> Reporter {
        self.to.clone()
    }

    /// Ends the thread, after what is known was written down.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

/// Why engines cannot be followed.
///
/// State: nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum SourcesStartError {
    /// The store in the state directory cannot be opened: another process has it, or the disk refuses.
    #[error("what is kept of the engines cannot be opened: {0}")]
    Store(#[from] StoreError),
    /// No thread.
    #[error("a thread could not be started: {0}")]
    Thread(#[source] std::io::Error),
}

struct Host {
    engines: Vec<SourceSettings>,
    intake: Intake,
    guesses: BTreeMap<SourceId, Approximate>,
    lines: BTreeMap<SourceId, Line>,
    publisher: Publisher,
    store: Option<Arc<Store>>,
    /// Batches taken in by each source when it was last written down.
    stored: BTreeMap<SourceId, u64>,
    store_at: Instant,
    told: watch::Sender<Vec<SourceReport>>,
    tell_at: Option<Instant>,
    out: Vec<Output>,
    guessed: Vec<Command>,
}

impl Host {
    fn new(
        config: &Config,
        mesh: Mesh,
        store: Option<Arc<Store>>,
        told: watch::Sender<Vec<SourceReport>>,
    ) -> Host {
        let (mut intake, mut lines) = (Intake::new(), BTreeMap::new());
        let mut guesses = BTreeMap::new();
        for engine in &config.sources {
            for (rank, id) in (0..).zip(engine.sources()) {
                if let Feed::Approximate { ttl } = engine.feed {
                    guesses.insert(id, Approximate::new(id, ttl, engine.blocks_max));
                    lines.insert(id, Line::new(engine, rank, None));
                    continue;
                }
                let (source, line) = begin(config, engine, rank, id, store.as_deref());
                intake.add(source);
                lines.insert(id, line);
            }
        }
        Host {
            engines: config.sources.clone(),
            intake,
            guesses,
            lines,
            publisher: Publisher::new(mesh),
            store,
            stored: BTreeMap::new(),
            store_at: Instant::now() + STORE_EVERY,
            told,
            tell_at: Some(Instant::now()),
            out: Vec::new(),
            guessed: Vec::new(),
        }
    }

    async fn run(
        mut self,
        to: Reporter,
        mut inbox: mpsc::Receiver<Heard>,
        mut stopped: oneshot::Receiver<()>,
    ) {
        for engine in &self.engines {
            follow::spawn(engine, &to);
        }
        loop {
            let now = clock::now();
            let due = self.next_deadline().map(|at| at.since(now));
            let due = Instant::now() + due.unwrap_or(STORE_EVERY);
            let tell_at = self.tell_at.unwrap_or(due);
            tokio::select! {
                biased;
                _ = &mut stopped => break,
                heard = inbox.recv() => {
                    let Some(heard) = heard else { break };
                    self.hear(heard, &to);
                    for _ in 1..NEWS_BURST {
                        let Ok(heard) = inbox.try_recv() else { break };
                        self.hear(heard, &to);
                    }
                }
                () = tokio::time::sleep_until(due.min(tell_at).min(self.store_at)) => self.tick(&to),
            }
            if self.publisher.publish().await.is_err() {
                break;
            }
            for (source, count) in self.publisher.refused() {
                if let Some(line) = self.lines.get_mut(&source) {
                    line.socket.publish_errors += count;
                }
            }
            self.tell_at
                .get_or_insert_with(|| Instant::now() + REPORT_EVERY);
            if Instant::now() >= self.store_at {
                self.keep().await;
            }
            self.tell();
        }
        drop(inbox);
        self.keep().await;
    }

    fn hear(&mut self, heard: Heard, to: &Reporter) {
        let (now, source) = (clock::now(), heard.source);
        let Some(line) = self.lines.get_mut(&source) else {
            return;
        };
        let mut input = |input: Input<'_>| self.intake.handle(now, source, input, &mut self.out);
        match heard.news {
            News::Up { endpoint } => {
                line.up(endpoint);
                input(Input::Connected);
            }
            News::Down { error } => line.down(now, error),
            News::ReplayAt { endpoint } => line.replay = endpoint,
            News::Live(frames) => input(Input::Live(&parts(&frames))),
            News::Stray { rank } => line.stray(rank),
            News::Replayed { ask, frames } => {
                let frames = &parts(&frames);
                input(Input::Replayed { ask, frames });
            }
            News::ReplayFailed { ask, error } => {
                line.replay_failed(error);
                // Who is away is not asked; that begins anew when it is heard again.
                if line.is_up {
                    input(Input::ReplayFailed { ask });
                }
            }
            News::Drained(events) => input(Input::Drained(&events)),
            News::Observed { namespace, pages } => {
                if let Some(guess) = self.guesses.get_mut(&source) {
                    guess.observe(now, namespace, &pages, &mut self.guessed);
                }
            }
        }
        self.carry_out(to);
    }

    fn tick(&mut self, to: &Reporter) {
        let now = clock::now();
        for (source, line) in &mut self.lines {
            if line.withdraw(now) {
                tracing::warn!(
                    engine = line.name,
                    rank = line.rank,
                    "unreachable; its copies are withdrawn"
                );
                self.intake.handle(now, *source, Input::Gone, &mut self.out);
            }
        }
        for guess in self.guesses.values_mut() {
            guess.tick(now, &mut self.guessed);
        }
        let is_due = |(_, at): &(SourceId, Timestamp)| *at <= now;
        for (source, _) in self.deadlines().filter(is_due).collect::<Vec<_>>() {
            self.intake.handle(now, source, Input::Tick, &mut self.out);
        }
        self.carry_out(to);
    }

    /// When sources want to ask something. Nothing is asked of a publisher that cannot be heard.
    fn deadlines(&self) -> impl Iterator<Item = (SourceId, Timestamp)> {
        let heard = self.lines.iter().filter(|(_, line)| line.is_up);
        heard.filter_map(|(id, _)| Some((*id, self.intake.get(*id)?.next_deadline()?)))
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let guesses = self.guesses.values().filter_map(Approximate::next_deadline);
        let lines = self.lines.values().filter_map(Line::deadline);
        let sources = self.deadlines().map(|(_, at)| at);
        guesses.chain(lines).chain(sources).min()
    }

    fn carry_out(&mut self, to: &Reporter) {
        for command in self.guessed.drain(..) {
            self.publisher.push(command);
        }
        for output in std::mem::take(&mut self.out) {
            match output {
                Output::Publish(command) => self.publisher.push(command),
                Output::AskReplay { source, ask, from } => {
                    if let Some(line) = self.lines.get_mut(&source) {
                        line.ask(source, ask, from, to);
                    }
                }
                Output::Standing {
                    source,
                    standing,
                    cause,
                } => {
                    if let Some(line) = self.lines.get_mut(&source) {
                        tracing::info!(
                            engine = line.name,
                            rank = line.rank,
                            ?standing,
                            ?cause,
                            "source"
                        );
                        line.cause = cause;
                    }
                }
            }
        }
    }

    /// Writes down what changed since it was last written down.
    async fn keep(&mut self) {
        self.store_at = Instant::now() + STORE_EVERY;
        let Some(store) = self.store.clone() else {
            return;
        };
        let mut all = Vec::new();
        for source in self.intake.iter() {
            let (id, batches) = (source.config().source, source.counters().batches);
            if let Some(line) = self.lines.get(&id)
                && self.stored.insert(id, batches) != Some(batches)
            {
                all.push((line.key(), source.snapshot()));
            }
        }
        if all.is_empty() {
            return;
        }
        let written = tokio::task::spawn_blocking(move || store.put(&all)).await;
        if let Ok(Err(error)) = &written {
            tracing::warn!(%error, "what is known of the engines cannot be kept");
        }
        if !matches!(written, Ok(Ok(()))) {
            self.stored.clear();
            self.lines
                .values_mut()
                .for_each(|line| line.socket.store_errors += 1);
        }
    }

    fn tell(&mut self) {
        if self.tell_at.is_some_and(|at| at <= Instant::now()) {
            self.tell_at = None;
            let report = |(id, line): (&SourceId, &Line)| {
                let guess = self.guesses.get(id);
                let guess = guess.map(|guess| line.report_guess(*id, guess));
                guess.or_else(|| Some(line.report(self.intake.get(*id)?)))
            };
            let reports = self.lines.iter().filter_map(report).collect();
            self.told.send_replace(reports);
        }
    }
}

fn parts(frames: &[bytes::Bytes]) -> Vec<&[u8]> {
    frames.iter().map(|frame| &frame[..]).collect()
}

/// Begins a source, with what was kept of it if that fits.
fn begin(
    config: &Config,
    engine: &SourceSettings,
    rank: u16,
    id: SourceId,
    store: Option<&Store>,
) -> (Source, Line) {
    let (is_ranked, replay) = match &engine.feed {
        Feed::Zmq(feed) => (
            false,
            follow::of_rank(feed, rank).and_then(|feed| feed.replay),
        ),
        Feed::TrtHttp { .. } => (engine.ranks > 1, None),
        Feed::Discover { .. } | Feed::Approximate { .. } => (false, None),
    };
    let settings = SourceConfig {
        namespace: engine.namespace.clone(),
        rank: is_ranked.then_some(u32::from(rank)),
        // Where the engine says it itself, it may yet.
        replay: replay.is_some() || matches!(engine.feed, Feed::Discover { .. }),
        blocks_max: engine.blocks_max,
        ..SourceConfig::new(id, config.fingerprint_key, config.page_size)
    };
    let line = Line::new(engine, rank, replay);
    let kept = match store.map(|store| store.get(&line.key())) {
        Some(Ok(kept)) => kept,
        Some(Err(error)) => {
            tracing::warn!(engine = engine.name, rank, %error, "begins anew");
            None
        }
        None => None,
    };
    let source = kept.and_then(|kept| {
        let restored = Source::restore(settings.clone(), &kept);
        if let Err(error) = &restored {
            tracing::warn!(engine = engine.name, rank, %error, "begins anew");
        }
        restored.ok()
    });
    (source.unwrap_or_else(|| Source::new(settings)), line)
}
