//! Every search: each model with all its rules, and without each of them.

use crate::check::{Outcome, search};
use crate::log::{self, Log};
use crate::membership::{self, Membership};
use crate::ring::{self, Ring};

/// One search.
pub struct Case {
    /// Name of the model.
    pub model: &'static str,
    /// The rule that is left out.
    pub without: Option<&'static str>,
    /// Properties of which one must break; empty when none may.
    pub breaks: &'static [&'static str],
    search: Box<dyn Fn(usize) -> Outcome + Send + Sync>,
}

impl Case {
    /// Runs the search.
    #[must_use]
    pub fn run(&self, threads: usize) -> Outcome {
        (self.search)(threads)
    }

    /// Returns whether an outcome is what it should be: without a rule one of its properties breaks; with all rules
    /// nothing does, and everything that should be possible was seen.
    #[must_use]
    pub fn is_right(&self, outcome: &Outcome) -> bool {
        match &outcome.violation {
            Some(violation) => self.breaks.contains(&violation.property),
            None => self.breaks.is_empty() && outcome.unseen.is_empty(),
        }
    }
}

/// Returns all searches: each model with all rules, then without each of them.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        log_case("log", ONE_WRITER, None),
        log_case("log-2", TWO_WRITERS, None),
        membership_case("membership", ONE_HOLDER, None),
        membership_case("membership-2", TWO_HOLDERS, None),
        ring_case("ring", LAPS, None),
    ];
    cases.extend(log::Rule::ALL.map(|rule| log_case("log", ONE_WRITER, Some(rule))));
    let scope = membership::Scope {
        counter_max: 2,
        ..TWO_HOLDERS
    };
    cases.extend(
        membership::Rule::ALL.map(|rule| membership_case("membership-2", scope, Some(rule))),
    );
    cases.extend(ring::Rule::ALL.map(|rule| ring_case("ring", LAPS, Some(rule))));
    cases
}

/// One writer in depth.
const ONE_WRITER: log::Scope = log::Scope {
    origins: 1,
    ops: 3,
    batch: 2,
    crashes: 1,
    forgets: 1,
};
/// Two writers that hold each other's logs.
const TWO_WRITERS: log::Scope = log::Scope {
    origins: 2,
    ops: 2,
    batch: 2,
    crashes: 1,
    forgets: 0,
};

fn log_case(model: &'static str, scope: log::Scope, without: Option<log::Rule>) -> Case {
    use log::Rule;
    use log::property::{AGREE, FORWARD, GONE, NAMES, PREFIX};
    let breaks = |rule| -> &'static [&'static str] {
        match rule {
            Rule::Gap | Rule::Whole => &[PREFIX],
            Rule::Cursor => &[PREFIX, AGREE],
            Rule::Once => &[PREFIX, FORWARD],
            Rule::NewLife => &[NAMES],
            Rule::Fence => &[FORWARD],
            Rule::Floor => &[GONE],
            Rule::Renew => &[AGREE],
        }
    };
    Case {
        model,
        without: without.map(Rule::text),
        breaks: without.map_or(&[], breaks),
        search: Box::new(move |threads| search(Log { scope, without }, threads)),
    }
}

/// One process that comes back, and watchers that forget.
const ONE_HOLDER: membership::Scope = membership::Scope {
    holders: 1,
    inc_max: 3,
    counter_max: 1,
    restarts: 0,
};
/// Two processes, one life of each.
const TWO_HOLDERS: membership::Scope = membership::Scope {
    holders: 2,
    inc_max: 2,
    counter_max: 1,
    restarts: 0,
};

fn membership_case(
    model: &'static str,
    scope: membership::Scope,
    without: Option<membership::Rule>,
) -> Case {
    use membership::Rule;
    use membership::property::{ALIVE, EQUAL, FORWARD, GONE, ONE};
    let breaks = |rule| -> &'static [&'static str] {
        match rule {
            Rule::Refute | Rule::Renew => &[ALIVE],
            Rule::Order => &[FORWARD, GONE, EQUAL],
            Rule::Final | Rule::Floor | Rule::Own => &[GONE],
            Rule::Refuse => &[ONE],
        }
    };
    Case {
        model,
        without: without.map(Rule::text),
        breaks: without.map_or(&[], breaks),
        search: Box::new(move |threads| search(Membership { scope, without }, threads)),
    }
}

/// Views that change in a round and before it.
const LAPS: ring::Scope = ring::Scope { changes: 3 };

fn ring_case(model: &'static str, scope: ring::Scope, without: Option<ring::Rule>) -> Case {
    Case {
        model,
        without: without.map(ring::Rule::text),
        breaks: without.map_or(&[], |_| &[ring::property::STABLE]),
        search: Box::new(move |threads| search(Ring { scope, without }, threads)),
    }
}
