//! How long a publish takes to be in the tree of the last node. All clocks are one: the machine's monotonic clock.
//! Nobody polls while publishes travel; the nodes remember when they applied what, and are asked in the end.

use std::collections::BTreeMap;
use std::time::Duration;

use radixmesh::admin::api::{Applied, PublishResponse};
use radixmeshd::client::Client;
use radixmeshd::cluster::Cluster;

use super::burst::item;
use super::options::Options;
use super::stats::Spread;
use super::traffic::post;

/// Publishes of each size.
const SAMPLES: u32 = 200;
/// Pause between two publishes: the mesh is idle but for the one.
const PAUSE: Duration = Duration::from_millis(4);
/// How long the nodes may take to agree afterwards.
const SETTLE_MAX: Duration = Duration::from_secs(30);

/// One publish that travelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    tokens: u32,
    rank: u16,
    inc: u64,
    /// Its last op.
    seq: u64,
    published_at_ns: u64,
}

/// Publishes from each engine node in turn and returns, by size in tokens, when the last node had it.
/// Unit: microseconds.
///
/// Errors: a node does not answer or did not trace an apply.
pub(crate) async fn measure(
    cluster: &mut Cluster,
    options: &Options,
) -> anyhow::Result<BTreeMap<u32, Spread>> {
    let sizes = options.propagation_sizes();
    if sizes.is_empty() {
        return Ok(BTreeMap::new());
    }
    // A node that was restarted may be caught up before all of its links are back.
    cluster.wait_ready(SETTLE_MAX).await?;
    eprintln!("measuring propagation: {SAMPLES} publishes of each of {sizes:?} tokens");
    let mut rng = fastrand::Rng::with_seed(options.seed ^ 0x7072_6f70);
    let mut samples = Vec::new();
    for &tokens in &sizes {
        for number in 0..SAMPLES {
            let rank = u16::try_from(number % u32::from(options.engines())).unwrap_or(0);
            let mut body = String::from("{\"items\":[");
            item(&mut body, &mut rng, tokens);
            body.push_str("]}");
            let answer: PublishResponse = post(cluster.client(rank), "/publish", body).await?;
            let seq = answer.receipts.last().map_or(0, |receipt| receipt.seq);
            let (inc, published_at_ns) = (answer.incarnation, answer.published_at_ns);
            samples.push(Sample {
                tokens,
                rank,
                inc,
                seq,
                published_at_ns,
            });
            tokio::time::sleep(PAUSE).await;
        }
    }
    cluster.wait_converged(SETTLE_MAX).await?;

    let mut applied = Vec::new();
    for node in cluster.running() {
        let client = cluster.client(node);
        for rank in (0..options.engines()).filter(|&rank| rank != node) {
            if let Some(first) = samples.iter().find(|sample| sample.rank == rank) {
                applied.push((node, rank, trace(client, first).await?));
            }
        }
    }
    let mut by_size = BTreeMap::new();
    for &tokens in &sizes {
        let of_size = samples.iter().filter(|sample| sample.tokens == tokens);
        let mut took = of_size
            .map(|sample| last_apply(sample, &applied))
            .collect::<anyhow::Result<Vec<f64>>>()?;
        by_size.extend(Spread::of(&mut took).map(|spread| (tokens, spread)));
    }
    Ok(by_size)
}

/// What one node traced of one life of a log, from a sample on.
async fn trace(client: &Client, first: &Sample) -> anyhow::Result<Vec<Applied>> {
    let mut all: Vec<Applied> = Vec::new();
    let mut from = first.seq;
    loop {
        let mut records = client.applied(first.rank, from).await?;
        // Earlier lives of the rank had higher ops than this one.
        records.retain(|record| record.incarnation == first.inc);
        let Some(last) = records.last() else {
            return Ok(all);
        };
        from = last.last + 1;
        all.extend(records);
    }
}

/// From publish to the last apply. Unit: microseconds.
fn last_apply(sample: &Sample, applied: &[(u16, u16, Vec<Applied>)]) -> anyhow::Result<f64> {
    let mut last = None;
    for (node, _, records) in applied.iter().filter(|(_, rank, _)| *rank == sample.rank) {
        let covers = |record: &&Applied| {
            record.incarnation == sample.inc && (record.first..=record.last).contains(&sample.seq)
        };
        let at = records
            .partition_point(|record| (record.incarnation, record.last) < (sample.inc, sample.seq));
        let Some(record) = records.get(at).filter(covers) else {
            anyhow::bail!(
                "rank {node} traced no apply of op {} of rank {}",
                sample.seq,
                sample.rank
            );
        };
        last = last.max(Some(record.at_ns));
    }
    let last = last.ok_or_else(|| {
        anyhow::anyhow!("no other node applies what rank {} publishes", sample.rank)
    })?;
    Ok(last.saturating_sub(sample.published_at_ns) as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_node_counts_and_a_missing_trace_is_an_error() {
        let applied = |first, last, at_ns| Applied {
            rank: 0,
            incarnation: 7,
            first,
            last,
            at_ns,
        };
        let sample = Sample {
            tokens: 16,
            rank: 0,
            inc: 7,
            seq: 3,
            published_at_ns: 1_000,
        };
        let quick = (1, 0, vec![applied(1, 1, 500), applied(2, 3, 2_000)]);
        let slow = (
            2,
            0,
            vec![applied(1, 1, 600), applied(2, 2, 900), applied(3, 5, 9_000)],
        );
        let other_log = (2, 1, vec![applied(1, 9, 99_000)]);
        assert_eq!(
            last_apply(&sample, &[quick.clone(), slow, other_log]).unwrap(),
            8.0
        );
        let short = (2, 0, vec![applied(1, 2, 600)]);
        assert!(last_apply(&sample, &[quick, short]).is_err());
    }
}
