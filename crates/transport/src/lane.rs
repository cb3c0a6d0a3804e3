//! The three lanes of a connection. What is said on them is the caller's business.

use std::fmt;

/// A queue of frames with its own order and its own bound.
///
/// The writer empties the lanes strictly in this order: control before data before bulk. Frames of one lane
/// arrive in the order they were accepted; frames of different lanes may overtake each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Lane {
    /// Heartbeats and other small messages that must not wait.
    Control = 0,
    /// The ordinary stream of work.
    Data = 1,
    /// Whatever may wait: snapshots, catching up.
    Bulk = 2,
}

impl Lane {
    /// How many lanes a connection has.
    pub const COUNT: usize = 3;

    /// All lanes, the most urgent one first.
    pub const ALL: [Lane; Lane::COUNT] = [Lane::Control, Lane::Data, Lane::Bulk];

    /// Returns the lane's name in logs and counters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Lane::Control => "control",
            Lane::Data => "data",
            Lane::Bulk => "bulk",
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
