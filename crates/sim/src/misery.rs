//! What stays wrong for ever with the nodes that do not belong to the core, when all else is healed.

use fastrand::Rng;

/// The lot of one node outside the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misery {
    /// It is dead.
    Dead,
    /// It stands still; its links stay.
    Stopped,
    /// It hears some of the core but is not heard by them.
    Unheard,
    /// It is heard by some of the core but does not hear them.
    Deaf,
    /// Its links break and mend again and again.
    Flapping,
    /// It dies and comes back again and again.
    Crashing,
    /// Its frames are lost, doubled and late as before.
    Lossy,
    /// It is slow.
    Slow,
    /// It left, or never came.
    Absent,
}

impl Misery {
    pub(crate) fn draw(random: &mut Rng) -> Misery {
        [
            Misery::Dead,
            Misery::Stopped,
            Misery::Unheard,
            Misery::Deaf,
            Misery::Flapping,
            Misery::Crashing,
            Misery::Lossy,
            Misery::Slow,
        ][random.usize(..8)]
    }

    /// How long until it strikes again. Unit: nanoseconds.
    pub(crate) fn period_ns(self, random: &mut Rng) -> Option<u64> {
        match self {
            Misery::Flapping => Some(random.u64(200_000_000..1_500_000_000)),
            Misery::Crashing => Some(random.u64(800_000_000..3_000_000_000)),
            Misery::Dead
            | Misery::Stopped
            | Misery::Unheard
            | Misery::Deaf
            | Misery::Lossy
            | Misery::Slow
            | Misery::Absent => None,
        }
    }
}
