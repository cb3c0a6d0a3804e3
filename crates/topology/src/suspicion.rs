//! How long a suspected member may take to object.

use std::time::Duration;

use crate::limits;
use crate::topology::Topology;

impl Topology {
    pub(crate) fn suspicion_time(&self) -> Duration {
        suspicion_time(
            self.config.heartbeat,
            self.table.in_view(),
            self.health.factor(),
        )
    }
}

/// 4 heartbeats * max(1, log10 of the members) * factor; news need the longer the more nodes pass them on.
// spec: TOPO-29
fn suspicion_time(heartbeat: Duration, members: usize, factor: u32) -> Duration {
    heartbeat
        .saturating_mul(limits::SUSPICION_HEARTBEATS.saturating_mul(factor))
        .saturating_mul(thousandths_of_log10(members).max(1000))
        / 1000
}

/// log10 in thousandths, exact at powers of ten and straight between them: integers are the same everywhere.
fn thousandths_of_log10(n: usize) -> u32 {
    let n = u32::try_from(n).unwrap_or(u32::MAX).max(1);
    let digits = n.ilog10();
    let power = 10u32.pow(digits);
    let part = u64::from(n - power) * 1000 / (9 * u64::from(power));
    digits * 1000 + u32::try_from(part).unwrap_or(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: TOPO-29
    #[test]
    fn larger_rings_and_doubtful_nodes_wait_longer() {
        let check = |members, factor, expect| {
            let time = suspicion_time(Duration::from_secs(1), members, factor);
            assert_eq!(time, Duration::from_millis(expect), "{members} members");
        };
        check(2, 1, 4000);
        check(10, 1, 4000);
        check(55, 1, 6000);
        check(100, 1, 8000);
        check(1000, 1, 12_000);
        check(1000, 9, 108_000);
    }
}
