//! What a node does so that a lost frame is only a delay.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::time::Duration;

use bytes::Bytes;
use node::wire::{self, Frame};
use node::{Boot, Effect, Effects, Input, Node, NodeConfig, Publish};
use oplog::{Entry, VersionVector};
use radix_core::Fingerprint;
use radix_core::id::{Incarnation, Namespace, Rank, Seq, SourceId, Tier};
use radix_core::time::Timestamp;
use topology::{Heartbeat, Message, Record, Role, Status};

fn node(me: u16, members: u16) -> Node {
    Node::new(config(me, members), boot(me), at(0)).unwrap()
}

fn config(me: u16, members: u16) -> NodeConfig {
    let members = (0..members)
        .map(|rank| (Rank(rank), Role::Prefill))
        .collect();
    NodeConfig::new(Rank(me), members)
}

fn boot(me: u16) -> Boot {
    Boot {
        inc: Incarnation(u64::from(me) + 1),
        seed: 7,
    }
}

fn at(ms: u64) -> Timestamp {
    Timestamp(0).after(Duration::from_millis(ms))
}

fn handle(node: &mut Node, ms: u64, input: Input) -> Effects {
    let mut out = Effects::new();
    node.handle(at(ms), input, &mut out);
    out
}

fn frames(effects: &[Effect]) -> Vec<(Rank, Frame)> {
    let frame = |effect: &Effect| match effect {
        Effect::Send { to, frame, .. } => Some((*to, wire::decode(&frame.to_bytes()).unwrap())),
        _ => None,
    };
    effects.iter().filter_map(frame).collect()
}

/// Opens a link; the peer's first message says that it lives.
fn link_up(node: &mut Node, ms: u64, peer: u16) {
    let (peer, inc) = (Rank(peer), Incarnation(u64::from(peer) + 1));
    handle(node, ms, Input::LinkUp { peer, inc });
    hear_of(node, ms, peer, peer, Status::Alive);
}

/// Hears from `from` what the cluster believes of `of`.
fn hear_of(node: &mut Node, ms: u64, from: Rank, of: Rank, status: Status) {
    let record = Record {
        inc: Incarnation(u64::from(of.0) + 1),
        status,
        ..Record::never_seen(of, Role::Prefill, String::new())
    };
    let message = Message::Members {
        records: vec![record],
        all_of: None,
    };
    let bytes = wire::encode(&Frame::Topology(message)).1.to_bytes();
    handle(node, ms, Input::Frame { from, bytes });
}

// spec: WIRE-10
#[test]
fn logs_of_members_that_are_gone_are_fetched_last() {
    let pulled_first = |status| {
        let mut config = config(0, 3);
        config.log.pulls_max = 1;
        let mut node = Node::new(config, boot(0), at(0)).unwrap();
        link_up(&mut node, 1, 1);
        hear_of(&mut node, 2, Rank(1), Rank(2), status);
        let entry = |inc, seq| Entry {
            inc: Incarnation(inc),
            seq: Seq(seq),
            floor: Incarnation(0),
        };
        let vector = VersionVector([(Rank(1), entry(2, 5)), (Rank(2), entry(3, 9))].into());
        let reply = false;
        let offer = Frame::Log(oplog::Message::Offer { vector, reply });
        let bytes = wire::encode(&offer).1.to_bytes();
        let from = Rank(1);
        handle(&mut node, 3, Input::Frame { from, bytes });
        let sent = frames(&handle(&mut node, 500, Input::Tick));
        sent.iter().find_map(|(_, frame)| match frame {
            Frame::Log(oplog::Message::Pull { origin, .. }) => Some(origin.rank),
            _ => None,
        })
    };
    assert_eq!(
        pulled_first(Status::Alive),
        Some(Rank(2)),
        "it lacks the most"
    );
    assert_eq!(pulled_first(Status::Down), Some(Rank(1)));
}

#[test]
fn who_is_not_linked_is_not_waited_for() {
    let mut node = node(0, 3);
    link_up(&mut node, 1, 1);
    hear_of(&mut node, 2, Rank(1), Rank(2), Status::Alive);
    let entry = Entry {
        inc: Incarnation(3),
        seq: Seq(9),
        floor: Incarnation(0),
    };
    let vector = VersionVector([(Rank(2), entry)].into());
    let claim = oplog::Message::Offer {
        vector,
        reply: false,
    };
    let bytes = wire::encode(&Frame::Log(claim)).1.to_bytes();
    let from = Rank(1);
    handle(&mut node, 3, Input::Frame { from, bytes });
    let mut asked = Vec::new();
    for ms in (4..1_000).step_by(2) {
        for (to, frame) in frames(&handle(&mut node, ms, Input::Tick)) {
            if let Frame::Log(oplog::Message::Pull { origin, .. }) = frame {
                assert_eq!(origin.rank, Rank(2));
                asked.push((ms, to));
                let (last, have) = (Seq::ZERO, Seq(9));
                let busy = oplog::Message::PullEnd { origin, last, have };
                let bytes = wire::encode(&Frame::Log(busy)).1.to_bytes();
                handle(&mut node, ms, Input::Frame { from, bytes });
            }
        }
    }
    assert!(asked.iter().all(|(_, to)| *to == Rank(1)), "{asked:?}");
    assert!(asked.len() > 1, "the origin's silence is not waited for");
    assert!(asked[1].0 - asked[0].0 <= 510, "{asked:?}");
}

#[test]
fn a_heartbeat_tells_of_the_last_op_even_when_it_is_a_checkpoint() {
    let mut node = node(0, 2);
    link_up(&mut node, 1, 1);
    let publish = Publish::Store {
        source: SourceId(0),
        namespace: Namespace::DEFAULT,
        tier: Tier::Device,
        pages: vec![Fingerprint(1)],
        from: 0,
        renew: false,
    };
    handle(&mut node, 2, Input::Publish(publish));
    handle(&mut node, 2, Input::Flush);
    handle(&mut node, 1_100, Input::Tick); // a second after the op: the checkpoint
    let sent = frames(&handle(&mut node, 2_200, Input::Tick));
    let beat = sent.iter().find_map(|(_, frame)| match frame {
        Frame::Topology(Message::Heartbeat(beat)) => Some(beat.seq),
        _ => None,
    });
    assert_eq!(beat, Some(Seq(2)));
}

#[test]
fn readiness_is_said_again_with_every_exchange() {
    let mut node = node(0, 2);
    link_up(&mut node, 1, 1);
    let bytes = wire::encode(&Frame::Readiness { ready: false })
        .1
        .to_bytes();
    let from = Rank(1);
    handle(&mut node, 1, Input::Frame { from, bytes });
    assert!(
        node.is_ready(),
        "the lowest rank of a cluster that is all there"
    );
    let sent = frames(&handle(&mut node, 700, Input::Tick));
    let said: Vec<bool> = sent
        .iter()
        .filter_map(|(_, frame)| match frame {
            Frame::Readiness { ready } => Some(*ready),
            _ => None,
        })
        .collect();
    assert_eq!(said, [true], "{sent:?}");
}

#[test]
fn a_node_that_waits_for_a_ready_peer_does_not_ask_for_a_tick_in_the_past() {
    let mut node = node(1, 2);
    link_up(&mut node, 1, 0);
    let beat = Heartbeat {
        ttl: 1,
        echo: false,
        inc: Incarnation(1),
        seq: Seq(0),
        nonce: 0,
    };
    let beat = wire::encode(&Frame::Topology(Message::Heartbeat(beat)))
        .1
        .to_bytes();
    for ms in (0..10_000).step_by(250) {
        handle(
            &mut node,
            ms,
            Input::Frame {
                from: Rank(0),
                bytes: beat.clone(),
            },
        );
        handle(&mut node, ms, Input::Tick);
        assert!(!node.is_ready(), "rank 0 is lower, reachable and not Ready");
        assert!(
            node.next_deadline().is_none_or(|next| next > at(ms)),
            "at {ms} ms: {:?}",
            node.next_deadline()
        );
    }
    let ready: Bytes = wire::encode(&Frame::Readiness { ready: true }).1.to_bytes();
    handle(
        &mut node,
        10_000,
        Input::Frame {
            from: Rank(0),
            bytes: ready,
        },
    );
    assert!(!node.is_ready(), "there was no offer yet");
}
