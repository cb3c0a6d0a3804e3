//! Why a node is not ready, in a sentence for whoever looks at it for the first time.

use std::fmt::Write;
use std::time::Duration;

use node::{Behind, NotReady, Status};
use radix_core::id::Rank;
use radix_core::time::Timestamp;

/// Logs that the sentence names; `behind` in `/status` has all.
const LOGS_NAMED_MAX: usize = 3;

/// Returns the sentence; `None` when the node is ready.
pub(crate) fn not_ready(status: &Status, now: Timestamp) -> Option<String> {
    Some(match status.not_ready.as_ref()? {
        NotReady::NoPeerReachable { begins_at } => format!(
            "no peer is reachable; the lowest living rank begins alone {}",
            when(*begins_at, now)
        ),
        NotReady::NoPeerReady {
            first,
            awaited,
            begins_at,
        } => {
            let mut text = format!(
                "a cold cluster: peers are linked and none is ready; rank {first} begins {}",
                when(*begins_at, now)
            );
            if !awaited.is_empty() {
                let _ = write!(text, "; awaited: {}", ranks(awaited));
            }
            text
        }
        NotReady::WaitingForOffer { from } => {
            format!("rank {from} is ready and has not said yet what it has")
        }
        NotReady::CatchingUp { from, logs } => {
            let mut text = format!(
                "catching up with what rank {from} had; lacks logs of {}",
                ranks(logs)
            );
            for behind in status.behind.iter().take(LOGS_NAMED_MAX) {
                let _ = write!(text, "; {}", progress(behind));
            }
            text
        }
        NotReady::Draining { until } => {
            format!(
                "it leaves {}, and wants no new work",
                when(Some(*until), now)
            )
        }
        NotReady::Left => "it has left".to_owned(),
    })
}

fn progress(behind: &Behind) -> String {
    let log = behind.origin.rank;
    match (behind.snapshot, behind.asked) {
        (Some((here, all)), Some(asked)) => {
            format!("{here} of {all} pieces of a snapshot of log {log} are here, from rank {asked}")
        }
        (_, Some(asked)) => format!("{} ops of log {log} asked of rank {asked}", behind.ops()),
        (_, None) => format!("{} ops of log {log}, nobody asked yet", behind.ops()),
    }
}

fn when(at: Option<Timestamp>, now: Timestamp) -> String {
    match at.map(|at| at.since(now)) {
        Some(left) if left > Duration::ZERO => format!("in {:.1} s", left.as_secs_f64()),
        _ => "now".to_owned(),
    }
}

fn ranks(ranks: &[Rank]) -> String {
    let names: Vec<String> = ranks.iter().map(ToString::to_string).collect();
    let word = if names.len() == 1 { "rank" } else { "ranks" };
    format!("{word} {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ranks_are_told_as_people_do() {
        let at = |s: u64| Timestamp(s * 1_000_000_000);
        assert_eq!(when(Some(at(5)), at(3)), "in 2.0 s");
        assert_eq!(when(Some(at(3)), at(5)), "now");
        assert_eq!(when(None, at(5)), "now");
        assert_eq!(ranks(&[Rank(2)]), "rank 2");
        assert_eq!(ranks(&[Rank(2), Rank(4)]), "ranks 2, 4");
    }
}
