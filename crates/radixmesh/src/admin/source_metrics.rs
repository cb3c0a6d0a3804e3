//! The metrics of the engines behind a node: one family for each number, labelled with the engine's name and its
//! data-parallel rank.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::source_counters::counters;
use super::sources::{STANDINGS, standing_word};
use super::sources_api::UNDECODABLE;
use crate::source::SourceReport;

/// A gauge of a source, where it has one: name, meaning, value.
type Gauge = (&'static str, &'static str, fn(&SourceReport) -> Option<u64>);

const GAUGES: [Gauge; 7] = [
    (
        "source_connected",
        "1 while the subscription to the engine is up",
        |source| Some(u64::from(source.connected)),
    ),
    (
        "source_approximate",
        "1 when the engine says nothing and its cache is guessed",
        |source| Some(u64::from(source.approximate)),
    ),
    (
        "source_last_seq",
        "The last batch taken in; absent before the first",
        |source| source.stats.last_seq,
    ),
    (
        "source_blocks",
        "Blocks that are remembered of the engine",
        |source| Some(source.stats.blocks as u64),
    ),
    (
        "source_parked_blocks",
        "Blocks that wait for a parent that is not known",
        |source| Some(source.stats.orphans as u64),
    ),
    (
        "source_pending_batches",
        "Batches that wait for a gap before them to be closed",
        |source| Some(source.stats.pending_batches as u64),
    ),
    (
        "source_pending_bytes",
        "Bytes of the batches that wait for a gap before them to be closed",
        |source| Some(source.stats.pending_bytes as u64),
    ),
];

/// Encodes all families; none where the node has no engines.
pub(super) fn encode(sources: &[SourceReport], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let Some(first) = sources.first() else {
        return Ok(());
    };
    for (name, help, value) in GAUGES {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for source in sources {
            if let Some(value) = value(source) {
                gauge(&mut metric, source, value)?;
            }
        }
    }
    let help = "1 for the standing that the source has: exact, syncing or degraded";
    let mut metric = encoder.encode_descriptor("source_standing", help, None, MetricType::Gauge)?;
    for source in sources {
        for standing in STANDINGS {
            let rank = source.rank.to_string();
            let labels = [
                ("source", source.name.as_str()),
                ("rank", &rank),
                ("standing", standing_word(standing)),
            ];
            let value = u64::from(source.standing == standing);
            ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
        }
    }
    for (place, (name, help, _)) in counters(first).into_iter().enumerate() {
        if UNDECODABLE.iter().any(|(counter, _)| *counter == name) {
            continue;
        }
        let name = format!("source_{name}");
        let mut metric = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
        for source in sources {
            let (_, _, value) = counters(source)[place];
            let rank = source.rank.to_string();
            let labels = [("source", source.name.as_str()), ("rank", &rank)];
            ConstCounter::new(value).encode(metric.encode_family(&labels)?)?;
        }
    }
    let help = "Messages, batches and events that could not be read, and events of kinds that are not known";
    let mut metric =
        encoder.encode_descriptor("source_undecodable", help, None, MetricType::Counter)?;
    for source in sources {
        for (name, _, value) in counters(source) {
            let Some((_, kind)) = UNDECODABLE.iter().find(|(counter, _)| *counter == name) else {
                continue;
            };
            let rank = source.rank.to_string();
            let labels = [
                ("source", source.name.as_str()),
                ("rank", &rank),
                ("kind", kind),
            ];
            ConstCounter::new(value).encode(metric.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn gauge(metric: &mut MetricEncoder<'_>, source: &SourceReport, value: u64) -> fmt::Result {
    let rank = source.rank.to_string();
    let labels = [("source", source.name.as_str()), ("rank", &rank)];
    ConstGauge::new(value).encode(metric.encode_family(&labels)?)
}

#[cfg(test)]
mod tests {
    use engines::source::{Cause, Standing};
    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::text::encode as encode_text;
    use prometheus_client::registry::Registry;

    use super::super::sources::tests::report;
    use super::*;

    #[derive(Debug)]
    struct Only(Vec<SourceReport>);

    impl Collector for Only {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            encode(&self.0, &mut encoder)
        }
    }

    fn text(sources: Vec<SourceReport>) -> String {
        let mut registry = Registry::with_prefix("radixmesh");
        registry.register_collector(Box::new(Only(sources)));
        let mut text = String::new();
        encode_text(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn every_number_has_a_line_for_each_source() {
        let mut fresh = report(Standing::Syncing, Cause::Began);
        (fresh.rank, fresh.stats.last_seq) = (2, None);
        let text = text(vec![report(Standing::Degraded, Cause::Lost), fresh]);
        for line in [
            "# TYPE radixmesh_source_connected gauge",
            "radixmesh_source_connected{source=\"vllm-0\",rank=\"1\"} 1",
            "radixmesh_source_last_seq{source=\"vllm-0\",rank=\"1\"} 120",
            "radixmesh_source_parked_blocks{source=\"vllm-0\",rank=\"2\"} 5",
            "radixmesh_source_standing{source=\"vllm-0\",rank=\"1\",standing=\"degraded\"} 1",
            "radixmesh_source_standing{source=\"vllm-0\",rank=\"1\",standing=\"exact\"} 0",
            "radixmesh_source_batches_total{source=\"vllm-0\",rank=\"2\"} 121",
            "radixmesh_source_gaps_total{source=\"vllm-0\",rank=\"1\"} 2",
            "radixmesh_source_gaps_lost_total{source=\"vllm-0\",rank=\"1\"} 0",
            "radixmesh_source_undecodable_total{source=\"vllm-0\",rank=\"1\",kind=\"batch\"} 1",
            "radixmesh_source_undecodable_total{source=\"vllm-0\",rank=\"1\",kind=\"kind\"} 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("last_seq{source=\"vllm-0\",rank=\"2\"}"));
        let families = text.lines().filter(|line| line.starts_with("# TYPE"));
        // 7 gauges, the standing, 33 counters of which 4 are one family.
        assert_eq!(families.count(), 7 + 1 + 30);
    }

    #[test]
    fn a_node_without_engines_has_no_such_metrics() {
        assert_eq!(text(Vec::new()), "# EOF\n");
    }
}
