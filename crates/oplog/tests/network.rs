//! Replicas under loss, duplication, reordering, restarts and forgetting. `support::Model` checks each applied op;
//! here the whole is checked: after faults stop, all have the same.

mod support;

use std::time::Duration;

use oplog::{Config, Event, Op, Parent};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use radix_core::id::{Incarnation, Namespace, SourceId, Tier};
use support::{Net, insert, ms, pages, rank, remove};

#[derive(Clone, Debug)]
enum Act {
    Publish {
        node: u16,
        kind: u8,
        pick: u16,
        page: u64,
    },
    Flush(u16),
    Deliver(u16),
    Drop(u16),
    Double(u16),
    Advance(u8),
    Offer {
        from: u16,
        to: u16,
    },
    Observe {
        at: u16,
        of: u16,
    },
    Restart(u16),
    LinkDown {
        at: u16,
        peer: u16,
    },
    Forget {
        at: u16,
        of: u16,
        current: bool,
    },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (any::<u16>(), any::<u8>(), any::<u16>(), 0u64..12)
            .prop_map(|(node, kind, pick, page)| Act::Publish { node, kind, pick, page }),
        4 => any::<u16>().prop_map(Act::Flush),
        16 => any::<u16>().prop_map(Act::Deliver),
        4 => any::<u16>().prop_map(Act::Drop),
        2 => any::<u16>().prop_map(Act::Double),
        5 => (1u8..80).prop_map(Act::Advance),
        3 => (any::<u16>(), any::<u16>()).prop_map(|(from, to)| Act::Offer { from, to }),
        2 => (any::<u16>(), any::<u16>()).prop_map(|(at, of)| Act::Observe { at, of }),
        1 => any::<u16>().prop_map(Act::Restart),
        1 => (any::<u16>(), any::<u16>()).prop_map(|(at, peer)| Act::LinkDown { at, peer }),
        1 => (any::<u16>(), any::<u16>(), proptest::bool::weighted(0.2))
            .prop_map(|(at, of, current)| Act::Forget { at, of, current }),
    ]
}

fn configs() -> impl Strategy<Value = Config> {
    let tail = prop_oneof![Just(0usize), Just(3), Just(20), Just(65_536)];
    let reorder = prop_oneof![Just(0usize), Just(4), Just(16_384)];
    let pull = prop_oneof![Just(1usize), Just(64), Just(1 << 20)];
    let delta = prop_oneof![Just(0u64), Just(100), Just(64 << 10)];
    (
        tail,
        reorder,
        (pull, delta),
        1usize..4,
        1usize..3,
        16usize..80,
        2u32..20,
    )
        .prop_map(
            |(
                tail_ops_max,
                reorder_ops_max,
                (pull_bytes_max, delta_bytes_min),
                pulls_max,
                sessions_max,
                snapshot_chunk_bytes,
                checkpoint_ops,
            )| Config {
                tail_ops_max,
                reorder_ops_max,
                pull_bytes_max,
                delta_bytes_min,
                pulls_max,
                sessions_max,
                snapshot_chunk_bytes,
                checkpoint_ops,
                batch_bytes_max: 200,
                batch_delay: Duration::from_millis(2),
                ..Config::default()
            },
        )
}

fn op(net: &mut Net, node: u16, kind: u8, pick: u16, page: u64) -> Op {
    let live: Vec<_> = net
        .node(node)
        .replica
        .state()
        .logs
        .get(&rank(node))
        .map_or(Vec::new(), |log| log.copies.keys().copied().collect());
    let copy = live.get(usize::from(pick) % live.len().max(1)).copied();
    let insert_at = |parent| {
        let count = u64::from(pick % 5) + 1;
        let pages = pages(&(page..page + count).collect::<Vec<_>>());
        Op::Insert(oplog::Insert {
            source: SourceId(pick % 2),
            tier: Tier::ALL[usize::from(pick) % 3],
            parent,
            pages,
        })
    };
    match (kind % 8, copy) {
        (0, _) => insert_at(Parent::Root(Namespace(page % 2))),
        (1, _) => insert_at(Parent::Path {
            namespace: Namespace(1),
            pages: pages(&[page, page + 1]),
        }),
        (2 | 3, Some((seq, idx))) => insert_at(Parent::Copy { seq, idx }),
        (4 | 5, Some((seq, idx))) => remove(seq.0, idx, pick % 3 + 1),
        (6, _) if pick.is_multiple_of(16) => Op::ResetSource {
            source: SourceId(1),
        },
        (7, _) if pick.is_multiple_of(8) => insert_at(Parent::Copy {
            seq: radix_core::id::Seq(9_999),
            idx: 0,
        }),
        _ => insert(page, 2),
    }
}

fn play(net: &mut Net, acts: &[Act]) {
    let nodes = net.nodes.len() as u16;
    for act in acts {
        let pick = |of: u16, len: usize| usize::from(of) % len.max(1);
        let some = |node: u16| node % nodes;
        match *act {
            Act::Publish {
                node,
                kind,
                pick,
                page,
            } => {
                let op = op(net, some(node), kind, pick, page);
                net.publish(some(node), op);
            }
            Act::Flush(node) => net.flush(some(node)),
            Act::Deliver(index) => net.deliver(pick(index, net.wires.len())),
            Act::Drop(index) => drop(net.wires.remove(pick(index, net.wires.len()))),
            Act::Double(index) => {
                if let Some(wire) = net.wires.get(pick(index, net.wires.len())).cloned() {
                    net.wires.push_back(wire);
                }
            }
            Act::Advance(ms) => net.advance(u64::from(ms)),
            Act::Offer { from, to } if some(from) != some(to) => net.offer(some(from), some(to)),
            Act::Observe { at, of } if some(at) != some(of) => {
                let entry = net.node(some(of)).replica.offer().entry(rank(some(of)));
                let me = net.node(some(of)).replica.me();
                let now = ms(net.now);
                let node = net.node(some(at));
                node.replica
                    .observe(now, me.rank, me, entry.seq, &mut node.out);
            }
            Act::Restart(node) => net.restart(some(node)),
            Act::LinkDown { at, peer } => net.node(some(at)).replica.link_down(rank(some(peer))),
            Act::Forget { at, of, current } => {
                let inc = net.node(some(of)).replica.me().inc;
                let floor = if current { inc } else { Incarnation(inc.0 - 1) };
                let now = ms(net.now);
                let node = net.node(some(at));
                node.replica
                    .forget(now, rank(some(of)), floor, &mut node.out);
            }
            Act::Offer { .. } | Act::Observe { .. } => {}
        }
        if net.wires.len() > 2_000 {
            net.wires.truncate(1_000);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    // spec: OPLOG-1 to OPLOG-14
    #[test]
    fn equal_vectors_mean_equal_states_and_all_become_equal(
        nodes in 2u16..5,
        config in configs(),
        acts in proptest::collection::vec(act(), 1..400),
    ) {
        let mut net = Net::new(nodes, config);
        play(&mut net, &acts);
        net.settle();
        net.assert_equal();
        for node in &net.nodes {
            let counters = node.replica.counters();
            prop_assert_eq!(counters.digest_mismatches, 0);
            prop_assert_eq!(counters.undecodable, 0);
            prop_assert_eq!(counters.refused, 0);
        }
        let rejected = net.events.iter().find(|(_, event)| matches!(event, Event::SnapshotRejected { .. }));
        prop_assert_eq!(rejected, None);
    }

    #[test]
    fn the_same_acts_give_the_same_outputs(config in configs(), acts in proptest::collection::vec(act(), 1..100)) {
        let run = || {
            let mut net = Net::new(3, config.clone());
            play(&mut net, &acts);
            (net.wires, net.events)
        };
        prop_assert_eq!(run(), run());
    }
}

#[test]
fn the_acts_reach_every_way_of_repair() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut totals = std::collections::BTreeMap::<&str, u64>::new();
    let strategy = (2u16..5, configs(), proptest::collection::vec(act(), 1..400));
    for _ in 0..300 {
        let (nodes, config, acts) = strategy.new_tree(&mut runner).unwrap().current();
        let mut net = Net::new(nodes, config);
        play(&mut net, &acts);
        let time = net.settle();
        *totals.entry("slow settles").or_default() += u64::from(time > 5_000);
        for node in &net.nodes {
            let c = node.replica.counters();
            for (name, count) in [
                ("accepted", c.ops_accepted),
                ("duplicate", c.ops_duplicate),
                ("without effect", c.ops_without_effect),
                ("ahead", c.batches_ahead),
                ("overflows", c.reorder_overflows),
                ("stale", c.stale),
                ("pulls", c.pulls_sent),
                ("timed out", c.pulls_timed_out),
                ("served", c.pulls_served),
                ("busy", c.pulls_busy),
                ("snapshots sent", c.snapshots_sent),
                ("snapshots loaded", c.snapshots_loaded),
                ("deltas sent", c.deltas_sent),
                ("deltas loaded", c.deltas_loaded),
                ("checkpoints", c.checkpoints_equal),
                ("reincarnations", c.reincarnations),
            ] {
                *totals.entry(name).or_default() += count;
            }
        }
    }
    assert_eq!(
        totals.remove("slow settles"),
        Some(0),
        "more than 5 s: {totals:#?}"
    );
    for (name, count) in totals {
        assert!(count > 0, "no case has {name}");
    }
}
