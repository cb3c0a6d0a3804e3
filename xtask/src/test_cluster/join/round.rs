//! One join: a router with a new rank joins while all engine nodes publish, and leaves again.

use std::time::{Duration, Instant};

use anyhow::Context;
use radixmesh::admin::api::StatusResponse;
use radixmesh::topology::Role;
use radixmeshd::client::Client;
use radixmeshd::cluster::Cluster;

use super::super::daemon::Daemon;
use super::super::goal::Goal;
use super::super::options::Options;
use super::super::process;
use super::super::publishing::Publishing;
use super::report::Join;

/// How long the others publish before the node joins.
const CALM: Duration = Duration::from_secs(2);
/// How long it may take.
const JOIN_MAX: Duration = Duration::from_secs(120);
/// What it does: it has no engine.
pub(super) const ROLE: Role = Role::Router;
/// How long its process may take to end when it left.
const GONE_MAX: Duration = Duration::from_secs(10);
/// Pause between two looks at it.
const POLL: Duration = Duration::from_millis(2);
/// Tokens of each publish meanwhile, at least a page.
const PUBLISH_TOKENS: u32 = 16;

/// Bytes that nodes sent, by what is in them, and the snapshots that they began to send.
#[derive(Clone, Copy, Debug, Default)]
struct Wire([u64; 4]);

/// Lets a new rank join, and leave when it was measured.
///
/// Errors: it did not, or a node did not answer.
pub(super) async fn run(
    cluster: &mut Cluster,
    options: &Options,
    daemon: &Daemon,
) -> anyhow::Result<Join> {
    let others: Vec<Client> = cluster
        .running()
        .map(|rank| cluster.client(rank).clone())
        .collect();
    let engines = (0..options.engines()).map(|rank| cluster.client(rank).base().to_owned());
    let tokens = PUBLISH_TOKENS.max(u32::from(options.page_size()));
    let publishing = Publishing::start(engines.collect(), tokens, options.seed)?;
    let calm = Instant::now();
    tokio::time::sleep(CALM).await;

    let before = wire(&others).await?;
    let cpu = |cluster: &Cluster, rank| cluster.pid(rank).and_then(process::cpu_ns).unwrap_or(0);
    let cpu_before: Vec<(u16, u64)> = cluster
        .running()
        .map(|rank| (rank, cpu(cluster, rank)))
        .collect();
    let began = Instant::now();
    let joiner = cluster.join(ROLE).await?;
    let listening = began.elapsed();
    let goal = Goal::of(&others).await?;
    let node = cluster.client(joiner);
    let mut ready = None;
    let status = loop {
        let status = node.status().await?;
        if status.ready {
            ready.get_or_insert_with(|| began.elapsed());
        }
        if ready.is_some() && goal.is_reached_by(&status) {
            break status;
        }
        anyhow::ensure!(began.elapsed() < JOIN_MAX, "rank {joiner} did not join");
        tokio::time::sleep(POLL).await;
    };
    let used = cpu_before
        .iter()
        .map(|&(rank, before)| cpu(cluster, rank).saturating_sub(before));
    let cpu_ms_other_max = used.max().unwrap_or(0) as f64 / 1e6;
    let (caught_up, until) = (began.elapsed(), Instant::now());
    let published = publishing.stop();
    let after = wire(&others).await?;
    let sent = wire_of(&status);
    let part = |at: usize| after.0[at] - before.0[at] + sent.0[at];
    let worst = published.worst_within(began, until);
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let join = Join {
        listening_ms: ms(listening),
        ready_ms: ms(ready.context("it never became ready")?),
        caught_up_ms: ms(caught_up),
        ops_bytes: part(0),
        snapshot_bytes: part(1),
        other_bytes: part(2),
        snapshots_sent: part(3),
        snapshots_loaded: status.counters.get("log_snapshots_loaded").copied(),
        publish_ms_before: published.within(calm, began),
        publish_ms_during: published.within(began, until),
        publish_ms_during_worst: worst.map(|(_, there)| there),
        worst: worst.and_then(|(rank, _)| u16::try_from(rank).ok()),
        cpu_ms: cpu(cluster, joiner) as f64 / 1e6,
        cpu_ms_other_max,
        memory_bytes: cluster.pid(joiner).and_then(process::memory_peak),
        failed: published
            .failed
            .map(|failed| format!("a publish failed during a join: {failed}")),
    };
    daemon.leave(cluster.client(joiner)).await?;
    cluster.wait_gone(joiner, GONE_MAX).await?;
    Ok(join)
}

async fn wire(nodes: &[Client]) -> anyhow::Result<Wire> {
    let mut sum = Wire::default();
    for node in nodes {
        let Wire(parts) = wire_of(&node.status().await?);
        sum.0
            .iter_mut()
            .zip(parts)
            .for_each(|(sum, part)| *sum += part);
    }
    Ok(sum)
}

fn wire_of(status: &StatusResponse) -> Wire {
    let names = [
        "data_bytes_out",
        "snapshot_bytes_out",
        "control_bytes_out",
        "log_snapshots_sent",
    ];
    Wire(names.map(|name| status.counters.get(name).copied().unwrap_or(0)))
}
