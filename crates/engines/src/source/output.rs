//! What a source asks its host to do.

use radix_core::id::{Namespace, SourceId, Tier};
use radix_core::page::Fingerprint;

/// What the node is to be told: one for one a publish of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The source holds `pages[from..]` in this tier. What it holds there already is not to be published again.
    Store {
        /// Which engine.
        source: SourceId,
        /// Which root.
        namespace: Namespace,
        /// Where.
        tier: Tier,
        /// The whole path from the root.
        pages: Vec<Fingerprint>,
        /// First page that is meant. Unit: pages.
        from: u32,
    },
    /// The source holds `pages[from..]` in no tier any more. Where it still holds them is told next.
    Evict {
        /// Which engine.
        source: SourceId,
        /// Which root.
        namespace: Namespace,
        /// The whole path from the root.
        pages: Vec<Fingerprint>,
        /// First page that is meant. Unit: pages.
        from: u32,
    },
    /// The source holds nothing.
    Reset {
        /// Which engine.
        source: SourceId,
    },
}

/// How far a source's pages are what its engine holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Every event since the engine's beginning, or since it was last empty, was taken in.
    Exact,
    /// Events are missing and have been asked for.
    Syncing,
    /// Events are lost. What is claimed was seen to be stored or used since; more may be held.
    Degraded,
}

/// Why a source's standing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The source begins, and what came before is being asked for.
    Began,
    /// All that was asked for has come.
    CaughtUp,
    /// Batches are missing.
    Gap,
    /// The missing batches are older than what the publisher keeps, or nothing can be replayed.
    Lost,
    /// The publisher lives another life.
    Restarted,
    /// The engine dropped everything.
    Cleared,
    /// An event that took copies away could not be read.
    Unreadable,
    /// The source remembers as many blocks as it may.
    Full,
}

/// One thing for the host to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Publish this.
    Publish(Command),
    /// Ask the publisher for everything from batch `from` on, over a connection of its own, and hand the answers in as
    /// [`Input::Replayed`](crate::source::Input::Replayed) with this number. An earlier question is void.
    AskReplay {
        /// Which engine.
        source: SourceId,
        /// The question.
        ask: u32,
        /// The first batch that is wanted.
        from: u64,
    },
    /// The source's standing is another.
    Standing {
        /// Which engine.
        source: SourceId,
        /// What it is now.
        standing: Standing,
        /// Why.
        cause: Cause,
    },
}
