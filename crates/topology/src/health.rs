//! How far this node trusts its own findings.
//!
//! Source: Dadgar, Phillips, Currey, "Lifeguard: local health awareness for more accurate failure
//! detection" (arXiv:1707.00788), section IV-A.

use radix_core::time::Timestamp;

use crate::limits;
use crate::output::{Event, Output};
use crate::topology::Topology;

/// 0 is healthy; every verdict takes `1 + level` times as long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Health {
    level: u32,
}

impl Health {
    pub(crate) fn level(self) -> u32 {
        self.level
    }

    /// What a time that ends in a verdict is multiplied by.
    pub(crate) fn factor(self) -> u32 {
        1 + self.level
    }

    /// Returns whether the level changed.
    pub(crate) fn worsen(&mut self, by: u32) -> bool {
        let before = self.level;
        self.level = self.level.saturating_add(by).min(limits::HEALTH_MAX);
        self.level != before
    }

    /// Returns whether the level changed.
    pub(crate) fn recover(&mut self) -> bool {
        let before = self.level;
        self.level = self.level.saturating_sub(1);
        self.level != before
    }
}

impl Topology {
    /// Doubts this node when its tick comes late; returns whether it slept for at least a heartbeat.
    // spec: TOPO-30, TOPO-31
    pub(crate) fn doubt_late_tick(
        &mut self,
        now: Timestamp,
        due: Timestamp,
        out: &mut Vec<Output>,
    ) -> bool {
        let beats = now.since(due).as_nanos() / self.config.heartbeat.as_nanos().max(1);
        if beats == 0 {
            return false;
        }
        self.doubt(u32::try_from(beats).unwrap_or(u32::MAX), out);
        self.timers.postpone_verdicts(now.after(self.probe_time()));
        true
    }

    pub(crate) fn doubt(&mut self, by: u32, out: &mut Vec<Output>) {
        if self.health.worsen(by) {
            let level = self.health.level();
            out.push(Output::Event(Event::Doubt { level }));
        }
    }

    pub(crate) fn trust(&mut self, out: &mut Vec<Output>) {
        if self.health.recover() {
            let level = self.health.level();
            out.push(Output::Event(Event::Doubt { level }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: TOPO-30
    #[test]
    fn health_stays_within_its_bounds() {
        let mut health = Health::default();
        assert!(!health.recover());
        assert!(health.worsen(3));
        assert_eq!(health.factor(), 4);
        assert!(health.worsen(u32::MAX));
        assert!(!health.worsen(1));
        assert_eq!(health.level(), limits::HEALTH_MAX);
        assert!(health.recover());
        assert_eq!(health.level(), limits::HEALTH_MAX - 1);
    }
}
