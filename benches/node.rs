//! A whole node without sockets: what one publish costs its owner, and one broadcast its receivers.

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use radixmesh::node::{Boot, Effect, Effects, Input, Node, NodeConfig, Publish, wire};
use radixmesh::radix_core::Fingerprint;
use radixmesh::radix_core::id::{Incarnation, Namespace, Rank, SourceId, Tier};
use radixmesh::radix_core::time::Timestamp;
use radixmesh::topology::{Message, Record, Role, Status};

const PUBLISHES: u64 = 1_000;

fn node(rank: u16) -> Node {
    let members = vec![(Rank(0), Role::Prefill), (Rank(1), Role::Prefill)];
    let boot = Boot {
        inc: Incarnation(1),
        seed: u64::from(rank),
    };
    let mut node =
        Node::new(NodeConfig::new(Rank(rank), members), boot, Timestamp(0)).expect("a valid ring");
    let up = Input::LinkUp {
        peer: Rank(1 - rank),
        inc: Incarnation(1),
    };
    node.handle(Timestamp(0), up, &mut Effects::new());
    let said = Input::Frame {
        from: Rank(1 - rank),
        bytes: alive(Rank(1 - rank)),
    };
    node.handle(Timestamp(0), said, &mut Effects::new());
    node
}

/// What a peer says first over a new link: that it lives.
fn alive(rank: Rank) -> Bytes {
    let record = Record {
        inc: Incarnation(1),
        status: Status::Alive,
        ..Record::never_seen(rank, Role::Prefill, String::new())
    };
    let message = Message::Members {
        records: vec![record],
        all_of: None,
    };
    wire::encode(&wire::Frame::Topology(message)).1.to_bytes()
}

fn publishes(pages: u64) -> Vec<Publish> {
    let publish = |number: u64| Publish::Store {
        source: SourceId(0),
        namespace: Namespace::DEFAULT,
        tier: Tier::Device,
        pages: (0..pages)
            .map(|page| Fingerprint((number << 20 | page).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            .collect(),
        from: 0,
        renew: false,
    };
    (0..PUBLISHES).map(publish).collect()
}

/// Publishes everything at node 0 and returns the frames that leave it.
fn publish_all(node: &mut Node, publishes: Vec<Publish>, out: &mut Effects) {
    for (number, publish) in (0u64..).zip(publishes) {
        node.handle(Timestamp(number), Input::Publish(publish), out);
        node.handle(Timestamp(number), Input::Flush, out);
    }
}

fn publishing(c: &mut Criterion) {
    let mut group = c.benchmark_group("node");
    group
        .throughput(Throughput::Elements(PUBLISHES))
        .sample_size(20);
    for pages in [1u64, 64] {
        group.bench_function(format!("publish/pages={pages}"), |b| {
            b.iter_batched(
                || (node(0), publishes(pages), Effects::new()),
                |(mut node, publishes, mut out)| {
                    publish_all(&mut node, publishes, &mut out);
                    (node, out)
                },
                BatchSize::LargeInput,
            );
        });
        let mut out = Effects::new();
        publish_all(&mut node(0), publishes(pages), &mut out);
        let frames: Vec<_> = out
            .iter()
            .filter_map(|effect| match effect {
                Effect::Send { frame, .. } => Some(frame.to_bytes()),
                _ => None,
            })
            .collect();
        group.bench_function(format!("receive/pages={pages}"), |b| {
            b.iter_batched(
                || (node(1), Effects::new()),
                |(mut node, mut out)| {
                    for bytes in &frames {
                        node.handle(
                            Timestamp(1),
                            Input::Frame {
                                from: Rank(0),
                                bytes: bytes.clone(),
                            },
                            &mut out,
                        );
                        out.clear();
                    }
                    node
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, publishing);
criterion_main!(benches);
