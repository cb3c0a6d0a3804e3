//! Links over a network that breaks: the in-memory network can be cut, frozen and mended.
#![expect(
    clippy::unwrap_used,
    reason = "clippy knows test functions, but not the helpers of a test file"
)]

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use transport::mem::{Link, Network};
use transport::{
    CloseReason, Handler, Identity, Lane, Limits, LinkHandler, Links, NodeId, Peer, Transport,
    Verdict,
};

struct Tell(mpsc::UnboundedSender<String>);

impl Handler for Tell {
    fn on_frame(&self, _: &Peer, _: Lane, frame: &[u8]) -> Verdict {
        self.0
            .send(String::from_utf8_lossy(frame).into_owned())
            .unwrap();
        Verdict::Continue
    }
}

impl LinkHandler for Tell {
    fn on_up(&self, peer: &Peer) {
        self.0.send(format!("up {}", peer.node)).unwrap();
    }
    fn on_down(&self, peer: &Peer, why: &CloseReason) {
        self.0
            .send(format!("down {}: {}", peer.node, why.label()))
            .unwrap();
    }
}

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);

struct Node {
    links: Links,
    heard: mpsc::UnboundedReceiver<String>,
    transport: Arc<dyn Transport>,
}

async fn node(network: &Network, node: NodeId) -> Node {
    let transport: Arc<dyn Transport> = Arc::new(network.transport());
    let identity = Identity {
        cluster: 1,
        node,
        epoch: 1,
        boot: node.0,
        config_hash: 1,
        protocol: (1, 1),
    };
    let (sender, heard) = mpsc::unbounded_channel();
    let limits = Limits {
        handshake_timeout: Duration::from_millis(50),
        ..Limits::default()
    };
    let links = Links::start(
        transport.clone(),
        &format!("node-{node}"),
        identity,
        limits,
        Arc::new(Tell(sender)),
    )
    .await;
    Node {
        links: links.unwrap(),
        heard,
        transport,
    }
}

impl Node {
    async fn hear(&mut self) -> String {
        tokio::time::timeout(Duration::from_secs(20), self.heard.recv())
            .await
            .unwrap()
            .unwrap()
    }
}

async fn two(network: &Network) -> (Node, Node) {
    let (mut one, mut two) = (node(network, ONE).await, node(network, TWO).await);
    one.links.set_peers([(TWO, "node-2".to_owned())]);
    two.links.set_peers([(ONE, "node-1".to_owned())]);
    assert_eq!(one.hear().await, "up 2");
    assert_eq!(two.hear().await, "up 1");
    (one, two)
}

#[tokio::test(start_paused = true)]
async fn a_cut_link_goes_down_at_both_ends_and_comes_up_when_it_is_mended() {
    let network = Network::new();
    let (mut one, mut two) = two(&network).await;
    for _ in 0..5 {
        network.set_link(ONE, TWO, Link::Cut);
        assert_eq!(one.hear().await, "down 2: peer_gone");
        assert_eq!(two.hear().await, "down 1: peer_gone");
        tokio::time::advance(Duration::from_secs(7)).await;
        network.set_link(ONE, TWO, Link::Whole);
        assert_eq!(one.hear().await, "up 2");
        assert_eq!(two.hear().await, "up 1");
    }
    one.links
        .try_send_with(TWO, Lane::Data, 5, |buffer| {
            buffer.copy_from_slice(b"hello")
        })
        .unwrap();
    assert_eq!(two.hear().await, "hello");
}

#[tokio::test(start_paused = true)]
async fn dials_are_paced_while_a_link_is_cut() {
    let network = Network::new();
    let (mut one, _two) = two(&network).await;
    network.set_link(ONE, TWO, Link::Cut);
    assert_eq!(one.hear().await, "down 2: peer_gone");
    let before = one.transport.counters().get("dials", "").unwrap();
    tokio::time::sleep(Duration::from_secs(100)).await;
    let dials = one.transport.counters().get("dials", "").unwrap() - before;
    assert!(
        (100..=210).contains(&dials),
        "{dials} dials in 100 s with pauses of 0.5 to 1 s"
    );
}

#[tokio::test(start_paused = true)]
async fn a_frozen_link_keeps_what_was_sent_and_delivers_it_later() {
    let network = Network::new();
    let (one, mut two) = two(&network).await;
    network.set_link(ONE, TWO, Link::Frozen);
    one.links
        .try_send_with(TWO, Lane::Data, 5, |buffer| {
            buffer.copy_from_slice(b"hello")
        })
        .unwrap();
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(two.heard.try_recv().is_err());
    network.set_link(ONE, TWO, Link::Whole);
    assert_eq!(two.hear().await, "hello");
}

#[tokio::test(start_paused = true)]
async fn a_dial_into_a_frozen_link_times_out_and_is_tried_again() {
    let network = Network::new();
    network.set_link(ONE, TWO, Link::Frozen);
    let (mut one, mut two) = (node(&network, ONE).await, node(&network, TWO).await);
    one.links.set_peers([(TWO, "node-2".to_owned())]);
    two.links.set_peers([(ONE, "node-1".to_owned())]);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(
        one.transport
            .counters()
            .get("handshakes_timed_out", "")
            .unwrap()
            > 5
    );
    network.set_link(ONE, TWO, Link::Whole);
    assert_eq!(one.hear().await, "up 2");
    assert_eq!(two.hear().await, "up 1");
}

#[tokio::test(start_paused = true)]
async fn the_last_links_to_be_dropped_end_everything() {
    let network = Network::new();
    let (mut one, two) = two(&network).await;
    let again = two.links.clone();
    drop(two.links);
    again
        .try_send_with(ONE, Lane::Data, 5, |buffer| {
            buffer.copy_from_slice(b"still")
        })
        .unwrap();
    assert_eq!(one.hear().await, "still");
    drop(again);
    assert_eq!(one.hear().await, "down 2: remote");
}

/// Several threads, several senders: what the single-threaded tests cannot interleave.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn links_hold_up_on_several_threads() {
    let network = Network::new();
    let (one, mut two) = two(&network).await;
    let senders: Vec<_> = (0..4u8)
        .map(|sender| {
            let links = one.links.clone();
            tokio::spawn(async move {
                for n in 0..2_000u32 {
                    let words = format!("{sender} {n}");
                    let lane = Lane::ALL[usize::from(sender) % 3];
                    while links
                        .try_send_with(TWO, lane, words.len(), |buffer| {
                            buffer.copy_from_slice(words.as_bytes())
                        })
                        .is_err()
                    {
                        tokio::task::yield_now().await;
                    }
                }
            })
        })
        .collect();
    let mut next = [0u32; 4];
    while next != [2_000; 4] {
        let heard = two.hear().await;
        let (sender, n) = heard.split_once(' ').unwrap();
        let expected = &mut next[sender.parse::<usize>().unwrap()];
        assert_eq!(n.parse::<u32>().unwrap(), *expected);
        *expected += 1;
    }
    for sender in senders {
        sender.await.unwrap();
    }
    one.links.shutdown().await;
    assert_eq!(two.hear().await, "down 1: remote");
}
