//! What one node publishes every node knows.

use crate::support::{cluster, eventually, held, item, matches, publish, spec, tokens};

#[tokio::test]
async fn a_publish_at_one_node_is_matched_at_the_other_and_the_version_is_named() {
    let cluster = cluster(spec(1, 1, 0)).await;
    let prompt = tokens(0, 22);
    let receipt = publish(cluster.client(0), vec![item(&prompt)]).await;
    assert_eq!(
        receipt.receipts[0]
            .stored
            .iter()
            .map(|run| run.len)
            .sum::<u32>(),
        5,
        "whole pages only"
    );

    let other = cluster.client(1);
    let answer = eventually(
        || matches(other, &prompt),
        |answer| !answer.holders.is_empty(),
    )
    .await;
    assert_eq!(held(&answer), [(0, 5)]);
    assert_eq!((answer.pages, answer.deepest), (5, 5));
    let at = answer
        .version
        .iter()
        .find(|at| at.rank == 0)
        .expect("the version names rank 0");
    assert_eq!(at.incarnation, receipt.incarnation);
    assert!(
        at.seq >= receipt.receipts[0].seq,
        "{at:?} is behind {receipt:?}"
    );
}

#[tokio::test]
async fn a_fork_in_a_prompt_is_matched_up_to_the_fork() {
    let mut cluster = cluster(spec(1, 1, 0)).await;
    let common = tokens(0, 8);
    let (left, right) = (
        [&common[..], &tokens(100, 8)].concat(),
        [&common[..], &tokens(200, 4)].concat(),
    );
    publish(cluster.client(0), vec![item(&left)]).await;
    publish(cluster.client(1), vec![item(&right)]).await;
    cluster.wait_converged(crate::support::LIMIT).await.unwrap();
    for rank in [0, 1] {
        assert_eq!(
            held(&matches(cluster.client(rank), &left).await),
            [(0, 4), (1, 2)],
            "asked at {rank}"
        );
        assert_eq!(
            held(&matches(cluster.client(rank), &right).await),
            [(0, 2), (1, 3)],
            "asked at {rank}"
        );
    }
}

#[tokio::test]
async fn namespaces_share_no_page() {
    let cluster = cluster(spec(1, 0, 0)).await;
    let prompt = tokens(0, 8);
    let mut other = item(&prompt);
    other.namespace = "model=b".to_owned();
    publish(cluster.client(0), vec![other]).await;
    assert_eq!(held(&matches(cluster.client(0), &prompt).await), []);
}
