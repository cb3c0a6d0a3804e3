//! How far the logs had come at one time, and whether a node has come as far.

use std::collections::BTreeMap;

use radixmesh::admin::api::StatusResponse;
use radixmeshd::client::Client;

/// By rank: incarnation and last op, the furthest that any of some nodes had.
#[derive(Clone, Debug, Default)]
pub(crate) struct Goal(BTreeMap<u16, (u64, u64)>);

impl Goal {
    /// Asks nodes how far they are.
    ///
    /// Errors: one of them does not answer.
    pub(crate) async fn of(nodes: &[Client]) -> anyhow::Result<Goal> {
        let mut goal = Goal::default();
        for node in nodes {
            for origin in node.status().await?.origins {
                let at = goal.0.entry(origin.rank).or_default();
                *at = (*at).max((origin.incarnation, origin.seq));
            }
        }
        Ok(goal)
    }

    /// Returns the first rank whose log that node does not have as far.
    ///
    /// A node's own earlier life does not count: its successor knows it as over. Nor does the log of a member that left or
    /// was forgotten.
    pub(crate) fn missing(&self, status: &StatusResponse) -> Option<u16> {
        let missing = self.0.iter().find(|&(&rank, &goal)| {
            let at = status.origins.iter().find(|origin| origin.rank == rank);
            let at = at.map_or((0, 0), |origin| (origin.incarnation, origin.seq));
            rank != status.rank && at < goal && !(at.1 == 0 && is_gone(status, rank))
        });
        missing.map(|(&rank, _)| rank)
    }

    /// Returns whether that node has everything.
    pub(crate) fn is_reached_by(&self, status: &StatusResponse) -> bool {
        self.missing(status).is_none()
    }
}

/// Returns whether a node takes a member for one that left, or knows none of that rank.
fn is_gone(status: &StatusResponse, rank: u16) -> bool {
    let member = status.members.iter().find(|member| member.rank == rank);
    member.is_none_or(|member| !member.up && !member.ready)
}
