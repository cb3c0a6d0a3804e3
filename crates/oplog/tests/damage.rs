//! Messages whose bits flip on the way: nothing panics, and the digests find what the decoders cannot.

mod support;

use std::time::Duration;

use oplog::{Config, Message};
use proptest::prelude::*;
use support::{Net, insert, remove};

/// Flips one bit of a message; `None` when the result is no message.
fn damaged(message: &Message, bit: usize) -> Option<Message> {
    let mut bytes = postcard::to_stdvec(message).ok()?;
    let bit = bit % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    postcard::from_bytes(&bytes).ok()
}

fn exchange(net: &mut Net) {
    for from in 0..net.nodes.len() as u16 {
        net.flush(from);
        for to in (0..net.nodes.len() as u16).filter(|to| *to != from) {
            net.offer(from, to);
        }
    }
}

fn agree(net: &Net) -> bool {
    let ranks = 0..net.nodes.len() as u16;
    ranks.map(support::rank).all(|rank| {
        let first = net.nodes[0].replica.digests(rank);
        net.nodes
            .iter()
            .all(|node| node.replica.digests(rank) == first)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    // spec: OPLOG-2, OPLOG-11, OPLOG-13, OPLOG-14, OPLOG-15
    #[test]
    fn flipped_bits_never_panic_and_are_healed(
        tail_ops_max in prop_oneof![Just(0usize), Just(1_000)],
        flips in proptest::collection::vec(proptest::option::weighted(0.3, any::<usize>()), 1..200),
    ) {
        let mut net = Net::new(3, Config {
            tail_ops_max,
            delta_bytes_min: 0,
            checkpoint_ops: 4,
            snapshot_chunk_bytes: 64,
            repair_interval: Duration::from_millis(100),
            ..Config::default()
        });
        for node in &mut net.nodes {
            node.replica.state_mut().unchecked = true;
        }
        let mut flips = flips.into_iter();
        let mut page = 0;
        // Damage while there are flips left, then only what heals.
        for round in 0..400 {
            for rank in 0..3 {
                page += 1;
                if round < 40 || round % 40 == 0 {
                    net.publish(rank, if page % 4 == 3 { remove(page / 6 + 1, 0, 1) } else { insert(page, 2) });
                }
            }
            exchange(&mut net);
            for _ in 0..10 {
                while let Some((_, _, message)) = net.wires.front_mut() {
                    if let Some(flip) = flips.next().flatten() {
                        match damaged(message, flip) {
                            Some(other) => *message = other,
                            None => {
                                net.wires.pop_front();
                                continue;
                            }
                        }
                    }
                    net.deliver(0);
                }
                net.advance(50);
            }
            if round > 60 && agree(&net) {
                return Ok(());
            }
        }
        for node in &net.nodes {
            eprintln!("{:?}", node.replica.offer());
        }
        prop_assert!(false, "not healed: {:?}", &net.events[net.events.len().saturating_sub(30)..]);
    }
}
