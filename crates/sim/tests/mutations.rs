//! The checkers are alive: a world with one deliberate mistake is found out. `cargo xtask sim --mutations` tries all
//! of them; here are those that need no special build, and what they must be found out by.

use sim::mutants::{self, Mutant};
use sim::{Failure, SimConfig, Violation};

/// Runs seeds until one fails, and returns how.
fn found(name: &str, seeds: u64) -> Failure {
    let mutants = mutants::all();
    let mutant: &Mutant = mutants
        .iter()
        .find(|mutant| mutant.name == name)
        .expect("the name of a mistake");
    let failure = (0..seeds).find_map(|seed| mutant.run(SimConfig::new(seed)).err());
    *failure.unwrap_or_else(|| panic!("{seeds} seeds and nobody noticed {name}"))
}

fn is_log_fault(violation: &Violation) -> bool {
    matches!(
        violation,
        Violation::Prefix { .. } | Violation::Invented { .. } | Violation::Alarm { .. }
    )
}

#[test]
fn ops_that_are_not_those_of_the_origin_are_found_out() {
    for (name, seeds) in [
        ("removals-never-seen", 3),
        ("relay-swaps-ops", 3),
        ("relay-rewrites-seq", 3),
        ("relay-claims-other-life", 3),
        ("snapshot-wrong-cursor", 40),
        ("snapshot-stale-under-new-head", 40),
    ] {
        let failure = found(name, seeds);
        assert!(is_log_fault(&failure.violation), "{name}: {failure}");
    }
}

#[test]
fn a_broadcast_whose_arc_does_not_shrink_is_found_out() {
    let failure = found("arc-does-not-shrink", 3);
    assert!(
        matches!(failure.violation, Violation::VisitedTwice { .. }),
        "{failure}"
    );
    let reproduce = "cargo xtask sim --seed 0 --nodes 5";
    assert!(failure.reproduce.starts_with(reproduce), "{failure}");
}

#[test]
fn a_cluster_that_cannot_agree_is_found_out() {
    for name in [
        "no-anti-entropy",
        "readiness-never-heard",
        "pull-asks-one-too-far",
    ] {
        let failure = found(name, 10);
        assert!(
            matches!(failure.violation, Violation::NotConverged { .. }),
            "{name}: {failure}"
        );
    }
}

#[test]
fn a_name_that_is_used_twice_is_found_out() {
    found("incarnation-reused", 20);
}

#[test]
fn a_failure_happens_again_in_the_same_way() {
    let fail = || found("no-anti-entropy", 3);
    assert_eq!(fail(), fail());
}

#[test]
#[cfg(feature = "mutations")]
fn every_mistake_inside_a_node_is_found_out() {
    for mutant in mutants::all() {
        found(mutant.name, 50);
    }
}

#[test]
#[cfg(not(feature = "mutations"))]
fn no_mistake_is_compiled_into_an_ordinary_build() {
    let possible = |mutant: &Mutant| mutant.is_possible();
    let (outside, inside): (Vec<_>, Vec<_>) = mutants::all().into_iter().partition(possible);
    assert!(outside.len() >= 11 && inside.len() >= 12);
}
