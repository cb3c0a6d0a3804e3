//! The checkers. After every event: what the node reports is the fold of a log prefix, and never goes
//! back. From time to time and at the end: copy by copy, and question by question.

use node::MemberView;
use oplog::OriginDigests;
use radix_core::id::{CopyId, Incarnation, OriginId, Rank, Seq, Tier};
use radix_core::page::Fingerprint;
use topology::Heartbeat;

use crate::engine;
use crate::limits;
use crate::slot::Slot;
use crate::truth::Answer;
use crate::violation::Violation;
use crate::world::World;

impl World {
    /// Compares what a node reports of every log with what it reported before and with the truth.
    pub(crate) fn check_positions(&mut self, node: usize, logged: bool) -> Result<(), Violation> {
        let Some(life) = &mut self.slots[node].life else {
            return Ok(());
        };
        let at = Rank(node as u16);
        for (rank, seen) in life.seen.iter_mut().enumerate() {
            let now = life.node.replica().digests(Rank(rank as u16));
            if now == *seen && !(logged && rank == node) {
                continue;
            }
            let before = std::mem::replace(seen, now);
            let Some(now) = now else {
                return Err(went_back(at, rank, before, None));
            };
            if before.is_some_and(|before| (now.inc, now.seq) < (before.inc, before.seq)) {
                return Err(went_back(at, rank, before, Some(now)));
            }
            let origin = OriginId {
                rank: Rank(rank as u16),
                inc: now.inc,
            };
            let Some(truth) = self.truth.after(origin, now.seq) else {
                // What a node itself did not send yet is nobody's business.
                if rank == node && origin == life.origin {
                    continue;
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
        let Some(life) = &self.slots[node].life else {
            return Ok(());
        };
        let before = life.seen[usize::from(origin.rank.0)];
        let now = life.node.replica().digests(origin.rank);
        let fits = now.is_some_and(|now| now.inc == origin.inc && first <= last && last <= now.seq);
        let continues = before.is_none_or(|before| before.inc != origin.inc || first > before.seq);
        if fits && continues {
            return Ok(());
        }
        Err(Violation::Applied {
            at: Rank(node as u16),
            origin,
            first,
            last,
            position: format!("{now:?}, before {before:?}"),
        })
    }

    /// A heartbeat must tell where the sender's log ends, or a lost last op is not found.
    pub(crate) fn check_heartbeat(&self, node: usize, beat: &Heartbeat) -> Result<(), Violation> {
        // What was seen is from before the input at hand, which may have written more.
        let known = self.slots[node]
            .life
            .as_ref()
            .and_then(|life| life.seen[node]);
        let Some(known) = known.filter(|known| (beat.inc, beat.seq) < (known.inc, known.seq))
        else {
            return Ok(());
        };
        Err(Violation::Alarm {
            at: Rank(node as u16),
            event: format!(
                "a heartbeat with op {} while its log is at {}",
                beat.seq, known.seq
            ),
        })
    }

    /// Compares one replica of one log copy by copy, and asks that node one question.
    pub(crate) fn check_one_replica(&mut self) -> Result<(), Violation> {
        let nodes = self.slots.len();
        let node = self.checks.usize(..nodes);
        let rank = self.checks.usize(..nodes);
        self.check_copies(node, rank)?;
        self.check_engine(node)?;
        self.check_limits(node)?;
        self.ask(node, 1)
    }

    /// Compares everything; for the end.
    pub(crate) fn check_everything(&mut self) -> Result<(), Violation> {
        for node in 0..self.slots.len() {
            for rank in 0..self.slots.len() {
                self.check_copies(node, rank)?;
            }
            self.check_engine(node)?;
            self.ask(node, limits::FINAL_QUESTIONS)?;
        }
        self.count_lives();
        Ok(())
    }

    fn check_copies(&mut self, node: usize, rank: usize) -> Result<(), Violation> {
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
        let Some(truth) = self.truth.after(origin, seq) else {
            return Ok(());
        };
        self.reached.full_checks += 1;
        let index = life.node.replica().state();
        let differs = |what: String| {
            let at = Rank(node as u16);
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
        for (copy, live) in self.truth.copies_after(origin, seq) {
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
        let Some(now) = life.seen[node] else {
            return Ok(());
        };
        let Some(truth) = self.truth.after(life.origin, now.seq) else {
            return Ok(());
        };
        let (engine, log) = (life.engines.pages(), truth.copies);
        if engine != log {
            return Err(Violation::Engine {
                at: Rank(node as u16),
                engine,
                log,
            });
        }
        Ok(())
    }

    fn check_limits(&self, node: usize) -> Result<(), Violation> {
        let Some(life) = &self.slots[node].life else {
            return Ok(());
        };
        let max = self.profile.log.reorder_ops_max as u64;
        for log in life.node.replica().logs() {
            self.bound(node, "ops behind a gap", log.waiting as u64, max)?;
        }
        Ok(())
    }

    /// Asks a node about paths that were stored some time, perhaps with another end.
    fn ask(&mut self, node: usize, questions: usize) -> Result<(), Violation> {
        let places = self.truth.places();
        if places == 0 {
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
            if self.truth.last(life.origin) < life.seen[node].map(|seen| seen.seq) {
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
                    at: Rank(node as u16),
                    question: describe(namespace.0, &pages),
                    got: format!("{got:?} (deepest {})", life.matches.deepest()),
                    want: format!("{want:?} (deepest {deepest})"),
                });
            }
        }
        Ok(())
    }

    /// Returns the first node and rank that do not agree with the rank's own account, or a node that is not Ready.
    pub(crate) fn first_difference(&self) -> Option<(usize, Option<usize>)> {
        for (node, slot) in self.slots.iter().enumerate() {
            let Some(life) = &slot.life else {
                return Some((node, None));
            };
            for (rank, other) in self.slots.iter().enumerate() {
                let own = other.life.as_ref().and_then(|life| life.seen[rank]);
                if own.is_none() || life.seen[rank] != own {
                    return Some((node, Some(rank)));
                }
            }
            if !life.node.is_ready() {
                return Some((node, None));
            }
        }
        None
    }

    /// Returns the first node that would not route to everybody.
    pub(crate) fn first_hidden(&self) -> Option<usize> {
        let sees_all = |slot: &Slot| {
            let life = slot.life.as_ref();
            life.is_some_and(|life| life.node.members().iter().all(MemberView::routable))
        };
        self.slots.iter().position(|slot| !sees_all(slot))
    }

    /// Says what [`first_difference`](Self::first_difference) found.
    pub(crate) fn describe_difference(&self) -> String {
        let hidden = || self.first_hidden().map(|node| (node, None));
        let Some((node, rank)) = self.first_difference().or_else(hidden) else {
            return "nothing differs".into();
        };
        let Some(life) = &self.slots[node].life else {
            return format!("rank {node} is dead");
        };
        match rank {
            Some(rank) => {
                let own = self.slots[rank]
                    .life
                    .as_ref()
                    .and_then(|life| life.seen[rank]);
                let log = life
                    .node
                    .replica()
                    .logs()
                    .find(|log| usize::from(log.origin.rank.0) == rank);
                format!(
                    "rank {node} has {:?} of rank {rank}, which has {own:?}; {log:?}",
                    life.seen[rank]
                )
            }
            None if !life.node.is_ready() => format!("rank {node} is not Ready"),
            None => {
                let hidden: Vec<_> = life
                    .node
                    .members()
                    .into_iter()
                    .filter(|member| !member.routable())
                    .collect();
                format!("rank {node} would not route to {hidden:?}")
            }
        }
    }

    /// Adds a node's own counters to what was reached. Called at the end of each life.
    pub(crate) fn count_life(&mut self, node: usize) {
        let Some(life) = &self.slots[node].life else {
            return;
        };
        let log = life.node.replica().counters();
        self.reached.ops_without_effect += log.ops_without_effect;
        self.reached.gaps += log.gaps;
        self.reached.pulls += log.pulls_sent;
        self.reached.pulls_timed_out += log.pulls_timed_out;
        self.reached.pulls_abandoned += log.pulls_abandoned;
        self.reached.snapshots_loaded += log.snapshots_loaded;
        self.reached.snapshots_rejected += log.snapshots_rejected;
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
