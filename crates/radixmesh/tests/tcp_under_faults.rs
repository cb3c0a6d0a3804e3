//! Whole nodes in one process over TCP, with a proxy on every link.

use std::sync::Arc;
use std::time::{Duration, Instant};

use faultnet::{Condition, Proxy};
use radixmesh::node::Publish;
use radixmesh::oplog::OriginDigests;
use radixmesh::radix_core::FingerprintKey;
use radixmesh::radix_core::id::{Namespace, Rank, SourceId, Tier};
use radixmesh::topology::{Role, limits::MISSES};
use radixmesh::transport::Tcp;
use radixmesh::{Config, Member, Mesh, Running};

const HEARTBEAT: Duration = Duration::from_millis(200);
/// What a busy machine may add to a bound.
const SLACK: Duration = Duration::from_secs(2);

/// Nodes 0, 1 and 2, and the proxies of the links 0-1, 0-2 and 1-2.
struct Trio {
    nodes: Vec<Running>,
    links: [Proxy; 3],
}

impl Trio {
    async fn start() -> Trio {
        let mut links = Vec::new();
        for seed in 0..3 {
            links.push(Proxy::start(seed).await.expect("a free port"));
        }
        let links: [Proxy; 3] = links.try_into().expect("three of them");
        let dials = [[None, Some(0), Some(1)], [None, None, Some(2)], [None; 3]];
        let mut nodes = Vec::new();
        for (rank, dials) in (0..).zip(dials) {
            // Nobody is dialed but through the proxies.
            let member = |other| Member {
                role: Role::Prefill,
                address: format!("127.0.0.1:{}", other + 1),
            };
            let members = (0..3).map(member).collect();
            let dials = (0..).map(Rank).zip(dials);
            let through =
                |(to, link): (Rank, Option<usize>)| Some((to, links[link?].address().to_string()));
            let via = dials.filter_map(through).collect();
            let mut config = Config::new("trio", FingerprintKey::new(42), members, Rank(rank));
            config.listen = Some("127.0.0.1:0".to_owned());
            config.heartbeat = HEARTBEAT;
            config.via = via;
            let node = Mesh::start(config, Arc::new(Tcp::default())).await;
            nodes.push(node.expect("a valid configuration"));
        }
        for (link, target) in links.iter().zip([1, 2, 2]) {
            let address = nodes[target].mesh().local_address();
            link.aim(address.parse().expect("a socket address"));
        }
        let trio = Trio { nodes, links };
        eventually("everybody is ready", async || {
            for node in 0..3u16 {
                for other in 0..3u16 {
                    if !trio.sees(node, other).await {
                        return false;
                    }
                }
            }
            true
        })
        .await;
        trio
    }

    fn mesh(&self, node: u16) -> &Mesh {
        self.nodes[usize::from(node)].mesh()
    }

    /// Whether `node` sees `other` as up and ready.
    async fn sees(&self, node: u16, other: u16) -> bool {
        let status = self.mesh(node).report().await.expect("running").status;
        status.members[usize::from(other)].view.routable()
    }

    /// How far `node` has the log of `origin`, and what it holds.
    async fn log(&self, node: u16, origin: u16) -> Option<(OriginDigests, u64)> {
        let report = self.mesh(node).report().await.expect("running");
        let mut logs = report.origins.into_iter();
        let (_, digests, copies) = logs.find(|(rank, ..)| *rank == Rank(origin))?;
        Some((digests, copies))
    }

    /// Publishes some pages that nobody has; returns how long that took.
    async fn publish(&self, node: u16, number: u32, pages: u32) -> Duration {
        let mesh = self.mesh(node);
        let first = u32::from(node) << 28 | number << 14;
        let tokens: Vec<u32> = (first..first + pages * 16).collect();
        let mut pages = Vec::new();
        mesh.config().fingerprint_key.pages(&tokens, 16, &mut pages);
        let asked = Instant::now();
        let publish = Publish::Store {
            source: SourceId(0),
            namespace: Namespace::DEFAULT,
            tier: Tier::Device,
            pages,
            from: 0,
            renew: false,
        };
        let receipt = mesh.publish_one(publish).await.expect("running");
        receipt.expect("a good publish");
        asked.elapsed()
    }

    async fn agree(&self, what: &str, nodes: [u16; 2], origin: u16) {
        eventually(what, async || {
            let [one, other] = nodes;
            let log = self.log(one, origin).await;
            log.is_some() && log == self.log(other, origin).await
        })
        .await;
    }

    async fn shutdown(self) {
        for node in self.nodes {
            node.shutdown().await;
        }
    }
}

/// Waits until `condition` holds; panics with `what` after twenty seconds.
async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

// spec: TOPO-10, TOPO-11
#[tokio::test]
async fn a_half_open_neighbour_is_hidden_after_four_heartbeats_and_catches_up_afterwards() {
    let trio = Trio::start().await;
    let [near, _, far] = &trio.links;
    near.set(Condition::BLACK_HOLE);
    far.set(Condition::BLACK_HOLE);
    let began = Instant::now();
    eventually("the successor hides node 1", async || {
        !trio.sees(2, 1).await
    })
    .await;
    let took = began.elapsed();
    let bound = HEARTBEAT * (u32::from(MISSES) + 1);
    assert!(took < bound + HEARTBEAT + SLACK, "{took:?}");

    for number in 0..20 {
        trio.publish(0, number, 4).await;
    }
    trio.agree("node 2 has what node 0 published", [0, 2], 0)
        .await;
    assert_eq!(
        trio.log(1, 0).await.map_or(0, |(_, copies)| copies),
        0,
        "node 1 hears nothing"
    );
    near.set(Condition::PASS);
    far.set(Condition::PASS);
    trio.agree("node 1 has what node 0 published", [0, 1], 0)
        .await;
    eventually("node 1 is seen again", async || {
        trio.sees(2, 1).await && trio.sees(0, 1).await && trio.sees(1, 0).await
    })
    .await;
    trio.shutdown().await;
}

#[tokio::test]
async fn a_peer_that_reads_nothing_holds_up_no_publish_and_nobody_else() {
    let trio = Trio::start().await;
    let [_, stuck, _] = &trio.links;
    stuck.set(Condition::HELD);
    let mut longest = Duration::ZERO;
    for number in 0..2_000 {
        longest = longest.max(trio.publish(0, number, 400).await);
    }
    assert!(longest < SLACK, "a publish took {longest:?}");
    trio.agree("node 1 has everything", [0, 1], 0).await;
    trio.agree("node 2 has it through node 1", [0, 2], 0).await;
    stuck.set(Condition::PASS);
    trio.publish(0, 5_000, 4).await;
    trio.agree("node 2 has what came later", [0, 2], 0).await;
    trio.shutdown().await;
}
