//! Where requests are sent, through the whole node.

use std::collections::BTreeSet;

use radixmeshd::cluster::ClusterSpec;

use crate::support::{LIMIT, cluster, eventually, item, prefix, publish, spec, tokens};

#[tokio::test]
async fn a_prefix_that_only_a_decode_node_holds_routes_decode_by_prefix_and_prefill_by_hash() {
    let cluster = cluster(spec(2, 2, 1)).await;
    let prompt = tokens(0, 40);
    publish(cluster.client(2), vec![item(&prompt)]).await;
    let (router, request) = (cluster.client(4), prefix(&prompt));
    let route = || async { router.route(&request).await.expect("a route is answered") };
    let answer = eventually(route, |answer| !answer.holders.is_empty()).await;
    let (prefill, decode) = (
        answer.prefill.expect("there are two"),
        answer.decode.expect("there are two"),
    );
    assert_eq!(
        (decode.rank, decode.matched_pages, decode.reason.as_str()),
        (2, 10, "prefix")
    );
    assert_eq!(decode.address, cluster.address(2));
    assert!(prefill.rank < 2);
    assert_eq!(
        (prefill.matched_pages, prefill.reason.as_str()),
        (0, "no_holder")
    );
    assert!(!answer.explanation.is_empty());
}

#[tokio::test]
async fn a_prompt_without_tokens_is_answered() {
    let cluster = cluster(spec(1, 1, 1)).await;
    for rank in 0..3 {
        let answer = cluster
            .client(rank)
            .route(&prefix(&[]))
            .await
            .expect("an empty prompt is valid");
        assert_eq!(answer.pages, 0);
        assert_eq!(
            answer
                .prefill
                .map(|choice| (choice.rank, choice.matched_pages)),
            Some((0, 0))
        );
        assert_eq!(
            answer
                .decode
                .map(|choice| (choice.rank, choice.matched_pages)),
            Some((1, 0))
        );
        let answer = cluster
            .client(rank)
            .matches(&prefix(&[]))
            .await
            .expect("an empty prompt is valid");
        assert_eq!(
            (answer.pages, answer.deepest, answer.holders.len()),
            (0, 0, 0)
        );
        cluster
            .client(rank)
            .healthy()
            .await
            .expect("the node lives on");
    }
}

#[tokio::test]
async fn one_shared_token_of_4096_does_not_pin() {
    let mut cluster = cluster(ClusterSpec {
        page_size: 1,
        ..spec(3, 0, 1)
    })
    .await;
    publish(cluster.client(0), vec![item(&[7])]).await;
    cluster.wait_converged(LIMIT).await.unwrap();
    let mut ranks = BTreeSet::new();
    for first in 1..=16 {
        let prompt = [vec![7], tokens(first * 10_000, 4095)].concat();
        let answer = cluster.client(3).route(&prefix(&prompt)).await.unwrap();
        assert_eq!(
            (
                answer.pages,
                answer.holders[0].rank,
                answer.holders[0].pages
            ),
            (4096, 0, 1)
        );
        let prefill = answer.prefill.expect("there are three");
        assert_eq!(prefill.reason, "below_minimum");
        ranks.insert(prefill.rank);
    }
    assert!(
        ranks.len() > 1,
        "16 prompts that share one token all went to {ranks:?}"
    );
}

#[tokio::test]
async fn a_node_that_is_gone_is_not_routed_to() {
    let mut cluster = cluster(spec(2, 0, 1)).await;
    let prompt = tokens(0, 40);
    publish(cluster.client(1), vec![item(&prompt)]).await;
    cluster.wait_converged(LIMIT).await.unwrap();
    let request = prefix(&prompt);
    let chosen =
        |answer: &radixmesh::admin::api::RouteResponse| answer.prefill.as_ref().map(|one| one.rank);
    let before = cluster.client(2).route(&request).await.unwrap();
    assert_eq!(chosen(&before), Some(1));
    cluster.kill(1).await;
    let router = cluster.client(2);
    let route = || async { router.route(&request).await.expect("a route is answered") };
    let after = eventually(route, |answer| chosen(answer) == Some(0)).await;
    let gone = after
        .holders
        .iter()
        .find(|holder| holder.rank == 1)
        .expect("its copies are still known");
    assert!(!gone.routable);
}
