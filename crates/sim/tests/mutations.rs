//! The checkers are alive: a world in which the protocol is broken on the way between two nodes is
//! found out, in each of the ways in which a node could break it.

use node::wire::{self, Frame};
use oplog::{Batch, Message, Op};
use radix_core::id::{Rank, Seq, SourceId};
use sim::{Failure, Passage, Passing, SimConfig, Tamper, Violation, World};

/// Runs seeds until one fails, and returns how.
fn found(seeds: u64, tamper: impl Fn() -> Tamper) -> Failure {
    for seed in 0..seeds {
        let mut world = World::new(SimConfig::new(seed));
        world.tamper(tamper());
        if let Err(failure) = world.run() {
            return *failure;
        }
    }
    panic!("{seeds} seeds and nobody noticed");
}

/// Changes some frames.
fn rewrite(mut change: impl FnMut(Rank, &mut Frame) -> bool + 'static) -> Tamper {
    Box::new(move |passing: Passing<'_>| {
        let mut frame = wire::decode(passing.bytes).expect("the nodes send frames");
        if change(passing.to, &mut frame) {
            Passage::Replace(wire::encode(&frame).1.to_bytes())
        } else {
            Passage::Keep
        }
    })
}

/// Loses some frames for ever.
fn lose(lost: impl Fn(&Frame) -> bool + 'static) -> Tamper {
    Box::new(move |passing: Passing<'_>| {
        let frame = wire::decode(passing.bytes).expect("the nodes send frames");
        if lost(&frame) {
            Passage::Lose
        } else {
            Passage::Keep
        }
    })
}

fn batch(frame: &mut Frame) -> Option<&mut Batch> {
    match frame {
        Frame::Broadcast { batch, .. } | Frame::Log(Message::Batch(batch)) => Some(batch),
        _ => None,
    }
}

fn is_log_fault(violation: &Violation) -> bool {
    matches!(
        violation,
        Violation::Prefix { .. } | Violation::Invented { .. } | Violation::Alarm { .. }
    )
}

#[test]
fn a_node_that_never_sees_a_removal_is_found_out() {
    let failure = found(3, || {
        rewrite(|to, frame| {
            let Some(batch) = batch(frame).filter(|_| to == Rank(2)) else {
                return false;
            };
            let deaf = |op: Op| match op {
                Op::Remove { .. } => Op::ResetSource {
                    source: SourceId(999),
                },
                op => op,
            };
            let ops: Vec<Op> = batch
                .ops()
                .map(|op| deaf(op.expect("the nodes send ops").0))
                .collect();
            batch.ops = Batch::encode_ops(&ops);
            true
        })
    });
    assert!(
        matches!(failure.violation, Violation::Prefix { at: Rank(2), .. }),
        "{failure}"
    );
    assert!(
        failure
            .reproduce
            .starts_with("cargo xtask sim --seed 0 --nodes 5"),
        "{failure}"
    );
}

#[test]
fn a_relay_that_renames_the_ops_is_found_out() {
    let failure = found(3, || {
        let mut frames = 0;
        rewrite(move |_, frame| {
            let Frame::Broadcast { batch, .. } = frame else {
                return false;
            };
            frames += 1;
            batch.first = batch.first.next();
            frames % 16 == 0
        })
    });
    assert!(is_log_fault(&failure.violation), "{failure}");
}

#[test]
fn a_relay_that_claims_another_origin_is_found_out() {
    let failure = found(3, || {
        rewrite(|to, frame| {
            let Frame::Broadcast { batch, .. } = frame else {
                return false;
            };
            batch.origin.inc.0 += 1;
            to == Rank(3)
        })
    });
    assert!(is_log_fault(&failure.violation), "{failure}");
}

#[test]
fn a_snapshot_with_a_wrong_position_is_found_out() {
    let failure = found(40, || {
        rewrite(|_, frame| {
            let Frame::Log(Message::Snapshot(chunk)) = frame else {
                return false;
            };
            chunk.head.seq = Seq(chunk.head.seq.0 + 1);
            true
        })
    });
    assert!(is_log_fault(&failure.violation), "{failure}");
}

#[test]
fn a_stale_snapshot_under_a_new_head_is_found_out() {
    let failure = found(40, || {
        let mut first = None;
        rewrite(move |_, frame| {
            let Frame::Log(Message::Snapshot(chunk)) = frame else {
                return false;
            };
            if chunk.head.chunks > 1 {
                return false;
            }
            let kept = first.get_or_insert_with(|| chunk.clone());
            let (position, chain) = (chunk.head.seq, chunk.head.chain);
            if kept.head.origin != chunk.head.origin || position == kept.head.seq {
                return false;
            }
            // All of it is as it was once, down to the digest of the copies; only the position is new.
            chunk.head = kept.head;
            (chunk.head.seq, chunk.head.chain) = (position, chain);
            chunk.bytes = kept.bytes.clone();
            true
        })
    });
    assert!(is_log_fault(&failure.violation), "{failure}");
}

#[test]
fn a_broadcast_whose_arc_does_not_shrink_is_found_out() {
    let failure = found(3, || {
        rewrite(|to, frame| {
            let Frame::Broadcast { end, batch, .. } = frame else {
                return false;
            };
            *end = Rank((to.0 + 4) % 5);
            batch.origin.rank != to
        })
    });
    assert!(
        matches!(failure.violation, Violation::VisitedTwice { .. }),
        "{failure}"
    );
}

#[test]
fn a_cluster_without_anti_entropy_never_agrees() {
    let failure = found(10, || {
        lose(|frame| {
            matches!(
                frame,
                Frame::Log(Message::Offer { .. } | Message::Pull { .. }) | Frame::Heartbeat(_)
            )
        })
    });
    assert!(
        matches!(failure.violation, Violation::NotConverged { .. }),
        "{failure}"
    );
}

#[test]
fn a_node_that_never_hears_who_is_ready_is_found_out() {
    let failure = found(3, || lose(|frame| matches!(frame, Frame::Readiness { .. })));
    assert!(
        matches!(failure.violation, Violation::NotConverged { .. }),
        "{failure}"
    );
}

#[test]
fn a_failure_happens_again_in_the_same_way() {
    let fail = || found(3, || lose(|frame| matches!(frame, Frame::Log(_))));
    assert_eq!(fail(), fail());
}
