//! What a run that broke no promise has to tell.

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Stands for every event and every effect, in order: equal runs have equal hashes.
    pub hash: u64,
    /// Events handled.
    pub events: u64,
    /// Virtual time that passed. Unit: nanoseconds.
    pub virtual_ns: u64,
    /// From the last fault until all nodes agreed. Unit: virtual nanoseconds.
    pub convergence_ns: u64,
    /// What was reached on the way.
    pub reached: Reached,
}

macro_rules! reached {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// How often things happened that a search must reach to be worth something.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Reached {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Reached {
            /// Adds another run's.
            pub fn add(&mut self, other: &Reached) {
                $(self.$name += other.$name;)*
            }

            /// Returns every name with its count.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

reached! {
    /// Publishes that were accepted.
    publishes,
    /// Publishes that the node refused.
    publishes_refused,
    /// Bursts of publishes that found nobody awake.
    bursts_lost,
    /// Ops written.
    ops_written,
    /// Ops that had no effect, counted at their origin.
    ops_without_effect,
    /// Questions asked and compared.
    questions,
    /// Replicas compared copy by copy.
    full_checks,
    /// Frames delivered.
    frames_delivered,
    /// Frames lost by chance.
    frames_dropped,
    /// Frames lost because their link broke.
    frames_lost_with_link,
    /// Frames sent into a link that the sender believed down.
    frames_unlinked,
    /// Frames doubled.
    frames_doubled,
    /// Frames that may overtake others.
    frames_reordered,
    /// Frames that were held up for long.
    frames_late,
    /// Links cut.
    cuts,
    /// Nodes cut off from all others.
    isolations,
    /// Directions that silently lost everything for a time.
    one_way_losses,
    /// Nodes that stood still for a time.
    pauses,
    /// Crashes.
    crashes,
    /// Restarts that came back as Ready nodes in the end.
    restarts_rejoined,
    /// Restarts under an incarnation lower than one already used.
    stale_restarts,
    /// Own new incarnations.
    reincarnated,
    /// Broadcasts begun while the sender had a link down.
    broadcasts_around_a_gap,
    /// Members that fell silent though their link was up.
    members_silent,
    /// Gaps in a log.
    gaps,
    /// Pulls sent.
    pulls,
    /// Pulls that brought nothing in time.
    pulls_timed_out,
    /// Pulls given up.
    pulls_abandoned,
    /// Snapshots loaded.
    snapshots_loaded,
    /// Snapshots rejected.
    snapshots_rejected,
    /// Times too much waited behind a gap.
    reorder_overflows,
    /// Ops received again.
    ops_duplicate,
    /// Messages about an incarnation that is over.
    stale_messages,
    /// Checkpoints that agreed.
    checkpoints_equal,
}
