//! [`Replica`]: one node's copy of all logs. This file holds the way in; what happens to a batch is in
//! `accept`, fetching what lacks in `pull` and `load`, answering others in `serve`, the own log in `publish`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use radix_core::id::{Incarnation, OriginId, Rank, Seq};
use radix_core::mutation::{self, Mutation};
use radix_core::time::Timestamp;

use crate::budget::Budgets;
use crate::config::Config;
use crate::event::{Counters, Event, Output};
use crate::limits::SEQ_MAX;
use crate::message::Message;
use crate::op::Op;
use crate::own::Own;
use crate::queue::{Priority, Queue};
use crate::remote::Remote;
use crate::session::Sessions;
use crate::state::State;
use crate::timers::Timers;
use crate::vector::{Entry, VersionVector};

/// One node's copy of all logs, folded into a [`State`].
///
/// Deterministic: the same calls give the same outputs, byte for byte. Total: no message panics.
/// The host carries messages, calls [`tick`](Replica::tick) at [`next_deadline`](Replica::next_deadline)
/// and sends [`offer`](Replica::offer)s; late or repeated ticks are harmless.
#[derive(Debug)]
pub struct Replica<S> {
    pub(crate) config: Config,
    pub(crate) own: Own,
    pub(crate) remotes: BTreeMap<Rank, Remote>,
    pub(crate) floors: BTreeMap<Rank, Incarnation>,
    pub(crate) sessions: Sessions,
    pub(crate) budgets: Budgets,
    pub(crate) timers: Timers,
    /// Ranks whose log was asked for and not answered yet.
    pub(crate) asked: BTreeSet<Rank>,
    /// Peers whose last answer did not come to its end in time. Bounded by the peers: a broken link takes one out.
    pub(crate) halting: BTreeSet<Rank>,
    /// Ranks whose log waits for one of those to be answered.
    pub(crate) queue: Queue,
    /// Only what is not [`Priority::Normal`].
    pub(crate) priorities: BTreeMap<Rank, Priority>,
    pub(crate) rng: fastrand::Rng,
    pub(crate) counters: Counters,
    /// The ops of the batch at hand.
    pub(crate) decoded: Vec<(Op, Range<usize>)>,
    pub(crate) state: S,
}

/// What a log looks like here: two replicas with equal ones hold equal copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginDigests {
    /// Its incarnation.
    pub inc: Incarnation,
    /// The last op applied.
    pub seq: Seq,
    /// Chain digest of its ops.
    pub chain: u64,
    /// Set digest of its live copies.
    pub set: u64,
}

/// How far a log is known here, for status pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogStatus {
    /// The log.
    pub origin: OriginId,
    /// The last op applied.
    pub seq: Seq,
    /// The last op that somebody claims to exist; at least `seq`.
    pub wanted: Seq,
    /// Ops that wait behind a gap.
    pub waiting: usize,
    /// The first op that a pull can still get from here as an op.
    pub tail: Option<Seq>,
    /// Who was asked for what lacks.
    pub asked: Option<Rank>,
    /// Chunks of a snapshot that are here, and all.
    pub snapshot: Option<(u32, u32)>,
}

impl<S: State> Replica<S> {
    /// Begins with an empty own log and no others.
    ///
    /// `me`: an incarnation that this rank never had before and no peer has seen; 0 is taken as 1.
    /// `seed`: for jitter and session names only. `state`: without copies.
    pub fn new(me: OriginId, config: Config, seed: u64, mut state: S) -> Self {
        let config = config.clamped();
        let me = OriginId {
            inc: me.inc.max(Incarnation(1)),
            ..me
        };
        state.reset(me, Seq::ZERO);
        Replica {
            own: Own::new(me, &config),
            config,
            remotes: BTreeMap::new(),
            floors: BTreeMap::new(),
            sessions: Sessions::default(),
            budgets: Budgets::default(),
            timers: Timers::default(),
            asked: BTreeSet::new(),
            halting: BTreeSet::new(),
            queue: Queue::default(),
            priorities: BTreeMap::new(),
            rng: fastrand::Rng::with_seed(seed),
            counters: Counters::default(),
            decoded: Vec::new(),
            state,
        }
    }

    /// Takes a message that peer `from` sent.
    ///
    /// Cost: of the ops that become applicable; a duplicate costs a comparison.
    pub fn handle(&mut self, now: Timestamp, from: Rank, message: Message, out: &mut Vec<Output>) {
        match message {
            Message::Batch(batch) => self.accept(now, from, batch, out),
            Message::Offer { vector, reply } => self.compare(now, from, &vector, reply, out),
            Message::Pull {
                origin,
                from: first,
            } => self.serve(now, from, origin, first, out),
            Message::PullEnd {
                origin,
                last: _,
                have,
            } => self.pull_ended(now, from, origin, have, out),
            Message::Snapshot(chunk) => self.assemble(now, from, chunk, out),
            Message::SnapshotMore { session, next } => {
                self.serve_more(now, from, session, next, out)
            }
            Message::SnapshotGone { session } => self.snapshot_gone(now, from, session, out),
        }
        self.start_pulls(now, out);
    }

    /// Does what is due. Late and repeated calls are harmless.
    pub fn tick(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if self
            .own
            .challenge_deadline(&self.config)
            .is_some_and(|at| at <= now)
        {
            self.reincarnate(now, out);
        }
        let checkpoint = self.own.wants_checkpoint(now, &self.config);
        if checkpoint {
            self.checkpoint(now);
        }
        if checkpoint
            || self
                .own
                .flush_deadline(&self.config)
                .is_some_and(|at| at <= now)
        {
            self.flush(now, out);
        }
        self.sessions.expire(now, &self.config);
        while let Some(rank) = self.timers.take_due(now) {
            self.fetch_due(now, rank, out);
        }
        self.start_pulls(now, out);
    }

    /// Returns when [`tick`](Replica::tick) is wanted next. Cost: O(log ranks).
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        [
            self.own.flush_deadline(&self.config),
            self.own.checkpoint_deadline(&self.config),
            self.own.challenge_deadline(&self.config),
            self.sessions.next_deadline(&self.config),
            self.timers.next_deadline(),
            self.may_start_pulls().then_some(Timestamp(0)),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Returns what this replica has, for a [`Message::Offer`]. Always holds the own log, even when it is empty.
    #[must_use]
    pub fn offer(&self) -> VersionVector {
        let mut entries: BTreeMap<Rank, Entry> = self
            .floors
            .iter()
            .map(|(rank, floor)| {
                (
                    *rank,
                    Entry {
                        floor: *floor,
                        ..Entry::default()
                    },
                )
            })
            .collect();
        let logs = self
            .remotes
            .values()
            .map(|remote| (remote.origin, remote.seq));
        for (origin, seq) in logs.chain([(self.own.me, self.own.seq)]) {
            let entry = entries.entry(origin.rank).or_default();
            entry.inc = origin.inc;
            entry.seq = seq;
        }
        VersionVector(entries)
    }

    /// Returns how far each log is applied here; the same as [`offer`](Replica::offer).
    #[must_use]
    pub fn version_vector(&self) -> VersionVector {
        self.offer()
    }

    /// Takes word that a log has come to `seq`, such as a heartbeat brings. Finds a lost last op.
    ///
    /// `from` is asked first for what lacks.
    // spec: OPLOG-6
    pub fn observe(
        &mut self,
        now: Timestamp,
        from: Rank,
        origin: OriginId,
        seq: Seq,
        out: &mut Vec<Output>,
    ) {
        if seq.0 > SEQ_MAX {
            self.counters.refused += 1;
            return;
        }
        if origin.rank == self.own.me.rank {
            self.challenge(now, origin, seq, out);
        } else if self.admit(origin, out) {
            self.want(now, from, origin.rank, seq);
        }
    }

    /// Forgets a rank up to and including incarnation `floor`, for ever. Offers spread it.
    ///
    /// For the own rank this asks for a new incarnation.
    // spec: OPLOG-5
    pub fn forget(
        &mut self,
        now: Timestamp,
        rank: Rank,
        floor: Incarnation,
        out: &mut Vec<Output>,
    ) {
        if self.floors.get(&rank).is_some_and(|known| *known >= floor)
            || floor == Incarnation(0)
            || mutation::is_on(Mutation::NoFloor)
        {
            return;
        }
        if !self.has_room(rank, out) {
            return;
        }
        self.floors.insert(rank, floor);
        out.push(Output::Event(Event::Forgotten { rank, floor }));
        if rank == self.own.me.rank {
            self.outbid(now, floor, out);
        } else if self
            .remotes
            .get(&rank)
            .is_none_or(|remote| remote.origin.inc <= floor)
        {
            self.remotes.remove(&rank);
            self.sync_timer(rank);
            self.sessions.drop_rank(rank);
            self.state.reset(OriginId { rank, inc: floor }, Seq::ZERO);
        }
    }

    /// Says how soon the log of `rank` is caught up with, compared to others, in all its lives. Everybody begins as
    /// [`Priority::Normal`].
    // spec: OPLOG-19
    pub fn prioritize(&mut self, rank: Rank, priority: Priority) {
        match priority {
            Priority::Normal => self.priorities.remove(&rank),
            Priority::First | Priority::Last => self.priorities.insert(rank, priority),
        };
    }

    fn may_start_pulls(&self) -> bool {
        !self.queue.is_empty() && self.asked.len() < self.config.pulls_max
    }

    /// Takes word of what every member has: tails let go of it but for the last `tail_stable_ops` of each log.
    ///
    /// `min`: for each rank the smallest position among the members. An entry of another incarnation than the one
    /// known here, and a rank that lacks, change nothing. Too high an entry costs snapshots and never a copy.
    /// Cost: of what is let go.
    // spec: OPLOG-17
    pub fn stable(&mut self, min: &VersionVector) {
        let keep = self.config.tail_stable_ops;
        for (rank, entry) in &min.0 {
            let (inc, tail) = if *rank == self.own.me.rank {
                (self.own.me.inc, &mut self.own.tail)
            } else if let Some(remote) = self.remotes.get_mut(rank) {
                (remote.origin.inc, &mut remote.tail)
            } else {
                continue;
            };
            if entry.inc == inc {
                tail.trim(entry.seq, keep);
            }
        }
    }

    /// Takes word that `peer` cannot be reached: what it was asked for is asked of another at the next tick.
    pub fn link_down(&mut self, peer: Rank) {
        self.halting.remove(&peer);
        let ranks: Vec<Rank> = self.remotes.keys().copied().collect();
        for rank in ranks {
            self.fetch_lost(rank, peer);
        }
    }

    /// Returns whether anything may be kept of that log now, and begins it when its incarnation is new.
    // spec: OPLOG-4
    pub(crate) fn admit(&mut self, origin: OriginId, out: &mut Vec<Output>) -> bool {
        let current = self
            .remotes
            .get(&origin.rank)
            .map(|remote| remote.origin.inc);
        if current == Some(origin.inc) {
            return true;
        }
        let late = current.is_some_and(|inc| inc > origin.inc)
            && !mutation::is_on(Mutation::NoIncarnationFence);
        if origin.inc <= self.floor(origin.rank) || late {
            self.counters.stale += u64::from(origin.inc != Incarnation(0));
            return false;
        }
        if !self.has_room(origin.rank, out) {
            return false;
        }
        self.remotes
            .insert(origin.rank, Remote::new(origin, &self.config));
        self.sync_timer(origin.rank);
        self.sessions.drop_rank(origin.rank);
        self.state.reset(origin, Seq::ZERO);
        out.push(Output::Event(Event::NewIncarnation {
            origin,
            before: current,
        }));
        true
    }

    pub(crate) fn floor(&self, rank: Rank) -> Incarnation {
        self.floors.get(&rank).copied().unwrap_or_default()
    }

    // spec: OPLOG-15
    fn has_room(&mut self, rank: Rank, out: &mut Vec<Output>) -> bool {
        let known = |rank: &Rank| self.remotes.contains_key(rank) || self.floors.contains_key(rank);
        let room = known(&rank)
            || rank == self.own.me.rank
            || self.remotes.len().max(self.floors.len()) < self.config.ranks_max;
        if !room {
            self.counters.refused += 1;
            out.push(Output::Event(Event::TooManyRanks { rank }));
        }
        room
    }

    /// Compares an offer with what is here: pulls what lacks, offers what the peer lacks.
    // spec: OPLOG-6
    fn compare(
        &mut self,
        now: Timestamp,
        from: Rank,
        vector: &VersionVector,
        reply: bool,
        out: &mut Vec<Output>,
    ) {
        for (rank, entry) in &vector.0 {
            self.forget(now, *rank, entry.floor, out);
            self.observe(
                now,
                from,
                OriginId {
                    rank: *rank,
                    inc: entry.inc,
                },
                entry.seq,
                out,
            );
        }
        if reply {
            let mine = self.offer();
            if !vector.covers(&mine) {
                out.push(Output::Send {
                    to: from,
                    message: Message::Offer {
                        vector: mine,
                        reply: false,
                    },
                });
            }
        }
    }

    /// Returns the state.
    #[must_use]
    pub fn state(&self) -> &S {
        &self.state
    }

    /// Returns the state, for questions that want it mutable. Copies and positions must stay as they are.
    pub fn state_mut(&mut self) -> &mut S {
        &mut self.state
    }

    /// Returns the own log; its incarnation may grow.
    #[must_use]
    pub fn me(&self) -> OriginId {
        self.own.me
    }

    /// Returns the settings in force.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns totals since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Returns what the log of `rank` looks like here, or `None` when nothing is known of it.
    #[must_use]
    pub fn digests(&self, rank: Rank) -> Option<OriginDigests> {
        let (inc, seq, chain) = if rank == self.own.me.rank {
            (self.own.me.inc, self.own.seq, self.own.chain)
        } else {
            let remote = self.remotes.get(&rank)?;
            (remote.origin.inc, remote.seq, remote.chain)
        };
        Some(OriginDigests {
            inc,
            seq,
            chain: chain.digest(),
            set: self.state.digest(rank),
        })
    }

    /// Returns how far every other rank's log is known here, by rank.
    pub fn logs(&self) -> impl Iterator<Item = LogStatus> {
        self.remotes.values().map(|remote| LogStatus {
            origin: remote.origin,
            seq: remote.seq,
            wanted: remote.fetch.wanted.max(remote.seq),
            waiting: remote.reorder.ops(),
            tail: remote.tail.first(),
            asked: remote.fetch.asked(),
            snapshot: remote.fetch.assembly().map(|assembly| assembly.progress()),
        })
    }
}
