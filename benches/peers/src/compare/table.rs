//! The results as text: a table for each setting, metrics down and indices across.

use std::fmt::Write;

use clap::ValueEnum;

use super::results::{Figure, Results, Row};
use crate::metric::{Better, Metric};
use crate::peer::Name;

/// What somebody who reads the tables alone must know.
const NOTES: &str = "\
In brackets: ours divided by theirs. Best of a row: *. \"> cap\": given up. -: not offered.
match: an answer for every worker; into a caller's array of depths for radixmesh, kv-index and smg, into a new map for
the three of dynamo. Means are processor time over whole passes, percentiles wall time with the clock's own cost.
apply and remove: processor time of the writing thread, input already in each index's own form. radixmesh removes by
the copy names its own logs carry; the map from block hashes to them was made beforehand, as there it is the publisher's.
By hash: two of dynamo's forget all that a run has behind a removed page at once, and skip it when its turn comes.
bytes: what the C library gave, of the index alone; of dynamo-crtc after its housekeeping, which runs every 5 minutes.
";

/// Returns all tables.
pub(super) fn text(results: &Results) -> String {
    let mut text = String::new();
    let size = if results.quick { "quick, " } else { "" };
    line(
        &mut text,
        format_args!(
            "{size}medians of {} round(s), {}",
            results.rounds, results.machine
        ),
    );
    text.push_str(NOTES);
    for row in &results.settings {
        text.push('\n');
        setting(&mut text, row);
    }
    if !results.scenarios.is_empty() {
        text.push('\n');
        scenarios(&mut text, results);
    }
    for note in results.skipped.iter().chain(&results.failed) {
        line(&mut text, format_args!("{note}"));
    }
    text
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    writeln!(text, "{arguments}").expect("a string takes all text");
}

fn setting(text: &mut String, row: &Row) {
    let size = row.size;
    let pages = size.query_pages as f64 / size.queries.max(1) as f64;
    line(
        text,
        format_args!(
            "{}: {} queries of {pages:.0} pages; {:.2} M pages stored and removed; {:.3} M memberships",
            row.label,
            size.queries,
            size.fill_pages as f64 / 1e6,
            size.memberships as f64 / 1e6
        ),
    );
    let names = Name::value_variants();
    let head: String = names.iter().map(|name| format!("{name:>15}")).collect();
    line(text, format_args!("{:<34}{head}", ""));
    for metric in Metric::ALL {
        let figure = |name: &Name| row.indexes.get(name)?.get(&metric);
        let values: Vec<Option<f64>> = names
            .iter()
            .map(|name| figure(name).and_then(Figure::value))
            .collect();
        let best = best(metric, &values);
        let ours = values[0];
        if names.iter().all(|name| figure(name).is_none()) {
            continue;
        }
        let mut cells = String::new();
        for (name, value) in names.iter().zip(&values) {
            let cell = match value {
                None if figure(name).is_some() => "> cap".to_owned(),
                None => "-".to_owned(),
                Some(value) => {
                    let mark = if Some(*value) == best { "*" } else { "" };
                    let ratio = ours
                        .filter(|_| *name != Name::RadixMesh && !metric.is_plain())
                        .map_or(String::new(), |ours| format!(" ({:.2})", ours / value));
                    format!("{mark}{}{ratio}", number(metric, *value))
                }
            };
            cells.push_str(&format!("{cell:>15}"));
        }
        line(text, format_args!("{:<34}{cells}", metric.title()));
    }
}

fn best(metric: Metric, values: &[Option<f64>]) -> Option<f64> {
    let values = values.iter().flatten().copied();
    if metric.is_plain() {
        return None;
    }
    match metric.better() {
        Better::Lower => values.min_by(f64::total_cmp),
        Better::Higher => values.max_by(f64::total_cmp),
    }
}

/// Formats about three digits.
fn number(metric: Metric, value: f64) -> String {
    if metric.is_plain() || value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

fn scenarios(text: &mut String, results: &Results) {
    line(
        text,
        format_args!(
            "paths with holes: pages credited to workers 0, 1, 2 of a path whose head worker 1 has lost; then a random \
             stream of\nstores and removals from the middle"
        ),
    );
    line(
        text,
        format_args!(
            "{:<14}{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}",
            "", "credited", "held", "queries", "wrong", "too much", "ops refused"
        ),
    );
    for (name, findings) in &results.scenarios {
        let pages = |workers: &[u32]| {
            let pages: Vec<String> = workers.iter().take(3).map(u32::to_string).collect();
            pages.join(" ")
        };
        line(
            text,
            format_args!(
                "{:<14}{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}",
                name,
                pages(&findings.headless),
                pages(&findings.headless_truth),
                findings.holes_asked,
                findings.holes_wrong,
                findings.holes_over,
                findings.refused
            ),
        );
    }
}
