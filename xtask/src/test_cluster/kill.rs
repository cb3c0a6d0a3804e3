//! Kills nodes in the middle of the traffic, restarts them, and measures how long each needs to catch up.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use radixmesh::admin::api::StatusResponse;
use radixmeshd::client::Client;
use radixmeshd::cluster::Cluster;
use tokio::sync::watch;

use super::sums::Sums;
use super::traffic::Gate;

/// How long a killed node stays away.
const DOWN: Duration = Duration::from_secs(2);
/// The traffic between two kills is stretched to this at least, so that some of it meets the gap.
const OUTAGE: Duration = Duration::from_secs(3);
/// How long a node may take to catch up.
const RECOVER_MAX: Duration = Duration::from_secs(60);
/// Pause between two looks at a node that catches up.
const POLL: Duration = Duration::from_millis(4);

/// What the kills came to.
#[derive(Debug, Default)]
pub(crate) struct Kills {
    /// Time from each ready line until the node had caught up. Unit: ms.
    pub(crate) recover_ms: Vec<f64>,
    /// What the dead lives had counted.
    pub(crate) lives: Sums,
}

/// Kills ranks `0 .. count`, spread over `total` requests, each after the one before has caught up.
///
/// Errors: a node does not start again or does not catch up.
pub(crate) async fn kill_in_turn(
    cluster: &mut Cluster,
    count: u16,
    total: u64,
    mut done: watch::Receiver<u64>,
    gate: &watch::Sender<Gate>,
) -> anyhow::Result<Kills> {
    let mut kills = Kills::default();
    let segment = (total / (u64::from(count) + 1)).max(1);
    for rank in 0..count {
        let due = segment * (u64::from(rank) + 1);
        let below = due + segment;
        gate.send_replace(Gate {
            below,
            interval: Duration::ZERO,
        });
        done.wait_for(|&done| done >= due)
            .await
            .context("the traffic ended by itself")?;
        let interval = OUTAGE / u32::try_from(segment).unwrap_or(u32::MAX);
        gate.send_replace(Gate { below, interval });

        let status = cluster.client(rank).status().await?;
        kills.lives.add(&status, cluster.pid(rank));
        cluster.kill(rank).await;
        eprintln!("killed rank {rank} after {due} requests");
        if trim(&cluster.record(rank))? {
            eprintln!("the kill tore the last record of rank {rank}; it was cut off");
        }
        tokio::time::sleep(DOWN).await;
        cluster
            .restart(rank)
            .await
            .with_context(|| format!("rank {rank} did not start again"))?;
        let listening = Instant::now();
        let others: Vec<Client> = cluster
            .running()
            .filter(|&other| other != rank)
            .map(|other| cluster.client(other).clone())
            .collect();
        let goal = goal(&others).await?;
        let recovered = catch_up(cluster.client(rank), &goal, listening).await;
        let took = recovered.with_context(|| format!("rank {rank} did not catch up"))?;
        kills.recover_ms.push(took.as_secs_f64() * 1e3);
        eprintln!("rank {rank} caught up after {took:.1?}");
    }
    gate.send_replace(Gate::OPEN);
    Ok(kills)
}

/// By rank: incarnation and last op.
type Goal = BTreeMap<u16, (u64, u64)>;

/// The furthest that any of the nodes has each log.
async fn goal(nodes: &[Client]) -> anyhow::Result<Goal> {
    let mut goal = Goal::new();
    for node in nodes {
        for origin in node.status().await?.origins {
            let at = goal.entry(origin.rank).or_default();
            *at = (*at).max((origin.incarnation, origin.seq));
        }
    }
    Ok(goal)
}

async fn catch_up(node: &Client, goal: &Goal, since: Instant) -> anyhow::Result<Duration> {
    loop {
        let status = node.status().await?;
        if status.ready && has_reached(&status, goal) {
            return Ok(since.elapsed());
        }
        anyhow::ensure!(
            since.elapsed() < RECOVER_MAX,
            "ready: {}, still behind after {RECOVER_MAX:?}",
            status.ready
        );
        tokio::time::sleep(POLL).await;
    }
}

/// A node's own earlier life does not count: its successor knows it as over.
fn has_reached(status: &StatusResponse, goal: &Goal) -> bool {
    goal.iter().all(|(&rank, &(inc, seq))| {
        let at = status.origins.iter().find(|origin| origin.rank == rank);
        let at = at.map_or((0, 0), |origin| (origin.incarnation, origin.seq));
        rank == status.rank || at >= (inc, seq)
    })
}

/// Cuts a record behind its last whole batch, because the next life appends. Returns whether there was a torn one.
///
/// A kill can interrupt a long write.
fn trim(path: &Path) -> std::io::Result<bool> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let whole = whole_bytes(&bytes);
    if whole < bytes.len() {
        std::fs::OpenOptions::new()
            .write(true)
            .open(path)?
            .set_len(whole as u64)?;
    }
    Ok(whole < bytes.len())
}

/// Returns how many leading bytes are whole records: each is a length (u32 LE) and as many bytes.
fn whole_bytes(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(length) = bytes[at..].first_chunk::<4>() {
        let end = at + 4 + u32::from_le_bytes(*length) as usize;
        if end > bytes.len() {
            break;
        }
        at = end;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_record_is_cut_off_and_whole_ones_stay() {
        let record = [2, 0, 0, 0, 7, 7];
        let two = [record, record].concat();
        assert_eq!(whole_bytes(&two), 12);
        assert_eq!(whole_bytes(&two[..11]), 6);
        assert_eq!(whole_bytes(&two[..8]), 6);
        assert_eq!(whole_bytes(&[]), 0);
    }
}
