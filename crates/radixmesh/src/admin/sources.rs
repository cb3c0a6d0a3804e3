//! The engines behind a node as `/status` tells of them, and why a source is as it is: a sentence for whoever looks at it for
//! the first time.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use engines::source::{Cause, SourceStats, Standing};

use super::handlers::{Answer, Body, fingerprints, page_count};
use super::server::Admin;
use super::source_counters::counters;
use super::sources_api::{ObservedRequest, ObservedResponse, SourceStatus};
use crate::source::SourceReport;

/// `POST /sources/observed`: prompts were sent to engines without events.
pub(crate) async fn observed(
    State(admin): State<Arc<Admin>>,
    body: Body<ObservedRequest>,
) -> Answer<ObservedResponse> {
    let Json(request) = body?;
    let (namespace, pages) = fingerprints(&admin, &request.namespace, &request.tokens);
    let count = page_count(&pages);
    admin
        .mesh
        .observe(&request.source, namespace, pages)
        .await?;
    Ok(Json(ObservedResponse { pages: count }))
}

/// Returns the JSON of all sources.
pub(crate) fn list(reports: &[SourceReport]) -> Vec<SourceStatus> {
    reports.iter().map(status).collect()
}

fn status(report: &SourceReport) -> SourceStatus {
    let SourceStats {
        blocks,
        orphans,
        pending_batches,
        pending_bytes,
        last_seq,
    } = report.stats;
    let named = counters(report).into_iter();
    SourceStatus {
        name: report.name.clone(),
        rank: report.rank,
        source: report.source.0,
        endpoint: report.endpoint.clone(),
        connected: report.connected,
        standing: standing_word(report.standing).to_owned(),
        cause: cause(report),
        approximate: report.approximate,
        last_error: report.last_error.clone(),
        last_seq,
        blocks: blocks as u64,
        orphans: orphans as u64,
        pending_batches: pending_batches as u64,
        pending_bytes: pending_bytes as u64,
        counters: named
            .map(|(name, _, count)| (name.to_owned(), count))
            .collect(),
    }
}

pub(super) const STANDINGS: [Standing; 3] =
    [Standing::Exact, Standing::Syncing, Standing::Degraded];

pub(super) fn standing_word(standing: Standing) -> &'static str {
    match standing {
        Standing::Exact => "exact",
        Standing::Syncing => "syncing",
        Standing::Degraded => "degraded",
    }
}

/// Returns why a source is as it is.
fn cause(report: &SourceReport) -> String {
    if report.approximate {
        return "a guess: prompts that were routed here are taken for cached; the engine says nothing"
            .to_owned();
    }
    let text = match report.standing {
        Standing::Exact => exact(report.cause).to_owned(),
        Standing::Syncing => syncing(report),
        Standing::Degraded => format!(
            "{}; what is claimed is held, and more comes back with its next use; exact again when the engine empties \
             its cache or restarts",
            degraded(report.cause)
        ),
    };
    if report.connected {
        text
    } else {
        format!("the engine is not reached; {text}")
    }
}

fn exact(cause: Cause) -> &'static str {
    match cause {
        Cause::Restarted => "the engine began anew, and all that it told since was taken in",
        Cause::Cleared => "the engine emptied its cache, and all that it told since was taken in",
        Cause::Began
        | Cause::CaughtUp
        | Cause::Gap
        | Cause::Lost
        | Cause::Unreadable
        | Cause::Full => "all that the engine told was taken in",
    }
}

fn syncing(report: &SourceReport) -> String {
    let stats = report.stats;
    match report.cause {
        Cause::Began => "what the engine told before is being asked for".to_owned(),
        Cause::Restarted => {
            "the engine began anew, and what it told since is being asked for".to_owned()
        }
        Cause::Gap => {
            let from = match stats.last_seq {
                Some(seq) => format!("batches behind {seq} are missing"),
                None => "the first batches are missing".to_owned(),
            };
            let waiting = match stats.pending_batches {
                0 => String::new(),
                1 => ", and 1 behind them waits".to_owned(),
                waiting => format!(", and {waiting} behind them wait"),
            };
            format!("{from} and were asked for again{waiting}")
        }
        Cause::CaughtUp | Cause::Lost | Cause::Cleared | Cause::Unreadable | Cause::Full => {
            "the engine is asked whether it is still the one that it was, and for what was missed"
                .to_owned()
        }
    }
}

fn degraded(cause: Cause) -> &'static str {
    match cause {
        Cause::Lost => {
            "batches were lost: they are older than what the engine keeps, or it has no replay endpoint"
        }
        Cause::Unreadable => "an event that took blocks away could not be read",
        Cause::Full => {
            "as many blocks are remembered as `blocks_max` allows, and others were left out"
        }
        Cause::Began | Cause::CaughtUp | Cause::Gap | Cause::Restarted | Cause::Cleared => {
            "events were lost some time ago; all since were taken in"
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use engines::source::Counters;
    use radix_core::id::SourceId;

    use super::*;
    use crate::source::SocketCounters;

    pub(in crate::admin) fn report(standing: Standing, cause: Cause) -> SourceReport {
        SourceReport {
            name: "vllm-0".to_owned(),
            rank: 1,
            source: SourceId(3),
            endpoint: "tcp://10.0.0.9:5558".to_owned(),
            connected: true,
            standing,
            cause,
            approximate: false,
            last_error: None,
            counters: Counters {
                batches: 121,
                gaps: 2,
                malformed_batches: 1,
                unknown_events: 4,
                ..Counters::default()
            },
            stats: SourceStats {
                blocks: 70,
                orphans: 5,
                pending_batches: 3,
                pending_bytes: 900,
                last_seq: Some(120),
            },
            socket: SocketCounters {
                connects: 2,
                ..SocketCounters::default()
            },
        }
    }

    #[test]
    fn a_source_is_told_with_its_place_its_memory_and_its_counters() {
        let told = status(&report(Standing::Syncing, Cause::Gap));
        assert_eq!(
            (told.name.as_str(), told.rank, told.source),
            ("vllm-0", 1, 3)
        );
        assert_eq!(
            (told.standing.as_str(), told.last_seq),
            ("syncing", Some(120))
        );
        assert_eq!(
            (told.blocks, told.orphans, told.pending_batches),
            (70, 5, 3)
        );
        assert_eq!((told.counter("gaps"), told.counter("connects")), (2, 2));
        assert_eq!((told.counters.len(), told.undecodable()), (33, 5));
        assert_eq!(told.counter("no such"), 0);
        let json = serde_json::to_string(&told).unwrap();
        assert_eq!(serde_json::from_str::<SourceStatus>(&json).unwrap(), told);
        assert!(!json.contains("last_error"), "{json}");
    }

    #[test]
    fn why_a_source_is_as_it_is_is_a_sentence() {
        let check = |report: SourceReport, expect: &str| {
            let text = cause(&report);
            assert!(text.contains(expect), "{text}\n  should hold\n{expect}");
        };
        check(
            report(Standing::Syncing, Cause::Gap),
            "batches behind 120 are missing and were asked for again, and 3 behind them wait",
        );
        check(
            report(Standing::Degraded, Cause::Lost),
            "batches were lost: they are older than what the engine keeps",
        );
        check(
            report(Standing::Degraded, Cause::CaughtUp),
            "events were lost some time ago",
        );
        check(
            report(Standing::Exact, Cause::CaughtUp),
            "all that the engine told was taken in",
        );
        let mut away = report(Standing::Syncing, Cause::Began);
        away.connected = false;
        check(
            away,
            "the engine is not reached; what the engine told before",
        );
        let mut guess = report(Standing::Exact, Cause::CaughtUp);
        guess.approximate = true;
        check(guess, "a guess");
    }

    #[test]
    fn every_pair_of_standing_and_cause_has_a_sentence_of_its_own_standing() {
        let causes = [
            Cause::Began,
            Cause::CaughtUp,
            Cause::Gap,
            Cause::Lost,
            Cause::Restarted,
            Cause::Cleared,
            Cause::Unreadable,
            Cause::Full,
        ];
        for cause_of in causes {
            let [exact, syncing, degraded] =
                STANDINGS.map(|standing| cause(&report(standing, cause_of)));
            assert!(exact.contains("taken in"), "{cause_of:?}: {exact}");
            assert!(syncing.contains("asked"), "{cause_of:?}: {syncing}");
            assert!(
                degraded.contains("exact again when"),
                "{cause_of:?}: {degraded}"
            );
        }
    }
}
