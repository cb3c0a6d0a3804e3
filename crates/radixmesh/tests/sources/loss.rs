//! Batches that are lost, doubled, lost at the end; engines of every era.

use engines::event::encode::Dialect;
use fastrand::Rng;

use crate::double::{Double, Shape};
use crate::publisher::{Framing, Publisher};
use crate::tree::{Node, engine};
use radixmesh::engines;

/// Plays so many batches over a way that loses one in ten and doubles one in ten, the last one lost; returns what was seen.
pub(crate) async fn play(
    dialect: Dialect,
    framing: Framing,
    batches: usize,
) -> radixmesh::source::SourceReport {
    let shape = Shape {
        dialect,
        block_size: 4,
        page_size: 4,
        buffer: batches,
    };
    let mut double = Double::new(shape, batches as u64);
    let mut way = Rng::with_seed(7);
    let mut publisher = Publisher::start(framing, None).await;
    let sources = vec![engine(&publisher.endpoint, Some(&publisher.replay))];
    let node = Node::start(shape.page_size, sources).await;
    node.until("connected", |report| report.connected).await;
    for place in 0..batches {
        let (_, payload) = double.step();
        let times = match way.u8(0..10) {
            _ if place + 1 == batches => 0,
            0 => 0,
            1 => 2,
            _ => 1,
        };
        publisher.publish(&payload, times).await;
        if place % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let last = Some(batches as u64 - 1);
    node.until("all taken in", |report| report.stats.last_seq == last)
        .await;
    node.until_held(&double.truth()).await;
    let report = node.until_exact().await;
    assert_eq!(report.counters.batches, batches as u64, "{report:#?}");
    assert_eq!(report.counters.gaps_lost, 0, "{report:#?}");
    assert_eq!(report.socket.publish_errors, 0);
    node.running.shutdown().await;
    publisher.kill().await;
    report
}

#[tokio::test]
async fn what_is_lost_or_doubled_is_made_up_for_in_every_era() {
    for (dialect, framing) in [
        (Dialect::VLLM_0_9, Framing::Old),
        (Dialect::VLLM_0_22, Framing::New),
        (Dialect::VLLM_0_32, Framing::Old),
        (Dialect::SGLANG_0_5_23, Framing::New),
    ] {
        let report = play(dialect, framing, 1_000).await;
        let counters = report.counters;
        assert!(
            counters.gaps > 0 && counters.replayed_batches > 50,
            "{counters:?}"
        );
        assert!(counters.duplicate_batches > 50, "{counters:?}");
    }
}
