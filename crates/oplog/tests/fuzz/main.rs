//! Arbitrary bytes as batches and as snapshots: a replica takes what is right, and says what is not.
//!
//! `cargo xtask fuzz op-batch snapshot` runs these for as long as one likes.

mod heap;

use std::time::Duration;

use bytes::Bytes;
use oplog::limits::{
    BATCH_OPS_MAX, OP_PAGES_MAX, OP_RANGES_MAX, PATH_PAGES_MAX, SNAPSHOT_CHUNKS_MAX,
};
use oplog::{
    ApplyError, Batch, Config, Entry, Event, Insert, Message, Op, Output, Pages, Parent, Replica,
    SnapshotChunk, SnapshotHead, State, VersionVector,
};
use radix_core::id::{
    CopyRange, Incarnation, Namespace, OpId, OriginId, Rank, Seq, SourceId, Tier,
};
use radix_core::page::Fingerprint;
use radix_core::time::Timestamp;
use radix_core::{Index, IndexConfig, SnapshotDelta, SnapshotRun};

/// What a call may hold for each byte it is handed: an op of two bytes is kept decoded, and lists grow by doubling.
const HELD_PER_BYTE_MAX: usize = 256;
/// What it may hold besides.
const HELD_MAX: usize = 16 << 10;
/// The table of a snapshot's chunks, which its first chunk makes.
const TABLE_BYTES_MAX: usize = SNAPSHOT_CHUNKS_MAX as usize * size_of::<Bytes>();

const ORIGIN: OriginId = OriginId {
    rank: Rank(1),
    inc: Incarnation(1),
};

/// Takes what it needs from the front of the input; zeroes where there is no more.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// Small numbers are likely, all are possible.
    fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..240 => u64::from(small % 8),
            240..250 => u64::from(self.byte()) << 8 | u64::from(self.byte()),
            shift => u64::MAX >> (shift % 6),
        }
    }

    fn number16(&mut self) -> u16 {
        u16::try_from(self.number() & 0xffff).unwrap_or_default()
    }

    fn pages(&mut self) -> Pages {
        let count = self.byte() % 6;
        Pages((0..count).map(|_| Fingerprint(self.number())).collect())
    }

    fn op(&mut self) -> Op {
        match self.byte() % 8 {
            0 => Op::Checkpoint {
                chain: self.number(),
                set: self.number(),
            },
            1 => Op::ResetSource {
                source: SourceId(self.number16()),
            },
            2 | 3 => Op::Remove {
                copies: (0..self.byte() % 3)
                    .map(|_| CopyRange {
                        seq: Seq(self.number()),
                        idx: self.number16(),
                        len: self.number16(),
                    })
                    .collect(),
            },
            _ => Op::Insert(Insert {
                source: SourceId(self.number16()),
                tier: [Tier::Device, Tier::Host, Tier::Disk][usize::from(self.byte() % 3)],
                parent: match self.byte() % 3 {
                    0 => Parent::Root(Namespace(self.number())),
                    1 => Parent::Copy {
                        seq: Seq(self.number()),
                        idx: self.number16(),
                    },
                    _ => Parent::Path {
                        namespace: Namespace(self.number()),
                        pages: self.pages(),
                    },
                },
                pages: self.pages(),
            }),
        }
    }
}

/// Ops as bytes: the input itself, or ops that it stands for, perhaps with one byte changed.
fn ops(input: &mut Input<'_>) -> (u32, Bytes) {
    let kind = input.byte();
    if kind.is_multiple_of(4) {
        let count = u32::try_from(input.number() & 0xffff_ffff).unwrap_or_default();
        return (count, Bytes::copy_from_slice(input.0));
    }
    let mut out = Vec::new();
    let mut count = 0;
    let (at, flip) = (input.byte(), input.byte());
    while !input.0.is_empty() {
        input.op().encode(&mut out);
        count += 1;
    }
    if kind % 4 == 1 && !out.is_empty() {
        let at = usize::from(at) % out.len();
        out[at] ^= flip;
    }
    (count, out.into())
}

fn is_within_limits(op: &Op) -> bool {
    match op {
        Op::Insert(insert) => {
            let path = match &insert.parent {
                Parent::Path { pages, .. } => pages.0.len(),
                Parent::Root(_) | Parent::Copy { .. } => 1,
            };
            (1..=PATH_PAGES_MAX).contains(&path)
                && (1..=OP_PAGES_MAX).contains(&insert.pages.0.len())
        }
        Op::Remove { copies } => (1..=OP_RANGES_MAX).contains(&copies.len()),
        Op::ResetSource { .. } | Op::Checkpoint { .. } => true,
    }
}

fn check_batch(bytes: &[u8]) {
    let mut input = Input(bytes);
    let first = Seq(input.number());
    let (count, ops) = ops(&mut input);
    let batch = Batch {
        origin: ORIGIN,
        first,
        count,
        ops,
    };
    let mut decoded = Vec::new();
    let mut is_whole = batch.last().is_ok();
    for op in batch.ops() {
        match op {
            Ok((op, range)) => {
                assert!(is_within_limits(&op), "{op:?}");
                let mut again = Vec::new();
                op.encode(&mut again);
                assert!(again.len() <= range.len(), "no shorter form than ours");
                let one = Batch {
                    count: 1,
                    ops: again.into(),
                    ..batch.clone()
                };
                let back: Vec<Op> = one.ops().map(|op| op.expect("it was one").0).collect();
                assert_eq!(back, [op]);
                decoded.push(range);
            }
            Err(_) => is_whole = false,
        }
    }
    assert!(decoded.len() <= BATCH_OPS_MAX as usize || !is_whole);
    let mut replica = replica(Index::new(IndexConfig::default()));
    let limit = HELD_MAX + HELD_PER_BYTE_MAX * bytes.len();
    let mut out = Vec::new();
    let ((), held) = heap::measured(|| {
        replica.handle(
            Timestamp(1),
            Rank(1),
            Message::Batch(batch.clone()),
            &mut out,
        );
    });
    assert!(held <= limit, "{held} bytes held for {}", bytes.len());
    // spec: OPLOG-2, OPLOG-3
    let seq = replica.digests(Rank(1)).map(|digests| digests.seq);
    let expected = match (is_whole, first) {
        (false, _) => None,
        (true, Seq(1)) => Some(Seq(u64::from(count))),
        (true, _) => Some(Seq::ZERO),
    };
    let repaired = |output: &Output| matches!(output, Output::Event(Event::DigestMismatch { .. }));
    assert!(
        seq == expected || (is_whole && out.iter().any(repaired)),
        "{seq:?} {expected:?}"
    );
    assert_eq!(replica.counters().undecodable, u64::from(!is_whole));
}

/// A tree that says of itself what a snapshot's head says, so that its copies are looked at in any case.
struct Trusting {
    index: Index,
    digest: u64,
}

impl State for Trusting {
    fn apply(&mut self, at: OpId, op: &Op) -> Result<(), ApplyError> {
        self.index.apply(at, op)
    }
    fn reset(&mut self, origin: OriginId, seq: Seq) {
        self.index.reset(origin, seq);
    }
    fn rename(&mut self, rank: Rank, inc: Incarnation) {
        self.index.rename(rank, inc);
    }
    fn digest(&self, _: Rank) -> u64 {
        self.digest
    }
    fn snapshot(&self, rank: Rank, base: Seq) -> Vec<SnapshotRun> {
        State::snapshot(&self.index, rank, base)
    }
    fn load(&mut self, origin: OriginId, seq: Seq, delta: SnapshotDelta) -> Result<(), ApplyError> {
        State::load(&mut self.index, origin, seq, delta)
    }
}

/// A replica of rank 9 with small limits that never keeps a tail.
fn replica<S: State>(state: S) -> Replica<S> {
    let config = Config {
        tail_ops_max: 0,
        snapshot_bytes_max: 64 << 10,
        serve_burst_bytes: 1 << 30,
        checkpoint_interval: Duration::from_secs(600),
        ..Config::default()
    };
    let me = OriginId {
        rank: Rank(9),
        inc: Incarnation(1),
    };
    Replica::new(me, config, 1, state)
}

/// Brings a replica some ops far into rank 1's log.
fn advance<S: State>(replica: &mut Replica<S>, count: u8) {
    let insert = |page: u8| {
        Op::Insert(Insert {
            source: SourceId(u16::from(page % 2)),
            tier: Tier::Device,
            parent: Parent::Root(Namespace(0)),
            pages: Pages(vec![Fingerprint(u64::from(page)), Fingerprint(1)]),
        })
    };
    let ops: Vec<Op> = (0..count).map(insert).collect();
    let batch = Batch {
        origin: ORIGIN,
        first: Seq(1),
        count: u32::from(count),
        ops: Batch::encode_ops(&ops),
    };
    if count > 0 {
        let mut out = Vec::new();
        replica.handle(Timestamp(1), Rank(1), Message::Batch(batch), &mut out);
    }
}

/// Runs timers until a pull of rank 1's log leaves.
fn until_asked<S: State>(replica: &mut Replica<S>, seq: Seq) -> Timestamp {
    let entry = Entry {
        inc: ORIGIN.inc,
        seq,
        floor: Incarnation(0),
    };
    let vector = VersionVector([(Rank(1), entry)].into());
    let mut out = Vec::new();
    let offer = Message::Offer {
        vector,
        reply: false,
    };
    replica.handle(Timestamp(1), Rank(1), offer, &mut out);
    let mut now = Timestamp(1);
    while !out.iter().any(|output| {
        matches!(
            output,
            Output::Send {
                message: Message::Pull { .. },
                ..
            }
        )
    }) {
        now = replica.next_deadline().expect("something lacks");
        replica.tick(now, &mut out);
    }
    now
}

/// The stream of a snapshot: the input itself, or runs that it stands for, perhaps with one byte changed.
fn stream(input: &mut Input<'_>, base: Seq) -> Vec<u8> {
    let kind = input.byte();
    if kind.is_multiple_of(4) {
        return input.0.to_vec();
    }
    let (at, flip) = (input.byte(), input.byte());
    let mut out = Vec::new();
    if base > Seq::ZERO {
        let sources: Vec<SourceId> = (0..input.byte() % 3)
            .map(|_| SourceId(input.number16()))
            .collect();
        let removed: Vec<CopyRange> = (0..input.byte() % 3)
            .map(|_| CopyRange {
                seq: Seq(input.number()),
                idx: input.number16(),
                len: input.number16(),
            })
            .collect();
        out = postcard::to_extend(&(sources, removed), out).expect("a Vec grows");
    }
    while !input.0.is_empty() {
        let (seq, idx) = (Seq(input.number()), input.number16());
        if let Op::Insert(insert) = input.op() {
            out = postcard::to_extend(&(seq, idx, insert), out).expect("a Vec grows");
        }
    }
    if kind % 4 == 1 && !out.is_empty() {
        let at = usize::from(at) % out.len();
        out[at] ^= flip;
    }
    out
}

/// Returns how many copies a stream holds, as far as it is one.
fn copies(mut stream: &[u8], base: Seq) -> u64 {
    let mut copies = 0;
    if base > Seq::ZERO {
        match postcard::take_from_bytes::<(Vec<SourceId>, Vec<CopyRange>)>(stream) {
            Ok((_, rest)) => stream = rest,
            Err(_) => return 0,
        }
    }
    while let Ok((run, rest)) = postcard::take_from_bytes::<(Seq, u16, Insert)>(stream) {
        copies += run.2.pages.0.len() as u64;
        if rest.is_empty() {
            break;
        }
        stream = rest;
    }
    copies
}

/// Returns whether the snapshot was loaded.
fn check_snapshot(bytes: &[u8]) -> bool {
    let mut input = Input(bytes);
    let seq = Seq(input.number().clamp(1, 1 << 40));
    let (wrong, by) = (input.byte() % 32, input.number());
    let cut = usize::from(input.byte()) + 1;
    let order = input.byte();
    // How far the replica is already, and whether the snapshot tells what came behind that.
    let behind = input.byte() % 4;
    let base = Seq(u64::from(if input.byte() % 2 == 1 { behind } else { 0 }));
    let seq = Seq(seq.0.max(u64::from(behind) + 1));
    let stream = stream(&mut input, base);
    let mut pieces: Vec<&[u8]> = stream.chunks(cut).collect();
    if pieces.is_empty() {
        pieces.push(&[]);
    }
    let bent = |field: u8, value: u64| if field == wrong { by } else { value };
    let head = SnapshotHead {
        origin: ORIGIN,
        seq: Seq(bent(0, seq.0)),
        chain: 5,
        set: 7,
        copies: bent(1, copies(&stream, base)),
        bytes: bent(2, stream.len() as u64),
        chunks: u32::try_from(bent(3, pieces.len() as u64) & 0xffff_ffff).unwrap_or_default(),
        base: Seq(bent(4, base.0)),
    };
    let index = Index::new(IndexConfig::default());
    let mut replica = replica(Trusting { index, digest: 7 });
    advance(&mut replica, behind);
    let now = until_asked(&mut replica, seq);
    let mut chunks: Vec<SnapshotChunk> = (0..)
        .zip(&pieces)
        .map(|(index, piece)| SnapshotChunk {
            session: 3,
            head,
            index,
            bytes: Bytes::copy_from_slice(piece),
        })
        .collect();
    if order % 4 == 1 {
        chunks.reverse();
    } else if order % 4 == 2 {
        chunks.push(chunks[usize::from(order) % chunks.len()].clone());
    }
    let mut out = Vec::new();
    let limit = HELD_MAX + TABLE_BYTES_MAX + HELD_PER_BYTE_MAX * bytes.len();
    for chunk in chunks {
        let ((), held) = heap::measured(|| {
            replica.handle(now, Rank(1), Message::Snapshot(chunk), &mut out);
        });
        assert!(held <= limit, "{held} bytes held for {}", bytes.len());
    }
    let digests = replica.digests(Rank(1)).expect("the offer named it");
    if replica.counters().snapshots_loaded == 0 {
        // A fault before loading leaves the log as it was, one after it leaves it empty.
        let is_empty = State::snapshot(replica.state(), Rank(1), Seq::ZERO).is_empty();
        assert_eq!(is_empty, digests.seq == Seq::ZERO);
        assert!(is_empty || digests.seq == Seq(u64::from(behind)));
        return false;
    }
    // spec: OPLOG-11
    assert_eq!((digests.seq, digests.chain), (head.seq, 5));
    pass_on(&mut replica, now, head);
    true
}

/// What was loaded can be sent on, and is the same there.
fn pass_on(replica: &mut Replica<Trusting>, now: Timestamp, head: SnapshotHead) {
    let mut out = Vec::new();
    let pull = Message::Pull {
        origin: ORIGIN,
        from: Seq(1),
    };
    replica.handle(now, Rank(3), pull, &mut out);
    let index = Index::new(IndexConfig::default());
    let mut next = self::replica(Trusting { index, digest: 7 });
    let later = until_asked(&mut next, head.seq);
    let mut ignored = Vec::new();
    for output in out {
        if let Output::Send { message, .. } = output {
            next.handle(later, Rank(1), message, &mut ignored);
        }
    }
    assert_eq!(next.counters().snapshots_loaded, 1);
    let runs = |replica: &Replica<Trusting>| State::snapshot(replica.state(), Rank(1), Seq::ZERO);
    assert_eq!(runs(&next), runs(replica));
    let digest = |replica: &Replica<Trusting>| replica.state().index.digest(Rank(1));
    assert_eq!(digest(&next), digest(replica));
}

// spec: OPLOG-2, OPLOG-15
#[test]
fn any_bytes_are_a_batch_taken_whole_or_not_at_all() {
    bolero::check!(name = "op-batch")
        .with_iterations(1_000)
        .with_max_len(400)
        .for_each(check_batch);
}

// spec: OPLOG-11, OPLOG-15
#[test]
fn any_bytes_are_a_snapshot_loaded_whole_or_not_at_all() {
    bolero::check!(name = "snapshot")
        .with_iterations(500)
        .with_max_len(400)
        .for_each(|bytes: &[u8]| {
            check_snapshot(bytes);
        });
}

#[test]
fn the_kept_streams_are_loaded_or_not_as_they_should() {
    assert!(check_snapshot(include_bytes!(
        "__fuzz__/snapshot/corpus/one-run"
    )));
    assert!(check_snapshot(include_bytes!(
        "__fuzz__/snapshot/corpus/one-run-in-bytes"
    )));
    assert!(check_snapshot(include_bytes!(
        "__fuzz__/snapshot/corpus/no-run"
    )));
    assert!(!check_snapshot(include_bytes!(
        "__fuzz__/snapshot/corpus/wrong-copies"
    )));
    assert!(!check_snapshot(include_bytes!(
        "__fuzz__/snapshot/corpus/too-early"
    )));
}
