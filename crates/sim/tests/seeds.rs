//! Few seeds of many shapes; `cargo xtask sim` runs many.

use sim::SimConfig;

fn check(nodes: u16, fanout: u16, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let config = SimConfig {
            nodes,
            fanout: Some(fanout),
            trace: true,
            ..SimConfig::new(seed)
        };
        if let Err(failure) = sim::run(config) {
            panic!("{failure}");
        }
    }
}

#[test]
fn a_ring_of_five_agrees_after_faults() {
    check(5, 1, 0..20);
}
