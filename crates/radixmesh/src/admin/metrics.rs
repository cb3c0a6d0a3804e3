//! Every counter of the node by name, for `/status` and `/metrics` alike.

use std::fmt;

use node::MemberView;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode as encode_text;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use serde_json::Value;
use topology::Reach;
use transport::Security;

use super::source_metrics;
use crate::clock;
use crate::driver::Report;
use crate::source::SourceReport;

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
pub(crate) fn encode(report: &Report, sources: Vec<SourceReport>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("radixmesh");
    registry.register_collector(Box::new(Snapshot(report.clone(), sources)));
    let mut text = String::new();
    encode_text(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Snapshot(Report, Vec<SourceReport>);

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
            .filter(|member| member.view.direct())
            .count();
        let count = |wanted: fn(&MemberView) -> bool| {
            let members = report.status.members.iter();
            members.filter(|member| wanted(&member.view)).count() as u64
        };
        let gauges = [
            (
                "ready",
                "1 when this node caught up",
                u64::from(report.status.ready),
            ),
            (
                "members_up",
                "Members that live and whose link works, this node included",
                up as u64,
            ),
            (
                "members_routable",
                "Members that requests may be routed to",
                count(MemberView::routable),
            ),
            (
                "members_degraded",
                "Members that live and that only others reach",
                count(|member| member.reach == Reach::Degraded),
            ),
            (
                "members_slow",
                "Members that do not keep up with what is sent to them",
                count(|member| member.slow),
            ),
            (
                "self_doubt",
                "How much the node doubts itself, 0 to 8",
                u64::from(report.status.health),
            ),
            (
                "view_stable",
                "1 when every member is known to have the view of this node",
                u64::from(report.status.check.stable_view == Some(report.status.view)),
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
        self.encode_members(&mut encoder)?;
        source_metrics::encode(&self.1, &mut encoder)?;
        if let Some(agreed_at) = report.status.check.agreed_at {
            let age = clock::now().since(agreed_at).as_secs_f64();
            let gauge = ConstGauge::new(age);
            let help = "Seconds since a ring check agreed";
            let kind = gauge.metric_type();
            gauge.encode(encoder.encode_descriptor(
                "ring_check_age_seconds",
                help,
                None,
                kind,
            )?)?;
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

impl Snapshot {
    /// The gauges that have a label for each member, log or status.
    fn encode_members(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let status = &self.0.status;
        let statuses = [
            topology::Status::Alive,
            topology::Status::Suspect,
            topology::Status::Down,
            topology::Status::Left,
        ];
        let members = statuses.map(|which| {
            let such = |member: &&node::MemberStatus| member.view.status == which;
            let count = status.members.iter().filter(such).count();
            (which.to_string(), count as u64)
        });
        family(encoder, "members", "Members by status", "status", members)?;
        let lags = status.members.iter().filter_map(|member| {
            let lag = member.lag?;
            Some((member.view.rank.to_string(), lag.ops))
        });
        let help = "Ops that a member lacked of what this node has, when it last said what it has";
        family(encoder, "member_lag_ops", help, "rank", lags)?;
        let behind = status.behind.iter();
        let behind = behind.map(|log| (log.origin.rank.to_string(), log.ops()));
        let help = "Ops of a log that this node lacks and somebody has";
        family(encoder, "behind_ops", help, "origin", behind)
    }
}

/// Encodes a gauge with one value for each value of a label.
fn family(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    values: impl IntoIterator<Item = (String, u64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (value_of_label, value) in values {
        let labels = [(label, value_of_label)];
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}
