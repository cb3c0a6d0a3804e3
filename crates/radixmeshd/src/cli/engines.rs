//! The engines behind a node, as `status` prints them.

use std::fmt::Write;

use radixmesh::admin::api::SourceStatus;

/// Returns a line for each source, and below it what an operator should know.
pub(super) fn engines_text(sources: &[SourceStatus]) -> String {
    let mut out = String::new();
    for source in sources {
        let link = match (source.approximate, source.connected) {
            (true, _) => "approximate",
            (false, true) => "connected",
            (false, false) => "NOT connected",
        };
        let position = match source.last_seq {
            Some(seq) => format!("at batch {seq}"),
            None => "no batch yet".to_owned(),
        };
        let _ = writeln!(
            out,
            "engine {} rank {} (source {}): {}, {link}, {position}, {} blocks, {} parked; gaps {}, lost {}, undecodable {}",
            source.name,
            source.rank,
            source.source,
            source.standing,
            source.blocks,
            source.orphans,
            source.counter("gaps"),
            source.counter("gaps_lost"),
            source.undecodable(),
        );
        if source.approximate || !source.connected || source.standing != "exact" {
            let _ = writeln!(out, "  {}", source.cause);
        }
        if let Some(error) = &source.last_error {
            let at = if source.endpoint.is_empty() {
                String::new()
            } else {
                format!(" at {}", source.endpoint)
            };
            let _ = writeln!(out, "  last error{at}: {error}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn source() -> SourceStatus {
        SourceStatus {
            name: "vllm-0".to_owned(),
            rank: 1,
            source: 3,
            endpoint: "tcp://h:5558".to_owned(),
            connected: true,
            standing: "exact".to_owned(),
            cause: "all that the engine told was taken in".to_owned(),
            last_seq: Some(120),
            blocks: 70,
            orphans: 5,
            counters: BTreeMap::from([
                ("gaps".to_owned(), 2),
                ("gaps_lost".to_owned(), 1),
                ("malformed_events".to_owned(), 4),
            ]),
            ..SourceStatus::default()
        }
    }

    #[test]
    fn an_engine_that_is_well_is_one_line() {
        let expect = "engine vllm-0 rank 1 (source 3): exact, connected, at batch 120, 70 blocks, 5 parked; gaps 2, \
                      lost 1, undecodable 4\n";
        assert_eq!(engines_text(&[source()]), expect);
        assert_eq!(engines_text(&[]), "");
    }

    #[test]
    fn what_is_wrong_with_an_engine_stands_below_it() {
        let away = SourceStatus {
            connected: false,
            standing: "syncing".to_owned(),
            cause: "the engine is not reached".to_owned(),
            last_error: Some("connection refused".to_owned()),
            last_seq: None,
            ..source()
        };
        let text = engines_text(&[away]);
        assert!(
            text.contains("syncing, NOT connected, no batch yet"),
            "{text}"
        );
        assert!(text.contains("\n  the engine is not reached\n"), "{text}");
        assert!(
            text.contains("\n  last error at tcp://h:5558: connection refused\n"),
            "{text}"
        );
        let guess = SourceStatus {
            approximate: true,
            connected: false,
            ..source()
        };
        assert!(engines_text(&[guess]).contains("exact, approximate, "));
    }
}
