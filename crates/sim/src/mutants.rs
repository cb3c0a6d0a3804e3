//! Worlds with one deliberate mistake each: the checkers are worth something because they find every one of them.
//!
//! A mistake is made on the way between two nodes, by a host, or (with the feature `mutations`) inside the nodes.

use node::wire::{self, Frame};
use oplog::{Batch, Message, Op};
use radix_core::id::{Rank, Seq, SourceId};
use radix_core::mutation::Mutation;

use crate::config::SimConfig;
use crate::report::Report;
use crate::violation::Failure;
use crate::world::{Misdeed, Passage, Passing, Tamper, World};

/// Makes a new tamper for each run.
type Tampers = fn() -> Tamper;

/// Where a mistake is made.
#[derive(Clone, Copy, Debug)]
enum How {
    /// Frames are changed or lost on the way.
    Tamper(Tampers),
    /// A host treats its node wrongly.
    Misdeed(Misdeed),
    /// A node does it; needs the feature `mutations`.
    Inside(Mutation),
}

/// One mistake.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// Its name on the command line.
    pub name: &'static str,
    how: How,
}

impl Mutant {
    /// Runs one seed with the mistake.
    ///
    /// Errors: the [`Failure`] that the mistake led to, which is what is hoped for.
    pub fn run(&self, config: SimConfig) -> Result<Report, Box<Failure>> {
        let mut world = World::new(config);
        match self.how {
            How::Tamper(tamper) => world.tamper(tamper()),
            How::Misdeed(misdeed) => world.misbehave(misdeed),
            How::Inside(mutation) => choose(Some(mutation)),
        }
        let result = world.run();
        choose(None);
        result
    }

    /// Returns whether the mistake is compiled into this binary.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        match self.how {
            How::Tamper(_) | How::Misdeed(_) => true,
            How::Inside(_) => cfg!(feature = "mutations"),
        }
    }
}

#[cfg(feature = "mutations")]
fn choose(mutation: Option<Mutation>) {
    radix_core::mutation::choose(mutation);
}

#[cfg(not(feature = "mutations"))]
fn choose(_mutation: Option<Mutation>) {}

/// Returns every mistake that must be found out.
#[must_use]
pub fn all() -> Vec<Mutant> {
    let tampers: [(_, Tampers); 10] = [
        ("removals-never-seen", removals_never_seen),
        ("relay-rewrites-seq", relay_rewrites_seq),
        ("relay-claims-other-life", relay_claims_other_life),
        ("relay-swaps-ops", relay_swaps_ops),
        ("snapshot-wrong-cursor", snapshot_wrong_cursor),
        (
            "snapshot-stale-under-new-head",
            snapshot_stale_under_new_head,
        ),
        ("arc-does-not-shrink", arc_does_not_shrink),
        ("no-anti-entropy", no_anti_entropy),
        ("readiness-never-heard", readiness_never_heard),
        ("pull-asks-one-too-far", pull_asks_one_too_far),
    ];
    let misdeeds = [("incarnation-reused", Misdeed::ReuseIncarnation)];
    let inside = [
        ("apply-past-gap", Mutation::ApplyPastGap),
        ("no-dedup", Mutation::NoDedup),
        ("no-incarnation-fence", Mutation::NoIncarnationFence),
        ("unbounded-queue", Mutation::ReorderUnbounded),
        ("never-outbid", Mutation::NeverOutbid),
        ("rename-keeps-tail", Mutation::RenameKeepsTail),
        ("digest-not-compared", Mutation::DigestUnchecked),
        ("pull-same-peer-for-ever", Mutation::PullSamePeer),
        ("pull-only-origin", Mutation::PullOnlyOrigin),
        ("serve-from-tail-only", Mutation::ServeFromTail),
        ("relay-only-new", Mutation::RelayOnlyNew),
        ("ttl-only-loop-stop", Mutation::RelayWholeRing),
        ("ready-before-snapshot", Mutation::ReadyAtOnce),
        ("evict-forgets-a-copy", Mutation::EvictForgets),
        ("delta-wrong-base", Mutation::DeltaFromLaterBase),
        ("no-floor", Mutation::NoFloor),
        ("suspicion-not-refuted", Mutation::SuspicionNotRefuted),
        ("suspicion-never-ends", Mutation::SuspicionNeverEnds),
        ("left-not-final", Mutation::LeftNotFinal),
        ("old-address-kept", Mutation::OldAddressKept),
        (
            "stable-view-with-a-differing-member",
            Mutation::DifferingViewIgnored,
        ),
    ];
    let tampers = tampers.map(|(name, tamper)| (name, How::Tamper(tamper)));
    let misdeeds = misdeeds.map(|(name, misdeed)| (name, How::Misdeed(misdeed)));
    let inside = inside.map(|(name, mutation)| (name, How::Inside(mutation)));
    tampers
        .into_iter()
        .chain(misdeeds)
        .chain(inside)
        .map(|(name, how)| Mutant { name, how })
        .collect()
}

/// Changes some frames.
fn rewrite(mut change: impl FnMut(Rank, &mut Frame) -> bool + 'static) -> Tamper {
    Box::new(move |passing: Passing<'_>| {
        let Ok(mut frame) = wire::decode(passing.bytes) else {
            return Passage::Keep;
        };
        if change(passing.to, &mut frame) {
            Passage::Replace(wire::encode(&frame).1.to_bytes())
        } else {
            Passage::Keep
        }
    })
}

/// Loses some frames for ever.
fn lose(lost: impl Fn(&Frame) -> bool + 'static) -> Tamper {
    Box::new(
        move |passing: Passing<'_>| match wire::decode(passing.bytes) {
            Ok(frame) if lost(&frame) => Passage::Lose,
            Ok(_) | Err(_) => Passage::Keep,
        },
    )
}

/// Changes the ops that one node gets.
fn change_ops(change: impl Fn(&mut Vec<Op>) + 'static) -> Tamper {
    rewrite(move |to, frame| {
        let batch = match frame {
            Frame::Broadcast { batch, .. } | Frame::Log(Message::Batch(batch)) => batch,
            Frame::Log(_) | Frame::Topology(_) | Frame::Check(_) | Frame::Readiness { .. } => {
                return false;
            }
        };
        let ops: Result<Vec<Op>, _> = batch.ops().map(|op| op.map(|(op, _)| op)).collect();
        let Ok(mut ops) = ops else { return false };
        change(&mut ops);
        batch.ops = Batch::encode_ops(&ops);
        to == Rank(2)
    })
}

fn removals_never_seen() -> Tamper {
    change_ops(|ops| {
        for op in ops {
            if matches!(op, Op::Remove { .. }) {
                let source = SourceId(999);
                *op = Op::ResetSource { source };
            }
        }
    })
}

fn relay_swaps_ops() -> Tamper {
    change_ops(|ops| ops.reverse())
}

fn relay_rewrites_seq() -> Tamper {
    let mut frames = 0;
    rewrite(move |_, frame| {
        let Frame::Broadcast { batch, .. } = frame else {
            return false;
        };
        frames += 1;
        batch.first = batch.first.next();
        frames % 16 == 0
    })
}

fn relay_claims_other_life() -> Tamper {
    rewrite(|to, frame| {
        let Frame::Broadcast { batch, .. } = frame else {
            return false;
        };
        batch.origin.inc.0 += 1;
        to == Rank(3)
    })
}

fn snapshot_wrong_cursor() -> Tamper {
    rewrite(|_, frame| {
        let Frame::Log(Message::Snapshot(chunk)) = frame else {
            return false;
        };
        chunk.head.seq = Seq(chunk.head.seq.0 + 1);
        true
    })
}

fn snapshot_stale_under_new_head() -> Tamper {
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
}

fn arc_does_not_shrink() -> Tamper {
    rewrite(|to, frame| {
        let Frame::Broadcast { end, batch, .. } = frame else {
            return false;
        };
        *end = Rank((to.0 + 4) % 5);
        batch.origin.rank != to
    })
}

fn no_anti_entropy() -> Tamper {
    lose(|frame| {
        matches!(
            frame,
            Frame::Log(Message::Offer { .. } | Message::Pull { .. })
                | Frame::Topology(topology::Message::Heartbeat(_))
        )
    })
}

fn readiness_never_heard() -> Tamper {
    lose(|frame| matches!(frame, Frame::Readiness { .. }))
}

fn pull_asks_one_too_far() -> Tamper {
    rewrite(|_, frame| {
        let Frame::Log(Message::Pull { from, .. }) = frame else {
            return false;
        };
        *from = from.next();
        true
    })
}
