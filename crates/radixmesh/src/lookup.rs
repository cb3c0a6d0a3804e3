//! The read path: prompt -> page fingerprints -> tree -> decision. No lock, no await, no copy of the
//! tree; one [`Lookup`] per thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::Guard;
use node::MemberView;
use radix_core::id::{Namespace, Rank, Tier};
use radix_core::page::Fingerprint;
use radix_core::{FingerprintKey, Matches, Position, Reader};
use routing::{Candidate, Decision, Explanation, Query};

use crate::driver::Shared;
use crate::roster::{Roster, candidate};

/// What all lookups of a node share.
pub(crate) struct Desk {
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: FingerprintKey,
    pub(crate) page_size: usize,
    pub(crate) requests: AtomicU64,
}

/// Answers from the tree of this node.
pub struct Lookup {
    desk: Arc<Desk>,
    reader: Reader,
    /// Pages of the last prompt.
    pub(crate) pages: Vec<Fingerprint>,
    /// What the tree said of them.
    pub(crate) matches: Matches,
    /// When it said so.
    pub(crate) version: Vec<Position>,
    candidates: Vec<Candidate>,
}

impl Lookup {
    pub(crate) fn new(desk: Arc<Desk>, reader: Reader) -> Self {
        Lookup {
            desk,
            reader,
            pages: Vec::new(),
            matches: Matches::new(),
            version: Vec::new(),
            candidates: Vec::new(),
        }
    }

    /// Fingerprints a prompt. Units: `tokens` are token ids; a partial last page is left out.
    pub fn prompt(&mut self, tokens: &[u32]) {
        self.pages.clear();
        self.desk
            .key
            .pages(tokens, self.desk.page_size, &mut self.pages);
    }

    /// Returns the fingerprints of the last prompt.
    #[must_use]
    pub fn pages(&self) -> &[Fingerprint] {
        &self.pages
    }

    /// Reads who holds how much of the last prompt; returns whether the answer and
    /// [`version`](Self::version) belong to one instant. Each holder's depth was true at some instant either way.
    pub fn read(&mut self, namespace: Namespace) -> bool {
        self.reader
            .matches_at(namespace, &self.pages, &mut self.matches, &mut self.version)
    }

    /// Returns what the last [`read`](Self::read) found.
    #[must_use]
    pub fn matches(&self) -> &Matches {
        &self.matches
    }

    /// Returns the version vector of the last [`read`](Self::read).
    #[must_use]
    pub fn version(&self) -> &[Position] {
        &self.version
    }

    /// Returns the namespace of a name under this cluster's key.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Namespace {
        self.desk.key.namespace(name)
    }

    /// Decides where the last prompt should go, from what the last [`read`](Self::read) found.
    pub fn decide(&mut self, namespace: Namespace) -> Decision {
        let roster = self.list_candidates();
        roster
            .policy
            .decide(self.number(), &self.query(namespace), &self.candidates)
    }

    /// Decides like [`decide`](Self::decide) and tells why. For people: it allocates.
    pub fn explain(&mut self, namespace: Namespace) -> (Decision, Explanation) {
        let roster = self.list_candidates();
        let (policy, number, query) = (&roster.policy, self.number(), self.query(namespace));
        let decision = policy.decide(number, &query, &self.candidates);
        (decision, policy.explain(number, &query, &self.candidates))
    }

    /// Lists everybody who may be chosen, and returns the members of the same instant.
    fn list_candidates(&mut self) -> Guard<Arc<Roster>> {
        let roster = self.desk.shared.roster.load();
        let members = roster.members.iter();
        self.candidates.clear();
        self.candidates.extend(members.filter_map(candidate));
        for (holder, depth) in self.matches.iter() {
            let place = self
                .candidates
                .binary_search_by_key(&holder.rank, |candidate| candidate.rank);
            if let Ok(place) = place {
                let candidate = &mut self.candidates[place];
                candidate.matched = candidate.matched.max(depth[Tier::Disk as usize]);
                candidate.matched_device =
                    candidate.matched_device.max(depth[Tier::Device as usize]);
            }
        }
        roster
    }

    fn number(&self) -> u64 {
        self.desk.requests.fetch_add(1, Ordering::Relaxed)
    }

    fn query(&self, namespace: Namespace) -> Query<'_> {
        Query {
            namespace,
            pages: &self.pages,
            deepest: self.matches.deepest(),
        }
    }

    /// Returns the current states of all members.
    #[must_use]
    pub fn members(&self) -> Arc<Vec<MemberView>> {
        Arc::clone(&self.desk.shared.roster.load().members)
    }

    /// Returns where a member is reached by its peers; `None` when it is no member any more.
    #[must_use]
    pub fn address(&self, rank: Rank) -> Option<String> {
        self.desk.shared.roster.load().addresses.get(&rank).cloned()
    }

    /// Returns whether requests may be routed to a rank.
    #[must_use]
    pub fn is_routable(&self, rank: Rank) -> bool {
        let roster = self.desk.shared.roster.load();
        let mut members = roster.members.iter();
        members.any(|member| member.rank == rank && member.routable())
    }
}
