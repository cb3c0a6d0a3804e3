//! What is measured: names, units, and which way is better.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One figure of one index. In the order of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Metric {
    /// Processor time of a query over whole passes. Unit: ns.
    MatchMean,
    /// Wall time of a query. Unit: ns.
    MatchP50,
    /// Wall time of a query. Unit: ns.
    MatchP99,
    /// All stores and removes of the requests, by processor time. Unit: million pages a second.
    Apply,
    /// Removal of everything, leaf first. Unit: million pages a second.
    DrainTail,
    /// Removal of everything, sorted by hash. Unit: million pages a second.
    DrainHash,
    /// Stores and removes while another thread asks. Unit: million pages a second of processor time.
    BesideWriter,
    /// Wall time of a query while another thread writes. Unit: ns.
    BesideP50,
    /// Wall time of a query while another thread writes. Unit: ns.
    BesideP99,
    /// Wall time of a query in such a process when nobody writes. Unit: ns.
    AloneP99,
    /// `BesideP99` divided by `AloneP99`.
    BesideByAlone,
    /// Heap of the index before it is told anything. Unit: KiB.
    BytesEmpty,
    /// Heap of the filled index. Unit: bytes per page at a worker.
    Bytes,
    /// Heap after everything was removed. Unit: percent of that of the filled index.
    BytesLeft,
    /// Answers that are not those of the model.
    Wrong,
    /// Those of them that credit a worker with more than it holds.
    Over,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    /// Times, bytes, mistakes.
    Lower,
    /// Rates.
    Higher,
}

impl Metric {
    /// All, in order.
    pub(crate) const ALL: [Metric; 16] = [
        Metric::MatchMean,
        Metric::MatchP50,
        Metric::MatchP99,
        Metric::Apply,
        Metric::DrainTail,
        Metric::DrainHash,
        Metric::BesideWriter,
        Metric::BesideP50,
        Metric::BesideP99,
        Metric::AloneP99,
        Metric::BesideByAlone,
        Metric::BytesEmpty,
        Metric::Bytes,
        Metric::BytesLeft,
        Metric::Wrong,
        Metric::Over,
    ];

    /// Returns what to call it in a table, with its unit.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Metric::MatchMean => "match, mean, ns",
            Metric::MatchP50 => "match, p50, ns",
            Metric::MatchP99 => "match, p99, ns",
            Metric::Apply => "apply, M pages/s",
            Metric::DrainTail => "remove all, tail first, M pages/s",
            Metric::DrainHash => "remove all, by hash, M pages/s",
            Metric::BesideWriter => "apply beside a reader, M pages/s",
            Metric::BesideP50 => "match beside a writer, p50, ns",
            Metric::BesideP99 => "match beside a writer, p99, ns",
            Metric::AloneP99 => "match there without writer, p99, ns",
            Metric::BesideByAlone => "... the one by the other",
            Metric::BytesEmpty => "empty index, KiB",
            Metric::Bytes => "bytes per membership",
            Metric::BytesLeft => "bytes left after removal, %",
            Metric::Wrong => "wrong answers",
            Metric::Over => "... that credit too much",
        }
    }

    /// Returns which way is better.
    pub(crate) fn better(self) -> Better {
        match self {
            Metric::Apply | Metric::DrainTail | Metric::DrainHash | Metric::BesideWriter => {
                Better::Higher
            }
            Metric::MatchMean
            | Metric::MatchP50
            | Metric::MatchP99
            | Metric::BesideP50
            | Metric::BesideP99
            | Metric::AloneP99
            | Metric::BesideByAlone
            | Metric::BytesEmpty
            | Metric::Bytes
            | Metric::BytesLeft
            | Metric::Wrong
            | Metric::Over => Better::Lower,
        }
    }

    /// Returns whether it is shown as it is: of mistakes, or of what is next to nothing, no ratio is formed.
    pub(crate) fn is_plain(self) -> bool {
        matches!(self, Metric::BytesEmpty | Metric::Wrong | Metric::Over)
    }
}

/// How large a workload is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Size {
    /// Prompts asked for.
    pub(crate) queries: usize,
    /// Pages of all prompts together.
    pub(crate) query_pages: usize,
    /// Pages stored and removed by the stream that fills the index.
    pub(crate) fill_pages: usize,
    /// Pages at workers in the end, each once per worker.
    pub(crate) memberships: usize,
}

/// What one process found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The size of the workload.
    pub(crate) size: Size,
    /// What was measured.
    pub(crate) figures: BTreeMap<Metric, f64>,
    /// What took longer than it may.
    pub(crate) capped: Vec<Metric>,
    /// Operations that the index said it refused.
    pub(crate) refused: u64,
}
