//! Every counter of the node by name, for `/status` and `/metrics` alike.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode as encode_text;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use serde_json::Value;
use transport::Security;

use crate::driver::Report;

/// Returns the resident memory of this process, or 0 where the system does not tell.
pub(crate) fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok())
        .unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// Returns every counter by name: things that only grow, and the longest wait.
pub(crate) fn counters(report: &Report) -> impl Iterator<Item = (String, u64)> {
    let parts = [
        ("", serde_json::to_value(report.status.counters)),
        ("", serde_json::to_value(report.driver)),
        ("log_", serde_json::to_value(report.status.log)),
    ];
    let mut all = Vec::new();
    for (prefix, part) in parts {
        let Ok(Value::Object(fields)) = part else {
            continue;
        };
        let named = fields
            .into_iter()
            .filter_map(|(name, value)| Some((format!("{prefix}{name}"), value.as_u64()?)));
        all.extend(named);
    }
    for counter in &report.links {
        let separator = if counter.label.is_empty() { "" } else { "_" };
        all.push((
            format!("link_{}{separator}{}", counter.name, counter.label),
            counter.value,
        ));
    }
    if let Some(Security::Tls(certificate)) = &report.security {
        all.push(("cert_reloads".to_owned(), certificate.reloads));
        all.push(("cert_reload_errors".to_owned(), certificate.reload_errors));
    }
    all.into_iter()
}

/// Returns the OpenMetrics text.
pub(crate) fn encode(report: &Report) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("radixmesh");
    registry.register_collector(Box::new(Snapshot(report.clone())));
    let mut text = String::new();
    encode_text(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Snapshot(Report);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let report = &self.0;
        for (name, value) in counters(report) {
            let help = format!("Node counter {}", name.replace('_', " "));
            // A maximum stands still; it does not count.
            if name.ends_with("_max") {
                let gauge = ConstGauge::new(value);
                gauge.encode(encoder.encode_descriptor(
                    &name,
                    &help,
                    None,
                    gauge.metric_type(),
                )?)?;
            } else {
                let counter = ConstCounter::new(value);
                counter.encode(encoder.encode_descriptor(
                    &name,
                    &help,
                    None,
                    counter.metric_type(),
                )?)?;
            }
        }
        let index = report.status.index;
        let up = report
            .status
            .members
            .iter()
            .filter(|member| member.up)
            .count();
        let gauges = [
            (
                "ready",
                "1 when this node caught up",
                u64::from(report.status.ready),
            ),
            (
                "members_up",
                "Members whose link is up, this node included",
                up as u64,
            ),
            ("index_nodes", "Runs of pages in the tree", index.nodes),
            ("index_pages", "Distinct pages in the tree", index.pages),
            ("index_copies", "Live copies of all holders", index.copies),
            (
                "index_bytes",
                "Heap held by the tree, estimated",
                index.bytes,
            ),
            (
                "process_resident_bytes",
                "Resident memory of the process",
                resident_bytes(),
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        if let Some(Security::Tls(certificate)) = &report.security {
            let gauge = ConstGauge::new(certificate.not_after_s);
            let help = "When the certificate in use ends, in seconds since 1970";
            let kind = gauge.metric_type();
            gauge.encode(encoder.encode_descriptor("cert_not_after", help, None, kind)?)?;
        }
        Ok(())
    }
}
