//! What the demo found, as data and as text.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytesize::ByteSize;
use radixmesh::admin::api::StatusResponse;
use radixmesh::engines::Rates;
use serde::Serialize;

use crate::cli::{row, table};
use crate::cluster::Cluster;
use crate::drive::{Job, Served, Totals};
use crate::probe::Propagation;

/// What the demo found.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) nodes: usize,
    pub(super) prefill_nodes: usize,
    pub(super) page_size: u16,
    pub(super) pages_per_node: usize,
    pub(super) totals: Totals,
    /// Requests that each prefill node computed.
    pub(super) requests_by_prefill: BTreeMap<u16, u64>,
    pub(super) baselines: HitRates,
    /// While requests ran.
    pub(super) propagation: Propagation,
    /// When nothing else ran.
    pub(super) propagation_idle: Propagation,
    pub(super) conversation: Vec<Turn>,
    pub(super) wire: Wire,
    /// How long all nodes took to agree after the last request; absent when they did not.
    pub(super) converged_ms: Option<u64>,
    pub(super) origins: usize,
    pub(super) ops: u64,
    pub(super) copies: u64,
    pub(super) memory_bytes: Vec<u64>,
    pub(super) index_bytes_max: u64,
    pub(super) replay_ms: u64,
    pub(super) total_ms: u64,
}

/// Hit rates of simpler routing; 0 to 1.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct HitRates {
    random: f64,
    round_robin: f64,
    ideal: f64,
    unlimited: f64,
}

impl From<Rates> for HitRates {
    fn from(rates: Rates) -> HitRates {
        let Rates {
            random,
            round_robin,
            ideal,
            unlimited,
            ..
        } = rates;
        HitRates {
            random,
            round_robin,
            ideal,
            unlimited,
        }
    }
}

/// What went over the wire, summed over all nodes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Wire {
    data_bytes: u64,
    control_bytes: u64,
    snapshot_bytes: u64,
    new_tokens: u64,
    /// Bytes that carry ops, for each new token and each node that has to learn of it.
    data_bytes_per_token_and_node: f64,
}

/// One turn of the conversation that is shown.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Turn {
    turn: u32,
    #[serde(flatten)]
    served: Served,
}

/// Remembers turns until it is known which conversation to show. Memory: some hundred bytes a request.
#[derive(Debug, Default)]
pub(super) struct Conversations(BTreeMap<u32, Vec<Turn>>);

impl Conversations {
    pub(super) fn add(&mut self, job: &Job, served: &Served) {
        if let Some(conversation) = job.conversation {
            let turn = Turn {
                turn: job.turn,
                served: served.clone(),
            };
            self.0.entry(conversation).or_default().push(turn);
        }
    }

    /// The conversation of most turns, the latest of those: it met a warm tree.
    pub(super) fn longest(self) -> Vec<Turn> {
        self.0
            .into_values()
            .max_by_key(Vec::len)
            .unwrap_or_default()
    }
}

impl Report {
    pub(super) fn new(cluster: &Cluster) -> Report {
        let spec = cluster.spec();
        Report {
            nodes: usize::from(cluster.len()),
            prefill_nodes: spec.prefill,
            page_size: spec.page_size,
            pages_per_node: spec.pages_per_node,
            ..Report::default()
        }
    }

    pub(super) fn count(&mut self, statuses: &[StatusResponse]) {
        let sum = |name: &str| -> u64 {
            statuses
                .iter()
                .filter_map(|status| status.counters.get(name))
                .sum()
        };
        let new_tokens = sum("pages_published") * u64::from(self.page_size);
        let data_bytes = sum("data_bytes_out");
        let others = statuses.len().saturating_sub(1) as u64;
        let per = (new_tokens * others).max(1);
        self.wire = Wire {
            data_bytes,
            control_bytes: sum("control_bytes_out"),
            snapshot_bytes: sum("snapshot_bytes_out"),
            new_tokens,
            data_bytes_per_token_and_node: data_bytes as f64 / per as f64,
        };
        if let Some(first) = statuses.first() {
            self.origins = first.origins.len();
            self.ops = first.origins.iter().map(|origin| origin.seq).sum();
            self.copies = first.index.copies;
        }
        self.memory_bytes = statuses.iter().map(|status| status.memory_bytes).collect();
        self.index_bytes_max = statuses
            .iter()
            .map(|status| status.index.bytes)
            .max()
            .unwrap_or(0);
    }

    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        self.conversation_text(&mut out);
        let totals = &self.totals;
        let percent = |rate: f64| format!("{:.1} %", rate * 100.0);
        let mut rows = vec![row([&"prefix hit rate at prefill engines", &""])];
        let mut line = |name: &str, value: String| rows.push(row([&format!("  {name}"), &value]));
        line("through the mesh", percent(totals.hit_rate()));
        line("random", percent(self.baselines.random));
        line("round robin", percent(self.baselines.round_robin));
        line(
            "ideal: one pool of the same size in all",
            percent(self.baselines.ideal),
        );
        line(
            "reuse in the requests at all",
            percent(self.baselines.unlimited),
        );
        out += &table(&rows);
        out.push('\n');

        let mut rows = Vec::new();
        let mut line = |name: &str, value: String| rows.push(row([&name, &value]));
        line(
            "requests",
            format!("{} served, {} failed", totals.served, totals.failed),
        );
        let share = |(rank, requests): (&u16, &u64)| format!("{requests} at rank {rank}");
        let shares: Vec<String> = self.requests_by_prefill.iter().map(share).collect();
        line("load of prefill nodes", shares.join(", "));
        line(
            "pages of prompts",
            format!(
                "{} ({} tokens each), {} hit",
                totals.pages, self.page_size, totals.hit_pages
            ),
        );
        line(
            "router's promise",
            format!(
                "{} pages held, {} found by the engines",
                totals.promised_pages, totals.hit_pages
            ),
        );
        line(
            "publish to last node, under load",
            propagation_text(&self.propagation),
        );
        line(
            "publish to last node, idle",
            propagation_text(&self.propagation_idle),
        );
        let wire = &self.wire;
        line(
            "wire bytes of ops per new token",
            format!(
                "{:.2} for each node that learns of it ({} for {} new tokens)",
                wire.data_bytes_per_token_and_node,
                ByteSize::b(wire.data_bytes),
                wire.new_tokens
            ),
        );
        line(
            "other wire bytes",
            format!(
                "{} control, {} snapshots",
                ByteSize::b(wire.control_bytes),
                ByteSize::b(wire.snapshot_bytes)
            ),
        );
        let agree = match self.converged_ms {
            Some(ms) => format!("yes, {ms} ms after the last request"),
            None => "NO".to_owned(),
        };
        line(
            "all nodes have equal digests",
            format!(
                "{agree} ({} logs, {} ops, {} live copies)",
                self.origins, self.ops, self.copies
            ),
        );
        let max = self.memory_bytes.iter().max().copied().unwrap_or(0);
        line(
            "memory of a node",
            format!(
                "{} at most, of which the tree {}",
                ByteSize::b(max),
                ByteSize::b(self.index_bytes_max)
            ),
        );
        line(
            "time",
            format!(
                "{:.1} s replay, {:.1} s in all",
                self.replay_ms as f64 / 1e3,
                self.total_ms as f64 / 1e3
            ),
        );
        out + &table(&rows)
    }

    fn conversation_text(&self, out: &mut String) {
        if self.conversation.is_empty() {
            return;
        }
        let _ = writeln!(out, "one conversation, turn by turn:");
        for Turn { turn, served } in &self.conversation {
            let prefill = &served.prefill;
            let _ = write!(
                out,
                "  turn {}: prefill {} holds {} of {} pages -> hits {}, computes {} ({})",
                turn + 1,
                prefill.choice.rank,
                prefill.choice.matched_pages,
                served.pages,
                prefill.run.hit_pages,
                served.pages.saturating_sub(prefill.run.hit_pages),
                prefill.choice.reason,
            );
            if let Some(decode) = &served.decode {
                let _ = write!(
                    out,
                    "; decode {} holds {}, receives {} ({})",
                    decode.choice.rank,
                    decode.choice.matched_pages,
                    decode.run.stored_pages,
                    decode.choice.reason,
                );
            }
            out.push('\n');
        }
        out.push('\n');
    }
}

fn propagation_text(times: &Propagation) -> String {
    let Propagation {
        probes,
        missing,
        p50_us,
        p99_us,
        max_us,
    } = times;
    let late = if *missing > 0 {
        format!(", {missing} missing")
    } else {
        String::new()
    };
    format!("p50 {p50_us} us, p99 {p99_us} us, max {max_us} us ({probes} probes{late})")
}
