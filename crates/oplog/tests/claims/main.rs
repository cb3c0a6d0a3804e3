//! One test per rule of `docs/protocols/oplog.md`, and per way in which something can go wrong.

#[path = "../support/mod.rs"]
mod support;

mod batches;
mod checkpoints;
mod deltas;
mod edges;
mod incarnations;
mod own_rank;
mod priorities;
mod pulls;
mod snapshots;
mod stable;

use std::time::Duration;

use bytes::Bytes;
use oplog::{
    BatchError, Config, Entry, Event, Message, Op, OpError, Output, PublishError, SnapshotChunk,
    SnapshotFault, VersionVector,
};
use radix_core::id::{Incarnation, Seq, SourceId};
use support::{Net, Node, batch, config, events, insert, ms, origin, pages, rank, remove, sent};

/// A receiver with rank 9 that hears of the log of rank 1.
fn receiver() -> Node {
    Node::new(origin(9, 1), config())
}

fn ops(count: u64) -> Vec<Op> {
    (0..count).map(|page| insert(page * 10, 2)).collect()
}

fn offer(rank_: u16, inc: u64, seq: u64, floor: u64) -> Message {
    let entry = Entry {
        inc: Incarnation(inc),
        seq: Seq(seq),
        floor: Incarnation(floor),
    };
    Message::Offer {
        vector: VersionVector([(rank(rank_), entry)].into()),
        reply: false,
    }
}

fn pull(out: &[Output]) -> Vec<(u16, u64)> {
    let pulls = sent(out).into_iter();
    pulls
        .filter_map(|(to, m)| {
            if let Message::Pull { from, .. } = m {
                Some((to, from.0))
            } else {
                None
            }
        })
        .collect()
}

fn chunks(out: &[Output]) -> Vec<SnapshotChunk> {
    let sent = sent(out).into_iter();
    sent.filter_map(|(_, m)| {
        if let Message::Snapshot(chunk) = m {
            Some(chunk)
        } else {
            None
        }
    })
    .collect()
}

/// Runs a node's timers until it sends something.
fn tick_until_sent(node: &mut Node, limit: u64) -> (u64, Vec<Output>) {
    while let Some(at) = node.replica.next_deadline() {
        let at = at.0.div_ceil(1_000_000);
        assert!(
            at <= limit,
            "nothing was sent before {limit} ms; next at {at}"
        );
        let out = node.tick(at);
        if !sent(&out).is_empty() {
            return (at, out);
        }
    }
    panic!("nothing is due");
}
