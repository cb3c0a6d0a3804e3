//! Every condition, on real sockets.
#![expect(
    clippy::unwrap_used,
    reason = "clippy knows test functions, but not the helpers of a test file"
)]

use std::future::Future;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use faultnet::{Condition, Counts, Flow, Proxy, Side, Way};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, what).await.unwrap()
}

struct Rig {
    proxy: Proxy,
    server: TcpListener,
}

impl Rig {
    async fn new() -> Rig {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(7).await.unwrap();
        proxy.aim(server.local_addr().unwrap());
        Rig { proxy, server }
    }

    async fn dial(&self) -> TcpStream {
        TcpStream::connect(self.proxy.address()).await.unwrap()
    }

    /// Both ends of a connection that carried a byte in each direction.
    async fn pair(&self) -> (TcpStream, TcpStream) {
        within(async {
            let mut client = self.dial().await;
            let (mut server, _) = self.server.accept().await.unwrap();
            pass(&mut client, &mut server, 1).await;
            pass(&mut server, &mut client, 2).await;
            (client, server)
        })
        .await
    }

    /// Waits until the counts are as wanted.
    async fn counts(&self, good: impl Fn(&Counts) -> bool) -> Counts {
        within(async {
            while !good(&self.proxy.counts()) {
                tokio::task::yield_now().await;
            }
            self.proxy.counts()
        })
        .await
    }
}

async fn pass(from: &mut TcpStream, to: &mut TcpStream, byte: u8) {
    from.write_u8(byte).await.unwrap();
    assert_eq!(within(to.read_u8()).await.unwrap(), byte);
}

async fn is_reset(stream: &mut TcpStream) {
    let error = within(stream.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

fn hears_nothing(stream: &TcpStream) {
    let error = stream.try_read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn bytes_pass_and_each_direction_ends_by_itself() {
    let rig = Rig::new().await;
    let (mut client, mut server) = rig.pair().await;
    let sent: Vec<u8> = (0..1_000_000u32).map(|n| n.to_le_bytes()[0]).collect();
    let mut received = Vec::new();
    let (write, read) = tokio::join!(
        async {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await
        },
        within(server.read_to_end(&mut received))
    );
    assert!(write.is_ok() && read.is_ok() && received == sent);
    pass(&mut server, &mut client, 3).await;
    drop(server);
    assert_eq!(within(client.read(&mut [0])).await.unwrap(), 0);
    let counts = rig.proxy.counts();
    assert_eq!((counts.passed_bytes, counts.reset), ([1_000_001, 2], 0));
}

#[tokio::test]
async fn a_proxy_without_a_target_resets_whoever_comes() {
    let proxy = Proxy::start(1).await.unwrap();
    is_reset(&mut TcpStream::connect(proxy.address()).await.unwrap()).await;
}

#[tokio::test]
async fn a_cut_resets_both_ends_and_refuses_until_it_is_mended() {
    let rig = Rig::new().await;
    let (mut client, mut server) = rig.pair().await;
    rig.proxy.set(Condition::CUT);
    is_reset(&mut client).await;
    is_reset(&mut server).await;
    is_reset(&mut rig.dial().await).await;
    rig.proxy.set(Condition::PASS);
    rig.pair().await;
}

#[tokio::test]
async fn a_black_hole_takes_everything_and_tells_nobody_until_bytes_may_pass() {
    let rig = Rig::new().await;
    let (mut client, mut server) = rig.pair().await;
    rig.proxy.set(Condition::BLACK_HOLE);
    client.write_all(&[7; 300_000]).await.unwrap();
    server.write_all(&[8; 300_000]).await.unwrap();
    rig.counts(|counts| counts.swallowed_bytes == [300_000; 2])
        .await;
    hears_nothing(&client);
    drop(server);
    let mut late = rig.dial().await;
    late.write_u8(9).await.unwrap();
    rig.counts(|counts| counts.swallowed_bytes[0] == 300_001)
        .await;
    hears_nothing(&client);
    hears_nothing(&late);
    rig.proxy.set(Condition::PASS);
    is_reset(&mut client).await;
    is_reset(&mut late).await;
    rig.pair().await;
}

#[tokio::test]
async fn a_connection_that_lost_nothing_survives_a_black_hole() {
    let rig = Rig::new().await;
    let (mut client, mut server) = rig.pair().await;
    rig.proxy.set(Condition::BLACK_HOLE);
    let mut late = rig.dial().await;
    late.write_u8(9).await.unwrap();
    rig.counts(|counts| counts.swallowed_bytes[0] == 1).await;
    rig.proxy.set(Condition::PASS);
    is_reset(&mut late).await;
    pass(&mut client, &mut server, 3).await;
}

#[tokio::test]
async fn one_way_delivers_one_direction_and_hides_the_end_of_the_other() {
    for side in [Side::Forth, Side::Back] {
        let rig = Rig::new().await;
        let (client, server) = rig.pair().await;
        let (mut from, mut to) = match side {
            Side::Forth => (client, server),
            Side::Back => (server, client),
        };
        rig.proxy.set(Condition::one_way(side));
        to.write_u8(1).await.unwrap();
        let silent = side.other() as usize;
        rig.counts(|counts| counts.swallowed_bytes[silent] == 1)
            .await;
        pass(&mut from, &mut to, 5).await;
        drop(to);
        for _ in 0..5 {
            from.write_u8(6).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        hears_nothing(&from);
        rig.proxy.set(Condition::PASS);
        is_reset(&mut from).await;
    }
}

#[tokio::test]
async fn a_held_way_is_bounded_and_goes_on_where_it_stopped() {
    let rig = Rig::new().await;
    let (mut client, mut server) = rig.pair().await;
    rig.proxy.set(Condition::HELD);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let big = vec![7; 32 << 20];
    let write = tokio::spawn(async move {
        client.write_all(&big).await.unwrap();
        client
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!write.is_finished(), "somebody took 32 MiB");
    hears_nothing(&server);
    rig.proxy.set(Condition::PASS);
    let mut taken = vec![0; 32 << 20];
    within(server.read_exact(&mut taken)).await.unwrap();
    assert!(taken.iter().all(|&byte| byte == 7));
    within(write).await.unwrap();
    assert!(rig.proxy.counts().queued_bytes_max <= 272 * 1024);
}

#[tokio::test]
async fn every_byte_is_late_by_the_delay() {
    let rig = Rig::new().await;
    let (mut client, mut server) = rig.pair().await;
    let (delay, jitter) = (Duration::from_millis(40), Duration::from_millis(10));
    rig.proxy.set(Condition::slow(delay, jitter, None));
    tokio::time::sleep(Duration::from_millis(5)).await;
    for byte in 0..5 {
        let sent = Instant::now();
        pass(&mut client, &mut server, byte).await;
        assert!(sent.elapsed() >= delay);
        pass(&mut server, &mut client, byte).await;
        assert!(sent.elapsed() >= delay * 2);
    }
}

#[tokio::test]
async fn a_throttled_way_keeps_its_rate_and_holds_little() {
    let rig = Rig::new().await;
    let (mut client, mut server) = rig.pair().await;
    let way = Way {
        rate: NonZeroU64::new(400_000),
        ..Way::PASS
    };
    rig.proxy.set(Condition {
        forth: way,
        ..Condition::PASS
    });
    tokio::time::sleep(Duration::from_millis(5)).await;
    let began = Instant::now();
    let write = tokio::spawn(async move {
        client.write_all(&[7; 200_000]).await.unwrap();
        client
    });
    let mut taken = vec![0; 200_000];
    within(server.read_exact(&mut taken)).await.unwrap();
    // Half a second, but for one burst of 20 ms and the last chunk of 16 KiB.
    assert!(
        began.elapsed() >= Duration::from_millis(430),
        "{:?}",
        began.elapsed()
    );
    let mut client = within(write).await.unwrap();
    pass(&mut server, &mut client, 1).await;
    assert!(rig.proxy.counts().queued_bytes_max <= 40_000 + 16 * 1024);
}

#[tokio::test]
async fn a_narrow_way_holds_no_more_than_its_queue() {
    let rig = Rig::new().await;
    let (mut client, mut server) = rig.pair().await;
    let rate = NonZeroU64::new(4_000_000).unwrap();
    rig.proxy
        .set(Condition::narrow(rate, Duration::from_millis(1)));
    tokio::time::sleep(Duration::from_millis(5)).await;
    let write = tokio::spawn(async move {
        client.write_all(&[7; 1_000_000]).await.unwrap();
        client
    });
    let mut taken = vec![0; 1_000_000];
    within(server.read_exact(&mut taken)).await.unwrap();
    within(write).await.unwrap();
    // 4,000 bytes are less than one read, which is held in any case, and one more may follow the last that was short.
    assert!(rig.proxy.counts().queued_bytes_max <= 2 * 16 * 1024);
}

#[tokio::test]
async fn a_flapping_way_is_cut_and_mended_by_itself() {
    let rig = Rig::new().await;
    rig.proxy
        .set(Condition::flapping(Duration::from_millis(60)));
    for _ in 0..3 {
        // Whoever dials long enough gets through, and is cut again.
        let (mut client, _server) = within(async {
            loop {
                let client = rig.dial().await;
                if let Some(server) = rig.arrival().await {
                    break (client, server);
                }
            }
        })
        .await;
        is_reset(&mut client).await;
    }
    rig.proxy.set(Condition::PASS);
    within(async { while rig.arrival().await.is_some() {} }).await;
    rig.pair().await;
}

impl Rig {
    async fn arrival(&self) -> Option<TcpStream> {
        let accept = tokio::time::timeout(Duration::from_millis(5), self.server.accept());
        accept.await.ok().map(|accepted| accepted.unwrap().0)
    }
}

#[tokio::test]
async fn many_connections_are_independent_and_dropping_the_proxy_ends_all() {
    let rig = Rig::new().await;
    let (mut first, mut second) = (rig.pair().await, rig.pair().await);
    drop(first.0);
    assert_eq!(within(first.1.read(&mut [0])).await.unwrap(), 0);
    pass(&mut second.0, &mut second.1, 4).await;
    drop(rig.proxy);
    assert!(!matches!(within(second.0.read(&mut [0])).await, Ok(1..)));
}

#[test]
fn faults_are_ordered_from_good_to_worse() {
    assert!(Flow::Pass < Flow::Hold && Flow::Hold < Flow::Swallow);
}
