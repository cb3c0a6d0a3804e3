//! A linked peer that says whatever it likes: the node goes on, and its own log is its own.

mod support;

use std::time::Duration;

use node::wire::{self, Frame};
use node::{Effect, Effects, Input};
use oplog::{Entry, VersionVector};
use proptest::prelude::*;
use radix_core::id::{Incarnation, OriginId, Rank, Seq};
use support::{Rig, pages, store};
use topology::{Heartbeat, Message, Record, Role, Status};

fn extreme() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..4u64,
        Just(u64::MAX - 1),
        Just(u64::MAX),
        Just(1 << 62),
        any::<u64>()
    ]
}

fn rank() -> impl Strategy<Value = Rank> {
    prop_oneof![8 => 0..4u16, 1 => Just(u16::MAX), 1 => any::<u16>()].prop_map(Rank)
}

fn status() -> impl Strategy<Value = Status> {
    prop_oneof![
        Just(Status::Alive),
        Just(Status::Suspect),
        Just(Status::Down),
        Just(Status::Left)
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let counter = prop_oneof![0..3u32, Just(u32::MAX), Just(u32::MAX - 1)];
    (rank(), extreme(), counter, status(), "[a-z]{0,4}").prop_map(
        |(rank, inc, counter, status, address)| Record {
            rank,
            role: Role::Router,
            address,
            inc: Incarnation(inc),
            counter,
            status,
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    let heartbeat = (
        any::<u8>(),
        any::<bool>(),
        extreme(),
        extreme(),
        any::<u32>(),
    )
        .prop_map(|(ttl, echo, inc, seq, nonce)| {
            Message::Heartbeat(Heartbeat {
                ttl,
                echo,
                inc: Incarnation(inc),
                seq: Seq(seq),
                nonce,
            })
        });
    prop_oneof![
        2 => heartbeat,
        1 => (rank(), any::<u32>()).prop_map(|(target, nonce)| Message::ProbeFor { target, nonce }),
        1 => (rank(), 0..9u32, any::<bool>())
            .prop_map(|(target, nonce, heard)| Message::ProbeResult { target, nonce, heard }),
        1 => any::<u64>().prop_map(|table| Message::Digest { table }),
        4 => (
            proptest::collection::vec(record(), 0..6),
            proptest::option::of((rank(), rank())),
        )
            .prop_map(|(records, all_of)| Message::Members { records, all_of }),
    ]
}

fn offer() -> impl Strategy<Value = oplog::Message> {
    let entry = (extreme(), extreme(), extreme()).prop_map(|(inc, seq, floor)| Entry {
        inc: Incarnation(inc),
        seq: Seq(seq),
        floor: Incarnation(floor),
    });
    (
        proptest::collection::btree_map(rank(), entry, 0..5),
        any::<bool>(),
    )
        .prop_map(|(vector, reply)| oplog::Message::Offer {
            vector: VersionVector(vector),
            reply,
        })
}

fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        5 => message().prop_map(Frame::Topology),
        3 => offer().prop_map(Frame::Log),
        1 => any::<bool>().prop_map(|ready| Frame::Readiness { ready }),
        1 => (rank(), extreme(), extreme()).prop_map(|(rank, inc, from)| {
            let inc = Incarnation(inc);
            Frame::Log(oplog::Message::Pull { origin: OriginId { rank, inc }, from: Seq(from) })
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn whatever_a_peer_says_the_node_goes_on(
        said in proptest::collection::vec((frame(), 0..3_000u64), 1..30),
    ) {
        let mut rig = Rig::linked(3);
        rig.pass(Duration::from_secs(2));
        let prompt = pages(0..20);
        rig.publish(0, store(&prompt, 0));
        let node = rig.nodes.get_mut(&Rank(0)).unwrap();
        let mut now = rig.now;
        for (frame, wait) in said {
            let mut out = Effects::new();
            let bytes = wire::encode(&frame).1.to_bytes();
            node.handle(now, Input::Frame { from: Rank(1), bytes }, &mut out);
            let sends = out.iter().filter(|effect| matches!(effect, Effect::Send { .. })).count();
            prop_assert!(sends < 200, "{sends} frames follow from one");
            now = now.after(Duration::from_millis(wait));
            let mut ticks = 0;
            while node.next_deadline().is_some_and(|at| at <= now) {
                node.handle(now, Input::Tick, &mut out);
                ticks += 1;
                prop_assert!(ticks < 100, "a deadline stays in the past");
            }
            let _ = node.status();
        }
        let own = node.replica().state().copies(Rank(0));
        prop_assert_eq!(own, 20, "nobody else deletes its copies");
        prop_assert!(node.is_ready());
    }

    #[test]
    fn damaged_tokens_never_stop_a_node(at in 0..200usize, flip in 1..=u8::MAX, times in 1..4usize) {
        let mut rig = Rig::linked(3);
        let mut tokens = Vec::new();
        let node = rig.nodes.get_mut(&Rank(0)).unwrap();
        let mut out = Effects::new();
        let now = rig.now.after(Duration::from_secs(2));
        node.handle(now, Input::Tick, &mut out);
        for effect in &out {
            if let Effect::Send { frame, .. } = effect
                && matches!(wire::decode(&frame.to_bytes()), Ok(Frame::Check(_)))
            {
                tokens.push(frame.to_bytes());
            }
        }
        prop_assert_eq!(tokens.len(), 1);
        let mut bytes = tokens[0].to_vec();
        let at = 2 + at % (bytes.len() - 2);
        bytes[at] ^= flip;
        let node = rig.nodes.get_mut(&Rank(1)).unwrap();
        for _ in 0..times {
            let mut out = Effects::new();
            let bytes = bytes.clone().into();
            node.handle(now, Input::Frame { from: Rank(0), bytes }, &mut out);
            prop_assert!(out.len() < 8);
        }
    }
}
