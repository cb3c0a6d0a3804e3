//! What a run that broke no promise has to tell.

use crate::peaks::Peaks;

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
    /// From the last fault until the core agreed about its own logs, and all of it was Ready. Unit: virtual nanoseconds.
    pub core_ns: u64,
    /// From the last fault until it agreed about all logs, also of those outside, which come over bad links as slowly
    /// as these let them. Unit: virtual nanoseconds.
    pub convergence_ns: u64,
    /// From the last fault until they also had one view, and knew each other to be Ready. Unit: virtual nanoseconds.
    pub views_ns: u64,
    /// What was reached on the way.
    pub reached: Reached,
    /// How full every queue was at most.
    pub peaks: Peaks,
}

/// What a count says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Something was made to go wrong, or was asked of a node.
    Fault,
    /// A node did something that a search must reach to be worth something.
    Seen,
    /// As [`Kind::Seen`], but no promise: it may never happen in many seeds.
    Rare,
}

macro_rules! reached {
    ($($kind:ident { $($(#[$doc:meta])* $name:ident,)* })*) => {
        /// How often things happened.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Reached {
            $($($(#[$doc])* pub $name: u64,)*)*
        }

        impl Reached {
            /// Adds another run's.
            pub fn add(&mut self, other: &Reached) {
                $($(self.$name += other.$name;)*)*
            }

            /// Returns every name with its kind and its count.
            #[must_use]
            pub fn named(&self) -> Vec<(Kind, &'static str, u64)> {
                vec![$($((Kind::$kind, stringify!($name), self.$name),)*)*]
            }
        }
    };
}

impl Reached {
    /// Returns what a search has to reach and this one did not.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        self.named()
            .into_iter()
            .filter(|(kind, _, count)| *kind != Kind::Rare && *count == 0)
            .map(|(_, name, _)| name)
            .collect()
    }
}

reached! {
    Fault {
        /// Publishes that were accepted.
        publishes,
        /// Publishes that the node refused.
        publishes_refused,
        /// Frames lost by chance.
        frames_dropped,
        /// Frames lost because their link broke.
        frames_lost_with_link,
        /// Frames doubled.
        frames_doubled,
        /// Frames that may overtake others.
        frames_reordered,
        /// Frames that were held up for long.
        frames_late,
        /// Frames that a checksum found out, and the connection with them.
        frames_corrupt,
        /// Frames that no checksum found out, given to a node: cut, damaged or made up.
        frames_hostile,
        /// Frames refused because the lane of a narrow link was full.
        frames_refused_by_lane,
        /// Links cut.
        cuts,
        /// Links that broke and mended again and again.
        flaps,
        /// Nodes cut off from all others.
        isolations,
        /// Directions that silently lost everything for a time.
        one_way_losses,
        /// Directions that silently lost everything for ever.
        one_way_for_ever,
        /// Nodes whose frames were held up, both ways.
        clogs,
        /// Directions with little bandwidth.
        narrows,
        /// Nodes that stood still for a time.
        pauses,
        /// Nodes that were slow for a time.
        slows,
        /// Clocks that jumped ahead.
        clock_jumps,
        /// Clocks that ran too fast or too slow.
        clocks_skewed,
        /// Crashes.
        crashes,
        /// Nodes that died again and again.
        crash_loops,
        /// Nodes that died while they sent a snapshot.
        responder_deaths,
        /// Restarts under an incarnation lower than one already used.
        stale_restarts,
        /// Restarts under the incarnation of the life before.
        same_restarts,
        /// Second processes of a rank.
        doubles,
        /// Batches whose ops were others than their origin wrote.
        damages,
        /// Nodes that nobody configured and that were to join.
        joins_asked,
        /// Nodes that were to leave.
        leaves_asked,
        /// Ranks that moved to another host.
        replaces,
        /// Words of the operator to forget a member.
        forgets_asked,
        /// Living members that somebody was told to be suspected.
        accusations,
        /// Nodes outside the core for good.
        outsiders,
    }
    Seen {
        /// Ops written.
        ops_written,
        /// Questions asked and compared.
        questions,
        /// Replicas compared copy by copy.
        full_checks,
        /// Frames delivered.
        frames_delivered,
        /// Broadcasts that had to come to everybody, and did.
        broadcasts_complete,
        /// Broadcasts begun while the sender had a link down.
        broadcasts_around_a_gap,
        /// Restarts that came back as Ready nodes.
        restarts_rejoined,
        /// Nodes that became Ready by catching up with one that was.
        caught_up,
        /// Introductions that were accepted.
        introductions,
        /// Introductions that were refused because a living member has the rank.
        introductions_refused,
        /// Nodes that introduced themselves again while they lived.
        introductions_again,
        /// Nodes that joined by an introduction and became Ready.
        joins_completed,
        /// Nodes that said goodbye.
        goodbyes,
        /// Members that others saw say goodbye.
        members_left,
        /// Lives that nodes took note of.
        members_joined,
        /// Members that were suspected.
        members_suspected,
        /// Objections, by a node itself or as others heard of them.
        suspicions_refuted,
        /// Members that were found down.
        members_died,
        /// Ranks that were forgotten up to a life.
        ranks_forgotten,
        /// Nodes that were forgotten and came back in a new life of their own accord.
        forgotten_and_returned,
        /// Members that were asked to be forgotten, and were not because they take part.
        forgets_refused,
        /// Links found bad though others reach the member.
        links_degraded,
        /// Degraded links that work again.
        links_restored,
        /// Members that are heard but do not hear.
        members_mute,
        /// Times a node began to doubt itself.
        doubts,
        /// Links whose data lane overflowed, as told to a node.
        links_slow,
        /// Slow members that caught up.
        members_caught_up,
        /// Ring checks that agreed.
        checks_agreed,
        /// Ring checks that found somebody missing or with another view.
        checks_differed,
        /// Ring checks whose token was lost.
        checks_lost,
        /// Views that became stable.
        views_stable,
        /// Snapshots loaded that held net changes only.
        deltas_loaded,
        /// Nodes that began a cold cluster.
        cold_starts,
        /// Own new incarnations.
        reincarnated,
        /// Connections refused because a later life is known.
        outlived,
        /// Connections refused or replaced because another process has the rank.
        ranks_taken,
        /// Members that fell silent though their link was up.
        members_silent,
        /// Members that were heard again.
        members_heard_again,
        /// Gaps in a log.
        gaps,
        /// Pulls sent.
        pulls,
        /// Pulls answered with ops.
        pulls_served,
        /// Pulls that brought nothing in time.
        pulls_timed_out,
        /// Pulls answered by "no room for another snapshot now".
        pulls_busy,
        /// Snapshots begun to send.
        snapshots_sent,
        /// Snapshots loaded.
        snapshots_loaded,
        /// Times too much waited behind a gap.
        reorder_overflows,
        /// Ops received again.
        ops_duplicate,
        /// Messages about an incarnation that is over.
        stale_messages,
        /// Checkpoints that agreed.
        checkpoints_equal,
        /// Checkpoints that did not agree.
        digest_mismatches,
        /// Frames that did not decode.
        frames_bad,
    }
    Rare {
        /// Frames for somebody without a link.
        frames_unlinked,
        /// Bursts of publishes that found nobody awake.
        bursts_lost,
        /// Frames lost because too many waited for a node.
        frames_lost_to_backlog,
        /// Ops that had no effect.
        ops_without_effect,
        /// Pulls given up.
        pulls_abandoned,
        /// Snapshots rejected.
        snapshots_rejected,
        /// Batches that were no batch.
        batches_undecodable,
        /// Names of logs that two lives used.
        names_used_twice,
        /// Joiners that gave up because their rank stayed taken.
        joins_given_up,
        /// Links that were told to a node that does not know their peer.
        peers_unknown,
        /// Questions about members that found no room.
        questions_dropped,
    }
}
