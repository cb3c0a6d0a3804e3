//! How fast the links are: round trips of 64 bytes, and a stream of small frames, over TCP on this machine.
//!
//! `cargo run --release -p transport --example ping_pong [-- --tls]`
//!
//! Two single-threaded runtimes on two threads, as two nodes would be. The numbers are of the whole way: encode,
//! checksum, lane, socket, parse, handler; with `--tls` also of the encryption. CPU time is that of both ends.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use transport::tls::{Credentials, Files, Name};
use transport::{
    CloseReason, Handler, Identity, Lane, Limits, LinkHandler, Links, NodeId, Peer, Tcp, Verdict,
};

const ROUND_TRIPS: usize = 100_000;
const STREAM: u64 = 5_000_000;
const BLOCKS: u64 = 40_000;

/// Answers control frames at once, and counts the others.
#[derive(Default)]
struct Server {
    links: OnceLock<Links>,
    frames: AtomicU64,
    expected: AtomicU64,
}

impl Handler for Server {
    fn on_frame(&self, peer: &Peer, lane: Lane, frame: &[u8]) -> Verdict {
        let Some(links) = self.links.get() else {
            return Verdict::Disconnect("not ready");
        };
        let answer = |lane| {
            links.try_send_with(peer.node, lane, frame.len(), |to| to.copy_from_slice(frame))
        };
        let counted = if lane == Lane::Control {
            0
        } else {
            self.frames.fetch_add(1, Relaxed) + 1
        };
        if (lane == Lane::Control || counted == self.expected.load(Relaxed))
            && answer(Lane::Control).is_err()
        {
            return Verdict::Disconnect("the answer does not fit");
        }
        Verdict::Continue
    }
}

impl LinkHandler for Server {
    fn on_up(&self, _: &Peer) {}
    fn on_down(&self, _: &Peer, _: &CloseReason) {}
}

/// Sends the next ping from within the handler of the last pong: no task in between.
#[derive(Default)]
struct Client {
    links: OnceLock<Links>,
    up: Notify,
    pinging: Mutex<Pinging>,
    done: Notify,
    room: Notify,
}

#[derive(Default)]
struct Pinging {
    left: usize,
    sent: Option<Instant>,
    times_ns: Vec<u64>,
}

impl Client {
    fn ping(&self) {
        if let Some(links) = self.links.get() {
            let _ = links.try_send_with(NodeId(2), Lane::Control, 64, |to| to.fill(1));
        }
    }
}

impl Handler for Client {
    fn on_frame(&self, _: &Peer, _: Lane, _: &[u8]) -> Verdict {
        let Ok(mut pinging) = self.pinging.lock() else {
            return Verdict::Disconnect("poisoned");
        };
        let now = Instant::now();
        if let Some(sent) = pinging.sent.replace(now) {
            pinging.times_ns.push((now - sent).as_nanos() as u64);
        }
        if pinging.left == 0 {
            pinging.sent = None;
            self.done.notify_one();
        } else {
            pinging.left -= 1;
            self.ping();
        }
        Verdict::Continue
    }

    fn on_room(&self, _: &Peer, _: Lane) {
        self.room.notify_one();
    }
}

impl LinkHandler for Client {
    fn on_up(&self, _: &Peer) {
        self.up.notify_one();
    }
    fn on_down(&self, _: &Peer, why: &CloseReason) {
        println!("down: {why}");
    }
}

fn identity(node: u64) -> Identity {
    Identity {
        cluster: 1,
        node: NodeId(node),
        epoch: 1,
        boot: 1,
        config_hash: 1,
        protocol: (1, 1),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// Plays ping-pong and prints how long it took.
async fn round_trips(client: &Client, name: &str, trips: usize) {
    if let Ok(mut pinging) = client.pinging.lock() {
        *pinging = Pinging {
            left: trips,
            ..Pinging::default()
        };
    }
    client.ping();
    client.done.notified().await;
    let Ok(mut pinging) = client.pinging.lock() else {
        return;
    };
    pinging.times_ns.sort_unstable();
    let at = |part: f64| {
        Duration::from_nanos(pinging.times_ns[(pinging.times_ns.len() as f64 * part) as usize])
    };
    println!(
        "{name}: p50 {:?}, p99 {:?}, p99.9 {:?}",
        at(0.5),
        at(0.99),
        at(0.999)
    );
}

/// Keeps the bulk lane full.
async fn pump(client: Arc<Client>) {
    let Some(connection) = client
        .links
        .get()
        .and_then(|links| links.connection(NodeId(2)))
    else {
        return;
    };
    loop {
        while connection
            .try_send_with(Lane::Bulk, 64 * 1024, |to| to[0] = 1)
            .is_ok()
        {}
        client.room.notified().await;
    }
}

/// Streams `frames` of `len` bytes and waits until the last one was taken. Returns frames per second.
async fn stream(client: &Client, server: &Server, lane: Lane, frames: u64, len: usize) -> f64 {
    server.frames.store(0, Relaxed);
    server.expected.store(frames, Relaxed);
    let Some(links) = client.links.get() else {
        return 0.0;
    };
    let Some(connection) = links.connection(NodeId(2)) else {
        return 0.0;
    };
    let began = Instant::now();
    for n in 0..frames {
        while connection
            .try_send_with(lane, len, |to| to[..8].copy_from_slice(&n.to_be_bytes()))
            .is_err()
        {
            client.room.notified().await;
        }
        // The sender shares its thread with the writer.
        if n % 512 == 511 {
            tokio::task::yield_now().await;
        }
    }
    client.done.notified().await;
    frames as f64 / began.elapsed().as_secs_f64()
}

/// CPU time of this process.
fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Makes the transports of both nodes: bare, or with certificates that live as long as this program.
fn transports(tls: bool) -> Result<[Tcp; 2], Failed> {
    if !tls {
        return Ok([Tcp::new(), Tcp::new()]);
    }
    let dir = tempfile::tempdir()?;
    let path = |file: &str| dir.path().join(file);
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate()?;
    std::fs::write(path("ca.pem"), params.self_signed(&key)?.pem())?;
    let issuer = rcgen::Issuer::new(params, key);
    let transport = |node| -> Result<Tcp, Failed> {
        let name = Name::new("example", "prefill", NodeId(node));
        let mut params = rcgen::CertificateParams::default();
        params.subject_alt_names = vec![rcgen::SanType::URI(name.to_string().try_into()?)];
        let key = rcgen::KeyPair::generate()?;
        std::fs::write(path("node.pem"), params.signed_by(&key, &issuer)?.pem())?;
        std::fs::write(path("node.key"), key.serialize_pem())?;
        let files = Files {
            ca: path("ca.pem"),
            cert: path("node.pem"),
            key: path("node.key"),
        };
        let credentials = Credentials::open(files, name, Box::new(|_| None))?;
        Ok(Tcp::with_tls(Arc::new(credentials)))
    };
    Ok([transport(1)?, transport(2)?])
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failed> {
    let tls = std::env::args().any(|argument| argument == "--tls");
    let [near, distant] = transports(tls)?;
    println!("links: {}", if tls { "TLS 1.3" } else { "plain TCP" });
    let (address_sender, address) = std::sync::mpsc::channel::<String>();
    let (client_address_sender, client_address) = tokio::sync::oneshot::channel::<String>();
    let server = Arc::new(Server::default());
    let far = Arc::clone(&server);
    let stop = Arc::new(Notify::new());
    let stopped = Arc::clone(&stop);
    let thread = std::thread::spawn(move || -> Result<(), Failed> {
        runtime()?.block_on(async {
            let limits = Limits::default();
            let links = Links::start(
                Arc::new(distant),
                "127.0.0.1:0",
                identity(2),
                limits,
                far.clone(),
            )
            .await?;
            let _ = far.links.set(links.clone());
            address_sender.send(links.local_address().to_owned())?;
            links.set_peers([(NodeId(1), client_address.await?)]);
            stopped.notified().await;
            links.shutdown().await;
            Ok(())
        })
    });
    let server_address = address.recv()?;
    runtime()?.block_on(async {
        let client = Arc::new(Client::default());
        let limits = Limits::default();
        let links = Links::start(
            Arc::new(near),
            "127.0.0.1:0",
            identity(1),
            limits,
            client.clone(),
        )
        .await?;
        let _ = client.links.set(links.clone());
        let _ = client_address_sender.send(links.local_address().to_owned());
        links.set_peers([(NodeId(2), server_address)]);
        client.up.notified().await;

        round_trips(&client, "warm-up", ROUND_TRIPS).await;
        round_trips(&client, "64 B round trip", ROUND_TRIPS).await;
        let pump = tokio::spawn(pump(Arc::clone(&client)));
        round_trips(
            &client,
            "64 B round trip on the control lane, bulk lane kept full",
            ROUND_TRIPS / 50,
        )
        .await;
        pump.abort();
        if let Ok(mut pinging) = client.pinging.lock() {
            *pinging = Pinging::default();
        }
        for _ in 0..3 {
            let rate = stream(&client, &server, Lane::Data, STREAM, 100).await;
            println!("100 B frames: {:.2} M/s", rate / 1e6);
        }
        for _ in 0..3 {
            let before = cpu();
            let rate = stream(&client, &server, Lane::Bulk, BLOCKS, 64 * 1024).await;
            let spent = (cpu() - before).as_secs_f64();
            let megabytes = BLOCKS as f64 * 65_536.0 / 1e6;
            println!(
                "64 KiB frames: {:.2} GB/s, {:.0} us of CPU per MB",
                rate * 65_536.0 / 1e9,
                spent / megabytes * 1e6
            );
        }
        stop.notify_one();
        links.shutdown().await;
        Ok::<(), Failed>(())
    })?;
    thread.join().map_err(|_| "the server's thread panicked")?
}
