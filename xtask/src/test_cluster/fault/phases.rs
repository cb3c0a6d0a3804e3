//! What requests met before, during and after the faults.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::super::traffic::{Promise, Run};

/// How long after the last fault a false hit still counts as met during the faults.
const GRACE: Duration = Duration::from_secs(5);
/// How long after a process runs again an answer of its node may still be late because of it.
const RECOVERY: Duration = Duration::from_secs(1);

/// When faults happened.
#[derive(Clone, Debug)]
pub(crate) struct Phases {
    /// From the beginning of the first to the end of the last.
    pub(crate) faults: (Instant, Instant),
    /// By rank: when its process was stopped or dead.
    pub(crate) halted: BTreeMap<u16, Vec<(Instant, Instant)>>,
}

/// False hits for each prompt that was prefilled: 0 to 1; absent where there was none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct FalseHitRate {
    /// Before the first fault.
    pub(crate) before: Option<f64>,
    /// Until 5 s after the last one.
    pub(crate) during: Option<f64>,
    /// From then on.
    pub(crate) after: Option<f64>,
}

impl Phases {
    /// Returns how often engines had less than a router had said.
    pub(crate) fn false_hit_rate(&self, promises: &[Promise]) -> FalseHitRate {
        let (begin, end) = (self.faults.0, self.faults.1 + GRACE);
        let rate = |of: &dyn Fn(Instant) -> bool| {
            let of_phase = promises.iter().filter(|promise| of(promise.at));
            let all = of_phase.clone().count();
            let wrong = of_phase.filter(|promise| promise.is_false).count();
            (all > 0).then(|| wrong as f64 / all as f64)
        };
        FalseHitRate {
            before: rate(&|at| at < begin),
            during: rate(&|at| (begin..end).contains(&at)),
            after: rate(&|at| at >= end),
        }
    }

    /// Returns the longest answer of an engine whose process ran all the time.
    pub(crate) fn blocked_max(&self, runs: &[Run]) -> Duration {
        let undisturbed = |run: &&Run| {
            let halted = self.halted.get(&run.rank).into_iter().flatten();
            let (from, to) = (run.asked, run.asked + run.took);
            let meets = |&(begin, end): &(Instant, Instant)| from < end + RECOVERY && begin < to;
            !halted.copied().any(|halt| meets(&halt))
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

    #[test]
    fn false_hits_count_in_the_phase_in_which_they_were_promised() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let phases = Phases {
            faults: (at(10), at(20)),
            halted: BTreeMap::new(),
        };
        let promise = |seconds, is_false| Promise {
            at: at(seconds),
            is_false,
        };
        let promises = [
            promise(1, false),
            promise(9, true),
            promise(10, true),
            promise(24, true),
        ];
        let rate = phases.false_hit_rate(&promises);
        assert_eq!(
            (rate.before, rate.during, rate.after),
            (Some(0.5), Some(1.0), None)
        );
        let rate = phases.false_hit_rate(&[promise(25, false)]);
        assert_eq!((rate.during, rate.after), (None, Some(0.0)));
    }

    #[test]
    fn the_answer_of_a_stopped_node_is_late_and_not_blocked() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let phases = Phases {
            faults: (at(10), at(20)),
            halted: BTreeMap::from([(1, vec![(at(10), at(12))])]),
        };
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
