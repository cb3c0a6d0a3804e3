//! Deliberate mistakes in the protocols, so that tests can show that the checkers of the simulator notice them.
//!
//! Without the feature `mutations`, which nothing enables by default, [`is_on`] is the constant `false` and
//! every mistake is compiled out. With it, one thread at a time chooses one mistake for itself.

/// A mistake. Each stands at one place in the code, which asks for it by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// A batch behind a gap is applied as if there were none.
    ApplyPastGap,
    /// Ops that were applied already are applied again.
    NoDedup,
    /// Word of an earlier incarnation replaces a later one.
    NoIncarnationFence,
    /// Nothing that waits behind a gap is ever given up.
    ReorderUnbounded,
    /// A node that hears of another life of its own rank goes on under its old name.
    NeverOutbid,
    /// A node that goes on under a new name serves the ops of the old one.
    RenameKeepsTail,
    /// Checkpoints and snapshots are not compared with what is here.
    DigestUnchecked,
    /// A pull that was in vain is sent to the same peer again.
    PullSamePeer,
    /// Only the origin of a log is asked for what lacks of it.
    PullOnlyOrigin,
    /// A pull is answered from where the tail begins, whatever was asked for.
    ServeFromTail,
    /// Floors are neither kept nor told.
    NoFloor,
    /// Only a broadcast that brings something new is relayed.
    RelayOnlyNew,
    /// A broadcast is relayed round the whole ring until its hops are used up.
    RelayWholeRing,
    /// A joining node is Ready as soon as it hears a Ready peer.
    ReadyAtOnce,
    /// An eviction forgets one of the copies.
    EvictForgets,
    /// Net changes are told from a later place on than they claim.
    DeltaFromLaterBase,
    /// A member that is suspected does not object.
    SuspicionNotRefuted,
    /// A suspicion is never followed by a verdict.
    SuspicionNeverEnds,
    /// A member that said goodbye may come back in the same life.
    LeftNotFinal,
    /// A member that moves keeps its old address where it was known.
    OldAddressKept,
    /// A ring check agrees though a member has another view.
    DifferingViewIgnored,
}

#[cfg(feature = "mutations")]
mod switch {
    use std::cell::Cell;

    use super::Mutation;

    thread_local! {
        static ON: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Chooses the mistake that this thread makes from now on.
    pub fn choose(mutation: Option<Mutation>) {
        ON.set(mutation);
    }

    /// Returns whether this thread makes that mistake.
    #[must_use]
    pub fn is_on(mutation: Mutation) -> bool {
        ON.get() == Some(mutation)
    }
}

#[cfg(feature = "mutations")]
pub use switch::{choose, is_on};

/// Returns whether this thread makes that mistake: never, without the feature `mutations`.
#[cfg(not(feature = "mutations"))]
#[inline(always)]
#[must_use]
pub const fn is_on(_mutation: Mutation) -> bool {
    false
}
