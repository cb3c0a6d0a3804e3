//! Counts held against a baseline: which operation costs more, which less, and the table.

use std::collections::BTreeMap;
use std::fmt;

/// Counts beside those of a baseline. Unit: instructions per call.
pub(super) struct Comparison {
    rows: Vec<Row>,
    /// In the baseline, but no operation any more.
    gone: Vec<String>,
    /// Unit: per cent.
    tolerance: f64,
}

struct Row {
    name: String,
    count: f64,
    baseline: Option<f64>,
}

impl Row {
    /// Returns how much more it costs now, in per cent of the baseline.
    fn change(&self) -> Option<f64> {
        let baseline = self.baseline?;
        Some((self.count - baseline) / baseline * 100.0)
    }
}

impl Comparison {
    /// Compares, as far as names contain `only`.
    pub(super) fn new(
        counts: &[(String, f64)],
        baseline: Option<&BTreeMap<String, f64>>,
        only: &str,
        tolerance: f64,
    ) -> Comparison {
        let row = |(name, count): &(String, f64)| Row {
            name: name.clone(),
            count: *count,
            baseline: baseline.and_then(|baseline| baseline.get(name).copied()),
        };
        let is_gone = |name: &&String| {
            name.contains(only) && counts.iter().all(|(counted, _)| counted != *name)
        };
        Comparison {
            rows: counts.iter().map(row).collect(),
            gone: baseline
                .into_iter()
                .flat_map(BTreeMap::keys)
                .filter(is_gone)
                .cloned()
                .collect(),
            tolerance,
        }
    }

    /// Says what asks for a new baseline without being a failure.
    pub(super) fn notes(&self) -> Vec<String> {
        let cheaper = self.changed(|change| change < -self.tolerance);
        let new = self.rows.iter().filter(|row| row.baseline.is_none());
        let notes = [
            ("cheaper", cheaper),
            (
                "not in the baseline",
                new.map(|row| row.name.clone()).collect(),
            ),
            ("gone", self.gone.clone()),
        ];
        notes
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{what}: {}; --bless takes it over", names.join(", ")))
            .collect()
    }

    /// Says what costs more than is tolerated, if anything does.
    pub(super) fn failure(&self) -> Option<String> {
        let dearer = self.changed(|change| change > self.tolerance);
        (!dearer.is_empty()).then(|| {
            format!(
                "more than {} % dearer: {}; if that is the price of something, --bless takes it over",
                self.tolerance,
                dearer.join(", ")
            )
        })
    }

    /// Returns the operations whose change, in per cent, is as asked for, with that change.
    fn changed(&self, is_wanted: impl Fn(f64) -> bool) -> Vec<String> {
        let with_change = |row: &Row| {
            let change = row.change().filter(|change| is_wanted(*change))?;
            Some(format!("{} ({change:+.1} %)", row.name))
        };
        self.rows.iter().filter_map(with_change).collect()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.name.len()).max();
        let width = width.unwrap_or(0).max("operation".len());
        writeln!(
            f,
            "{:width$}  {:>17}  {:>11}  {:>8}",
            "operation", "instructions/call", "baseline", "change"
        )?;
        for row in &self.rows {
            write!(f, "{:width$}  {:>17.1}  ", row.name, row.count)?;
            match (row.baseline, row.change()) {
                (Some(baseline), Some(change)) => {
                    writeln!(f, "{baseline:>11.1}  {change:>+6.1} %")?;
                }
                _ => writeln!(f, "{:>11}  {:>8}", "-", "new")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(counts: &[(&str, f64)], baseline: &[(&str, f64)], only: &str) -> Comparison {
        let owned = |(name, count): &(&str, f64)| ((*name).to_owned(), *count);
        let counts: Vec<_> = counts.iter().map(owned).collect();
        let baseline = baseline.iter().map(owned).collect();
        Comparison::new(&counts, Some(&baseline), only, 3.0)
    }

    #[test]
    fn a_change_within_the_tolerance_says_nothing() {
        for count in [970.0, 1000.0, 1030.0] {
            let comparison = compare(&[("match", count)], &[("match", 1000.0)], "");
            assert_eq!(comparison.failure(), None, "{count}");
            assert!(comparison.notes().is_empty(), "{count}");
        }
    }

    #[test]
    fn what_is_dearer_fails_and_is_named() {
        let counts = [("insert", 100.0), ("match", 1031.0)];
        let comparison = compare(&counts, &[("insert", 100.0), ("match", 1000.0)], "");
        let failure = comparison.failure().unwrap();
        assert!(failure.contains("match (+3.1 %)"), "{failure}");
        assert!(!failure.contains("insert"), "{failure}");
        assert!(comparison.notes().is_empty());
    }

    #[test]
    fn what_is_cheaper_is_named_and_asks_to_be_blessed() {
        let comparison = compare(&[("match", 900.0)], &[("match", 1000.0)], "");
        assert_eq!(comparison.failure(), None);
        let notes = comparison.notes().join("\n");
        assert!(notes.contains("cheaper: match (-10.0 %)"), "{notes}");
        assert!(notes.contains("--bless"), "{notes}");
    }

    #[test]
    fn new_and_gone_operations_are_named_and_do_not_fail() {
        let comparison = compare(&[("visit", 5.0)], &[("match", 1000.0)], "");
        assert_eq!(comparison.failure(), None);
        let notes = comparison.notes().join("\n");
        assert!(notes.contains("not in the baseline: visit"), "{notes}");
        assert!(notes.contains("gone: match"), "{notes}");
    }

    #[test]
    fn what_was_not_asked_for_is_not_gone() {
        let baseline = [("tree::match", 10.0), ("oplog::encode", 10.0)];
        let comparison = compare(&[("tree::match", 10.0)], &baseline, "tree");
        assert!(comparison.notes().is_empty());
    }

    #[test]
    fn the_table_has_a_line_for_each_operation() {
        let comparison = compare(
            &[("match", 1050.0), ("visit", 5.0)],
            &[("match", 1000.0)],
            "",
        );
        let expect = "\
operation  instructions/call     baseline    change
match                 1050.0       1000.0    +5.0 %
visit                    5.0            -       new
";
        assert_eq!(comparison.to_string(), expect);
    }
}
