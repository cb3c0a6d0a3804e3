//! Nodes that die and come back.

use radixmesh::admin::api::{PublishItem, StatusResponse};
use radixmeshd::cluster::{Cluster, ClusterSpec};

use crate::support::{
    LIMIT, cluster, eventually, held, item, matches, origin, publish, runs, spec, tokens,
};

/// More than a log keeps to answer pulls (65,536 ops), so that only a snapshot helps.
const OPS: u32 = 70_000;

#[tokio::test]
async fn a_node_without_state_rejoins_by_snapshot_under_a_higher_incarnation() {
    let mut cluster = cluster(ClusterSpec {
        page_size: 1,
        ..spec(2, 1, 0)
    })
    .await;
    let mine = publish(cluster.client(2), vec![item(&tokens(0, 8))]).await;
    cluster.wait_converged(LIMIT).await.unwrap();
    cluster.kill(2).await;

    let pages: Vec<PublishItem> = (0..OPS).map(|token| item(&[1_000_000 + token])).collect();
    for items in pages.chunks(4_096) {
        publish(cluster.client(0), items.to_vec()).await;
    }
    cluster.restart(2).await.unwrap();
    cluster.wait_ready(LIMIT).await.unwrap();
    let statuses = cluster.wait_converged(LIMIT).await.unwrap();
    let back = &statuses[2];
    assert_eq!(
        origin(back, 0).2,
        u64::from(OPS),
        "all copies of rank 0 are there"
    );
    assert!(back.incarnation > mine.incarnation);
    let snapshots: u64 = statuses
        .iter()
        .map(|status| status.counters["snapshot_bytes_out"])
        .sum();
    assert!(snapshots > 0, "nobody sent a snapshot");
    assert_eq!(
        held(&matches(cluster.client(2), &[1_000_007]).await),
        [(0, 1)]
    );

    // What it held in its first life died with it, everywhere, at the latest with its next word.
    publish(cluster.client(2), vec![item(&tokens(500, 3))]).await;
    let statuses = cluster.wait_converged(LIMIT).await.unwrap();
    assert!(
        statuses
            .iter()
            .all(|status| origin(status, 2).0 == back.incarnation)
    );
    for rank in 0..3 {
        assert_eq!(
            held(&matches(cluster.client(rank), &tokens(0, 8)).await),
            [],
            "asked at {rank}"
        );
        assert_eq!(
            held(&matches(cluster.client(rank), &tokens(500, 3)).await),
            [(2, 3)],
            "asked at {rank}"
        );
    }
}

#[tokio::test]
async fn the_others_go_on_while_a_ring_neighbour_is_dead() {
    let mut cluster = cluster(spec(3, 0, 1)).await;
    cluster.kill(1).await;
    let prompt = tokens(0, 16);
    publish(cluster.client(0), vec![item(&prompt)]).await;
    for rank in [2, 3] {
        let client = cluster.client(rank);
        eventually(
            || matches(client, &prompt),
            |answer| held(answer) == [(0, 4)],
        )
        .await;
    }
    let router = cluster.client(3);
    let sees_it_down = |status: &StatusResponse| !status.members[1].up;
    eventually(|| async { router.status().await.unwrap() }, sees_it_down).await;
}

#[tokio::test]
async fn a_cluster_that_is_dropped_or_stopped_leaves_no_process() {
    let pids =
        |cluster: &Cluster| -> Vec<u32> { (0..2).filter_map(|rank| cluster.pid(rank)).collect() };
    let dropped = cluster(spec(1, 1, 0)).await;
    let mut all = pids(&dropped);
    let dir = dropped.dir().to_owned();
    drop(dropped);
    assert!(!dir.exists(), "its directory is removed");
    let stopped = cluster(spec(1, 1, 0)).await;
    all.extend(pids(&stopped));
    stopped
        .stop(LIMIT)
        .await
        .expect("all nodes end with success");
    assert_eq!(all.len(), 4);
    eventually(|| async { all.iter().any(|pid| runs(*pid)) }, |any| !any).await;
}
