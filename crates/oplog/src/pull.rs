//! Fetching what this replica lacks: who is asked when, and what the end of an answer means. What is done with
//! ops is in `accept`, with snapshots in `load`.

use std::cmp::Reverse;
use std::time::Duration;

use radix_core::id::{OriginId, Rank, Seq};
use radix_core::mutation::{self, Mutation};
use radix_core::time::Timestamp;

use crate::event::{Event, Output};
use crate::fetch::{Fetch, Stage};
use crate::limits::{PATIENCE, PULL_ANSWER_PER_OP, PULL_ROUNDS_MAX};
use crate::message::Message;
use crate::remote::Remote;
use crate::replica::Replica;
use crate::state::State;

impl<S: State> Replica<S> {
    /// Notes that `peer` claims op `seq` of a known log to exist; asks for what lacks after a while.
    // spec: OPLOG-6, OPLOG-7
    pub(crate) fn want(&mut self, now: Timestamp, peer: Rank, rank: Rank, seq: Seq) {
        let Some(remote) = self
            .remotes
            .get_mut(&rank)
            .filter(|remote| seq > remote.seq)
        else {
            return;
        };
        let news = remote.fetch.heard(peer, seq);
        remote.fetch.wanted = remote.fetch.wanted.max(seq);
        let delay = patience(remote, self.config.pull_delay);
        match remote.fetch.stage {
            Stage::Idle => self.wait(now, rank, delay),
            Stage::Waiting { at, .. } if news => self.hurry(now, rank, at),
            Stage::Waiting { .. } | Stage::Queued | Stage::Asked { .. } => {}
        }
    }

    /// Does what the deadline of a log's fetching was set for.
    pub(crate) fn fetch_due(&mut self, now: Timestamp, rank: Rank, out: &mut Vec<Output>) {
        let Some(remote) = self.remotes.get_mut(&rank) else {
            return;
        };
        match &mut remote.fetch.stage {
            Stage::Idle | Stage::Queued => {}
            Stage::Waiting { at, seen } if *at <= now => {
                // In order and moving: what lacks is on its way behind what came.
                let flows = remote.seq > *seen && remote.reorder.is_empty();
                if flows {
                    let delay = patience(remote, self.config.pull_delay);
                    self.wait(now, rank, delay);
                } else {
                    remote.fetch.stage = Stage::Queued;
                    self.sync_timer(rank);
                }
            }
            Stage::Asked { deadline, .. } if *deadline <= now => {
                let again = now.after(self.config.pull_timeout);
                if let Some((to, message)) = remote.fetch.halted(again, &self.halting) {
                    out.push(Output::Send { to, message });
                    self.sync_timer(rank);
                } else {
                    self.counters.pulls_timed_out += 1;
                    self.halting.extend(remote.fetch.asked());
                    self.ask_another(now, rank, out);
                }
            }
            Stage::Waiting { .. } | Stage::Asked { .. } => self.sync_timer(rank),
        }
    }

    /// Notes that ops of a log arrived while it is being fetched.
    pub(crate) fn fetch_progress(&mut self, now: Timestamp, rank: Rank) {
        let Some(remote) = self.remotes.get_mut(&rank) else {
            return;
        };
        remote.fetch.progress();
        if remote.fetch.wanted <= remote.seq {
            remote.fetch.stage = Stage::Idle;
        }
        match &mut remote.fetch.stage {
            Stage::Idle | Stage::Queued => {}
            Stage::Waiting { at, .. } => {
                let at = *at;
                return self.hurry(now, rank, at);
            }
            Stage::Asked {
                deadline, assembly, ..
            } => {
                *deadline = now.after(self.config.pull_timeout);
                assembly.take_if(|assembly| assembly.seq() <= remote.seq);
            }
        }
        self.sync_timer(rank);
    }

    /// Takes word that `peer` is unreachable.
    pub(crate) fn fetch_lost(&mut self, rank: Rank, peer: Rank) {
        let Some(remote) = self.remotes.get_mut(&rank) else {
            return;
        };
        if remote.fetch.is_idle() {
            return;
        }
        remote.fetch.lost(peer);
        if remote.fetch.asked() == Some(peer) {
            remote.fetch.stage = Stage::Waiting {
                at: Timestamp(0),
                seen: remote.seq,
            };
            self.sync_timer(rank);
        }
    }

    /// Takes the end of an answer: asks on while it brings something, asks another when it does not.
    // spec: OPLOG-8
    pub(crate) fn pull_ended(
        &mut self,
        now: Timestamp,
        peer: Rank,
        origin: OriginId,
        have: Seq,
        out: &mut Vec<Output>,
    ) {
        self.halting.remove(&peer);
        self.observe(now, peer, origin, have, out);
        let Some(remote) = self.remotes.get_mut(&origin.rank) else {
            return;
        };
        let same = remote.origin == origin;
        if same {
            remote.fetch.heard(peer, have);
        }
        let Stage::Asked {
            peer: asked,
            from,
            assembly: None,
            ..
        } = remote.fetch.stage
        else {
            return;
        };
        if asked != peer {
            return;
        }
        let has_more = same && have > remote.seq;
        if has_more && remote.seq >= from {
            self.ask_on(now, origin.rank, peer, out);
        } else {
            remote.fetch.busy |= has_more;
            self.ask_another(now, origin.rank, out);
        }
    }

    /// Starts pulls of the logs that wait for their turn, as many as may be under way.
    // spec: OPLOG-19
    pub(crate) fn start_pulls(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        while self.asked.len() < self.config.pulls_max {
            let (remotes, priorities) = (&self.remotes, &self.priorities);
            let order = |rank| {
                let behind = |remote: &Remote| remote.fetch.wanted.0.saturating_sub(remote.seq.0);
                let priority = priorities.get(&rank).copied().unwrap_or_default();
                (priority, Reverse(remotes.get(&rank).map_or(0, behind)))
            };
            let Some(rank) = self.queue.take(order) else {
                break;
            };
            self.ask(now, rank, out);
        }
    }

    /// Asks a peer that brought something for more, or lets the others that wait have their turn first.
    // spec: OPLOG-8, OPLOG-19
    pub(crate) fn ask_on(&mut self, now: Timestamp, rank: Rank, peer: Rank, out: &mut Vec<Output>) {
        if self.queue.is_empty() {
            return self.ask_peer(now, rank, peer, out);
        }
        if let Some(remote) = self.remotes.get_mut(&rank) {
            remote.fetch.stage = Stage::Queued;
        }
        self.sync_timer(rank);
    }

    /// Asks the best peer of this round.
    fn ask(&mut self, now: Timestamp, rank: Rank, out: &mut Vec<Output>) {
        let Some(remote) = self.remotes.get_mut(&rank) else {
            return;
        };
        if remote.fetch.wanted <= remote.seq {
            remote.fetch.stage = Stage::Idle;
            return self.sync_timer(rank);
        }
        if let Some(peer) = remote.fetch.choose(rank, remote.seq, &self.halting) {
            return self.ask_peer(now, rank, peer, out);
        }
        if remote.fetch.end_busy_round() {
            return self.wait(now, rank, self.config.pull_timeout);
        }
        let rounds = remote.fetch.end_round();
        if rounds < PULL_ROUNDS_MAX {
            // With as much again at random still within the longest back-off: that bounds how long a healed cluster disagrees.
            let wait = self.backoff(rounds).min(self.config.pull_backoff_max / 2);
            self.wait(now, rank, wait);
        } else {
            self.abandon(rank, out);
        }
    }

    /// Gives up on the peer that was asked.
    pub(crate) fn ask_another(&mut self, now: Timestamp, rank: Rank, out: &mut Vec<Output>) {
        let Some(remote) = self.remotes.get_mut(&rank) else {
            return;
        };
        if let Some(peer) = remote.fetch.asked() {
            if mutation::is_on(Mutation::PullSamePeer) {
                return self.ask_peer(now, rank, peer, out);
            }
            remote.fetch.fail(peer);
        }
        remote.fetch.stage = Stage::Idle;
        self.ask(now, rank, out);
    }

    fn ask_peer(&mut self, now: Timestamp, rank: Rank, peer: Rank, out: &mut Vec<Output>) {
        let Some(remote) = self.remotes.get_mut(&rank) else {
            return;
        };
        let (origin, from) = (remote.origin, remote.seq.next());
        // While others wait for their turn, no patience is spent on a peer that did not answer before.
        let rounds = remote.fetch.rounds * u32::from(self.queue.is_empty());
        let lacking = remote.fetch.wanted.0.saturating_sub(remote.seq.0);
        let deadline = now.after(self.answer_time(rounds, lacking));
        let Some(remote) = self.remotes.get_mut(&rank) else {
            return;
        };
        remote.fetch.stage = Stage::Asked {
            peer,
            from,
            deadline,
            assembly: None,
        };
        self.counters.pulls_sent += 1;
        out.push(Output::Send {
            to: peer,
            message: Message::Pull { origin, from },
        });
        self.sync_timer(rank);
    }

    /// Brings a waiting forward when there is reason to ask sooner than the back-off has it.
    fn hurry(&mut self, now: Timestamp, rank: Rank, at: Timestamp) {
        let Some(remote) = self.remotes.get(&rank) else {
            return;
        };
        let delay = patience(remote, self.config.pull_delay);
        if at > now.after(delay * 2) {
            self.wait(now, rank, delay);
        }
    }

    fn wait(&mut self, now: Timestamp, rank: Rank, wait: Duration) {
        let at = now.after(self.jittered(wait));
        if let Some(remote) = self.remotes.get_mut(&rank) {
            remote.fetch.stage = Stage::Waiting {
                at,
                seen: remote.seq,
            };
        }
        self.sync_timer(rank);
    }

    fn abandon(&mut self, rank: Rank, out: &mut Vec<Output>) {
        let Some(remote) = self.remotes.get_mut(&rank) else {
            return;
        };
        out.push(Output::Event(Event::PullAbandoned {
            origin: remote.origin,
            wanted: remote.fetch.wanted,
        }));
        remote.fetch = Fetch::default();
        self.counters.pulls_abandoned += 1;
        self.sync_timer(rank);
    }

    fn backoff(&self, rounds: u32) -> Duration {
        self.config
            .pull_timeout
            .saturating_mul(1 << rounds.min(16))
            .min(self.config.pull_backoff_max)
    }

    /// Returns how long an answer is waited for: a log that lacks much gets a snapshot, which takes a while to be taken,
    /// and whoever asks the next peer meanwhile makes that one take another.
    // spec: OPLOG-7
    fn answer_time(&self, rounds: u32, lacking_ops: u64) -> Duration {
        let ops = u32::try_from(lacking_ops).unwrap_or(u32::MAX);
        self.backoff(rounds)
            .saturating_add(PULL_ANSWER_PER_OP.saturating_mul(ops))
            .min(self.config.pull_backoff_max)
    }

    /// Adds up to as much again, so that many replicas do not ask one peer at once.
    fn jittered(&mut self, wait: Duration) -> Duration {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        wait.saturating_add(Duration::from_nanos(self.rng.u64(0..=nanos)))
    }

    /// Brings timers, the count of pulls and the queue in line with a log's fetching. Called after each change of it.
    pub(crate) fn sync_timer(&mut self, rank: Rank) {
        let fetch = self.remotes.get(&rank).map(|remote| &remote.fetch);
        self.timers
            .set(rank, fetch.and_then(|fetch| fetch.deadline()));
        if fetch.is_some_and(|fetch| fetch.asked().is_some()) {
            self.asked.insert(rank);
        } else {
            self.asked.remove(&rank);
        }
        if fetch.is_some_and(Fetch::is_queued) {
            self.queue.insert(rank);
        } else {
            self.queue.remove(rank);
        }
    }
}

/// How long what lacks is waited for before it is pulled. A log that came in order so far is late rather than
/// lost: pulling what is in flight sends it twice, just when the links are busiest.
// spec: OPLOG-7
fn patience(remote: &Remote, pull_delay: Duration) -> Duration {
    if remote.seq > Seq::ZERO && remote.reorder.is_empty() {
        pull_delay * PATIENCE
    } else {
        pull_delay
    }
}
