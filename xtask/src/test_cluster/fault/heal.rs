//! How long the cluster needs to be whole again after a fault, while others may happen elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use radixmesh::admin::api::StatusResponse;
use radixmeshd::client::Client;
use tokio::sync::watch;

use super::super::goal::Goal;
use super::super::roster::Roster;

/// Pause between two looks at a node that heals.
const POLL: Duration = Duration::from_millis(10);
/// How long they may take.
pub(super) const HEAL_MAX: Duration = Duration::from_secs(60);

/// Ranks that suffer a fault at the moment.
pub(super) type Suffering = watch::Receiver<BTreeSet<u16>>;

/// What came of a fault that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Healing {
    /// Everybody sees everybody and has what anybody had when it ended.
    Healed(Duration),
    /// All of its nodes met another fault before that.
    Masked,
    /// Not in the time allowed; what a node still lacked.
    Sick(String),
}

/// The nodes that are looked at.
#[derive(Clone, Debug)]
pub(super) struct Patient {
    /// Who is there.
    pub(super) nodes: Roster,
    /// To whom the fault happened.
    pub(super) target: Vec<u16>,
}

impl Patient {
    /// Waits until every node that suffers nothing sees every other one as up and ready, and has everything that any of
    /// them had in the beginning. Who suffers another fault does not count, neither as one who sees nor as one who is seen.
    pub(super) async fn heal(self, mut suffering: Suffering) -> Healing {
        let since = Instant::now();
        loop {
            let suffers = suffering.borrow_and_update().clone();
            if self.target.iter().all(|rank| suffers.contains(rank)) {
                return Healing::Masked;
            }
            let mut well = self.nodes.all();
            well.retain(|rank, _| !suffers.contains(rank));
            tokio::select! {
                biased;
                changed = suffering.changed() => if changed.is_err() {
                    return Healing::Masked;
                },
                whole = self.whole(&well, since) => return match whole {
                    Ok(()) => Healing::Healed(since.elapsed()),
                    Err(lack) => Healing::Sick(lack),
                },
            }
        }
    }

    /// Waits until these nodes are whole.
    ///
    /// Errors: what one of them lacks when the time is over.
    async fn whole(&self, well: &BTreeMap<u16, Client>, since: Instant) -> Result<(), String> {
        let clients: Vec<Client> = well.values().cloned().collect();
        let goal = loop {
            match Goal::of(&clients).await {
                Ok(goal) => break goal,
                Err(error) => pause(since, || error.to_string()).await?,
            }
        };
        // Who is whole stays whole, so one node is waited for after the other.
        for node in &clients {
            loop {
                let lack = match node.status().await {
                    Ok(status) => lack(&status, &goal, well),
                    Err(error) => Some(error.to_string()),
                };
                let Some(lack) = lack else { break };
                pause(since, || lack).await?;
            }
        }
        Ok(())
    }
}

/// Waits a little. Errors: what is lacking, when the time is over.
async fn pause(since: Instant, lack: impl FnOnce() -> String) -> Result<(), String> {
    if since.elapsed() > HEAL_MAX {
        return Err(lack());
    }
    tokio::time::sleep(POLL).await;
    Ok(())
}

/// Returns what a node lacks: a member among the well ones, or ops.
fn lack(status: &StatusResponse, goal: &Goal, well: &BTreeMap<u16, Client>) -> Option<String> {
    let rank = status.rank;
    for &other in well.keys() {
        let member = status.members.iter().find(|member| member.rank == other);
        if !member.is_some_and(|member| member.up && member.ready) {
            return Some(format!(
                "rank {rank} does not see rank {other} as up and ready"
            ));
        }
    }
    let origin = goal.missing(status)?;
    Some(format!("rank {rank} lacks ops of rank {origin}"))
}
