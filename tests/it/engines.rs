//! Copies of several engines: who holds what, and under which name.

use radixmesh::admin::api::{Copies, EvictItem};
use radixmeshd::cluster::ClusterSpec;

use crate::support::{
    LIMIT, cluster, engine, evict, held, item, matches, origin, publish, spec, tokens,
};

#[tokio::test]
async fn two_engines_with_the_same_slots_for_the_same_prefix_are_two_holders_everywhere() {
    // Each simulated engine numbers its slots from 0, so both use the very same ones.
    let mut cluster = cluster(ClusterSpec {
        pages_per_node: 64,
        ..spec(2, 1, 1)
    })
    .await;
    let prompt = tokens(0, 32);
    let request = engine(&prompt);
    let (first, second) = tokio::join!(
        cluster.client(0).engine_run(&request),
        cluster.client(1).engine_run(&request)
    );
    assert_eq!(
        (first.unwrap().stored_pages, second.unwrap().stored_pages),
        (8, 8)
    );
    cluster.wait_converged(LIMIT).await.unwrap();
    for rank in 0..4 {
        assert_eq!(
            held(&matches(cluster.client(rank), &prompt).await),
            [(0, 8), (1, 8)],
            "asked at {rank}"
        );
    }
    evict(cluster.client(0), EvictItem::Source(0)).await;
    cluster.wait_converged(LIMIT).await.unwrap();
    for rank in 0..4 {
        assert_eq!(
            held(&matches(cluster.client(rank), &prompt).await),
            [(1, 8)],
            "asked at {rank}"
        );
    }
}

#[tokio::test]
async fn an_engine_hits_what_it_stored_and_evicts_what_it_must() {
    let mut cluster = cluster(ClusterSpec {
        pages_per_node: 8,
        ..spec(1, 1, 0)
    })
    .await;
    let (first, second) = (tokens(0, 24), tokens(100, 24));
    let run = cluster.client(0).engine_run(&engine(&first)).await.unwrap();
    assert_eq!(
        (
            run.pages,
            run.hit_pages,
            run.stored_pages,
            run.evicted_pages
        ),
        (6, 0, 6, 0)
    );
    let run = cluster.client(0).engine_run(&engine(&first)).await.unwrap();
    assert_eq!((run.hit_pages, run.stored_pages), (6, 0));
    let run = cluster
        .client(0)
        .engine_run(&engine(&second))
        .await
        .unwrap();
    assert_eq!(
        (run.hit_pages, run.stored_pages, run.evicted_pages),
        (0, 6, 4)
    );
    cluster.wait_converged(LIMIT).await.unwrap();
    for rank in 0..2 {
        assert_eq!(
            held(&matches(cluster.client(rank), &first).await),
            [(0, 2)],
            "asked at {rank}"
        );
        assert_eq!(
            held(&matches(cluster.client(rank), &second).await),
            [(0, 6)],
            "asked at {rank}"
        );
    }
}

#[tokio::test]
async fn an_owner_that_publishes_anew_has_new_copies_everywhere_and_the_old_names_are_dead() {
    let mut cluster = cluster(spec(1, 1, 1)).await;
    let prompt = tokens(0, 16);
    let owner = cluster.client(0).clone();
    let old = publish(&owner, vec![item(&prompt)]).await.receipts[0]
        .stored
        .clone();
    let again = publish(&owner, vec![item(&prompt)]).await;
    assert_eq!(
        (
            again.receipts[0].stored.len(),
            again.receipts[0].already_held
        ),
        (0, 4)
    );

    let mut renewed = item(&prompt);
    renewed.renew = true;
    let receipt = publish(&owner, vec![renewed]).await.receipts[0].clone();
    let new = receipt.stored.clone();
    assert_eq!(
        (new.iter().map(|run| run.len).sum::<u32>(), receipt.removed),
        (4, 4)
    );
    assert!(new[0].seq > old[0].seq, "{new:?} after {old:?}");

    let statuses = cluster.wait_converged(LIMIT).await.unwrap();
    assert!(
        statuses.iter().all(|status| origin(status, 0).2 == 4),
        "4 live copies everywhere"
    );
    let named = |stored: &[radixmesh::admin::api::Stored]| {
        let range = |run: &radixmesh::admin::api::Stored| Copies {
            seq: run.seq,
            idx: run.idx,
            len: u16::try_from(run.len).unwrap(),
        };
        EvictItem::Copies(stored.iter().map(range).collect())
    };
    assert_eq!(
        evict(&owner, named(&old)).await.receipts[0].removed,
        0,
        "the old names are dead"
    );
    assert_eq!(evict(&owner, named(&new)).await.receipts[0].removed, 4);
    let statuses = cluster.wait_converged(LIMIT).await.unwrap();
    assert!(statuses.iter().all(|status| origin(status, 0).2 == 0));
}
