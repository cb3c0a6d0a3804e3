//! What requests met before, during and after the faults.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::super::traffic::{Promise, Run};

/// How long after a fault a false hit still counts as its.
const GRACE: Duration = Duration::from_secs(5);
/// How long after such a fault a false hit is its, though a process was killed meanwhile.
const HEALING: Duration = Duration::from_secs(1);
/// How long after a process runs again an answer of its node may still be late because of it.
const RECOVERY: Duration = Duration::from_secs(1);

/// A time in which a node's process did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Halt {
    /// When it was stopped or killed.
    pub(crate) from: Instant,
    /// When it ran again.
    pub(crate) to: Instant,
    /// It was killed: what it held is gone.
    pub(crate) dead: bool,
}

/// When faults happened.
#[derive(Clone, Debug)]
pub(crate) struct Phases {
    /// When the first fault began; later than everything if there was none.
    pub(crate) first: Instant,
    /// When processes were killed.
    pub(crate) crashes: Vec<Instant>,
    /// When links suffered or processes were stopped.
    pub(crate) others: Vec<(Instant, Instant)>,
    /// By rank: when its process was stopped or dead.
    pub(crate) halted: BTreeMap<u16, Vec<Halt>>,
}

/// False hits for each request that was routed: 0 to 1; absent where there was none.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct FalseHitRate {
    /// Before the first fault.
    pub(crate) before: Option<f64>,
    /// From each crash on until 5 s after it, unless links suffer, too.
    pub(crate) during: Option<f64>,
    /// While links suffered or processes were stopped, and until 5 s later.
    pub(crate) cut_off: Option<f64>,
    /// At all other times after the first fault.
    pub(crate) after: Option<f64>,
    /// Requests that were routed at these times.
    pub(crate) routed: [usize; 4],
    /// The first of those that were routed to copies that were not there.
    pub(crate) samples: Vec<FalseHit>,
}

/// A request that was routed to copies that were not there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct FalseHit {
    /// When, from the beginning of the traffic.
    pub(crate) at_s: f64,
    /// Whereto.
    pub(crate) rank: u16,
    /// Pages that the router promised.
    pub(crate) promised: u32,
    /// Pages that were there; absent when the node was dead.
    pub(crate) found: Option<u32>,
    /// `before`, `during`, `cut_off` or `after`.
    pub(crate) phase: &'static str,
}

/// False hits that are kept one by one; all are counted.
const SAMPLES_MAX: usize = 20;
/// The names of the phases, in their order.
const PHASES: [&str; 4] = ["before", "during", "cut_off", "after"];

/// Which of the times a moment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Before,
    During,
    CutOff,
    After,
}

impl Phases {
    /// Returns how often a request was routed to copies that were not there.
    pub(crate) fn false_hit_rate(&self, began: Instant, promises: &[Promise]) -> FalseHitRate {
        let mut samples = Vec::new();
        let mut routed = [0; 4];
        let mut wrong = [0; 4];
        for promise in promises {
            let phase = self.phase(promise.at) as usize;
            routed[phase] += 1;
            if !self.is_false(promise) {
                continue;
            }
            wrong[phase] += 1;
            if samples.len() < SAMPLES_MAX {
                samples.push(FalseHit {
                    at_s: promise.at.saturating_duration_since(began).as_secs_f64(),
                    rank: promise.rank,
                    promised: promise.promised,
                    found: promise.found,
                    phase: PHASES[phase],
                });
            }
        }
        let rate = |at: Phase| {
            (routed[at as usize] > 0)
                .then(|| wrong[at as usize] as f64 / routed[at as usize] as f64)
        };
        FalseHitRate {
            before: rate(Phase::Before),
            during: rate(Phase::During),
            cut_off: rate(Phase::CutOff),
            after: rate(Phase::After),
            routed,
            samples,
        }
    }

    fn phase(&self, at: Instant) -> Phase {
        let within = |from, to, grace| (from..to + grace).contains(&at);
        let cut_off = |grace| {
            self.others
                .iter()
                .any(|&(from, to)| within(from, to, grace))
        };
        if at < self.first {
            Phase::Before
        } else if cut_off(HEALING) {
            Phase::CutOff
        } else if self
            .crashes
            .iter()
            .any(|&crash| within(crash, crash, GRACE))
        {
            Phase::During
        } else if cut_off(GRACE) {
            Phase::CutOff
        } else {
            Phase::After
        }
    }

    /// An engine that answered had less; one that did not was dead, and its copies with it.
    pub(crate) fn is_false(&self, promise: &Promise) -> bool {
        match promise.found {
            Some(found) => promise.promised > found,
            None => promise.promised > 0 && self.is_dead(promise.rank, promise.at),
        }
    }

    fn is_dead(&self, rank: u16, at: Instant) -> bool {
        let mut halts = self.halted.get(&rank).into_iter().flatten();
        halts.any(|halt| halt.dead && (halt.from..halt.to).contains(&at))
    }

    /// Returns the longest answer of an engine whose process ran all the time.
    pub(crate) fn blocked_max(&self, runs: &[Run]) -> Duration {
        let undisturbed = |run: &&Run| {
            let mut halted = self.halted.get(&run.rank).into_iter().flatten();
            let (from, to) = (run.asked, run.asked + run.took);
            !halted.any(|halt| from < halt.to + RECOVERY && halt.from < to)
        };
        runs.iter()
            .filter(undisturbed)
            .map(|run| run.took)
            .max()
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phases(start: Instant) -> Phases {
        let at = |seconds| start + Duration::from_secs(seconds);
        let dead = Halt {
            from: at(20),
            to: at(22),
            dead: true,
        };
        let stopped = Halt {
            from: at(10),
            to: at(12),
            dead: false,
        };
        Phases {
            first: at(10),
            crashes: vec![at(20)],
            others: vec![(at(10), at(12))],
            halted: BTreeMap::from([(1, vec![stopped, dead])]),
        }
    }

    #[test]
    fn false_hits_count_in_the_phase_in_which_they_were_promised() {
        let start = Instant::now();
        let promise = |seconds, found| Promise {
            at: start + Duration::from_secs(seconds),
            rank: 1,
            promised: 2,
            found: Some(found),
        };
        let promises = [
            promise(1, 2),
            promise(9, 0),
            promise(10, 3),
            promise(16, 0),
            promise(17, 2),
            promise(19, 1),
            promise(24, 1),
            promise(25, 2),
        ];
        let rate = phases(start).false_hit_rate(start, &promises);
        assert_eq!((rate.before, rate.during), (Some(0.5), Some(1.0)));
        assert_eq!(rate.cut_off, Some(0.5));
        let last = rate
            .samples
            .last()
            .map(|sample| (sample.at_s, sample.phase));
        assert_eq!((rate.samples.len(), last), (4, Some((24.0, "during"))));
        assert_eq!(rate.routed, [2, 1, 2, 3]);
        assert!(rate.after.is_some_and(|rate| (0.33..0.34).contains(&rate)));
        assert_eq!(
            phases(start).false_hit_rate(start, &[]),
            FalseHitRate::default()
        );
    }

    #[test]
    fn who_does_not_answer_lied_only_if_it_was_dead_and_said_to_hold_something() {
        let start = Instant::now();
        let phases = phases(start);
        let silent = |seconds, promised| {
            phases.is_false(&Promise {
                at: start + Duration::from_secs(seconds),
                rank: 1,
                promised,
                found: None,
            })
        };
        assert!(silent(21, 1));
        assert!(!silent(21, 0), "nothing was promised");
        assert!(!silent(11, 1), "it was stopped, and still holds it");
        assert!(
            !silent(19, 1) && !silent(22, 1),
            "it died later, or lived again"
        );
    }

    #[test]
    fn the_answer_of_a_stopped_node_is_late_and_not_blocked() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let phases = phases(start);
        let run = |rank, asked, took| Run {
            rank,
            asked: at(asked),
            took: Duration::from_secs(took),
        };
        let blocked = |runs: &[Run]| phases.blocked_max(runs).as_secs();
        assert_eq!(
            blocked(&[run(1, 9, 2), run(1, 11, 5), run(1, 5, 9), run(0, 9, 1)]),
            1
        );
        assert_eq!(blocked(&[run(1, 13, 4), run(1, 5, 3)]), 4);
        assert_eq!(blocked(&[]), 0);
    }
}
