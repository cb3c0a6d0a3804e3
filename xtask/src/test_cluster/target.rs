//! What a run is held against: each target by name, with its limit, what was measured, and whether it was met.

use std::fmt::{self, Display};

use serde::Serialize;

/// One target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Target {
    /// What is meant, with its unit.
    pub(crate) name: &'static str,
    /// The most that is good.
    pub(crate) limit: f64,
    /// What was measured; absent where the run had no occasion to.
    pub(crate) measured: Option<f64>,
    /// Whether it was met; absent where nothing was measured.
    pub(crate) met: Option<bool>,
}

impl Target {
    /// Returns the target that at most `limit` is measured.
    pub(crate) fn at_most(name: &'static str, limit: f64, measured: Option<f64>) -> Target {
        Target {
            name,
            limit,
            measured,
            met: measured.map(|measured| measured <= limit),
        }
    }

    /// Returns whether it was measured and missed.
    pub(crate) fn is_missed(&self) -> bool {
        self.met == Some(false)
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.met {
            None => "not measured",
            Some(true) => "met",
            Some(false) => "MISSED",
        };
        let Target { name, limit, .. } = self;
        match self.measured {
            None => write!(f, "{verdict}: {name}, at most {limit}"),
            Some(measured) => write!(f, "{verdict}: {name} {measured:.5}, at most {limit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_up_to_its_limit_and_open_without_a_measurement() {
        let target = |measured| Target::at_most("x", 2.0, measured);
        assert_eq!(target(Some(2.0)).met, Some(true));
        assert!(target(Some(2.1)).is_missed());
        assert_eq!((target(None).met, target(None).is_missed()), (None, false));
        assert!(target(Some(3.0)).to_string().starts_with("MISSED: x 3"));
    }
}
