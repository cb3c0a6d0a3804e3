//! One measurement of one index in a process of its own, so that no index inherits the heap of another.

mod beside;
mod bytes;
mod scenario;
mod speed;

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

pub(crate) use scenario::{Findings, run as scenario};

use crate::metric::{Metric, Size};
use crate::peer::{Applied, Concurrent, KvIndex, Name, Peer, Positional, RadixMesh, with_peer};
use crate::setting::Setting;
use crate::stream::{Event, pages};
use crate::watch::Watch;

/// Which measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Part {
    /// Filling, asking, checking every answer, and removing everything tail first.
    Speed,
    /// Removing everything by hash.
    Hash,
    /// A reader and a writer at once.
    Beside,
    /// The heap, filled and emptied.
    Bytes,
}

impl Part {
    /// All of them.
    pub(crate) const ALL: [Part; 4] = [Part::Speed, Part::Hash, Part::Beside, Part::Bytes];

    /// Returns the figures it gives.
    pub(crate) fn metrics(self) -> &'static [Metric] {
        match self {
            Part::Speed => &[
                Metric::MatchMean,
                Metric::MatchP50,
                Metric::MatchP99,
                Metric::Apply,
                Metric::DrainTail,
                Metric::Wrong,
                Metric::Over,
            ],
            Part::Hash => &[Metric::DrainHash],
            Part::Beside => &[
                Metric::BesideWriter,
                Metric::BesideP50,
                Metric::BesideP99,
                Metric::AloneP99,
                Metric::BesideByAlone,
            ],
            Part::Bytes => &[Metric::BytesEmpty, Metric::Bytes, Metric::BytesLeft],
        }
    }

    /// Returns its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Part::Speed => "speed",
            Part::Hash => "hash",
            Part::Beside => "beside",
            Part::Bytes => "bytes",
        }
    }

    /// Returns whether it can be measured of an index.
    pub(crate) fn is_for(self, name: Name) -> bool {
        self != Part::Beside || !matches!(name, Name::Smg | Name::DynamoTree)
    }
}

/// What to measure.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Which index.
    #[arg(value_enum)]
    index: Name,
    /// Which measurement.
    #[arg(value_enum)]
    part: Part,
    #[command(flatten)]
    setting: Setting,
    /// A phase that takes longer is given up.
    #[arg(long, value_name = "S", default_value_t = 60)]
    cap_s: u64,
}

/// Measures, and prints one line of JSON. Errors: the setting cannot be made, or the index has no such part.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let Options { index, part, .. } = *options;
    let watch = Watch::new(Duration::from_secs(options.cap_s));
    if part == Part::Bytes {
        crate::heap::count();
    }
    let stream = options.setting.stream()?;
    watch.size(Size {
        queries: stream.queries.len(),
        query_pages: stream.queries.iter().map(Vec::len).sum(),
        fill_pages: pages(&stream.fill),
        memberships: pages(&stream.drain_tail),
    });
    let workers = options.setting.workers;
    match part {
        Part::Speed => with_peer!(index, P => speed::run::<P>(&watch, &stream, workers)),
        Part::Hash => with_peer!(index, P => speed::by_hash::<P>(&watch, &stream, workers)),
        Part::Bytes => with_peer!(index, P => bytes::run::<P>(&watch, &stream, workers)),
        Part::Beside => match index {
            Name::RadixMesh => beside::run::<RadixMesh>(&watch, &stream, workers),
            Name::KvIndex => beside::run::<KvIndex>(&watch, &stream, workers),
            Name::DynamoCrtc => beside::run::<Concurrent>(&watch, &stream, workers),
            Name::DynamoPos32 => beside::run::<Positional>(&watch, &stream, workers),
            Name::Smg | Name::DynamoTree => {
                anyhow::bail!("{index} is read and written by one thread")
            }
        },
    }
    watch.print();
    Ok(())
}

/// Brings events into the form of an index.
fn ops<P: Peer>(publisher: &mut P::Publisher, events: &[Event]) -> Vec<P::Op> {
    events.iter().map(|event| P::op(publisher, event)).collect()
}

/// Returns millions of pages of `events` per second of processor time.
fn rate(events: &[Event], applied: Applied) -> f64 {
    pages(events) as f64 / applied.cpu.as_secs_f64().max(f64::MIN_POSITIVE) / 1e6
}

/// Returns the value below which `share` of `values` lie; 0 of none.
fn quantile(values: &mut [u32], share: f64) -> f64 {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    values
        .get((last as f64 * share) as usize)
        .map_or(0.0, |value| f64::from(*value))
}

/// Returns the middle of `values`; 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
