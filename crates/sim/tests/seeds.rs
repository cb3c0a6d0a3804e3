//! Few seeds of many shapes; `cargo xtask sim` runs many.

use sim::{Reached, Report, SimConfig};

fn run(config: &SimConfig) -> Report {
    match sim::run(SimConfig {
        trace: 50,
        ..config.clone()
    }) {
        Ok(report) => report,
        Err(failure) => panic!("{failure}"),
    }
}

fn check(nodes: u16, fanout: u16, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        run(&SimConfig {
            nodes,
            fanout: Some(fanout),
            ..SimConfig::new(seed)
        });
    }
}

#[test]
fn a_node_alone_agrees_with_itself() {
    check(1, 1, 0..5);
}

#[test]
fn two_nodes_agree_after_faults() {
    check(2, 1, 100..110);
    check(2, 4, 110..115);
}

#[test]
fn three_nodes_agree_after_faults() {
    check(3, 1, 200..206);
    check(3, 2, 206..212);
}

#[test]
fn five_nodes_on_a_ring_agree_after_faults() {
    check(5, 1, 300..312);
}

#[test]
fn five_nodes_with_fingers_agree_after_faults() {
    check(5, 2, 400..406);
    check(5, 4, 406..412);
}

#[test]
fn seven_nodes_agree_after_faults() {
    check(7, 1, 500..504);
    check(7, 2, 504..508);
    check(7, 4, 508..512);
}

#[test]
fn twenty_four_nodes_agree_after_faults() {
    check(24, 4, 600..601);
}

/// Each found a fault once, as long as what a seed draws stays the same: a joiner whose goal was the offer of a peer's
/// earlier life (twice), and two processes of one rank that came to one incarnation on both sides of a partition.
#[test]
fn seeds_that_found_something_find_it_no_more() {
    for seed in [20_075_394, 20_080_799, 21_005_043] {
        run(&SimConfig::new(seed));
    }
}

#[test]
fn equal_seeds_give_equal_runs_and_others_do_not() {
    let config = SimConfig::new(7);
    let first = run(&config);
    assert_eq!(first, run(&config));
    let quiet = sim::run(SimConfig { trace: 0, ..config });
    assert_eq!(
        Ok(&first),
        quiet.as_ref(),
        "to look does not change anything"
    );
    assert_ne!(first.hash, run(&SimConfig::new(8)).hash);
}

#[test]
fn without_faults_nothing_is_lost_late_or_repaired() {
    for seed in 0..6 {
        let report = run(&SimConfig {
            faults: false,
            ..SimConfig::new(seed)
        });
        let Reached {
            frames_dropped,
            frames_doubled,
            crashes,
            cuts,
            members_silent,
            reincarnated,
            ..
        } = report.reached;
        assert_eq!(
            [
                frames_dropped,
                frames_doubled,
                crashes,
                cuts,
                members_silent,
                reincarnated
            ],
            [0; 6]
        );
        assert!(report.convergence_ns < 3_000_000_000, "{report:?}");
    }
}

#[test]
fn a_run_publishes_what_it_was_told_to() {
    let report = run(&SimConfig::new(21));
    let Reached {
        publishes,
        publishes_refused,
        ..
    } = report.reached;
    assert!(
        publishes + publishes_refused >= 950,
        "{publishes} and {publishes_refused} refused"
    );
    assert!(report.virtual_ns >= 10_000_000_000);
}

/// A search that never gets somewhere proves nothing about that place.
#[test]
fn some_dozen_seeds_reach_nearly_everything_worth_reaching() {
    let mut reached = Reached::default();
    for seed in 3_000..3_200 {
        reached.add(
            &run(&SimConfig {
                nodes: 4,
                ..SimConfig::new(seed)
            })
            .reached,
        );
    }
    let missing = reached.missing();
    assert!(missing.len() <= 6, "never reached: {missing:?}");
}

#[test]
fn a_large_world_starts_and_agrees() {
    run(&SimConfig {
        publishes: 60,
        fault_ms: 1_000,
        ..sized(40, 700)
    });
}

fn sized(nodes: u16, seed: u64) -> SimConfig {
    SimConfig {
        nodes,
        ..SimConfig::new(seed)
    }
}
