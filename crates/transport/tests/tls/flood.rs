//! Many connections that never become any.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use transport::{
    CloseReason, Handler, Identity, Lane, Limits, LinkHandler, Links, NodeId, Peer, Tcp, Verdict,
};

use crate::pki::Ca;

const KNOCKS: usize = 400;

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
    fn on_up(&self, _: &Peer) {
        self.0.send("up".to_owned()).unwrap();
    }
    fn on_down(&self, _: &Peer, why: &CloseReason) {
        self.0.send(format!("down: {why}")).unwrap();
    }
}

async fn start(ca: &Ca, node: u64) -> (Links, mpsc::UnboundedReceiver<String>) {
    let identity = Identity {
        cluster: 7,
        node: NodeId(node),
        epoch: 1,
        boot: node,
        config_hash: 1,
        protocol: (1, 1),
    };
    let (sender, heard) = mpsc::unbounded_channel();
    let transport = Arc::new(Tcp::with_tls(ca.node(node)));
    let handler = Arc::new(Tell(sender));
    let links = Links::start(
        transport,
        "127.0.0.1:0",
        identity,
        Limits::default(),
        handler,
    );
    (links.await.unwrap(), heard)
}

async fn hear(heard: &mut mpsc::UnboundedReceiver<String>) -> String {
    tokio::time::timeout(Duration::from_secs(20), heard.recv())
        .await
        .unwrap()
        .unwrap()
}

/// Hundreds of strangers, silent, talking rubbish or hanging in the middle of a hello: the link stays up and carries
/// frames meanwhile, all of them are counted, and no more than the bound hang about.
#[tokio::test]
async fn hundreds_of_rubbish_connections_leave_a_link_unharmed() {
    let ca = Ca::new();
    let ((one, mut heard_by_one), (two, mut heard_by_two)) =
        (start(&ca, 1).await, start(&ca, 2).await);
    one.set_peers([(NodeId(2), two.local_address().to_owned())]);
    two.set_peers([(NodeId(1), one.local_address().to_owned())]);
    assert_eq!(hear(&mut heard_by_one).await, "up");
    assert_eq!(hear(&mut heard_by_two).await, "up");
    let mut random = fastrand::Rng::with_seed(7);
    let mut strangers = Vec::new();
    for number in 0..KNOCKS {
        let mut stranger = TcpStream::connect(two.local_address()).await.unwrap();
        let bytes: Vec<u8> = match number % 4 {
            0 => Vec::new(),
            1 => (0..random.usize(1..500)).map(|_| random.u8(..)).collect(),
            2 => vec![0x16, 3, 1, 2, 0, 1, 0],
            _ => b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        };
        // It may have been shown out already.
        let _ = stranger.write_all(&bytes).await;
        strangers.push(stranger);
        let words = format!("frame {number}");
        one.try_send_with(NodeId(2), Lane::Data, words.len(), |to| {
            to.copy_from_slice(words.as_bytes())
        })
        .unwrap();
        assert_eq!(hear(&mut heard_by_two).await, words);
    }
    let count = |name: &str, label: &str| two.counters().get(name, label).unwrap();
    let gone = || {
        let tls = transport::tls::TlsError::LABELS;
        let named: u64 = tls.iter().map(|label| count("tls_errors", label)).sum();
        named
            + count("handshakes_evicted_of_source", "")
            + count("handshakes_evicted", "")
            + count("handshakes_broken", "")
    };
    let waiting = Limits::default().connections_pending_per_source_max as u64;
    tokio::time::timeout(Duration::from_secs(20), async {
        while gone() < KNOCKS as u64 - waiting {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("all but the bound are shown out, each by a name");
    assert!(one.is_up(NodeId(2)) && two.is_up(NodeId(1)));
    assert_eq!(count("opened", ""), 1);
    assert_eq!(heard_by_one.try_recv().ok(), None);
}
