//! Every search: each model with all its rules, and without each of them.

use crate::check::{Outcome, search};
use crate::log::{self, Log};
use crate::membership::{self, Membership};
use crate::ring::{self, Ring};

/// One search.
pub struct Case {
    /// Name of the model: `log`, `log-2`, `membership` or `ring`.
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

/// Returns all searches, each model with all rules first.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = logs();
    cases.extend(memberships());
    cases.extend(rings());
    cases
}

/// One writer in depth.
const ONE: log::Scope = log::Scope {
    origins: 1,
    ops: 2,
    batch: 2,
    crashes: 1,
    forgets: 1,
};
/// Two writers that hold each other's logs.
const TWO: log::Scope = log::Scope {
    origins: 2,
    ops: 2,
    batch: 2,
    crashes: 1,
    forgets: 0,
};

fn logs() -> Vec<Case> {
    let case = |model, scope, without: Option<log::Rule>| Case {
        model,
        without: without.map(log::Rule::text),
        breaks: without.map_or(&[], breaks_of_log),
        search: Box::new(move |threads| search(Log { scope, without }, threads)),
    };
    let e = |n: &str, d: u8| std::env::var(n).map_or(d, |v| v.parse::<u8>().unwrap());
    let one = log::Scope {
        ops: e("OPS", 3),
        batch: e("BATCH", 2),
        crashes: e("CRASHES", 1),
        forgets: e("FORGETS", 1),
        ..ONE
    };
    let two = log::Scope {
        ops: e("OPS", 2),
        batch: e("BATCH", 2),
        crashes: e("CRASHES", 1),
        forgets: e("FORGETS", 0),
        ..TWO
    };
    let mut cases = vec![case("log", one, None), case("log-2", two, None)];
    cases.extend(log::Rule::ALL.map(|rule| case("log", ONE, Some(rule))));
    cases
}

fn breaks_of_log(rule: log::Rule) -> &'static [&'static str] {
    use log::Rule;
    use log::property::{AGREE, FORWARD, GONE, NAMES, PREFIX};
    match rule {
        Rule::Gap | Rule::Whole => &[PREFIX],
        Rule::Cursor => &[PREFIX, AGREE],
        Rule::Once => &[PREFIX, FORWARD],
        Rule::NewLife => &[NAMES],
        Rule::Fence => &[FORWARD],
        Rule::Floor => &[GONE],
        Rule::Renew => &[AGREE],
    }
}

const RECORDS: membership::Scope = membership::Scope {
    inc_max: 3,
    counter_max: 2,
    restarts: 1,
};

fn memberships() -> Vec<Case> {
    let case = |without: Option<membership::Rule>| Case {
        model: "membership",
        without: without.map(membership::Rule::text),
        breaks: without.map_or(&[], breaks_of_membership),
        search: Box::new(move |threads| {
            let e = |n: &str, d: u8| std::env::var(n).map_or(d, |v| v.parse::<u8>().unwrap());
            let scope = membership::Scope {
                inc_max: e("INC", 2),
                counter_max: e("COUNTER", 2),
                restarts: e("RESTARTS", 0),
            };
            search(Membership { scope, without }, threads)
        }),
    };
    let mut cases = vec![case(None)];
    cases.extend(membership::Rule::ALL.map(|rule| case(Some(rule))));
    cases
}

fn breaks_of_membership(rule: membership::Rule) -> &'static [&'static str] {
    use membership::Rule;
    use membership::property::{ALIVE, EQUAL, FORWARD, GONE, ONE};
    match rule {
        Rule::Refute | Rule::Renew => &[ALIVE],
        Rule::Order => &[FORWARD, GONE, EQUAL, ALIVE],
        Rule::Final | Rule::Floor | Rule::Own => &[GONE],
        Rule::Refuse => &[ONE],
    }
}

const LAPS: ring::Scope = ring::Scope { changes: 3 };

fn rings() -> Vec<Case> {
    let case = |without: Option<ring::Rule>| Case {
        model: "ring",
        without: without.map(ring::Rule::text),
        breaks: if without.is_some() {
            &[ring::property::STABLE]
        } else {
            &[]
        },
        search: Box::new(move |threads| {
            let scope = LAPS;
            search(Ring { scope, without }, threads)
        }),
    };
    let mut cases = vec![case(None)];
    cases.extend(ring::Rule::ALL.map(|rule| case(Some(rule))));
    cases
}
