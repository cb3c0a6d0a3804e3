//! A member that went mad: frames whose lengths and counts promise far more than they hold, in every kind of message,
//! and messages that make sense byte by byte and no sense at all.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use oplog::{Batch, Insert, Message, Op, Pages, Parent, SnapshotChunk, SnapshotHead};
use radix_core::Fingerprint;
use radix_core::id::{Incarnation, Namespace, OriginId, Rank, Seq, SourceId, Tier};
use radixmesh::node::wire::{self, Frame};
use radixmesh::transport::{Handler, Lane, Peer, Transport, Verdict};

use super::super::member::{self, Member};
use super::ground::{Done, Ground, ME};

/// How often each bomb is thrown.
const TIMES: u64 = 400;
/// How often those are that are as large as a frame may be.
const TIMES_LARGE: u64 = 8;
/// The largest payload of a frame. Unit: bytes.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// Pause when a lane is full.
const ROOM: Duration = Duration::from_millis(1);
/// Batches behind a gap, of the size below: far more than a log lets wait.
const GAPS: u64 = 2_000;
/// Pages of each of them.
const GAP_PAGES: u64 = 8_000;

/// Listens and says nothing.
struct Deaf;

impl Handler for Deaf {
    fn on_frame(&self, _: &Peer, _: Lane, _: &[u8]) -> Verdict {
        Verdict::Continue
    }
}

async fn mad(ground: &Ground, transport: &dyn Transport) -> anyhow::Result<(Member, OriginId)> {
    let address = ground.address();
    let who = member::identity(transport, &address, ME).await?;
    let connection = member::dial(transport, &address, who).await?;
    let me = OriginId {
        rank: Rank(ME),
        inc: Incarnation(who.epoch),
    };
    Ok((Member::start(connection, Arc::new(Deaf)), me))
}

/// Throws frames that must not decode.
///
/// Errors: the victim does not let the member in, or throws it out.
pub(super) async fn undecodable(
    ground: &mut Ground,
    transport: &dyn Transport,
) -> anyhow::Result<()> {
    let (member, me) = mad(ground, transport).await?;
    let small = bombs(me);
    let large: Vec<Vec<u8>> = (0..16)
        .map(|kind| {
            let mut bomb = vec![0xff; FRAME_BYTES_MAX];
            bomb[..2].copy_from_slice(&[wire::VERSION, kind]);
            bomb
        })
        .collect();
    for (name, bombs, times) in [
        ("frames with absurd counts", small, TIMES),
        ("frames of 1 MiB of nothing", large, TIMES_LARGE),
    ] {
        let battle = ground.begin(name).await?;
        for _ in 0..times {
            for bomb in &bombs {
                throw(&member, bomb).await?;
            }
        }
        let tries = times * bombs.len() as u64;
        let done = Done {
            tries,
            expected: tries,
            honest: None,
        };
        ground.end_of(battle, done).await?;
    }
    member.leave().await;
    Ok(())
}

async fn throw(member: &Member, bytes: &[u8]) -> anyhow::Result<()> {
    while !member.send(Lane::Data, bytes) {
        anyhow::ensure!(!member.is_closed(), "the victim ended the connection");
        tokio::time::sleep(ROOM).await;
    }
    Ok(())
}

/// Bytes of a varint that says 2^60.
const HUGE: [u8; 9] = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
/// Bytes of a varint that no integer holds.
const ENDLESS: [u8; 11] = [0xff; 11];

/// Returns frames that promise what they do not hold, at least one for each kind of message.
fn bombs(me: OriginId) -> Vec<Vec<u8>> {
    let frame = |kind: u8, parts: &[&[u8]]| [&[wire::VERSION, kind], &parts.concat()[..]].concat();
    let batch = |count: u32, ops: &[u8]| Batch {
        origin: me,
        first: Seq(1),
        count,
        ops: Bytes::copy_from_slice(ops),
    };
    let encoded = |frame: &Frame| wire::encode(frame).1.to_bytes().to_vec();
    // Ops whose lists are said to be endless.
    let insert_root = [&[0, 0, 0, 0, 0][..], &HUGE].concat();
    let insert_path = [&[0, 0, 0, 2, 0][..], &HUGE].concat();
    let remove = [&[1][..], &HUGE].concat();
    let mut all = Vec::new();
    for (count, ops) in [
        (u32::MAX, &[][..]),
        (u32::MAX, &[3, 0, 0]),
        (0, &[]),
        (1, &insert_root),
        (1, &insert_path),
        (1, &remove),
        (1, &[99]),
    ] {
        all.push(encoded(&Frame::Log(Message::Batch(batch(count, ops)))));
        all.push(encoded(&Frame::Broadcast {
            end: Rank(ME),
            ttl: 1,
            batch: batch(count, ops),
        }));
    }
    all.extend([
        // Heads that are none.
        frame(1, &[&ENDLESS]),
        frame(2, &[&ENDLESS]),
        // A batch in the log's own form, an offer of 2^60 ranks, and each other message of the logs.
        frame(3, &[&[0, 0, 1, 1, 1, 0]]),
        frame(3, &[&[1], &HUGE]),
        frame(3, &[&[2], &ENDLESS]),
        frame(3, &[&[3, 0, 1], &ENDLESS]),
        frame(3, &[&[4, 1, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0], &HUGE]),
        frame(3, &[&[4], &ENDLESS]),
        frame(3, &[&[5, 1], &HUGE]),
        frame(3, &[&[6], &ENDLESS]),
        frame(3, &[&[99]]),
        // Readiness.
        frame(5, &[&[7]]),
        frame(5, &[&[1, 1]]),
        // Each message of the topology: heartbeat, both halves of a question, digest; then 2^60 records, one more than
        // a frame may have, a record with an endless address, and a kind that is none.
        frame(6, &[&[0], &ENDLESS]),
        frame(6, &[&[1], &ENDLESS]),
        frame(6, &[&[2, 1, 1, 7]]),
        frame(6, &[&[3], &ENDLESS]),
        frame(6, &[&[4], &HUGE]),
        frame(6, &[&[4, 0x81, 0x02]]),
        frame(6, &[&[4, 1, 0, 0], &HUGE]),
        frame(6, &[&[99]]),
        // A token of a ring check: no round, 2^60 members.
        frame(7, &[&ENDLESS]),
        frame(7, &[&[0, 1, 1, 1, 0, 0], &HUGE]),
        // What only travels in a handshake.
        frame(8, &[&[0, 1, b'x']]),
        frame(9, &[&[0], &HUGE]),
        // No such kind (4 was one once), no such version, no frame.
        frame(0, &[&HUGE]),
        frame(4, &[&ENDLESS]),
        frame(200, &[&HUGE]),
        vec![wire::VERSION + 1, 1, 0],
        vec![wire::VERSION],
        vec![],
    ]);
    all
}

/// Says things that make sense byte by byte: logs of ranks that are none, places beyond any log, snapshots that nobody
/// asked for, and more behind a gap than may wait there.
///
/// Errors: the victim does not let the member in, or throws it out.
pub(super) async fn absurd(ground: &mut Ground, transport: &dyn Transport) -> anyhow::Result<()> {
    let (member, me) = mad(ground, transport).await?;
    let battle = ground.begin("messages that make no sense").await?;
    let frames = nonsense(me);
    for _ in 0..TIMES {
        for frame in &frames {
            throw(&member, frame).await?;
        }
    }
    let tries = TIMES * frames.len() as u64;
    // Some are answered "I have nothing of that", which is no refusal.
    let done = Done {
        tries,
        expected: TIMES,
        honest: None,
    };
    ground.end_of(battle, done).await?;

    let battle = ground.begin("batches behind a gap").await?;
    let pages = Pages((0..GAP_PAGES).map(Fingerprint).collect());
    let mut ops = Vec::new();
    Op::Insert(Insert {
        source: SourceId(0),
        tier: Tier::Device,
        parent: Parent::Root(Namespace::DEFAULT),
        pages,
    })
    .encode(&mut ops);
    let ops = Bytes::from(ops);
    for number in 0..GAPS {
        let batch = Batch {
            origin: me,
            first: Seq(1_000 + number),
            count: 1,
            ops: ops.clone(),
        };
        let frame = Frame::Log(Message::Batch(batch));
        throw(&member, &wire::encode(&frame).1.to_bytes()).await?;
    }
    let done = Done {
        tries: GAPS,
        expected: 1,
        honest: None,
    };
    ground.end_of(battle, done).await?;
    member.leave().await;
    Ok(())
}

fn nonsense(me: OriginId) -> Vec<Vec<u8>> {
    let nobody = OriginId {
        rank: Rank(60_000),
        inc: Incarnation(1),
    };
    let head = SnapshotHead {
        origin: nobody,
        seq: Seq(u64::MAX),
        chain: 0,
        set: 0,
        copies: u64::MAX,
        bytes: u64::MAX,
        chunks: u32::MAX,
        base: Seq(u64::MAX),
    };
    let messages = [
        Message::Batch(Batch {
            origin: nobody,
            first: Seq(u64::MAX),
            count: 1,
            ops: Bytes::from_static(&[3, 0, 0]),
        }),
        Message::Pull {
            origin: nobody,
            from: Seq(u64::MAX),
        },
        Message::PullEnd {
            origin: nobody,
            last: Seq(u64::MAX),
            have: Seq(u64::MAX),
        },
        Message::Snapshot(SnapshotChunk {
            session: 7,
            head,
            index: u32::MAX,
            bytes: Bytes::from_static(&[0; 64]),
        }),
        Message::Snapshot(SnapshotChunk {
            session: 7,
            head: SnapshotHead { origin: me, ..head },
            index: 0,
            bytes: Bytes::from_static(&[0; 64]),
        }),
        Message::SnapshotMore {
            session: u64::MAX,
            next: u32::MAX,
        },
        Message::SnapshotGone { session: u64::MAX },
    ];
    messages
        .map(|message| wire::encode(&Frame::Log(message)).1.to_bytes().to_vec())
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME_ONCE: OriginId = OriginId {
        rank: Rank(ME),
        inc: Incarnation(7),
    };

    #[test]
    fn no_bomb_is_a_message_that_could_be_acted_on() {
        for bomb in bombs(ME_ONCE) {
            let bytes = Bytes::from(bomb);
            match wire::decode(&bytes) {
                Err(_) => {}
                // What a batch holds is the log's to judge.
                Ok(Frame::Log(Message::Batch(batch)) | Frame::Broadcast { batch, .. }) => {
                    let is_good = batch.last().is_ok() && batch.ops().all(|op| op.is_ok());
                    let all = batch.ops().count() == batch.count as usize;
                    assert!(!(is_good && all), "{bytes:02x?}");
                }
                Ok(frame) => panic!("{bytes:02x?} is {frame:?}"),
            }
        }
    }

    #[test]
    fn nonsense_decodes() {
        for frame in nonsense(ME_ONCE) {
            let bytes = Bytes::from(frame);
            assert!(wire::decode(&bytes).is_ok(), "{bytes:02x?}");
        }
    }
}
