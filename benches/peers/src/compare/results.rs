//! What all processes together found.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cell::{Findings, median};
use crate::metric::{Metric, Report, Size};
use crate::peer::Name;
use crate::setting::Setting;

/// Everything, as it is written to `peers.json`.
#[derive(Serialize)]
pub(super) struct Results {
    pub(super) quick: bool,
    pub(super) rounds: u16,
    pub(super) machine: String,
    /// What was left out, and why.
    pub(super) skipped: Vec<String>,
    /// Cells that gave no report, and why.
    pub(super) failed: Vec<String>,
    /// In the order they were measured.
    pub(super) settings: Vec<Row>,
    pub(super) scenarios: BTreeMap<Name, Findings>,
}

/// One setting and its figures.
#[derive(Serialize)]
pub(super) struct Row {
    pub(super) label: String,
    setting: Setting,
    pub(super) size: Size,
    pub(super) indexes: BTreeMap<Name, BTreeMap<Metric, Figure>>,
    /// Operations refused, of indices that refused any.
    refused: BTreeMap<Name, u64>,
}

/// One figure over the rounds.
#[derive(Default, Serialize)]
pub(super) struct Figure {
    rounds: Vec<f64>,
    /// In how many rounds it took longer than it may.
    capped: u16,
}

impl Figure {
    /// Returns the median, or `None` when it took longer than it may in any round.
    pub(super) fn value(&self) -> Option<f64> {
        (self.capped == 0 && !self.rounds.is_empty()).then(|| median(self.rounds.clone()))
    }
}

impl Results {
    pub(super) fn new(quick: bool, rounds: u16) -> Results {
        Results {
            quick,
            rounds,
            machine: machine(),
            skipped: Vec::new(),
            failed: Vec::new(),
            settings: Vec::new(),
            scenarios: BTreeMap::new(),
        }
    }

    /// Notes that something is left out, and says so.
    pub(super) fn skip(&mut self, why: &str) {
        eprintln!("{why}");
        self.skipped.push(why.to_owned());
    }

    /// Notes that a cell gave no report.
    pub(super) fn fail(&mut self, cell: &str, error: &anyhow::Error) {
        self.failed.push(format!("{cell}: {error:#}"));
    }

    pub(super) fn scenario(&mut self, index: Name, findings: Findings) {
        self.scenarios.insert(index, findings);
    }

    pub(super) fn add(&mut self, setting: &Setting, index: Name, report: Report) {
        let label = setting.label();
        let at = match self.settings.iter().position(|row| row.label == label) {
            Some(at) => at,
            None => {
                self.settings.push(Row {
                    label,
                    setting: setting.clone(),
                    size: report.size,
                    indexes: BTreeMap::new(),
                    refused: BTreeMap::new(),
                });
                self.settings.len() - 1
            }
        };
        let row = &mut self.settings[at];
        let figures = row.indexes.entry(index).or_default();
        for (metric, value) in report.figures {
            figures.entry(metric).or_default().rounds.push(value);
        }
        for metric in report.capped {
            figures.entry(metric).or_default().capped += 1;
        }
        if report.refused > 0 {
            *row.refused.entry(index).or_default() += report.refused;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.settings.is_empty() && self.scenarios.is_empty() && self.failed.is_empty()
    }

    /// Returns whether an index gave any wrong answer anywhere.
    pub(super) fn is_wrong(&self, index: Name) -> bool {
        let in_scenario = self.scenarios.get(&index).is_some_and(|findings| {
            findings.holes_wrong > 0 || findings.headless != findings.headless_truth
        });
        let wrong = self.settings.iter().any(|row| {
            row.indexes
                .get(&index)
                .and_then(|figures| figures.get(&Metric::Wrong))
                .is_some_and(|figure| figure.rounds.iter().any(|wrong| *wrong > 0.0))
        });
        in_scenario || wrong
    }
}

/// Returns the processor's name and how many of it there are.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("an unknown processor", |(_, name)| name.trim());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{threads} threads of {model}")
}
