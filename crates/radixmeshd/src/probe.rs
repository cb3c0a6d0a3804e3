//! How long a publish takes to reach every node, measured from outside: one-page probes are published, and
//! `/applied` tells when each node had them. Needs `trace_applies`, and nodes that share one monotonic clock: one
//! machine.

use std::time::{Duration, Instant};

use radixmesh::admin::api::{Applied, PublishItem, PublishRequest};
use serde::Serialize;
use thiserror::Error;

use crate::client::{Client, ClientError};
use crate::cluster::Cluster;

/// Under this source probes are published, so that engines, which use 0, never meet them.
pub const PROBE_SOURCE: u16 = 1;
/// Pause between two looks for probes that have not arrived.
const POLL: Duration = Duration::from_millis(10);

/// Publishes probes, from each node in turn, and remembers them.
#[derive(Clone, Debug)]
pub struct Probes {
    nodes: Vec<(u16, Client)>,
    page_size: u16,
    rng: fastrand::Rng,
    sent: Vec<Sent>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    rank: u16,
    incarnation: u64,
    seq: u64,
    at_ns: u64,
}

/// Times from a publish until the last node had it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Propagation {
    /// Probes that reached all nodes.
    pub probes: usize,
    /// Probes that some node did not have before the limit.
    pub missing: usize,
    /// Half of them took no longer. Unit: microseconds.
    pub p50_us: u64,
    /// 99 of 100 took no longer.
    pub p99_us: u64,
    /// None took longer.
    pub max_us: u64,
}

/// Why nothing can be measured.
///
/// State: probes that were published stay.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// A node did not answer.
    ///
    /// State: the probe may have been published.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A node published nothing.
    ///
    /// State: there is no probe.
    #[error("rank {rank} gave no receipt for a probe")]
    NoReceipt {
        /// Which.
        rank: u16,
    },
}

impl Probes {
    /// Returns probes over the running nodes of a local cluster.
    #[must_use]
    pub fn of(cluster: &Cluster, seed: u64) -> Probes {
        let nodes = cluster
            .running()
            .map(|rank| (rank, cluster.client(rank).clone()))
            .collect();
        let page_size = cluster.spec().page_size;
        Probes {
            nodes,
            page_size,
            rng: fastrand::Rng::with_seed(seed),
            sent: Vec::new(),
        }
    }

    /// Returns how many probes were published.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.sent.len()
    }

    /// Publishes one page that nobody has, at the next node.
    ///
    /// Errors: [`ProbeError`].
    pub async fn publish(&mut self) -> Result<(), ProbeError> {
        let (rank, client) = &self.nodes[self.sent.len() % self.nodes.len()];
        let tokens = (0..self.page_size).map(|_| self.rng.u32(..)).collect();
        let item = PublishItem {
            tokens,
            source: PROBE_SOURCE,
            ..PublishItem::default()
        };
        let answer = client
            .publish(&PublishRequest { items: vec![item] })
            .await?;
        let receipt = answer
            .receipts
            .last()
            .ok_or(ProbeError::NoReceipt { rank: *rank })?;
        self.sent.push(Sent {
            rank: *rank,
            incarnation: answer.incarnation,
            seq: receipt.seq,
            at_ns: answer.published_at_ns,
        });
        Ok(())
    }

    /// Asks all nodes when they had the probes; waits for those that are late.
    ///
    /// Errors: [`ProbeError::Client`].
    pub async fn measure(&self, limit: Duration) -> Result<Propagation, ProbeError> {
        let deadline = Instant::now() + limit;
        let mut took_ns: Vec<Option<u64>> = vec![Some(0); self.sent.len()];
        for (origin, _) in &self.nodes {
            let of_origin = || self.sent.iter().filter(|sent| sent.rank == *origin);
            let Some(first) = of_origin().map(|sent| sent.seq).min() else {
                continue;
            };
            let last = of_origin().map(|sent| sent.seq).max().unwrap_or(first);
            for (_, client) in self.nodes.iter().filter(|(rank, _)| rank != origin) {
                let records = history(client, *origin, first, last, deadline).await?;
                for (sent, took) in self.sent.iter().zip(&mut took_ns) {
                    if sent.rank == *origin {
                        let later =
                            applied_at(&records, sent).map(|at| at.saturating_sub(sent.at_ns));
                        *took = took.zip(later).map(|(all, one)| all.max(one));
                    }
                }
            }
        }
        Ok(Propagation::of(&took_ns))
    }
}

impl Propagation {
    /// Sums up times in nanoseconds; `None` never arrived.
    fn of(took_ns: &[Option<u64>]) -> Propagation {
        let mut times: Vec<u64> = took_ns.iter().flatten().copied().collect();
        times.sort_unstable();
        let at = |percent: usize| match times.len() {
            0 => 0,
            len => times[(len * percent).div_ceil(100).clamp(1, len) - 1] / 1_000,
        };
        Propagation {
            probes: times.len(),
            missing: took_ns.len() - times.len(),
            p50_us: at(50),
            p99_us: at(99),
            max_us: at(100),
        }
    }
}

/// Returns what a node applied of `first ..= last`, as much as there is at the deadline.
async fn history(
    client: &Client,
    origin: u16,
    first: u64,
    last: u64,
    deadline: Instant,
) -> Result<Vec<Applied>, ClientError> {
    let mut records: Vec<Applied> = Vec::new();
    loop {
        let from = records.last().map_or(first, |record| record.last + 1);
        if from > last {
            return Ok(records);
        }
        let more = client.applied(origin, from).await?;
        if more.is_empty() {
            if Instant::now() >= deadline {
                return Ok(records);
            }
            tokio::time::sleep(POLL).await;
        }
        records.extend(more);
    }
}

fn applied_at(records: &[Applied], sent: &Sent) -> Option<u64> {
    let holds = |record: &&Applied| {
        record.incarnation == sent.incarnation && (record.first..=record.last).contains(&sent.seq)
    };
    records.iter().find(holds).map(|record| record.at_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_arrived() {
        assert_eq!(Propagation::of(&[]), Propagation::default());
        let mut times: Vec<Option<u64>> = (1..=200).map(|us| Some(us * 1_000)).collect();
        times.push(None);
        let expect = Propagation {
            probes: 200,
            missing: 1,
            p50_us: 100,
            p99_us: 198,
            max_us: 200,
        };
        assert_eq!(Propagation::of(&times), expect);
        let one = Propagation {
            probes: 1,
            missing: 0,
            p50_us: 7,
            p99_us: 7,
            max_us: 7,
        };
        assert_eq!(Propagation::of(&[Some(7_999)]), one);
    }

    #[test]
    fn a_probe_is_found_in_the_record_of_its_own_life() {
        let record = |incarnation, first, last, at_ns| Applied {
            rank: 0,
            incarnation,
            first,
            last,
            at_ns,
        };
        let records = [
            record(1, 1, 9, 10),
            record(2, 1, 4, 20),
            record(2, 5, 9, 30),
        ];
        let sent = Sent {
            rank: 0,
            incarnation: 2,
            seq: 5,
            at_ns: 0,
        };
        assert_eq!(applied_at(&records, &sent), Some(30));
        assert_eq!(
            applied_at(
                &records,
                &Sent {
                    incarnation: 3,
                    ..sent
                }
            ),
            None
        );
    }
}
