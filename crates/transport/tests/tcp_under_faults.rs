//! TCP links over ways that are cut, held, swallowed and slow: real sockets, with a proxy between the two ends.
#![expect(
    clippy::unwrap_used,
    reason = "clippy knows test functions, but not the helpers of a test file"
)]

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faultnet::{Condition, Proxy, Side};
use tokio::sync::mpsc;
use transport::{
    CloseReason, Handler, Identity, Lane, Limits, LinkHandler, Links, NodeId, Peer, SendError, Tcp,
    Verdict,
};

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);
const THREE: NodeId = NodeId(3);

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);
/// What a busy machine may add to a bound.
const SLACK: Duration = Duration::from_secs(2);

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Up(NodeId),
    Down(NodeId, &'static str),
    /// Lane, first byte, length.
    Frame(Lane, u8, usize),
}

struct Tell(mpsc::UnboundedSender<Heard>);

impl Handler for Tell {
    fn on_frame(&self, _: &Peer, lane: Lane, frame: &[u8]) -> Verdict {
        // Whoever stopped listening does not want to know.
        let _ = self.0.send(Heard::Frame(lane, frame[0], frame.len()));
        Verdict::Continue
    }
}

impl LinkHandler for Tell {
    fn on_up(&self, peer: &Peer) {
        let _ = self.0.send(Heard::Up(peer.node));
    }
    fn on_down(&self, peer: &Peer, why: &CloseReason) {
        let _ = self.0.send(Heard::Down(peer.node, why.label()));
    }
}

struct Node {
    links: Links,
    heard: mpsc::UnboundedReceiver<Heard>,
}

impl Node {
    async fn start(node: NodeId, limits: &Limits) -> Node {
        let identity = Identity {
            cluster: 1,
            node,
            epoch: 1,
            boot: node.0,
            config_hash: 1,
            protocol: (1, 1),
        };
        let (sender, heard) = mpsc::unbounded_channel();
        let (tcp, tell) = (Arc::new(Tcp::default()), Arc::new(Tell(sender)));
        let links = Links::start(tcp, "127.0.0.1:0", identity, limits.clone(), tell).await;
        Node {
            links: links.unwrap(),
            heard,
        }
    }

    async fn hear(&mut self) -> Heard {
        within(self.heard.recv()).await.unwrap()
    }

    /// Hears the next up or down of a link.
    async fn change(&mut self) -> Heard {
        loop {
            match self.hear().await {
                Heard::Frame(..) => {}
                change => return change,
            }
        }
    }

    fn send(&self, to: NodeId, lane: Lane, byte: u8, len: usize) -> Result<(), SendError> {
        self.links
            .try_send_with(to, lane, len, |buffer| buffer.fill(byte))
    }

    /// Sends frames until the lane is full, and stays so for a while.
    async fn fill(&self, to: NodeId, lane: Lane) -> usize {
        let (mut sent, mut quiet) = (0, 0);
        while quiet < 20 {
            match self.send(to, lane, 9, 32_000) {
                Ok(()) => (sent, quiet) = (sent + 1, 0),
                Err(SendError::Full { .. }) => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    quiet += 1;
                }
                Err(error) => panic!("{error}"),
            }
            assert!(sent < 3_000, "96 MB went out and nobody took them");
        }
        sent
    }
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, what)
        .await
        .expect("the test hangs")
}

/// Nodes 1 and 2; the first dials the second through the proxy.
async fn two(limits: &Limits) -> (Node, Node, Proxy) {
    let (mut one, mut two) = (
        Node::start(ONE, limits).await,
        Node::start(TWO, limits).await,
    );
    let proxy = Proxy::start(1).await.unwrap();
    proxy.aim(two.links.local_address().parse().unwrap());
    one.links.set_peers([(TWO, proxy.address().to_string())]);
    two.links.set_peers([(ONE, "127.0.0.1:1".to_owned())]);
    assert_eq!(one.hear().await, Heard::Up(TWO));
    assert_eq!(two.hear().await, Heard::Up(ONE));
    (one, two, proxy)
}

#[tokio::test]
async fn a_link_is_back_within_the_longest_pause_after_a_cut() {
    let limits = Limits::default();
    let (mut one, mut two, proxy) = two(&limits).await;
    for round in 0..3u8 {
        proxy.set(Condition::CUT);
        assert!(matches!(one.change().await, Heard::Down(TWO, _)));
        assert!(matches!(two.change().await, Heard::Down(ONE, _)));
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mended = Instant::now();
        proxy.set(Condition::PASS);
        assert_eq!(one.change().await, Heard::Up(TWO));
        assert_eq!(two.change().await, Heard::Up(ONE));
        assert!(
            mended.elapsed() < limits.backoff_max + SLACK,
            "{:?}",
            mended.elapsed()
        );
        one.send(TWO, Lane::Data, round, 3).unwrap();
        assert_eq!(two.hear().await, Heard::Frame(Lane::Data, round, 3));
    }
}

#[tokio::test]
async fn a_flapping_link_goes_up_and_down_in_turn_and_is_up_in_the_end() {
    let (mut one, mut two, proxy) = two(&Limits::default()).await;
    proxy.set(Condition::flapping(Duration::from_millis(200)));
    for _ in 0..3 {
        assert!(matches!(one.change().await, Heard::Down(TWO, _)));
        assert_eq!(one.change().await, Heard::Up(TWO));
    }
    proxy.set(Condition::PASS);
    within(async {
        while one.send(TWO, Lane::Data, 1, 7).is_err()
            || tokio::time::timeout(Duration::from_millis(200), async {
                while two.hear().await != Heard::Frame(Lane::Data, 1, 7) {}
            })
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_fills_one_lane_and_harms_nobody_else() {
    let limits = Limits::default();
    let (mut one, mut two, proxy) = two(&limits).await;
    let mut three = Node::start(THREE, &limits).await;
    let here = one.links.local_address().to_owned();
    one.links.set_peers([
        (TWO, proxy.address().to_string()),
        (THREE, three.links.local_address().to_owned()),
    ]);
    three.links.set_peers([(ONE, here)]);
    assert_eq!(one.hear().await, Heard::Up(THREE));
    assert_eq!(three.hear().await, Heard::Up(ONE));

    proxy.set(Condition::HELD);
    let sent = one.fill(TWO, Lane::Bulk).await;
    let queued = one.links.connection(TWO).unwrap().queued_bytes(Lane::Bulk);
    let lane_max = limits.lane_bytes_max[Lane::Bulk as usize];
    assert!(queued <= lane_max, "{queued} bytes wait");
    let elsewhere = sent * 32_000 - queued;
    assert!(elsewhere < 4 << 20, "{elsewhere} bytes are on their way");
    let asked = Instant::now();
    one.send(THREE, Lane::Data, 5, 100).unwrap();
    assert_eq!(three.hear().await, Heard::Frame(Lane::Data, 5, 100));
    assert!(asked.elapsed() < SLACK, "{:?}", asked.elapsed());
    one.send(TWO, Lane::Control, 6, 10)
        .expect("the other lanes have room");

    proxy.set(Condition::PASS);
    let (mut bulk, mut control) = (0, 0);
    while bulk < sent || control < 1 {
        match two.hear().await {
            Heard::Frame(Lane::Bulk, 9, 32_000) => bulk += 1,
            Heard::Frame(Lane::Control, 6, 10) => {
                assert!(bulk < sent, "the control frame overtook nothing");
                control += 1;
            }
            other => panic!("heard {other:?}"),
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_link_whose_reader_stands_still_goes_down_after_the_longest_silence() {
    let limits = Limits {
        silence_max: Duration::from_millis(700),
        ..Limits::default()
    };
    let (mut one, mut two, proxy) = two(&limits).await;
    proxy.set(Condition::HELD);
    let stalled = Instant::now();
    one.fill(TWO, Lane::Data).await;
    assert_eq!(one.change().await, Heard::Down(TWO, "io"));
    let took = stalled.elapsed();
    assert!(took >= limits.silence_max, "{took:?}");
    assert!(took < 3 * limits.silence_max + SLACK, "{took:?}");
    proxy.set(Condition::PASS);
    assert_eq!(one.change().await, Heard::Up(TWO));
    assert!(matches!(two.change().await, Heard::Down(ONE, _)));
    assert_eq!(two.change().await, Heard::Up(ONE));
}

#[tokio::test]
async fn a_dial_that_gets_no_answer_times_out_and_is_tried_again() {
    let limits = Limits {
        handshake_timeout: Duration::from_millis(100),
        ..Limits::default()
    };
    for condition in [
        Condition::BLACK_HOLE,
        Condition::HELD,
        Condition::one_way(Side::Forth),
        Condition::one_way(Side::Back),
    ] {
        let (mut one, mut two, proxy) = two(&limits).await;
        proxy.set(Condition::CUT);
        assert!(matches!(one.change().await, Heard::Down(TWO, _)));
        proxy.set(condition);
        let timed_out = || {
            let counters = one.links.counters();
            counters.get("handshakes_timed_out", "").unwrap()
        };
        let before = timed_out();
        within(async {
            while timed_out() < before + 2 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        proxy.set(Condition::PASS);
        assert_eq!(one.change().await, Heard::Up(TWO), "{condition:?}");
        within(async { while two.change().await != Heard::Up(ONE) {} }).await;
        one.send(TWO, Lane::Data, 4, 4).unwrap();
        within(async { while two.hear().await != Heard::Frame(Lane::Data, 4, 4) {} }).await;
    }
}

#[tokio::test]
async fn urgent_frames_overtake_what_a_slow_way_holds_up() {
    let (one, mut two, proxy) = two(&Limits::default()).await;
    let rate = 400_000;
    let slow = Condition::slow(
        Duration::from_millis(20),
        Duration::from_millis(5),
        NonZeroU64::new(rate),
    );
    proxy.set(slow);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut sent = 0;
    while one.send(TWO, Lane::Bulk, 9, 32_000).is_ok() {
        sent += 1;
        tokio::task::yield_now().await;
    }
    assert!(sent * 32_000 >= 4_000_000, "a full lane");
    let asked = Instant::now();
    one.send(TWO, Lane::Control, 1, 50).unwrap();
    let mut before = 0;
    while two.hear().await != Heard::Frame(Lane::Control, 1, 50) {
        before += 1;
    }
    // spec: LANE-2. One frame, one write, what the kernel holds unsent, and the buffers of the way: not the lane.
    let bound = Duration::from_secs_f64(700_000.0 / rate as f64);
    assert!(
        asked.elapsed() < bound + SLACK,
        "{:?} behind {before} frames",
        asked.elapsed()
    );
    assert!(before * 32_000 < 1_500_000, "behind {before} frames");
}

/// What a control frame met on a way that bulk fills.
#[derive(Clone, Copy)]
struct Met {
    late: Duration,
    /// Bulk that arrived between its sending and its arrival. Unit: bytes.
    before: usize,
}

/// Bulk without end and a control frame every 10 ms over a way of `rate` bytes a second: what the control frames met,
/// and the bulk that arrived a second.
async fn under_bulk(rate: u64, lasts: Duration) -> (Vec<Met>, f64) {
    let (one, mut two, proxy) = two(&Limits::default()).await;
    let rate = NonZeroU64::new(rate);
    proxy.set(Condition::slow(Duration::ZERO, Duration::ZERO, rate));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let start = Instant::now();
    let (mut next, mut asked) = (start, Vec::new());
    let (mut met, mut bulk) = (Vec::new(), 0);
    while start.elapsed() < lasts || met.len() < asked.len() {
        let now = Instant::now();
        if start.elapsed() < lasts {
            while one.send(TWO, Lane::Bulk, 9, 16 * 1024).is_ok() {}
            if now >= next {
                one.send(TWO, Lane::Control, 1, 50).unwrap();
                asked.push((now, bulk));
                next = now + Duration::from_millis(10);
            }
        }
        match tokio::time::timeout(Duration::from_millis(1), two.heard.recv()).await {
            Ok(Some(Heard::Frame(Lane::Control, ..))) => {
                let (at, had) = asked[met.len()];
                met.push(Met {
                    late: at.elapsed(),
                    before: bulk - had,
                });
            }
            Ok(Some(Heard::Frame(Lane::Bulk, _, bytes))) => bulk += bytes,
            Ok(_) | Err(_) => {}
        }
    }
    (met, bulk as f64 / start.elapsed().as_secs_f64())
}

/// The time is printed; what is asserted is what stood in the way, which a busy machine does not change.
// spec: LANE-6
#[tokio::test]
async fn little_bulk_arrives_before_a_control_frame_on_a_limited_way() {
    for rate in [2_000_000, 10_000_000, 40_000_000] {
        let (mut met, bulk) = under_bulk(rate, Duration::from_secs(2)).await;
        let middle = met.len() / 2;
        met.sort_unstable_by_key(|met| met.late);
        let (p50, max) = (met[middle].late, met[met.len() - 1].late);
        met.sort_unstable_by_key(|met| met.before);
        let before = met[middle].before;
        println!(
            "{rate} B/s: control frames late by p50 {p50:?}, max {max:?}, behind p50 {before} bytes; bulk {bulk:.0} B/s"
        );
        // What the way takes in 10 ms, and two frames that were begun.
        let bound = usize::try_from(rate / 100).unwrap() + 2 * 16 * 1024;
        assert!(before <= bound, "{rate} B/s: behind {before} bytes");
        assert!(bulk > rate as f64 / 10.0, "{rate} B/s: only {bulk} arrived");
    }
}
