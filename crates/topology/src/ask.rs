//! Asking others about a member that this node cannot reach, answering them, and the verdict.

use std::time::Duration;

use radix_core::id::Rank;
use radix_core::time::Timestamp;

use crate::limits;
use crate::link::Link;
use crate::message::{Heartbeat, Message};
use crate::output::{Event, Output};
use crate::record::Status;
use crate::round::{Outcome, Round};
use crate::timers::Timer;
use crate::topology::Topology;

impl Topology {
    /// How long a probe may take: one heartbeat, more where this node doubts itself.
    pub(crate) fn probe_time(&self) -> Duration {
        self.config.heartbeat.saturating_mul(self.health.factor())
    }

    /// How long nothing may be heard of a member.
    pub(crate) fn patience(&self) -> Duration {
        self.probe_time()
            .saturating_mul(u32::from(self.config.misses))
    }

    /// Asks others about a living member that this node does not hear, unless it does so already.
    // spec: TOPO-26
    pub(crate) fn ask(&mut self, now: Timestamp, rank: Rank, out: &mut Vec<Output>) {
        let Some(link) = self.links.get(&rank) else {
            return;
        };
        let is_open = link.is_open();
        let lives = self
            .table
            .get(rank)
            .is_some_and(|record| record.status == Status::Alive);
        if !lives || !link.is_cut() || self.rounds.contains_key(&rank) {
            return;
        }
        let relays = self.draw_relays(rank);
        if relays.is_empty() && !is_open {
            return self.suspect(now, rank, out);
        }
        let nonce = self.next_nonce();
        let target = rank;
        if is_open {
            let beat = Heartbeat::probe(nonce, self.position);
            self.send(target, Message::Heartbeat(beat), out);
        }
        for &relay in &relays {
            self.send(relay, Message::ProbeFor { target, nonce }, out);
        }
        self.rounds.insert(rank, Round::new(nonce, relays));
        self.timers
            .set(Timer::Verdict(rank), now.after(self.probe_time()));
    }

    /// Draws some members that this node reaches well.
    fn draw_relays(&mut self, but: Rank) -> Vec<Rank> {
        let mut relays: Vec<Rank> = self.ring.up().filter(|&rank| rank != but).collect();
        let count = relays.len().min(limits::RELAYS);
        for at in 0..count {
            let drawn = self.random.usize(at..relays.len());
            relays.swap(at, drawn);
        }
        relays.truncate(count);
        relays
    }

    /// Ends whatever is under way about a member.
    pub(crate) fn stop_asking(&mut self, rank: Rank) {
        self.rounds.remove(&rank);
        self.timers.cancel(Timer::Ask(rank));
        self.timers.cancel(Timer::Verdict(rank));
    }

    /// Another node does not hear `target`, and asks whether this one does.
    // spec: TOPO-28
    pub(crate) fn asked(
        &mut self,
        now: Timestamp,
        from: Rank,
        target: Rank,
        nonce: u32,
        out: &mut Vec<Output>,
    ) {
        if target == self.config.me {
            return self.answer(from, target, nonce, true, out);
        }
        if !self.links.get(&target).is_some_and(Link::is_open) {
            return self.answer(from, target, nonce, false, out);
        }
        let deadline = now.after(self.config.heartbeat / 2);
        if !self.questions.add(target, from, nonce, deadline) {
            return out.push(Output::Event(Event::QuestionDropped { from }));
        }
        if !self.timers.is_set(Timer::Questions) {
            self.timers.set(Timer::Questions, deadline);
        }
        let beat = Heartbeat::probe(self.next_nonce(), self.position);
        self.send(target, Message::Heartbeat(beat), out);
    }

    fn answer(&self, to: Rank, target: Rank, nonce: u32, heard: bool, out: &mut Vec<Output>) {
        let result = Message::ProbeResult {
            target,
            nonce,
            heard,
        };
        self.send(to, result, out);
    }

    /// A member was heard, or its link is gone: whoever asked about it gets an answer.
    pub(crate) fn answer_questions(&mut self, target: Rank, heard: bool, out: &mut Vec<Output>) {
        for question in self.questions.take(target) {
            self.answer(question.from, target, question.nonce, heard, out);
        }
    }

    /// Nothing was heard of those asked about.
    pub(crate) fn answer_due_questions(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        for (target, question) in self.questions.take_due(now) {
            self.answer(question.from, target, question.nonce, false, out);
        }
        if let Some(next) = self.questions.next_deadline() {
            self.timers.set(Timer::Questions, next);
        }
    }

    /// One of those asked says whether it hears the member.
    // spec: TOPO-27
    pub(crate) fn told_by_relay(
        &mut self,
        now: Timestamp,
        from: Rank,
        target: Rank,
        nonce: u32,
        heard: bool,
        out: &mut Vec<Output>,
    ) {
        let Some(round) = self.rounds.get_mut(&target) else {
            return;
        };
        match round.answer(from, nonce, heard) {
            Outcome::Open => {}
            Outcome::Heard => {
                self.stop_asking(target);
                if let Some(link) = self.links.get_mut(&target) {
                    link.others_reach = true;
                }
                let after = limits::RECOVERY_HEARTBEATS;
                let at = now.after(self.config.heartbeat.saturating_mul(after));
                self.timers.set(Timer::Ask(target), at);
                self.settle(target, out);
            }
            Outcome::Unheard => self.nobody_hears(now, target, out),
        }
    }

    /// A member that was asked about others is out of reach now.
    pub(crate) fn relay_lost(&mut self, now: Timestamp, relay: Rank, out: &mut Vec<Output>) {
        let mut unheard = Vec::new();
        for (&target, round) in &mut self.rounds {
            match round.lose(relay) {
                Outcome::Unheard => unheard.push(target),
                Outcome::Open | Outcome::Heard => {}
            }
        }
        for target in unheard {
            self.nobody_hears(now, target, out);
        }
    }

    fn nobody_hears(&mut self, now: Timestamp, target: Rank, out: &mut Vec<Output>) {
        // Over an open link this node asked, too, and the answer may still come.
        if !self.links.get(&target).is_some_and(Link::is_open) {
            self.suspect(now, target, out);
        }
    }

    /// The time to answer is over.
    // spec: TOPO-27, TOPO-30
    pub(crate) fn verdict(&mut self, now: Timestamp, rank: Rank, out: &mut Vec<Output>) {
        let Some(round) = self.rounds.get(&rank) else {
            return;
        };
        if round.is_unanswered() {
            self.doubt(1, out);
        }
        self.suspect(now, rank, out);
    }

    fn suspect(&mut self, now: Timestamp, rank: Rank, out: &mut Vec<Output>) {
        self.stop_asking(rank);
        if let Some(link) = self.links.get_mut(&rank) {
            link.others_reach = false;
        }
        if let Some(record) = self.table.get(rank) {
            let inc = record.inc;
            out.push(Output::Event(Event::Suspected { rank, inc }));
        }
        self.claim(now, rank, Status::Suspect, out);
    }
}
