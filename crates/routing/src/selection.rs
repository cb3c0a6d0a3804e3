//! The choice of one node for one role of one request.

use std::cmp::Reverse;

use radix_core::id::Rank;

use crate::candidate::{Candidate, Query, Role};
use crate::config::{Config, PolicyKind};
use crate::decision::{Choice, Reason};
use crate::hash_ring::{HashRing, SlotSet};
use crate::key;

/// Everything one choice rests on.
#[derive(Clone, Copy)]
pub(crate) struct Selection<'a> {
    pub(crate) config: &'a Config,
    pub(crate) ring: &'a HashRing,
    pub(crate) role: Role,
    pub(crate) request_number: u64,
    pub(crate) query: &'a Query<'a>,
    pub(crate) candidates: &'a [Candidate],
}

impl<'a> Selection<'a> {
    /// Chooses; `key` is asked for only when a hash decides. `None` when nobody is routable.
    pub(crate) fn choose(&self, key: impl FnOnce() -> u64) -> Option<Choice> {
        let reason = self.reason()?;
        let rank = match reason {
            Reason::WarmUp | Reason::Random => self.draw(self.request_number, self.routable()),
            Reason::RoundRobin => self.turn(),
            Reason::Prefix => {
                let most = self.most();
                self.first_in_hash_order(key, move |candidate| candidate.matched == most)
            }
            Reason::BelowMinimum | Reason::NoHolder | Reason::NoPages => {
                self.first_in_hash_order(key, |_| true)
            }
        }?;
        let of_rank = self.routable().filter(|candidate| candidate.rank == rank);
        let matched = of_rank.map(|candidate| candidate.matched).max()?;
        Some(Choice {
            rank,
            matched,
            reason,
        })
    }

    /// Returns the place of this query on the hash ring.
    pub(crate) fn key(config: &Config, request_number: u64, query: &Query<'_>) -> u64 {
        if query.pages.is_empty() {
            key::of_request(config.seed, query, request_number)
        } else {
            key::of_query(config.seed, query)
        }
    }

    /// Returns all candidates of the role in hash order, routable or not: the ring's own in the order
    /// of the walk, then those that are not on it.
    pub(crate) fn hash_order(&self, key: u64) -> Vec<Rank> {
        let mut rest: Vec<Rank> = self.of_role().map(|candidate| candidate.rank).collect();
        rest.sort_unstable_by_key(|&rank| (Reverse(self.weight(key, rank)), rank));
        rest.dedup();
        let mut order = Vec::with_capacity(rest.len());
        for rank in self.ring.walk(key) {
            if let Some(at) = rest.iter().position(|&other| other == rank) {
                order.push(rest.remove(at));
            }
            if rest.is_empty() {
                break;
            }
        }
        order.append(&mut rest);
        order
    }

    pub(crate) fn of_role(&self) -> impl Iterator<Item = &'a Candidate> + use<'a> {
        let role = self.role;
        self.candidates
            .iter()
            .filter(move |candidate| candidate.role == role)
    }

    fn routable(&self) -> impl Iterator<Item = &'a Candidate> + use<'a> {
        self.of_role().filter(|candidate| candidate.routable)
    }

    fn most(&self) -> u32 {
        self.routable()
            .map(|candidate| candidate.matched)
            .max()
            .unwrap_or(0)
    }

    fn reason(&self) -> Option<Reason> {
        self.routable().next()?;
        Some(match self.config.kind {
            PolicyKind::Random => Reason::Random,
            PolicyKind::RoundRobin => Reason::RoundRobin,
            PolicyKind::Prefix if self.request_number < self.config.warmup_requests => {
                Reason::WarmUp
            }
            PolicyKind::Prefix if self.query.pages.is_empty() => Reason::NoPages,
            PolicyKind::Prefix => match self.most() {
                0 => Reason::NoHolder,
                most if most < self.config.match_min(self.query.pages.len()) => {
                    Reason::BelowMinimum
                }
                _ => Reason::Prefix,
            },
        })
    }

    fn weight(&self, number: u64, rank: Rank) -> u64 {
        key::weight(self.config.seed, number, self.role, rank)
    }

    /// Draws one by weight: independent of the order of the candidates, and fair.
    fn draw(&self, number: u64, among: impl Iterator<Item = &'a Candidate>) -> Option<Rank> {
        among
            .map(|candidate| candidate.rank)
            .max_by_key(|&rank| (self.weight(number, rank), rank))
    }

    fn turn(&self) -> Option<Rank> {
        let mut ranks: Vec<Rank> = self.routable().map(|candidate| candidate.rank).collect();
        ranks.sort_unstable();
        ranks.dedup();
        let turn = self
            .request_number
            .checked_rem(u64::try_from(ranks.len()).ok()?)?;
        ranks.get(usize::try_from(turn).ok()?).copied()
    }

    /// Takes the first in hash order of those wanted. Who is not on the ring comes last, by weight.
    fn first_in_hash_order(
        &self,
        key: impl FnOnce() -> u64,
        wanted: impl Fn(&Candidate) -> bool + Copy,
    ) -> Option<Rank> {
        let mut only = None;
        let mut several = false;
        let mut on_ring = SlotSet::new();
        let mut hint = 0;
        for candidate in self.routable().filter(|candidate| wanted(candidate)) {
            several |= only.is_some_and(|rank| rank != candidate.rank);
            only = Some(candidate.rank);
            if let Some(slot) = self.ring.slot(candidate.rank, hint) {
                on_ring.insert(slot);
                hint = slot + 1;
            }
        }
        if !several {
            return only;
        }
        let key = key();
        self.ring
            .first_of(key, &on_ring)
            .or_else(|| self.draw(key, self.routable().filter(|candidate| wanted(candidate))))
    }
}
