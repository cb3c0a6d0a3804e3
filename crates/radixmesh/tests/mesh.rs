//! Whole nodes in one process over the in-memory transport.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use radixmesh::node::Publish;
use radixmesh::radix_core::FingerprintKey;
use radixmesh::radix_core::id::{Namespace, Rank, SourceId, Tier};
use radixmesh::topology::Role;
use radixmesh::transport::mem::Network;
use radixmesh::{Config, Member, Mesh, Running, SimulatedEngine};

const ROLES: [Role; 3] = [Role::Prefill, Role::Decode, Role::Router];

async fn start(network: &Network, cluster: &str, rank: u16) -> Running {
    start_with(network, cluster, rank, |_| ()).await
}

async fn start_with(
    network: &Network,
    cluster: &str,
    rank: u16,
    change: impl FnOnce(&mut Config),
) -> Running {
    let member = |(number, role): (usize, &Role)| Member {
        role: *role,
        address: format!("node-{number}"),
    };
    let members = ROLES.iter().enumerate().map(member).collect();
    let mut config = Config::new(cluster, FingerprintKey::new(42), members, Rank(rank));
    change(&mut config);
    Mesh::start(config, Arc::new(network.transport()))
        .await
        .expect("a valid configuration")
}

fn store(mesh: &Mesh, tokens: &[u32]) -> Publish {
    let mut pages = Vec::new();
    mesh.config().fingerprint_key.pages(tokens, 16, &mut pages);
    let (source, namespace, tier) = (SourceId(0), Namespace::DEFAULT, Tier::Device);
    Publish::Store {
        source,
        namespace,
        tier,
        pages,
        from: 0,
        renew: false,
    }
}

/// Waits until `condition` holds; panics with `what` after ten seconds.
async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn ready(mesh: &Mesh) -> bool {
    mesh.report().await.expect("running").status.ready
}

#[tokio::test]
async fn what_one_node_publishes_every_node_finds_and_the_router_routes_to() {
    let network = Network::new();
    let mut nodes = Vec::new();
    for rank in 0..3 {
        nodes.push(start(&network, "one", rank).await);
    }
    for node in &nodes {
        eventually("ready", async || ready(node.mesh()).await).await;
    }
    let tokens: Vec<u32> = (0..100).collect();
    let receipt = nodes[1]
        .mesh()
        .publish_one(store(nodes[1].mesh(), &tokens))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(receipt.stored[0].len, 6);

    let mut lookup = nodes[2].mesh().lookup().unwrap();
    lookup.prompt(&tokens);
    eventually("the router finds six pages", async || {
        lookup.read(Namespace::DEFAULT) && lookup.matches().deepest() == 6
    })
    .await;
    let decision = lookup.decide(Namespace::DEFAULT);
    assert_eq!(
        decision.decode.map(|choice| (choice.rank, choice.matched)),
        Some((Rank(1), 6))
    );
    assert_eq!(
        decision.prefill.map(|choice| (choice.rank, choice.matched)),
        Some((Rank(0), 0))
    );

    let again = nodes[1]
        .mesh()
        .publish_one(store(nodes[1].mesh(), &tokens))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((again.stored.len(), again.already_held), (0, 6));
    for node in nodes {
        node.shutdown().await;
    }
}

#[tokio::test]
async fn a_restarted_node_comes_back_by_snapshot_and_its_old_copies_are_gone() {
    let network = Network::new();
    let first = start(&network, "two", 0).await;
    let second = start(&network, "two", 1).await;
    let third = start(&network, "two", 2).await;
    for node in [&first, &second, &third] {
        eventually("ready", async || ready(node.mesh()).await).await;
    }
    let (one, two): (Vec<u32>, Vec<u32>) = ((0..64).collect(), (1000..1064).collect());
    first
        .mesh()
        .publish_one(store(first.mesh(), &one))
        .await
        .unwrap()
        .unwrap();
    second
        .mesh()
        .publish_one(store(second.mesh(), &two))
        .await
        .unwrap()
        .unwrap();
    let depth = |mesh: &Mesh, tokens: &[u32]| {
        let mut lookup = mesh.lookup().unwrap();
        lookup.prompt(tokens);
        let _ = lookup.read(Namespace::DEFAULT);
        lookup.matches().deepest()
    };
    eventually("replicated", async || {
        depth(third.mesh(), &one) == 4 && depth(third.mesh(), &two) == 4
    })
    .await;

    first.shutdown().await;
    let first = start(&network, "two", 0).await;
    eventually("ready again", async || ready(first.mesh()).await).await;
    assert_eq!(depth(first.mesh(), &two), 4, "ready means caught up");
    eventually("the old life is gone everywhere", async || {
        depth(second.mesh(), &one) == 0 && depth(third.mesh(), &one) == 0
    })
    .await;
    for node in [first, second, third] {
        node.shutdown().await;
    }
}

#[tokio::test]
async fn a_request_that_is_given_up_leaves_no_copy_that_no_eviction_can_name() {
    let network = Network::new();
    let running = start_with(&network, "four", 0, |config| {
        config.simulated_engine = Some(SimulatedEngine {
            capacity_pages: 4,
            prefill_ns_per_token: 0,
        });
    })
    .await;
    let mesh = running.mesh();
    let engine = mesh.engine().unwrap();
    let mut lookup = mesh.lookup().unwrap();
    let (first, second): (Vec<u32>, Vec<u32>) = ((0..64).collect(), (100..164).collect());

    lookup.prompt(&first);
    let pages = lookup.pages().to_vec();
    let mut given_up = Box::pin(engine.run(mesh, Namespace::DEFAULT, pages, false));
    let waits = poll_fn(|cx| Poll::Ready(given_up.as_mut().poll(cx).is_pending())).await;
    assert!(waits, "for the node's thread");
    drop(given_up);
    eventually("the publish of the request that was given up", async || {
        lookup.read(Namespace::DEFAULT) && lookup.matches().deepest() == 4
    })
    .await;

    lookup.prompt(&second);
    let pages = lookup.pages().to_vec();
    let run = engine
        .run(mesh, Namespace::DEFAULT, pages, false)
        .await
        .unwrap();
    assert_eq!((run.stored_pages, run.evicted_pages), (4, 4));
    lookup.prompt(&first);
    mesh.read_exact(&mut lookup, Namespace::DEFAULT)
        .await
        .unwrap();
    assert_eq!(lookup.matches().deepest(), 0, "the engine evicted it");
    running.shutdown().await;
}
