//! Kills nodes in the middle of the traffic, restarts them, and measures how long each needs to catch up.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use radixmeshd::client::Client;
use radixmeshd::cluster::Cluster;
use tokio::sync::watch;

use super::fault::{Halt, Phases};
use super::goal::Goal;
use super::sums::Sums;
use super::torn;
use super::traffic::Gate;

/// How long a killed node stays away.
const DOWN: Duration = Duration::from_secs(2);
/// The traffic between two kills is stretched to this at least, so that some of it meets the gap.
const OUTAGE: Duration = Duration::from_secs(3);
/// How long a node may take to catch up.
const RECOVER_MAX: Duration = Duration::from_secs(60);
/// Later than the end of any run.
const NEVER: Duration = Duration::from_secs(1 << 30);
/// Pause between two looks at a node that catches up.
const POLL: Duration = Duration::from_millis(4);

/// What the kills came to.
#[derive(Debug)]
pub(crate) struct Kills {
    /// Time from each ready line until the node had caught up. Unit: ms.
    pub(crate) recover_ms: Vec<f64>,
    /// What the dead lives had counted.
    pub(crate) lives: Sums,
    /// When they happened.
    pub(crate) phases: Phases,
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
    let mut kills = Kills {
        recover_ms: Vec::new(),
        lives: Sums::default(),
        phases: Phases {
            first: Instant::now() + NEVER,
            crashes: Vec::new(),
            others: Vec::new(),
            halted: BTreeMap::new(),
        },
    };
    let segment = (total / (u64::from(count) + 1)).max(1);
    for rank in 0..count {
        let due = segment * (u64::from(rank) + 1);
        let below = due + segment;
        gate.send_replace(Gate {
            below,
            ..Gate::OPEN
        });
        done.wait_for(|&done| done >= due)
            .await
            .context("the traffic ended by itself")?;
        let interval = OUTAGE / u32::try_from(segment).unwrap_or(u32::MAX);
        gate.send_replace(Gate {
            below,
            interval,
            ..Gate::OPEN
        });

        let status = cluster.client(rank).status().await?;
        kills.lives.add(&status, cluster.pid(rank));
        let killed = Instant::now();
        kills.phases.first = kills.phases.first.min(killed);
        kills.phases.crashes.push(killed);
        cluster.kill(rank).await;
        eprintln!("killed rank {rank} after {due} requests");
        if torn::trim(&cluster.record(rank))? {
            eprintln!("the kill tore the last record of rank {rank}; it was cut off");
        }
        tokio::time::sleep(DOWN).await;
        cluster
            .restart(rank)
            .await
            .with_context(|| format!("rank {rank} did not start again"))?;
        let listening = Instant::now();
        let halt = Halt {
            from: killed,
            to: listening,
            dead: true,
        };
        kills.phases.halted.entry(rank).or_default().push(halt);
        let others: Vec<Client> = cluster
            .running()
            .filter(|&other| other != rank)
            .map(|other| cluster.client(other).clone())
            .collect();
        let goal = Goal::of(&others).await?;
        let recovered = catch_up(cluster.client(rank), &goal, listening).await;
        let took = recovered.with_context(|| format!("rank {rank} did not catch up"))?;
        kills.recover_ms.push(took.as_secs_f64() * 1e3);
        eprintln!("rank {rank} caught up after {took:.1?}");
    }
    gate.send_replace(Gate::OPEN);
    Ok(kills)
}

async fn catch_up(node: &Client, goal: &Goal, since: Instant) -> anyhow::Result<Duration> {
    loop {
        let status = node.status().await?;
        if status.ready && goal.is_reached_by(&status) {
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
