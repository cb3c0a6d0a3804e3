//! Heartbeats over a limited link while snapshots fill it. This process takes the place of rank 0, pulls every log through
//! a narrow proxy, again and again, and times its own heartbeats on the same connection.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use faultnet::{Condition, Proxy};
use oplog::{Message, VersionVector};
use radix_core::id::{Incarnation, OriginId, Rank, Seq};
use radixmesh::node::wire::{self, Frame};
use radixmesh::topology::{Heartbeat, Message as Topology, Record, Role, Status};
use radixmesh::transport::{Handler, Lane, Peer, Tcp, Verdict};
use radixmeshd::cluster::Cluster;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use super::super::member::{self, Member};
use super::super::options::Options;
use super::super::stats::Distribution;
use super::report::Beats;

/// Whose place is taken: the lowest rank dials all others.
pub(super) const ME: u16 = 0;
/// Who answers. Its own heartbeats go to others.
const PEER: u16 = 1;
/// How long the link is idle, and then filled.
const PART: Duration = Duration::from_secs(2);
/// Pause between two heartbeats.
const BEAT_EVERY: Duration = Duration::from_millis(4);
/// How long the last answers may take.
const LAST_MAX: Duration = Duration::from_secs(2);
/// How long the peer may take to say what it has.
const OFFER_MAX: Duration = Duration::from_secs(10);
/// Logs that are pulled at one time.
const PULLS: usize = 4;
/// What the narrow link may hold, as time at its rate: a switch's buffer, not a sender's.
const LINK_QUEUE: Duration = Duration::from_millis(1);

/// What the peer said that is acted on.
enum News {
    Has(VersionVector),
    /// Chunk `index` of `chunks` came.
    Chunk {
        session: u64,
        index: u32,
        chunks: u32,
    },
    /// That was all of a pull.
    End,
}

/// Takes what the peer says, at once: times are taken here.
struct Ear {
    /// By number: when it was sent.
    sent: Mutex<BTreeMap<u32, Instant>>,
    /// The number of the next one.
    next: AtomicU32,
    trips_ms: Mutex<Vec<f64>>,
    bytes: AtomicU64,
    news: mpsc::UnboundedSender<News>,
}

impl Handler for Ear {
    fn on_frame(&self, _: &Peer, _: Lane, frame: &[u8]) -> Verdict {
        self.bytes.fetch_add(frame.len() as u64, Relaxed);
        let news = match wire::decode(&Bytes::copy_from_slice(frame)) {
            Ok(Frame::Topology(Topology::Heartbeat(beat))) if !beat.echo => {
                if let Some(sent) = lock(&self.sent).remove(&beat.nonce) {
                    let trip = sent.elapsed().as_secs_f64() * 1e3;
                    lock(&self.trips_ms).push(trip);
                }
                None
            }
            Ok(Frame::Log(Message::Offer { vector, .. })) => Some(News::Has(vector)),
            Ok(Frame::Log(Message::Snapshot(chunk))) => Some(News::Chunk {
                session: chunk.session,
                index: chunk.index,
                chunks: chunk.head.chunks,
            }),
            Ok(Frame::Log(Message::PullEnd { .. } | Message::SnapshotGone { .. })) => {
                Some(News::End)
            }
            Ok(_) | Err(_) => None,
        };
        // Nobody listens when the measurement is over.
        news.map(|news| self.news.send(news));
        Verdict::Continue
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A proxy with a thread of its own: what measures must not wait for what is measured.
struct Link {
    proxy: Proxy,
    /// Taken when this is dropped.
    runtime: Option<Runtime>,
}

impl Link {
    async fn open(address: &str, seed: u64) -> anyhow::Result<Link> {
        let target = address.parse();
        let target = target.with_context(|| format!("{address} is no socket address"))?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("link")
            .enable_all()
            .build()?;
        match runtime.spawn(Proxy::start(seed)).await? {
            Ok(proxy) => {
                proxy.aim(target);
                Ok(Link {
                    proxy,
                    runtime: Some(runtime),
                })
            }
            Err(error) => {
                runtime.shutdown_background();
                Err(error.into())
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Measures; rank 0 is away meanwhile and is restarted in the end.
///
/// Errors: the peer lets nobody in, says nothing, or rank 0 does not start again.
pub(super) async fn run(
    cluster: &mut Cluster,
    options: &Options,
    transport: &Tcp,
) -> anyhow::Result<Beats> {
    cluster.kill(ME).await;
    let addresses = [ME, PEER].map(|rank| cluster.address(rank));
    let measured = measure(addresses, options, transport).await;
    cluster.restart(ME).await?;
    measured
}

async fn measure(
    [own_address, address]: [&str; 2],
    options: &Options,
    transport: &Tcp,
) -> anyhow::Result<Beats> {
    let rate = NonZeroU64::new(options.link_rate).context("--link-rate must not be 0")?;
    let link = Link::open(address, options.seed).await?;
    let proxy = &link.proxy;
    let who = member::identity(transport, address, ME).await?;
    let connection = member::dial(transport, &proxy.address().to_string(), who).await?;
    let (sender, mut news) = mpsc::unbounded_channel();
    let ear = Arc::new(Ear {
        sent: Mutex::default(),
        next: AtomicU32::new(1),
        trips_ms: Mutex::default(),
        bytes: AtomicU64::new(0),
        news: sender,
    });
    let member = Member::start(connection, Arc::clone(&ear) as Arc<dyn Handler>);
    let me = OriginId {
        rank: Rank(ME),
        inc: Incarnation(who.epoch),
    };
    // Who takes part is offered what there is.
    let record = Record {
        rank: me.rank,
        role: Role::Prefill,
        address: own_address.to_owned(),
        inc: me.inc,
        counter: 0,
        status: Status::Alive,
    };
    say(
        &member,
        &Frame::Topology(Topology::Members {
            records: vec![record],
            all_of: None,
        }),
    );
    say(&member, &Frame::Readiness { ready: false });
    let has = tokio::time::timeout(OFFER_MAX, async {
        loop {
            match news.recv().await {
                Some(News::Has(vector)) => return Some(vector),
                Some(News::Chunk { .. } | News::End) => {}
                None => return None,
            }
        }
    });
    let has = has.await.ok().flatten();
    let has = has.with_context(|| format!("rank {PEER} did not say what it has"))?;
    let origins: Vec<OriginId> = has
        .0
        .iter()
        .filter(|(rank, entry)| **rank != me.rank && entry.seq > Seq::ZERO)
        .map(|(rank, entry)| OriginId {
            rank: *rank,
            inc: entry.inc,
        })
        .collect();
    anyhow::ensure!(!origins.is_empty(), "rank {PEER} has nothing to send");

    proxy.set(Condition::narrow(rate, LINK_QUEUE));
    beat(&member, &ear, me).await;
    let (idle_ms, _) = take(&ear);
    let (began, bytes) = (Instant::now(), ear.bytes.load(Relaxed));
    tokio::select! {
        biased;
        () = beat(&member, &ear, me) => {}
        () = pull(&member, &mut news, &origins) => {}
    }
    let reached = (ear.bytes.load(Relaxed) - bytes) as f64 / began.elapsed().as_secs_f64();
    anyhow::ensure!(!member.is_closed(), "rank {PEER} ended the connection");
    let (filled_ms, lost) = take(&ear);
    member.leave().await;
    Ok(Beats {
        link_rate: rate.get(),
        reached_rate: reached,
        idle_ms,
        filled_ms,
        lost,
    })
}

/// Sends heartbeats and waits for the answers.
async fn beat(member: &Member, ear: &Ear, me: OriginId) {
    let until = Instant::now() + PART;
    while Instant::now() < until {
        let nonce = ear.next.fetch_add(1, Relaxed);
        lock(&ear.sent).insert(nonce, Instant::now());
        let beat = Frame::Topology(Topology::Heartbeat(Heartbeat {
            ttl: 1,
            echo: true,
            inc: me.inc,
            seq: Seq::ZERO,
            nonce,
        }));
        if !say(member, &beat) {
            lock(&ear.sent).remove(&nonce);
        }
        tokio::time::sleep(BEAT_EVERY).await;
    }
    let last = Instant::now() + LAST_MAX;
    while !lock(&ear.sent).is_empty() && Instant::now() < last {
        tokio::time::sleep(BEAT_EVERY).await;
    }
}

/// Pulls one log after the other from its beginning, so that the link is never without a snapshot. Ends when the
/// connection does.
async fn pull(member: &Member, news: &mut mpsc::UnboundedReceiver<News>, origins: &[OriginId]) {
    let mut turn = origins.iter().cycle();
    let mut next = || {
        if let Some(&origin) = turn.next() {
            let from = Seq(1);
            say(member, &Frame::Log(Message::Pull { origin, from }));
        }
    };
    for _ in 0..PULLS {
        next();
    }
    while let Some(news) = news.recv().await {
        match news {
            News::Has(_) => {}
            News::End => next(),
            News::Chunk { index, chunks, .. } if index + 1 == chunks => next(),
            News::Chunk { session, index, .. } => {
                // The next window is asked for before this one is over.
                if (index + WINDOW / 2).is_multiple_of(WINDOW) {
                    let next = (index / WINDOW + 1) * WINDOW;
                    say(member, &Frame::Log(Message::SnapshotMore { session, next }));
                }
            }
        }
    }
}

/// Chunks that a peer sends without being asked again.
const WINDOW: u32 = oplog::limits::SNAPSHOT_WINDOW;

fn say(member: &Member, frame: &Frame) -> bool {
    let (lane, bytes) = wire::encode(frame);
    let lane = match lane {
        radixmesh::node::Lane::Control => Lane::Control,
        radixmesh::node::Lane::Data => Lane::Data,
        radixmesh::node::Lane::Bulk => Lane::Bulk,
    };
    member.send(lane, &bytes.to_bytes())
}

/// Takes what was measured; returns it with the number of answers that did not come.
fn take(ear: &Ear) -> (Option<Distribution>, usize) {
    let lost = std::mem::take(&mut *lock(&ear.sent)).len();
    let mut trips = std::mem::take(&mut *lock(&ear.trips_ms));
    (Distribution::of(&mut trips), lost)
}
