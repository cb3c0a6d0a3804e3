//! High-water marks: how full every queue was at most, beside what it may hold.

/// What is measured, and its bound where one is known.
macro_rules! peaks {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// How full every queue was at most.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Peaks {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Peaks {
            /// Takes the larger of each.
            pub fn merge(&mut self, other: &Peaks) {
                $(self.$name = self.$name.max(other.$name);)*
            }

            /// Returns every name with its mark.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

peaks! {
    /// Effects of one input.
    effects_of_one_input,
    /// Bytes of a frame.
    bytes_of_a_frame,
    /// Ops of one log that waited behind a gap.
    ops_behind_a_gap,
    /// Pulls of one node under way at once.
    pulls_at_once,
    /// Chunks of one snapshot that were received before the last.
    chunks_of_a_snapshot,
    /// Ticks without time going on.
    ticks_at_one_instant,
    /// Bytes that waited in one lane of a narrow link.
    bytes_in_a_lane,
    /// Frames that waited for one node that stood still or was slow.
    frames_waiting_for_a_node,
    /// Events that waited in the simulator.
    events_waiting,
}
