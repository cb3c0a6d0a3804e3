//! Two replicas in memory: one publishes, the first batch is lost, the other finds out, pulls it and agrees.
//!
//! `cargo run -p oplog --example two_replicas`

use std::collections::VecDeque;

use oplog::{Config, Insert, Message, Op, Output, Pages, Parent, Replica};
use radix_core::id::{CopyRange, Incarnation, Namespace, OriginId, Rank, SourceId, Tier};
use radix_core::time::Timestamp;
use radix_core::{Fingerprint, Index, IndexConfig};

fn replica(rank: u16) -> Replica<Index> {
    let me = OriginId {
        rank: Rank(rank),
        inc: Incarnation(1),
    };
    let index = Index::new(IndexConfig::default());
    Replica::new(me, Config::default(), u64::from(rank), index)
}

fn main() -> Result<(), oplog::PublishError> {
    let mut replicas = [replica(0), replica(1)];
    let mut wire = VecDeque::new();
    let mut out = Vec::new();
    let mut now = Timestamp(0);

    // Rank 0 stores three pages in one batch and drops the last page in another.
    let pages = Pages(vec![Fingerprint(0xa), Fingerprint(0xb), Fingerprint(0xc)]);
    let parent = Parent::Root(Namespace::DEFAULT);
    let insert = Insert {
        source: SourceId(0),
        tier: Tier::Device,
        parent,
        pages,
    };
    let seq = replicas[0].publish(now, Op::Insert(insert))?;
    replicas[0].flush(now, &mut out);
    let copies = vec![CopyRange {
        seq,
        idx: 2,
        len: 1,
    }];
    replicas[0].publish(now, Op::Remove { copies })?;
    replicas[0].flush(now, &mut out);
    carry(0, &mut out, &mut wire);
    println!("0 -> 1 lost: {:?}", wire.pop_front());

    loop {
        while let Some((from, to, message)) = wire.pop_front() {
            println!("{from} -> {to} at {:>2} ms: {message:?}", now.0 / 1_000_000);
            replicas[to].handle(now, Rank(from as u16), message, &mut out);
            carry(to, &mut out, &mut wire);
        }
        if replicas[1].digests(Rank(0)) == replicas[0].digests(Rank(0)) {
            break;
        }
        let deadlines = replicas.iter().filter_map(Replica::next_deadline);
        now = deadlines.min().unwrap_or(now).max(now);
        for (rank, replica) in replicas.iter_mut().enumerate() {
            replica.tick(now, &mut out);
            carry(rank, &mut out, &mut wire);
        }
    }
    println!("both have: {:x?}", replicas[1].digests(Rank(0)));
    Ok(())
}

/// Puts what a replica wants sent on the wire.
fn carry(from: usize, out: &mut Vec<Output>, wire: &mut VecDeque<(usize, usize, Message)>) {
    for output in out.drain(..) {
        match output {
            Output::Broadcast(batch) => wire.push_back((from, 1 - from, Message::Batch(batch))),
            Output::Send { to, message } => wire.push_back((from, usize::from(to.0), message)),
            Output::Applied { .. } | Output::Reincarnated { .. } | Output::Event(_) => {
                println!("     {from} at       {output:?}");
            }
        }
    }
}
