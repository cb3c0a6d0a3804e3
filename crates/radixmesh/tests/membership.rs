//! Members that come and go, in one process over the in-memory transport.

use std::sync::Arc;
use std::time::{Duration, Instant};

use radixmesh::node::Publish;
use radixmesh::radix_core::FingerprintKey;
use radixmesh::radix_core::id::{Namespace, Rank, SourceId, Tier};
use radixmesh::topology::{ForgetError, Role, Status};
use radixmesh::transport::mem::Network;
use radixmesh::{Config, Ended, Member, Mesh, Running, StartError};

const HEARTBEAT: Duration = Duration::from_millis(100);

fn quick(mut config: Config) -> Config {
    config.heartbeat = HEARTBEAT;
    config.exchange = Duration::from_millis(50);
    config.join_timeout = Duration::from_secs(10);
    config
}

/// One of the two that are configured: `node-0` and `node-1`.
async fn configured(network: &Network, rank: u16) -> Running {
    let member = |number| Member {
        role: Role::Prefill,
        address: format!("node-{number}"),
    };
    let members = (0..2).map(member).collect();
    let config = Config::new("coming", FingerprintKey::new(42), members, Rank(rank));
    Mesh::start(quick(config), Arc::new(network.transport()))
        .await
        .expect("a valid configuration")
}

async fn pair(network: &Network) -> [Running; 2] {
    let pair = [configured(network, 0).await, configured(network, 1).await];
    for node in &pair {
        eventually("the pair is ready", async || {
            sees(node, 0).await && sees(node, 1).await
        })
        .await;
    }
    pair
}

async fn join(
    network: &Network,
    rank: u16,
    address: &str,
    via: &str,
    change: impl FnOnce(&mut Config),
) -> Result<Running, StartError> {
    let member = Member {
        role: Role::Decode,
        address: address.to_owned(),
    };
    let (key, via) = (FingerprintKey::new(42), vec![via.to_owned()]);
    let mut config = quick(Config::joining("coming", key, Rank(rank), member, via));
    change(&mut config);
    Mesh::start(config, Arc::new(network.transport())).await
}

async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether requests may be routed to `rank`, as `node` sees it.
async fn sees(node: &Running, rank: u16) -> bool {
    let status = node.mesh().report().await.expect("running").status;
    let member = status
        .members
        .iter()
        .find(|member| member.view.rank == Rank(rank));
    member.is_some_and(|member| member.view.routable())
}

/// What `node` believes of `rank`, and where that is.
async fn believes(node: &Running, rank: u16) -> Option<(Status, String)> {
    let status = node.mesh().report().await.expect("running").status;
    let member = status
        .members
        .into_iter()
        .find(|member| member.view.rank == Rank(rank));
    member.map(|member| (member.view.status, member.address))
}

async fn publish(node: &Running, tokens: &[u32]) {
    let mut pages = Vec::new();
    node.mesh()
        .config()
        .fingerprint_key
        .pages(tokens, 16, &mut pages);
    let (source, namespace, tier) = (SourceId(0), Namespace::DEFAULT, Tier::Device);
    let store = Publish::Store {
        source,
        namespace,
        tier,
        pages,
        from: 0,
        renew: false,
    };
    let published = node.mesh().publish_one(store).await.expect("running");
    published.expect("a good publish");
}

fn depth(node: &Running, tokens: &[u32]) -> u32 {
    let mut lookup = node.mesh().lookup().expect("a free reader");
    lookup.prompt(tokens);
    let _ = lookup.read(Namespace::DEFAULT);
    lookup.matches().deepest()
}

#[tokio::test]
async fn a_node_joins_through_any_member_and_everybody_works_with_it() {
    let network = Network::new();
    let pair = pair(&network).await;
    let (old, new): (Vec<u32>, Vec<u32>) = ((0..64).collect(), (1_000..1_064).collect());
    publish(&pair[0], &old).await;
    let seven = join(&network, 7, "seven", "node-1", |_| ()).await.unwrap();
    eventually("it is ready", async || sees(&seven, 7).await).await;
    assert_eq!(depth(&seven, &old), 4, "ready means caught up");
    for node in &pair {
        eventually("everybody sees it", async || sees(node, 7).await).await;
    }
    publish(&seven, &new).await;
    for node in &pair {
        eventually("what it publishes is found", async || {
            depth(node, &new) == 4
        })
        .await;
    }
    let mut lookup = pair[0].mesh().lookup().unwrap();
    lookup.prompt(&new);
    let _ = lookup.read(Namespace::DEFAULT);
    let decode = lookup
        .decide(Namespace::DEFAULT)
        .decode
        .expect("a decode node");
    assert_eq!((decode.rank, decode.matched), (Rank(7), 4));
    assert_eq!(lookup.address(Rank(7)).as_deref(), Some("seven"));

    // One more, through the one that came last.
    let nine = join(&network, 9, "nine", "seven", |_| ()).await.unwrap();
    for node in pair.iter().chain([&seven]) {
        eventually("everybody sees the next one", async || sees(node, 9).await).await;
    }
    for node in pair.into_iter().chain([seven, nine]) {
        node.shutdown().await;
    }
}

#[tokio::test]
async fn a_node_that_leaves_ends_and_its_rank_is_free_at_once() {
    let network = Network::new();
    let pair = pair(&network).await;
    let mut seven = join(&network, 7, "seven", "node-0", |_| ()).await.unwrap();
    let tokens: Vec<u32> = (0..64).collect();
    publish(&seven, &tokens).await;
    for node in &pair {
        eventually("they see it", async || {
            sees(node, 7).await && depth(node, &tokens) == 4
        })
        .await;
    }
    seven
        .mesh()
        .leave(Duration::from_millis(300))
        .await
        .unwrap();
    eventually("nobody routes to it while it drains", async || {
        !sees(&pair[0], 7).await
    })
    .await;
    assert_eq!(seven.ended().await, Ended::Left);
    for node in &pair {
        eventually("it is forgotten with its copies", async || {
            believes(node, 7).await.is_none() && depth(node, &tokens) == 0
        })
        .await;
    }
    let again = join(&network, 7, "elsewhere", "node-1", |_| ())
        .await
        .unwrap();
    for node in &pair {
        eventually("the next one is there", async || sees(node, 7).await).await;
    }
    for node in pair.into_iter().chain([seven, again]) {
        node.shutdown().await;
    }
}

#[tokio::test]
async fn a_rank_is_taken_while_its_holder_lives_and_free_when_it_died() {
    let network = Network::new();
    let pair = pair(&network).await;
    let seven = join(&network, 7, "seven", "node-0", |_| ()).await.unwrap();
    for node in &pair {
        eventually("they see it", async || sees(node, 7).await).await;
    }
    let short = |config: &mut Config| config.join_timeout = Duration::from_millis(400);
    match join(&network, 7, "second", "node-1", short).await.err() {
        Some(StartError::RankTaken {
            rank: Rank(7), why, ..
        }) => {
            assert!(why.contains("seven"), "{why} names the holder");
        }
        other => panic!("{other:?} instead of a taken rank"),
    }
    match join(&network, 1, "second", "node-1", short).await.err() {
        Some(StartError::RankTaken { rank: Rank(1), .. }) => {}
        other => panic!("{other:?} instead of a taken rank"),
    }
    match join(&network, 8, "eight", "nowhere", short).await.err() {
        Some(StartError::NoAnswer { rank: Rank(8), .. }) => {}
        other => panic!("{other:?} instead of no answer"),
    }
    let other = |config: &mut Config| config.page_size = 8;
    match join(&network, 8, "eight", "node-1", other).await.err() {
        Some(StartError::NotLetIn { rank: Rank(8), why }) => {
            assert!(why.contains("config"), "{why}");
        }
        other => panic!("{other:?} instead of a refusal"),
    }
    assert!(sees(&pair[0], 7).await, "the holder was not disturbed");

    let refused = pair[0].mesh().forget(Rank(7)).await.unwrap();
    assert!(
        matches!(refused, Err(ForgetError::TakesPart { .. })),
        "{refused:?}"
    );
    seven.shutdown().await;
    let began = Instant::now();
    let next = join(&network, 7, "second", "node-1", |_| ()).await.unwrap();
    println!("joined {:?} after the holder was stopped", began.elapsed());
    for node in &pair {
        eventually("the replacement is there", async || {
            sees(node, 7).await
                && believes(node, 7)
                    .await
                    .is_some_and(|(_, at)| at == "second")
        })
        .await;
    }
    for node in pair.into_iter().chain([next]) {
        node.shutdown().await;
    }
}

#[tokio::test]
async fn a_member_that_is_down_is_forgotten_at_the_operators_word() {
    let network = Network::new();
    let pair = pair(&network).await;
    let tokens: Vec<u32> = (0..64).collect();
    let seven = join(&network, 7, "seven", "node-0", |_| ()).await.unwrap();
    publish(&seven, &tokens).await;
    for node in &pair {
        eventually("they see it", async || {
            sees(node, 7).await && depth(node, &tokens) == 4
        })
        .await;
    }
    seven.shutdown().await;
    for node in &pair {
        eventually("they find it down", async || {
            matches!(believes(node, 7).await, Some((Status::Down, _)))
        })
        .await;
    }
    assert_eq!(
        depth(&pair[0], &tokens),
        4,
        "its copies are hidden, not gone"
    );
    pair[1].mesh().forget(Rank(7)).await.unwrap().unwrap();
    for node in &pair {
        eventually("it is forgotten everywhere", async || {
            believes(node, 7).await.is_none() && depth(node, &tokens) == 0
        })
        .await;
    }
    let unknown = pair[0].mesh().forget(Rank(7)).await.unwrap();
    assert!(
        matches!(unknown, Err(ForgetError::Unknown { .. })),
        "{unknown:?}"
    );
    for node in pair {
        node.shutdown().await;
    }
}
