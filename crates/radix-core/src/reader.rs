//! The reading side: no lock, no wait, beside the one writer.

use std::sync::Arc;

use crate::holders::Holders;
use crate::id::Namespace;
use crate::matches::Matches;
use crate::page::Fingerprint;
use crate::positions::{Position, Positions};
use crate::rcu::{Guard, Registration};
use crate::tree::Root;

/// What the writer shares with its readers.
pub(crate) struct Shared {
    pub(crate) root: Arc<Root<Holders>>,
    pub(crate) positions: Positions,
}

impl Shared {
    /// Answers one query under a guard.
    pub(crate) fn matches(
        &self,
        namespace: Namespace,
        pages: &[Fingerprint],
        guard: &Guard<'_>,
        out: &mut Matches,
    ) {
        out.begin();
        self.root
            // Where every holder has a hole, nothing deeper counts.
            .walk(namespace, pages, guard, |body, _, matched| {
                out.take(&body.view, matched)
            });
    }
}

/// Asks an index from another thread. Each reader has a slot of its own, given back when it is dropped.
///
/// A reader may outlive its index; it then finds nothing.
pub struct Reader {
    registration: Registration,
    shared: Arc<Shared>,
}

impl Reader {
    pub(crate) fn new(registration: Registration, shared: Arc<Shared>) -> Reader {
        Reader {
            registration,
            shared,
        }
    }

    /// Writes to `out` how many leading pages each holder has.
    ///
    /// The read path of every routed request. Each run of pages is seen as of one instant, deeper ones not
    /// earlier than shallower ones; a writer in between may make the parts of one holder's answer belong to
    /// different instants. See [`Reader::matches_at`] for an answer that is one instant as a whole.
    ///
    /// Cost: O(pages matched + spans on the way), no lock, no wait, no allocation once `out` is warm.
    pub fn matches(&self, namespace: Namespace, pages: &[Fingerprint], out: &mut Matches) {
        let guard = self.registration.pin();
        self.shared.matches(namespace, pages, &guard, out);
    }

    /// Like [`Reader::matches`], but returns true only when `out` and `at`, the positions of all logs, are one
    /// instant. Gives up after [`crate::limits::EXACT_READ_TRIES_MAX`] tries beside a busy writer: then `at` is
    /// empty and `out` an ordinary answer or empty.
    #[must_use]
    pub fn matches_at(
        &self,
        namespace: Namespace,
        pages: &[Fingerprint],
        out: &mut Matches,
        at: &mut Vec<Position>,
    ) -> bool {
        out.begin();
        self.exact(at, |guard| {
            self.shared.matches(namespace, pages, guard, out)
        })
    }

    /// Writes the positions of all logs to `out`, sorted by rank, as of one instant; gives up like
    /// [`Reader::matches_at`].
    #[must_use]
    pub fn positions(&self, out: &mut Vec<Position>) -> bool {
        self.exact(out, |_| {})
    }

    fn exact(&self, at: &mut Vec<Position>, mut read: impl FnMut(&Guard<'_>)) -> bool {
        let positions = &self.shared.positions;
        let exact = positions.exact(|| {
            let guard = self.registration.pin();
            read(&guard);
            positions.list(&guard, at);
        });
        if !exact {
            at.clear();
        }
        exact
    }
}
