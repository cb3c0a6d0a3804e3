//! Who does not shake hands: bytes that mean nothing, frames that are damaged, and thousands of connections that say
//! nothing at all.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Context;
use radixmesh::transport::Transport;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::super::member;
use super::ground::{Done, Ground, ME};

/// Connections with random bytes.
const RANDOM: u64 = 4_000;
/// Those that are open at one time: few enough that none has to make room for another.
const RANDOM_AT_ONCE: usize = 16;
/// Random bytes of a connection at most.
const RANDOM_BYTES_MAX: usize = 8 * 1024;
/// How often each damaged frame is sent.
const DAMAGED: u64 = 100;
/// Silent connections that are opened at one time.
const AT_ONCE: usize = 256;
/// Connections that say nothing.
const SILENT: u64 = 10_000;
/// Addresses that they come from.
const SOURCES: u64 = 200;
/// Descriptors that this process needs besides.
const SPARE_FILES: u64 = 1_000;
/// How long the other end may take to close a connection that it does not like.
const CLOSE_MAX: Duration = Duration::from_secs(15);

/// Sends random bytes.
///
/// Errors: the victim cannot be reached.
pub(super) async fn random_bytes(ground: &mut Ground) -> anyhow::Result<()> {
    let battle = ground.begin("random bytes").await?;
    let address: SocketAddr = ground.address().parse()?;
    let mut random = fastrand::Rng::with_seed(ground.seed());
    let mut streams = JoinSet::new();
    for _ in 0..RANDOM {
        let mut bytes = vec![0; random.usize(1..=RANDOM_BYTES_MAX)];
        random.fill(&mut bytes);
        if streams.len() == RANDOM_AT_ONCE {
            streams.join_next().await;
        }
        streams.spawn(async move { say(address, &bytes).await });
    }
    while streams.join_next().await.is_some() {}
    let done = Done {
        tries: RANDOM,
        expected: RANDOM,
        honest: None,
    };
    ground.end_of(battle, done).await
}

/// Sends frames that are wrong in one way each.
///
/// Errors: the victim cannot be reached.
pub(super) async fn damaged_frames(ground: &mut Ground) -> anyhow::Result<()> {
    let battle = ground.begin("damaged frames").await?;
    let address: SocketAddr = ground.address().parse()?;
    let frames = damaged();
    for _ in 0..DAMAGED {
        for frame in &frames {
            say(address, frame).await;
        }
    }
    let tries = DAMAGED * frames.len() as u64;
    let done = Done {
        tries,
        expected: tries,
        honest: None,
    };
    ground.end_of(battle, done).await
}

/// Frames, each wrong in one way: length (too long, too short), version, kind, flags, checksum, a frame before the
/// hello, a hello of something else, a hello with an absurd field, and half a frame.
fn damaged() -> Vec<Vec<u8>> {
    let header = |length: u32, version: u8, kind: u8, flags: u16| {
        let mut frame = length.to_be_bytes().to_vec();
        frame.extend([version, kind]);
        frame.extend(flags.to_be_bytes());
        frame
    };
    let whole = |version, kind, flags, body: &[u8], flip: u8| {
        let length = u32::try_from(8 + body.len()).unwrap_or(u32::MAX);
        let mut frame = header(length, version, kind, flags);
        let mut sum = crc32c(&[&frame[..], body].concat());
        sum ^= u32::from(flip);
        frame.extend(sum.to_be_bytes());
        frame.extend(body);
        frame
    };
    const HELLO: u8 = 16;
    let absurd = [&b"RADXMESH"[..], &[0xff; 64]].concat();
    vec![
        header(u32::MAX, 1, HELLO, 0),
        header(7, 1, HELLO, 0),
        whole(9, HELLO, 0, b"", 0),
        whole(1, 99, 0, b"", 0),
        whole(1, HELLO, 0x8000, b"", 0),
        whole(1, HELLO, 0, b"RADXMESH", 1),
        whole(1, 0, 0, b"a control frame", 0),
        whole(1, HELLO, 0, b"GET / HTTP/1.1\r\n", 0),
        whole(1, HELLO, 0, &absurd, 0),
        whole(1, HELLO, 0, b"RADXMESH", 0)[..15].to_vec(),
    ]
}

/// The checksum of frames (Castagnoli), bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let of_byte = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg())
        })
    };
    !bytes.iter().fold(u32::MAX, of_byte)
}

/// Opens thousands of connections and keeps them, while a rightful peer tries to be let in.
///
/// Errors: the victim cannot be reached, or lets the rightful peer not in.
pub(super) async fn many_connections(
    ground: &mut Ground,
    transport: &dyn Transport,
) -> anyhow::Result<()> {
    let silent = files()
        .min(SILENT + SPARE_FILES)
        .saturating_sub(SPARE_FILES);
    if silent < SILENT {
        eprintln!("this process may open {silent} connections, not {SILENT}");
    }
    let text = ground.address();
    let who = member::identity(transport, &text, ME).await?;
    let battle = ground.begin("silent connections").await?;
    let address: SocketAddr = text.parse()?;
    let (mut opening, mut open) = (JoinSet::new(), Vec::new());
    let mut honest = None;
    for number in 0..silent {
        if opening.len() == AT_ONCE
            && let Some(opened) = opening.join_next().await
        {
            open.extend(opened.expect("a connection does not panic"));
        }
        opening.spawn(connect_from(number, address));
        if number == silent / 2 {
            honest = Some(let_in(transport, &text, who).await?);
        }
    }
    while let Some(opened) = opening.join_next().await {
        open.extend(opened.expect("a connection does not panic"));
    }
    let tries = open.len() as u64;
    drop(open);
    let done = Done {
        tries,
        expected: tries,
        honest,
    };
    ground.end_of(battle, done).await
}

/// Dials until it is let in: who is evicted comes again, as a node does. Returns how long that took.
async fn let_in(
    transport: &dyn Transport,
    address: &str,
    who: radixmesh::transport::Identity,
) -> anyhow::Result<Duration> {
    let began = Instant::now();
    loop {
        match member::dial(transport, address, who).await {
            Ok(_) => return Ok(began.elapsed()),
            Err(error) if began.elapsed() > CLOSE_MAX => {
                return Err(error).context("a rightful peer is not let in");
            }
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

async fn connect_from(number: u64, address: SocketAddr) -> Option<TcpStream> {
    let last = u8::try_from(number % SOURCES).unwrap_or(0) + 1;
    let socket = TcpSocket::new_v4().ok()?;
    let from = Ipv4Addr::new(127, 0, 1, last);
    socket.bind((from, 0).into()).ok()?;
    socket.connect(address).await.ok()
}

/// Says something and waits until the other end closes.
async fn say(address: SocketAddr, bytes: &[u8]) {
    let Ok(mut stream) = TcpStream::connect(address).await else {
        return;
    };
    // The other end may have had enough before all is written.
    if stream.write_all(bytes).await.is_ok() {
        let _ = stream.shutdown().await;
    }
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(CLOSE_MAX, stream.read_to_end(&mut answer)).await;
}

/// Raises the number of descriptors that this process may have to the most it may, and returns it.
fn files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Without it there are fewer connections.
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_frames() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        let frame = [&[0, 0, 0, 13, 1, 1, 0, 0][..], b"radix"].concat();
        assert_eq!(crc32c(&frame), 0x9013_c6dd);
    }
}
