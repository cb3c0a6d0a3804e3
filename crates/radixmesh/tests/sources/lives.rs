//! Engines that restart or are gone, nodes that restart, batches that are too old to replay.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engines::event::encode::{Dialect, Say};
use engines::source::Standing;
use radixmesh::radix_core::id::{Namespace, Rank, SourceId, Tier};
use radixmesh::source::{Feed, SourceReport, SourceSettings};
use radixmesh::transport::mem::Network;
use radixmesh::{Mesh, ObserveError, engines};
use zeromq::{PubSocket, Socket, SocketSend, ZmqMessage};

use crate::double::{Double, KEY, Shape};
use crate::mesh::Held;
use crate::publisher::{Framing, Publisher};
use crate::tree::{LIMIT, Node, engine, start_router};

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
    let degraded = |report: &SourceReport| report.standing == Standing::Degraded;
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

/// Sends batch 0 of a rank until it has come: a subscription takes a moment to reach a publisher.
async fn begin(node: &Node, events: &mut PubSocket, rank: u16, payload: &[u8]) {
    let came = |reports: Vec<SourceReport>| {
        let own = reports.into_iter().find(|report| report.rank == rank);
        own.is_some_and(|report| report.counters.batches > 0)
    };
    let began = Instant::now();
    while !came(node.running.mesh().sources()) {
        assert!(began.elapsed() < LIMIT, "rank {rank} is never heard");
        send(events, 0, payload).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn send(events: &mut PubSocket, seq: u64, payload: &[u8]) {
    let frames = vec![
        Bytes::new(),
        seq.to_be_bytes().to_vec().into(),
        Bytes::copy_from_slice(payload),
    ];
    let message = ZmqMessage::try_from(frames).unwrap();
    events.send(message).await.unwrap();
}

/// A batch of that rank that stores one block.
fn block(rank: u32, hash: u64) -> Vec<u8> {
    let mut payload = Vec::new();
    let stored = Say::Stored {
        hashes: vec![hash],
        parent: None,
        tokens: (0..8).map(|token| token + hash as u32).collect(),
        block_size: 8,
        lora: None,
        salt: None,
        medium: "GPU",
        group: (0, "full_attention"),
    };
    SHAPE.dialect.write(&[stored], rank, &mut payload);
    payload
}

#[tokio::test]
async fn ranks_that_connect_to_the_node_are_told_apart_and_do_not_disturb_each_other() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    drop(listener);
    let mut settings = engine(&endpoint, None);
    let Feed::Zmq(feed) = &mut settings.feed else {
        panic!("a ZeroMQ feed");
    };
    feed.bind = true;
    settings.ranks = 2;
    let node = Node::start(SHAPE.page_size, vec![settings]).await;
    let mut publishers = [PubSocket::new(), PubSocket::new(), PubSocket::new()];
    for (rank, events) in (0u16..).zip(&mut publishers) {
        // The node has bound it soon.
        let began = Instant::now();
        while events.connect(&endpoint).await.is_err() {
            assert!(began.elapsed() < LIMIT);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if rank < 2 {
            begin(&node, events, rank, &block(rank.into(), rank.into())).await;
        }
    }
    // Rank 2 is not configured: named, counted, passed over.
    let stray = |report: &SourceReport| report.socket.stray_batches > 0;
    let began = Instant::now();
    while !node.report().is_some_and(|report| stray(&report)) {
        assert!(began.elapsed() < LIMIT);
        send(&mut publishers[2], 0, &block(2, 2)).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let reports = node.running.mesh().sources();
    assert!(reports[0].last_error.as_ref().unwrap().contains("rank 2"));
    for report in reports {
        assert!(report.connected);
        assert_eq!(report.counters.batches, 1, "{report:#?}");
        assert_eq!(report.standing, Standing::Exact, "{report:#?}");
    }
    node.running.shutdown().await;
}

/// The engine's publisher remembers its last five batches only. A router that begins late gets everything from the mesh; one
/// that subscribes for itself gets what is left.
#[tokio::test]
async fn a_router_that_begins_late_knows_all_of_it_and_a_mere_subscriber_does_not() {
    let mut double = Double::new(SHAPE, 6);
    let mut publisher = Publisher::start(Framing::New, None).await;
    let network = Network::new();
    let sources = vec![engine(&publisher.endpoint, Some(&publisher.replay))];
    let node = Node::start_beside(&network, SHAPE.page_size, sources.clone()).await;
    node.until("connected", |report| report.connected).await;
    steps(&mut double, &mut publisher, 300).await;
    node.until_held(&double.truth()).await;
    publisher.keep(5);
    let began = Instant::now();
    let router = start_router(&network, SHAPE.page_size).await;
    let log = async |mesh: &Mesh| {
        let report = mesh.report().await.unwrap();
        let logs = report.origins.into_iter();
        let own = logs.filter(|(rank, ..)| *rank == Rank(0));
        (report.status.ready, own.collect::<Vec<_>>())
    };
    let (_, wanted) = log(node.running.mesh()).await;
    assert!(wanted[0].2 > 0);
    while log(router.mesh()).await != (true, wanted.clone()) {
        assert!(began.elapsed() < LIMIT);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!("the router knows all after {:?}", began.elapsed());
    let alone = Node::start(SHAPE.page_size, sources).await;
    let report = alone
        .until("degraded", |report| report.standing == Standing::Degraded)
        .await;
    assert_eq!(report.counters.gaps_lost, 1);
    let (held, truth) = (alone.held(), double.truth());
    assert!(
        held.len() < truth.len(),
        "{} of {}",
        held.len(),
        truth.len()
    );
    println!("a subscriber knows {} pages of {}", held.len(), truth.len());
    for running in [router, node.running, alone.running] {
        running.shutdown().await;
    }
}

#[tokio::test]
async fn prompts_sent_to_an_engine_without_events_are_taken_for_cached_for_a_time() {
    // Long enough for a busy machine to look in between.
    let ttl = Duration::from_secs(3);
    let settings = SourceSettings::new("guess", SourceId(3), Feed::Approximate { ttl });
    let node = Node::start(4, vec![settings]).await;
    let mut pages = Vec::new();
    KEY.pages(&[1, 2, 3, 4, 5, 6, 7, 8], 4, &mut pages);
    let mesh = node.running.mesh();
    mesh.observe("guess", Namespace::DEFAULT, pages.clone())
        .await
        .unwrap();
    let path = |end: usize| {
        (
            (Namespace::DEFAULT, pages[..end].to_vec()),
            [Tier::Device].into(),
        )
    };
    node.until_held(&Held::from([path(1), path(2)])).await;
    let report = node.report().unwrap();
    assert!(report.approximate && report.standing == Standing::Degraded);
    node.until_held(&Held::new()).await;
    let unknown = mesh
        .observe("other", Namespace::DEFAULT, pages.clone())
        .await;
    assert!(matches!(unknown, Err(ObserveError::Unknown { .. })));
    node.running.shutdown().await;
}

/// A stranger's bytes at the port that the node binds, and payloads that are no batches.
#[tokio::test]
async fn rubbish_is_counted_and_spoils_nothing_that_comes_after() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let endpoint = format!("tcp://{address}");
    let mut settings = engine(&endpoint, None);
    let Feed::Zmq(feed) = &mut settings.feed else {
        panic!("a ZeroMQ feed");
    };
    feed.bind = true;
    let node = Node::start(SHAPE.page_size, vec![settings]).await;
    let began = Instant::now();
    for round in 0u8..20 {
        let mut stranger = loop {
            match TcpStream::connect(address) {
                Ok(stranger) => break stranger,
                Err(error) => assert!(began.elapsed() < LIMIT, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        // It may be hung up on before all is written.
        let _ = stranger.write_all(&[round.wrapping_mul(37); 4_096]);
    }
    let mut events = PubSocket::new();
    events.connect(&endpoint).await.unwrap();
    begin(&node, &mut events, 0, &block(0, 1)).await;
    for frames in [
        &[&b""[..]][..],
        &[b"", b"short", b"x"],
        &[b"a", b"b", b"c", b"d"],
    ] {
        let frames: Vec<Bytes> = frames
            .iter()
            .map(|frame| Bytes::copy_from_slice(frame))
            .collect();
        events
            .send(ZmqMessage::try_from(frames).unwrap())
            .await
            .unwrap();
    }
    node.until("odd messages counted", |report| {
        report.counters.odd_messages == 3
    })
    .await;
    send(&mut events, 1, b"rubbish").await;
    let report = node
        .until("a lost batch", |report| {
            report.counters.malformed_batches == 1
        })
        .await;
    assert_eq!(report.standing, Standing::Degraded, "{report:#?}");
    // The engine's next life is followed as if nothing had been.
    send(&mut events, 0, &block(0, 2)).await;
    let report = node
        .until("the next life", |report| report.counters.restarts == 1)
        .await;
    assert_eq!(report.standing, Standing::Exact, "{report:#?}");
    assert_eq!(node.held().len(), 1);
    node.running.shutdown().await;
}
