//! The kinds of faults, by the names that the command line and the report use.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Processes are killed, and restarted in the end.
    Kill,
    /// Processes are stopped, and continued in the end.
    Pause,
    /// Some nodes and the others do not reach each other.
    Partition,
    /// A node hears the others and is not heard, or the other way round.
    OneWay,
    /// All links of a node are late and narrow.
    Slow,
    /// All links of a node break and come back, again and again.
    Flap,
    /// Members are killed and restarted, replaced, join, leave and are forgotten, again and again.
    Churn,
}

impl Kind {
    const ALL: [Kind; 7] = [
        Kind::Kill,
        Kind::Pause,
        Kind::Partition,
        Kind::OneWay,
        Kind::Slow,
        Kind::Flap,
        Kind::Churn,
    ];

    /// Returns whether it is done to processes, not to links. A process suffers one fault at a time.
    pub(crate) fn is_of_processes(self) -> bool {
        matches!(self, Kind::Kill | Kind::Pause | Kind::Churn)
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Kill => "kill",
            Kind::Pause => "pause",
            Kind::Partition => "partition",
            Kind::OneWay => "one-way",
            Kind::Slow => "slow",
            Kind::Flap => "flap",
            Kind::Churn => "churn",
        }
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Kinds that a run draws from: at least one, none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kinds(pub(crate) Vec<Kind>);

impl FromStr for Kinds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "mixed" {
            return Ok(Kinds(Kind::ALL.to_vec()));
        }
        let kind = |name: &str| {
            let found = Kind::ALL.into_iter().find(|kind| kind.name() == name);
            found.ok_or_else(|| {
                let names = Kind::ALL.map(Kind::name).join(", ");
                format!("{name:?} is none of {names}; `mixed` is all")
            })
        };
        let mut kinds: Vec<Kind> = text.split(',').map(kind).collect::<Result<_, _>>()?;
        kinds.sort_unstable();
        kinds.dedup();
        Ok(Kinds(kinds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_listed_by_name_and_mixed_is_all() {
        let kinds: Kinds = "slow,kill,slow".parse().unwrap();
        assert_eq!(kinds.0, [Kind::Kill, Kind::Slow]);
        assert_eq!("mixed".parse::<Kinds>().unwrap().0, Kind::ALL);
        assert!("".parse::<Kinds>().is_err());
    }
}
