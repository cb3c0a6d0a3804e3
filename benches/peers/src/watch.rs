//! Ends a measurement that takes too long: an index that collapses is a result, and no reason to wait.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::metric::{Metric, Report, Size};

/// Collects the report of one process. A thread of its own looks at the clock.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    limit: Duration,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    report: Report,
    /// What is being measured, and until when it may.
    phase: Option<(Vec<Metric>, Instant)>,
}

impl Watch {
    /// Starts the watching thread. Each phase may take as long as `limit`.
    pub(crate) fn new(limit: Duration) -> Watch {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let watched = Arc::clone(&shared);
        std::thread::spawn(move || watched.guard());
        Watch { shared, limit }
    }

    /// Runs a piece of work that `metrics` need. When it takes too long, the report says so of all of them, is
    /// printed, and the process ends.
    pub(crate) fn phase<R>(&self, metrics: &[Metric], work: impl FnOnce() -> R) -> R {
        self.shared
            .enter(Some((metrics.to_vec(), Instant::now() + self.limit)));
        let result = work();
        self.shared.enter(None);
        result
    }

    /// Notes a figure.
    pub(crate) fn set(&self, metric: Metric, value: f64) {
        self.shared.lock().report.figures.insert(metric, value);
    }

    /// Notes how large the workload is.
    pub(crate) fn size(&self, size: Size) {
        self.shared.lock().report.size = size;
    }

    /// Adds operations that were refused.
    pub(crate) fn refused(&self, refused: u64) {
        self.shared.lock().report.refused += refused;
    }

    /// Prints the report as one line of JSON.
    pub(crate) fn print(&self) {
        self.shared.lock().print();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nobody panics with the report in hand")
    }

    fn enter(&self, phase: Option<(Vec<Metric>, Instant)>) {
        self.lock().phase = phase;
        self.changed.notify_all();
    }

    fn guard(&self) {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let wait = match &state.phase {
                None => Duration::MAX,
                Some((_, end)) => end.saturating_duration_since(now),
            };
            if wait.is_zero() {
                let (metrics, _) = state.phase.take().expect("there is a phase to end");
                state.report.capped = metrics;
                state.print();
                std::process::exit(0);
            }
            (state, _) = self
                .changed
                .wait_timeout(state, wait)
                .expect("nobody panics with the report in hand");
        }
    }
}

impl State {
    fn print(&self) {
        let line = serde_json::to_string(&self.report).expect("a report has string keys only");
        println!("{line}");
    }
}
