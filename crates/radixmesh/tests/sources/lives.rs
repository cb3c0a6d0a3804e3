//! Engines that restart or are gone, nodes that restart, batches that are too old to replay.

use std::sync::Arc;

use engines::event::encode::Dialect;
use engines::source::Standing;
use radixmesh::engines;
use std::time::Duration;

use crate::double::{Double, Shape};
use crate::mesh::Held;
use crate::publisher::{Framing, Publisher};
use crate::tree::{Node, engine};

const SHAPE: Shape = Shape {
    dialect: Dialect::VLLM_0_32,
    block_size: 4,
    page_size: 8,
    buffer: 10_000,
};

async fn steps(double: &mut Double, publisher: &mut Publisher, batches: usize) {
    for _ in 0..batches {
        let (_, payload) = double.step();
        publisher.publish(&payload, 1).await;
    }
}

#[tokio::test]
async fn an_engine_that_restarts_is_followed_into_its_next_life() {
    let mut double = Double::new(SHAPE, 1);
    let mut publisher = Publisher::start(Framing::New, None).await;
    let sources = vec![engine(&publisher.endpoint, Some(&publisher.replay))];
    let node = Node::start(SHAPE.page_size, sources).await;
    steps(&mut double, &mut publisher, 50).await;
    node.until_held(&double.truth()).await;
    for _ in 0..3 {
        let (endpoint, replay) = publisher.kill().await;
        double.restart();
        publisher = Publisher::start(Framing::New, Some((&endpoint, &replay))).await;
        // The first of the new life are published before anybody listens again.
        steps(&mut double, &mut publisher, 30).await;
        node.until_held(&double.truth()).await;
        node.until_exact().await;
    }
    let report = node.report().unwrap();
    assert!(report.counters.restarts >= 3, "{report:#?}");
    node.running.shutdown().await;
}

#[tokio::test]
async fn the_copies_of_an_engine_that_is_gone_are_withdrawn_and_come_back_with_it() {
    let mut double = Double::new(SHAPE, 2);
    let mut publisher = Publisher::start(Framing::New, None).await;
    let mut settings = engine(&publisher.endpoint, Some(&publisher.replay));
    settings.down_after = Duration::from_millis(300);
    let node = Node::start(SHAPE.page_size, vec![settings]).await;
    steps(&mut double, &mut publisher, 50).await;
    node.until_held(&double.truth()).await;
    assert!(!double.truth().is_empty());
    let (endpoint, replay) = publisher.kill().await;
    node.until("withdrawn", |report| report.socket.withdrawals == 1)
        .await;
    node.until_held(&Held::new()).await;
    let report = node.report().unwrap();
    assert!(!report.connected);
    assert!(report.last_error.is_some(), "{report:#?}");
    double.restart();
    let mut publisher = Publisher::start(Framing::New, Some((&endpoint, &replay))).await;
    steps(&mut double, &mut publisher, 20).await;
    node.until_held(&double.truth()).await;
    node.running.shutdown().await;
}

#[tokio::test]
async fn a_node_that_restarts_goes_on_from_what_it_kept() {
    let mut double = Double::new(SHAPE, 3);
    let mut publisher = Publisher::start(Framing::New, None).await;
    let sources = vec![engine(&publisher.endpoint, Some(&publisher.replay))];
    let mut node = Node::start(SHAPE.page_size, sources.clone()).await;
    for _ in 0..3 {
        steps(&mut double, &mut publisher, 40).await;
        node.until_held(&double.truth()).await;
        let dir = Arc::clone(&node.dir);
        node.running.shutdown().await;
        // What was published meanwhile is replayed; what is older is in the store only.
        steps(&mut double, &mut publisher, 10).await;
        publisher.keep(30);
        node = Node::start_in(dir, SHAPE.page_size, sources.clone()).await;
        node.until_held(&double.truth()).await;
        node.until_exact().await;
    }
    node.running.shutdown().await;
}

#[tokio::test]
async fn batches_too_old_to_replay_degrade_a_source_until_the_engine_clears() {
    let mut double = Double::new(SHAPE, 4);
    let mut publisher = Publisher::start(Framing::Old, None).await;
    steps(&mut double, &mut publisher, 100).await;
    publisher.keep(20);
    let sources = vec![engine(&publisher.endpoint, Some(&publisher.replay))];
    let node = Node::start(SHAPE.page_size, sources).await;
    let degraded = |report: &radixmesh::source::SourceReport| report.standing == Standing::Degraded;
    let report = node.until("degraded", degraded).await;
    assert_eq!(report.counters.gaps_lost, 1);
    // What is claimed is held.
    steps(&mut double, &mut publisher, 20).await;
    node.until("all taken in", |report| report.stats.last_seq == Some(119))
        .await;
    let (held, truth) = (node.held(), double.truth());
    assert!(!held.is_empty());
    assert!(held.keys().all(|path| truth.contains_key(path)));
    // The engine clears its cache: from then on nothing is missing.
    let (endpoint, replay) = publisher.kill().await;
    double.restart();
    let mut publisher = Publisher::start(Framing::Old, Some((&endpoint, &replay))).await;
    steps(&mut double, &mut publisher, 20).await;
    node.until_held(&double.truth()).await;
    node.until_exact().await;
    node.running.shutdown().await;
}

#[tokio::test]
async fn engines_may_connect_to_the_node_and_name_their_ranks() {
    // The publisher of this test binds; one that connects is played by a raw socket.
    use zeromq::{PubSocket, Socket, SocketSend, ZmqMessage};
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let endpoint = format!("tcp://127.0.0.1:{port}");
    let mut settings = engine(&endpoint, None);
    let radixmesh::source::Feed::Zmq(feed) = &mut settings.feed else {
        panic!("a ZeroMQ feed");
    };
    feed.bind = true;
    settings.ranks = 1;
    let node = Node::start(SHAPE.page_size, vec![settings]).await;
    let mut events = PubSocket::new();
    events.connect(&endpoint).await.unwrap();
    node.until("connected", |report| report.connected).await;
    let mut double = Double::new(SHAPE, 5);
    // A subscription takes a moment to reach the publisher.
    tokio::time::sleep(Duration::from_millis(200)).await;
    for _ in 0..20 {
        let (seq, payload) = double.step();
        let frames = vec![
            bytes::Bytes::new(),
            seq.to_be_bytes().to_vec().into(),
            payload.into(),
        ];
        events
            .send(ZmqMessage::try_from(frames).unwrap())
            .await
            .unwrap();
    }
    node.until_held(&double.truth()).await;
    node.running.shutdown().await;
}
