//! Two nodes in one process over TCP: node 1 says something, node 2 echoes it.
//!
//! `cargo run -p transport --example echo`

use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;
use transport::{
    CloseReason, Handler, Identity, Lane, Limits, LinkHandler, Links, NodeId, Peer, Tcp, Verdict,
};

/// Sends every frame back on the lane it came on.
#[derive(Default)]
struct Echo {
    links: OnceLock<Links>,
}

impl Handler for Echo {
    fn on_frame(&self, peer: &Peer, lane: Lane, frame: &[u8]) -> Verdict {
        let Some(links) = self.links.get() else {
            return Verdict::Disconnect("not ready yet");
        };
        match links.try_send_with(peer.node, lane, frame.len(), |buffer| {
            buffer.copy_from_slice(frame)
        }) {
            Ok(()) => Verdict::Continue,
            Err(_) => Verdict::Disconnect("the echo does not fit"),
        }
    }
}

impl LinkHandler for Echo {
    fn on_up(&self, peer: &Peer) {
        println!("echo: up with {peer}");
    }
    fn on_down(&self, peer: &Peer, why: &CloseReason) {
        println!("echo: down with {peer}: {why}");
    }
}

/// Hands everything to the main function.
struct Caller(mpsc::UnboundedSender<String>);

impl Handler for Caller {
    fn on_frame(&self, _: &Peer, lane: Lane, frame: &[u8]) -> Verdict {
        let _ = self
            .0
            .send(format!("{lane}: {}", String::from_utf8_lossy(frame)));
        Verdict::Continue
    }
}

impl LinkHandler for Caller {
    fn on_up(&self, peer: &Peer) {
        let _ = self.0.send(format!("up with {peer}"));
    }
    fn on_down(&self, peer: &Peer, why: &CloseReason) {
        let _ = self.0.send(format!("down with {peer}: {why}"));
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let identity = |node| Identity {
        cluster: 42,
        node: NodeId(node),
        epoch: 1,
        boot: u64::from(std::process::id()),
        config_hash: 0,
        protocol: (1, 1),
    };
    let (sender, mut events) = mpsc::unbounded_channel();
    let echo = Arc::new(Echo::default());
    let limits = Limits::default();
    let one = Links::start(
        Arc::new(Tcp::new()),
        "127.0.0.1:0",
        identity(1),
        limits.clone(),
        Arc::new(Caller(sender)),
    )
    .await?;
    let two = Links::start(
        Arc::new(Tcp::new()),
        "127.0.0.1:0",
        identity(2),
        limits,
        echo.clone(),
    )
    .await?;
    let _ = echo.links.set(two.clone());
    two.set_peers([(NodeId(1), one.local_address().to_owned())]);
    one.set_peers([(NodeId(2), two.local_address().to_owned())]);

    println!("{}", events.recv().await.ok_or("no link")?);
    let words = b"a longest prefix";
    one.try_send_with(NodeId(2), Lane::Data, words.len(), |buffer| {
        buffer.copy_from_slice(words)
    })?;
    println!("{}", events.recv().await.ok_or("no echo")?);
    one.shutdown().await;
    two.shutdown().await;
    Ok(())
}
