//! A question to every member of the ring, and the answer to all of them: the two-lap token.
//!
//! In the first lap a token collects what each member has to say, in the second each learns what all said.
//! Pure as the rest: time, the view and who can be reached are handed in. What is collected, and when a link
//! is good, is the caller's business. The rules are `docs/protocols/ring-check.md`, RING-1 ff.

mod config;
mod journal;
mod places;
mod token;

use std::time::Duration;

use radix_core::id::{OriginId, Rank};
use radix_core::mutation::{self, Mutation};
use radix_core::time::Timestamp;

pub use config::RoundConfig;
use journal::Journal;
pub use token::{DIFFERS_MAX, HOPS_PER_MEMBER, Lap, RoundId, Token};

use crate::table::ViewId;

/// What members say, so that all of it fits into one.
pub trait Semilattice {
    /// Adds what another said. Commutative, associative, idempotent: order and repetition must not show.
    fn merge(&mut self, other: &Self);
}

/// Periods without a token after which any member begins a round.
const SILENT_PERIODS: u32 = 2;

/// Periods without a round that agreed after which the view no longer counts as stable.
const STABLE_PERIODS: u32 = 3;

/// Times a measured lap that a round may take.
const LAPS_PATIENCE: u32 = 4;

/// What a round looks at in its node.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// This node, in this life.
    pub me: OriginId,
    /// Its view; equal ids mean equal `members`.
    pub view: ViewId,
    /// The members of the view in ascending order, this node included.
    pub members: &'a [Rank],
    /// The lowest member that is not suspected of being gone: the one that begins rounds.
    pub lowest: Rank,
    /// Whether a frame sent to a member can be expected to arrive.
    pub reachable: &'a dyn Fn(Rank) -> bool,
}

/// What came of a round, as every member learns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome<S> {
    /// Which round.
    pub round: RoundId,
    /// When it became known here.
    pub at: Timestamp,
    /// Time between both laps here, which is that of one lap. `None` where the first lap ended or never came by.
    pub lap: Option<Duration>,
    /// Every member of the view was there and has that view.
    pub agreed: bool,
    /// Who has another view, with its id; the lowest [`DIFFERS_MAX`] ranks of them.
    pub differs: Vec<(Rank, ViewId)>,
    /// Who could not be reached.
    pub missing: Vec<Rank>,
    /// What those who were reached said.
    pub fold: S,
}

/// Everything that comes out of a [`RingRound`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoundOutput<S> {
    /// Send the token on, over the direct link. It may be lost.
    Send {
        /// Receiver; reachable.
        to: Rank,
        /// The token.
        token: Token<S>,
    },
    /// A round came to its end for this node.
    Concluded(Outcome<S>),
    /// A round that this node began was lost.
    TimedOut {
        /// Which.
        round: RoundId,
    },
    /// A token contradicts itself; it was dropped.
    Unsound {
        /// The round that it claims to be of.
        round: RoundId,
    },
}

/// One node's part in the rounds.
#[derive(Clone, Debug)]
pub struct RingRound<S> {
    config: RoundConfig,
    /// Counts the rounds begun here.
    k: u64,
    /// The own round under way, and when it began.
    open: Option<(RoundId, Timestamp)>,
    /// When the next own round is due, if it is this node that begins rounds.
    next_at: Timestamp,
    /// When a token last came by.
    heard_at: Timestamp,
    /// When this node begins a round, by what it last saw of its surroundings.
    turn_at: Timestamp,
    view: ViewId,
    lap: Duration,
    journal: Journal,
    /// When the last round agreed, while the view is the same.
    agreed_at: Option<Timestamp>,
    last: Option<Outcome<S>>,
}

impl<S: Semilattice + Clone> RingRound<S> {
    /// Begins without a round. Settings out of range are taken to the nearer end.
    #[must_use]
    pub fn new(config: RoundConfig, now: Timestamp) -> RingRound<S> {
        let config = config.clamped();
        let next_at = now.after(config.settle);
        RingRound {
            config,
            k: 0,
            open: None,
            next_at,
            heard_at: now,
            turn_at: next_at,
            view: ViewId(0),
            lap: Duration::ZERO,
            journal: Journal::default(),
            agreed_at: None,
            last: None,
        }
    }

    /// Does what is due. Late and repeated calls are harmless. `mine`: what this node has to say.
    ///
    /// Call it, too, when the view may have changed: a stable view is lost at that instant.
    // spec: RING-1, RING-7
    pub fn tick(
        &mut self,
        now: Timestamp,
        around: &Around<'_>,
        mine: impl FnOnce() -> S,
        out: &mut Vec<RoundOutput<S>>,
    ) {
        self.look(now, around);
        if let Some((round, _)) = self.open.filter(|open| now >= self.give_up_at(*open)) {
            self.open = None;
            self.next_at = now;
            out.push(RoundOutput::TimedOut { round });
            self.look(now, around);
        }
        if self.stable_until().is_some_and(|until| now >= until) {
            self.agreed_at = None;
        }
        if self.open.is_none() && now >= self.turn_at {
            self.begin(now, around, mine(), out);
            self.look(now, around);
        }
    }

    /// Takes a token that came. `mine`: what this node has to say; asked for when it was not said yet.
    // spec: RING-2, RING-8, RING-9
    pub fn take(
        &mut self,
        now: Timestamp,
        token: Token<S>,
        around: &Around<'_>,
        mine: impl FnOnce() -> S,
        out: &mut Vec<RoundOutput<S>>,
    ) {
        self.look(now, around);
        if !token.is_sound() {
            return out.push(RoundOutput::Unsound { round: token.round });
        }
        let Some(entry) = self.journal.note(token.round, (token.lap, token.hop)) else {
            return;
        };
        if token.lap == Lap::Fold {
            entry.folded.get_or_insert(now);
        }
        self.heard_at = now;
        self.step(now, token, around, mine, out);
        self.look(now, around);
    }

    /// Returns when [`tick`](RingRound::tick) is due.
    #[must_use]
    pub fn next_deadline(&self) -> Timestamp {
        let next = self.open.map_or(self.turn_at, |open| self.give_up_at(open));
        self.stable_until().map_or(next, |until| next.min(until))
    }

    /// Returns the view that every member is known to have had when this node last learned of a round, if
    /// this node has it still.
    // spec: RING-6
    #[must_use]
    pub fn stable_view(&self) -> Option<ViewId> {
        self.agreed_at.map(|_| self.view)
    }

    /// Returns what came of the last round.
    #[must_use]
    pub fn last(&self) -> Option<&Outcome<S>> {
        self.last.as_ref()
    }

    /// Takes note of the view and of whose turn it is.
    // spec: RING-1, RING-6
    fn look(&mut self, now: Timestamp, around: &Around<'_>) {
        if around.view != self.view {
            self.view = around.view;
            self.agreed_at = None;
            // What was asked about is no more.
            self.open = None;
            self.next_at = self.next_at.min(now.after(self.config.settle));
        }
        self.turn_at = if around.lowest == around.me.rank {
            self.next_at
        } else {
            // One after the other, so that not all begin at once.
            let place = around
                .members
                .partition_point(|rank| *rank < around.me.rank);
            let share = u32::try_from(place).unwrap_or(u32::MAX);
            let all = u32::try_from(around.members.len()).unwrap_or(u32::MAX);
            let stagger = self.config.period.saturating_mul(share) / all.max(1);
            let silence = self.config.period.saturating_mul(SILENT_PERIODS);
            self.heard_at.after(silence.saturating_add(stagger))
        };
    }

    // spec: RING-1
    fn begin(
        &mut self,
        now: Timestamp,
        around: &Around<'_>,
        mine: S,
        out: &mut Vec<RoundOutput<S>>,
    ) {
        if around.members.binary_search(&around.me.rank).is_err() {
            // Who has not come into its own view yet has nothing to ask.
            self.next_at = now.after(self.config.settle);
            self.heard_at = now;
            return;
        }
        self.k = self.k.max(self.journal.highest(around.me)) + 1;
        let round = RoundId {
            initiator: around.me,
            k: self.k,
            view: around.view,
        };
        self.open = Some((round, now));
        self.heard_at = now;
        if let Some(entry) = self.journal.note(round, (Lap::Fold, 0)) {
            entry.folded = Some(now);
        }
        let token = Token::new(round, around.members, mine.clone());
        self.step(now, token, around, || mine, out);
    }

    /// Does what a token that is new here is there for, and sends it on.
    fn step(
        &mut self,
        now: Timestamp,
        mut token: Token<S>,
        around: &Around<'_>,
        mine: impl FnOnce() -> S,
        out: &mut Vec<RoundOutput<S>>,
    ) {
        let me = around.me.rank;
        let place = token.place(me);
        if token.lap == Lap::Fold {
            if (token.round.view, &*token.members) != (around.view, around.members)
                && !mutation::is_on(Mutation::DifferingViewIgnored)
            {
                token.differ(me, around.view);
            }
            if place.is_ok_and(|place| token.folded.take(place)) {
                token.tried.clear();
                token.fold.merge(&mine());
            }
            if !token.lap_is_over()
                && let Some(to) = token.pass(me, around.reachable)
            {
                return out.push(RoundOutput::Send { to, token });
            }
            // All were there, or nobody reaches those who were not.
            token.turn();
            self.journal.note(token.round, (token.lap, token.hop));
        }
        if let Ok(place) = place
            && token.folded.has(place)
            && token.told.take(place)
        {
            token.tried.clear();
        }
        self.conclude(now, &token, around, out);
        if !token.lap_is_over()
            && let Some(to) = token.pass(me, around.reachable)
        {
            out.push(RoundOutput::Send { to, token });
        }
    }

    /// Learns the outcome, once.
    // spec: RING-5, RING-6, RING-7
    fn conclude(
        &mut self,
        now: Timestamp,
        token: &Token<S>,
        around: &Around<'_>,
        out: &mut Vec<RoundOutput<S>>,
    ) {
        let Some(entry) = self.journal.entry(token.round) else {
            return;
        };
        if std::mem::replace(&mut entry.concluded, true) {
            return;
        }
        let lap = entry.folded.map(|folded| now.since(folded));
        let lap = lap.filter(|lap| !lap.is_zero());
        self.lap = lap.unwrap_or(self.lap);
        self.open.take_if(|(round, _)| *round == token.round);
        let missing = (0..token.members.len())
            .filter(|place| !token.folded.has(*place))
            .map(|place| token.members[place])
            .collect();
        let agreed = token.is_complete() && token.differs.is_empty();
        let stable = agreed && token.round.view == around.view;
        self.agreed_at = stable.then_some(now);
        self.next_at = now.after(if stable {
            self.config.period
        } else {
            self.config.timeout
        });
        let outcome = Outcome {
            round: token.round,
            at: now,
            lap,
            agreed,
            differs: token.differs.clone(),
            missing,
            fold: token.fold.clone(),
        };
        self.last = Some(outcome.clone());
        out.push(RoundOutput::Concluded(outcome));
    }

    fn give_up_at(&self, (_, began): (RoundId, Timestamp)) -> Timestamp {
        let laps = self.lap.saturating_mul(LAPS_PATIENCE);
        began.after(laps.max(self.config.timeout).min(self.config.period))
    }

    fn stable_until(&self) -> Option<Timestamp> {
        let patience = self.config.period.saturating_mul(STABLE_PERIODS);
        self.agreed_at.map(|at| at.after(patience))
    }
}
