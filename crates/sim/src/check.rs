//! The checkers. After every event: what the node reports is the fold of a log prefix, and never goes
//! back. From time to time and at the end: copy by copy, and question by question.

use oplog::OriginDigests;
use radix_core::id::{CopyId, Incarnation, OriginId, Rank, Seq, Tier};
use radix_core::page::Fingerprint;
use radix_core::time::Timestamp;
use topology::{Heartbeat, ViewId};

use crate::engine;
use crate::limits;
use crate::peaks::Peaks;
use crate::slot::Slot;
use crate::truth::Answer;
use crate::violation::Violation;
use crate::world::{Taint, World};

impl World {
    /// Compares what a node reports of the logs with what it reported before and with the truth.
    ///
    /// Small worlds look at every log, large ones at those that the effects named.
    pub(crate) fn check_positions(&mut self, node: usize, logged: bool) -> Result<(), Violation> {
        if self.ranks() <= limits::EACH_LOG_NODES_MAX {
            for rank in 0..self.ranks() {
                self.check_position(node, rank, logged)?;
            }
            return Ok(());
        }
        let mut touched = std::mem::take(&mut self.touched);
        for rank in touched.drain(..) {
            self.check_position(node, usize::from(rank.0), logged)?;
        }
        self.touched = touched;
        Ok(())
    }

    fn check_position(&mut self, node: usize, rank: usize, logged: bool) -> Result<(), Violation> {
        let at = self.slots[node].rank;
        let Some(life) = &mut self.slots[node].life else {
            return Ok(());
        };
        let seen = &mut life.seen[rank];
        let own = rank == usize::from(at.0);
        let now = life.node.replica().digests(Rank(rank as u16));
        if now == *seen && !(logged && own) {
            return Ok(());
        }
        let before = std::mem::replace(seen, now);
        let Some(now) = now else {
            // What is forgotten is gone; anything else only grows.
            let vector = life.node.replica().version_vector();
            let floor = vector.entry(Rank(rank as u16)).floor;
            if before.is_some_and(|before| before.inc <= floor) {
                return Ok(());
            }
            return Err(went_back(at, rank, before, None));
        };
        let origin = OriginId {
            rank: Rank(rank as u16),
            inc: now.inc,
        };
        if self.tainted.contains_key(&origin) {
            return Ok(());
        }
        if before.is_some_and(|before| (now.inc, now.seq) < (before.inc, before.seq)) {
            return Err(went_back(at, rank, before, Some(now)));
        }
        let Some(truth) = self.truth.after(origin, now.seq) else {
            // What a node itself did not send yet is nobody's business.
            if own && origin == life.origin {
                return Ok(());
            }
            let last = self.truth.last(origin);
            return Err(Violation::Invented {
                at,
                origin,
                seq: now.seq,
                last,
            });
        };
        if (now.chain, now.set) != (truth.chain, truth.set) {
            return Err(Violation::Prefix {
                at,
                origin,
                seq: now.seq,
                chain: now.chain,
                set: now.set,
                want_chain: truth.chain,
                want_set: truth.set,
            });
        }
        Ok(())
    }

    /// An [`Effect::Applied`](node::Effect::Applied) must continue what was seen and not exceed what is there.
    pub(crate) fn check_applied(
        &self,
        node: usize,
        origin: OriginId,
        first: Seq,
        last: Seq,
    ) -> Result<(), Violation> {
        let at = self.slots[node].rank;
        let Some(life) = &self.slots[node].life else {
            return Ok(());
        };
        if !self.config.checks || self.tainted.contains_key(&origin) {
            return Ok(());
        }
        let before = life.seen[usize::from(origin.rank.0)];
        let now = life.node.replica().digests(origin.rank);
        let fits = now.is_some_and(|now| now.inc == origin.inc && first <= last && last <= now.seq);
        let continues = before.is_none_or(|before| before.inc != origin.inc || first > before.seq);
        if fits && continues {
            return Ok(());
        }
        Err(Violation::Applied {
            at,
            origin,
            first,
            last,
            position: format!("{now:?}, before {before:?}"),
        })
    }

    /// A node that joins is Ready when it has what a Ready peer had, not before.
    pub(crate) fn check_join(&mut self, node: usize) -> Result<(), Violation> {
        let at = self.slots[node].rank;
        let Some(life) = &mut self.slots[node].life else {
            return Ok(());
        };
        let Some(join) = life.join.take() else {
            return Ok(());
        };
        let members = life.node.members();
        let takes_part = |rank: Rank| {
            let member = members.iter().find(|member| member.rank == rank);
            member.is_some_and(|member| member.status.in_view())
        };
        if join.is_cold(takes_part) {
            self.reached.cold_starts += 1;
            return Ok(());
        }
        self.reached.caught_up += 1;
        let replica = life.node.replica();
        let vector = replica.version_vector();
        let has = |rank: Rank| replica.digests(rank).map(|log| (log.inc, log.seq));
        match join.lacks(at, has, |rank| vector.entry(rank).floor) {
            None => Ok(()),
            Some(lacks) => Err(Violation::ReadyTooEarly { at, lacks }),
        }
    }

    /// A heartbeat must tell where the sender's log ends, or a lost last op is not found.
    pub(crate) fn check_heartbeat(&self, node: usize, beat: &Heartbeat) -> Result<(), Violation> {
        // What was seen is from before the input at hand, which may have written more.
        let at = self.slots[node].rank;
        let known = self.slots[node]
            .life
            .as_ref()
            .and_then(|life| life.seen[usize::from(at.0)]);
        let Some(known) = known.filter(|known| (beat.inc, beat.seq) < (known.inc, known.seq))
        else {
            return Ok(());
        };
        Err(Violation::Alarm {
            at,
            event: format!(
                "a heartbeat with op {} while its log is at {}",
                beat.seq, known.seq
            ),
        })
    }

    /// Compares one replica of one log copy by copy, and asks that node one question.
    pub(crate) fn check_one_replica(&mut self) -> Result<(), Violation> {
        let node = self.checks.usize(..self.slots.len());
        let rank = self.checks.usize(..self.ranks());
        if self.ranks() > limits::EACH_LOG_NODES_MAX {
            for rank in 0..self.ranks() {
                self.check_position(node, rank, false)?;
            }
        }
        self.check_copies(node, rank)?;
        self.check_engine(node)?;
        self.check_limits(node)?;
        self.check_floors(node)?;
        self.ask(node, 1)
    }

    /// Nothing of a life that is forgotten is visible: not its log, not its copies, not its record.
    fn check_floors(&self, node: usize) -> Result<(), Violation> {
        let slot = &self.slots[node];
        let Some(life) = &slot.life else {
            return Ok(());
        };
        let vector = life.node.replica().version_vector();
        if vector.0.values().all(|entry| entry.floor == Incarnation(0)) {
            return Ok(());
        }
        let found = |rank: Rank, what: String| Violation::Forgotten {
            at: slot.rank,
            rank,
            what,
        };
        for (&rank, entry) in vector.0.iter().filter(|(rank, _)| **rank != slot.rank) {
            if entry.inc != Incarnation(0) && entry.inc <= entry.floor {
                let what = format!("its log of incarnation {}", entry.inc);
                return Err(found(rank, what));
            }
            let index = life.node.replica().state();
            if entry.inc == Incarnation(0) && index.copies(rank) > 0 {
                return Err(found(rank, format!("{} copies", index.copies(rank))));
            }
        }
        for member in life
            .node
            .members()
            .iter()
            .filter(|member| member.rank != slot.rank)
        {
            let floor = vector.entry(member.rank).floor;
            if member.life != Incarnation(0) && member.life <= floor {
                let what = format!(
                    "its record of incarnation {}: {}",
                    member.life, member.status
                );
                return Err(found(member.rank, what));
            }
        }
        Ok(())
    }

    /// Who said goodbye is forgotten at once and for ever.
    pub(crate) fn check_farewells(&mut self, node: usize) -> Result<(), Violation> {
        while let Some((rank, inc)) = self.farewells.pop() {
            let slot = &self.slots[node];
            let Some(life) = &slot.life else { continue };
            let entry = life.node.replica().version_vector().entry(rank);
            if entry.floor < inc {
                let what = format!("incarnation {inc}, which left, with floor {}", entry.floor);
                let at = slot.rank;
                return Err(Violation::Forgotten { at, rank, what });
            }
        }
        Ok(())
    }

    /// A view that a ring check found stable is one that every member of it had; when is not for the token to say,
    /// which may have waited long in front of a slow node.
    pub(crate) fn check_stable_view(&mut self, node: usize, view: ViewId) -> Result<(), Violation> {
        let at = self.slots[node].rank;
        let Some(life) = &self.slots[node].life else {
            return Ok(());
        };
        self.reached.views_stable += 1;
        for member in life.node.members() {
            let takes_part = member.status.in_view() && member.rank != at;
            let knows = |slot: &Slot| slot.rank == member.rank && slot.had_view(view);
            if takes_part && !self.slots.iter().any(knows) {
                let rank = member.rank;
                return Err(Violation::NotStable { at, rank });
            }
        }
        Ok(())
    }

    /// Returns whether every node reaches every other directly, in its own view.
    pub(crate) fn all_direct(&self) -> bool {
        self.slots.iter().all(|slot| {
            let life = slot.life.as_ref();
            life.is_some_and(|life| {
                let mut members = life.node.members().into_iter();
                members.all(|member| member.direct() && !member.slow)
            })
        })
    }

    /// Compares everything; for the end.
    pub(crate) fn check_everything(&mut self) -> Result<(), Violation> {
        let large = self.ranks() > limits::EACH_LOG_NODES_MAX;
        let step = if large { 1 + self.ranks() / 16 } else { 1 };
        for node in 0..self.slots.len() {
            for rank in 0..self.ranks() {
                self.check_position(node, rank, false)?;
                // Of a large world a different part at each node.
                if (node + rank).is_multiple_of(step) {
                    self.check_copies(node, rank)?;
                }
            }
            self.check_engine(node)?;
            self.check_limits(node)?;
            self.check_floors(node)?;
            let questions = if large { 2 } else { limits::FINAL_QUESTIONS };
            self.ask(node, questions)?;
        }
        self.check_coverage()?;
        self.count_lives();
        Ok(())
    }

    /// Where nothing is ever lost, a broadcast of a complete mesh comes to everybody by itself.
    fn check_coverage(&mut self) -> Result<(), Violation> {
        if !self.profile.lossless {
            return Ok(());
        }
        let others = self.ranks() - 1;
        // The virtual time of a message that is late again and again.
        let time = Timestamp(self.now.0.saturating_sub(limits::COVERAGE_MS * 1_000_000));
        if let Some(((origin, first), count)) = self.visits.incomplete(time, others) {
            return Err(Violation::Uncovered {
                origin,
                first,
                count,
                others: others as u32,
            });
        }
        self.reached.broadcasts_complete += self.visits.owed_before(time);
        Ok(())
    }

    fn check_copies(&mut self, node: usize, rank: usize) -> Result<(), Violation> {
        let at = self.slots[node].rank;
        let Some(life) = &self.slots[node].life else {
            return Ok(());
        };
        let Some(OriginDigests { inc, seq, .. }) = life.seen[rank] else {
            return Ok(());
        };
        let origin = OriginId {
            rank: Rank(rank as u16),
            inc,
        };
        if self.tainted.contains_key(&origin) {
            return Ok(());
        }
        let Some(truth) = self.truth.after(origin, seq) else {
            return Ok(());
        };
        self.reached.full_checks += 1;
        let index = life.node.replica().state();
        let differs = |what: String| {
            Err(Violation::Copies {
                at,
                origin,
                seq,
                what,
            })
        };
        if index.position(origin.rank) != Some((inc, seq)) {
            return differs(format!("the tree is at {:?}", index.position(origin.rank)));
        }
        if index.copies(origin.rank) != truth.copies {
            return differs(format!(
                "{} copies, not {}",
                index.copies(origin.rank),
                truth.copies
            ));
        }
        for (copy, live) in self.truth.copies_after(origin, seq, self.events as usize) {
            if index.is_live(copy) != live {
                return differs(format!("copy {copy} is live: {}", !live));
            }
        }
        // The lives before have left nothing behind.
        let earlier = Incarnation(inc.0.saturating_sub(1));
        let gone = CopyId {
            origin: OriginId {
                inc: earlier,
                ..origin
            },
            seq: Seq(1),
            idx: 0,
        };
        if index.is_live(gone) {
            return differs(format!("copy {gone} is live"));
        }
        Ok(())
    }

    /// What the engines hold by their own account is what their node's log says, once all of it is written down.
    fn check_engine(&mut self, node: usize) -> Result<(), Violation> {
        let Some(life) = &self.slots[node].life else {
            return Ok(());
        };
        let at = self.slots[node].rank;
        let Some(now) = life.seen[usize::from(at.0)] else {
            return Ok(());
        };
        if self.tainted.get(&life.origin) == Some(&Taint::Shared) {
            return Ok(());
        }
        let Some(truth) = self.truth.after(life.origin, now.seq) else {
            return Ok(());
        };
        let (engine, log) = (life.engines.pages(), truth.copies);
        if engine != log {
            return Err(Violation::Engine { at, engine, log });
        }
        Ok(())
    }

    fn check_limits(&mut self, node: usize) -> Result<(), Violation> {
        let Some(life) = &self.slots[node].life else {
            return Ok(());
        };
        let mut peaks = Peaks::default();
        for log in life.node.replica().logs() {
            peaks.ops_behind_a_gap = peaks.ops_behind_a_gap.max(log.waiting as u64);
            peaks.pulls_at_once += u64::from(log.asked.is_some());
            let chunks = log.snapshot.map_or(0, |(chunks, _)| u64::from(chunks));
            peaks.chunks_of_a_snapshot = peaks.chunks_of_a_snapshot.max(chunks);
        }
        self.peaks.merge(&peaks);
        let config = &self.profile.log;
        let (waiting, pulls) = (config.reorder_ops_max as u64, config.pulls_max as u64);
        self.bound(node, "ops behind a gap", peaks.ops_behind_a_gap, waiting)?;
        // One more for a log whose peer is changed while the others are all under way.
        self.bound(node, "pulls at once", peaks.pulls_at_once, pulls + 1)
    }

    /// Asks a node about paths that were stored some time, perhaps with another end.
    fn ask(&mut self, node: usize, questions: usize) -> Result<(), Violation> {
        let at = self.slots[node].rank;
        let places = self.truth.places();
        if places == 0 || self.holds_tainted(node) {
            return Ok(());
        }
        for _ in 0..questions {
            let (namespace, mut pages) = self.truth.path(self.checks.usize(..places));
            for _ in 0..self.checks.u8(0..3) {
                pages.push(engine::page(
                    self.checks.u64(0..self.profile.workload.alphabet),
                ));
            }
            let Some(life) = &mut self.slots[node].life else {
                return Ok(());
            };
            let positions: Vec<Option<(Incarnation, Seq)>> = life
                .seen
                .iter()
                .map(|seen| seen.map(|seen| (seen.inc, seen.seq)))
                .collect();
            let own = life.seen[usize::from(at.0)];
            if self.truth.last(life.origin) < own.map(|seen| seen.seq) {
                return Ok(());
            }
            self.reached.questions += 1;
            life.reader.matches(namespace, &pages, &mut life.matches);
            let got: Answer = life.matches.iter().collect();
            let want = self.truth.matches(&positions, namespace, &pages);
            let deepest = want
                .iter()
                .map(|(_, held)| held[Tier::COUNT - 1])
                .max()
                .unwrap_or(0);
            if got != want || life.matches.deepest() != deepest {
                return Err(Violation::Lookup {
                    at,
                    question: describe(namespace.0, &pages),
                    got: format!("{got:?} (deepest {})", life.matches.deepest()),
                    want: format!("{want:?} (deepest {deepest})"),
                });
            }
        }
        Ok(())
    }

    /// Returns whether the account is no measure for one of the logs that a node holds.
    fn holds_tainted(&self, node: usize) -> bool {
        if self.tainted.is_empty() {
            return false;
        }
        let Some(life) = &self.slots[node].life else {
            return false;
        };
        (0u16..).zip(&life.seen).any(|(rank, seen)| {
            seen.is_some_and(|seen| {
                let rank = Rank(rank);
                self.tainted.contains_key(&OriginId {
                    rank,
                    inc: seen.inc,
                })
            })
        })
    }

    /// Adds a node's own counters to what was reached. Called at the end of each life.
    pub(crate) fn count_life(&mut self, node: usize) {
        let Some(life) = &self.slots[node].life else {
            return;
        };
        let log = life.node.replica().counters();
        self.reached.gaps += log.gaps;
        self.reached.pulls += log.pulls_sent;
        self.reached.pulls_timed_out += log.pulls_timed_out;
        self.reached.pulls_abandoned += log.pulls_abandoned;
        self.reached.snapshots_loaded += log.snapshots_loaded;
        self.reached.deltas_loaded += log.deltas_loaded;
        self.reached.snapshots_sent += log.snapshots_sent;
        self.reached.pulls_served += log.pulls_served;
        self.reached.pulls_busy += log.pulls_busy;
        self.reached.reorder_overflows += log.reorder_overflows;
        self.reached.ops_duplicate += log.ops_duplicate;
        self.reached.stale_messages += log.stale;
        self.reached.checkpoints_equal += log.checkpoints_equal;
    }

    fn count_lives(&mut self) {
        for node in 0..self.slots.len() {
            self.count_life(node);
        }
    }
}

fn went_back(
    at: Rank,
    rank: usize,
    before: Option<OriginDigests>,
    now: Option<OriginDigests>,
) -> Violation {
    let place = |seen: Option<OriginDigests>| {
        seen.map_or((Incarnation(0), Seq::ZERO), |seen| (seen.inc, seen.seq))
    };
    let ((inc, seq), (now_inc, now_seq)) = (place(before), place(now));
    Violation::WentBack {
        at,
        rank: Rank(rank as u16),
        inc,
        seq,
        now_inc,
        now_seq,
    }
}

fn describe(namespace: u64, pages: &[Fingerprint]) -> String {
    let pages: Vec<String> = pages
        .iter()
        .map(|page| format!("{:04x}", page.0 >> 48))
        .collect();
    format!("namespace {namespace} path {}", pages.join("."))
}
