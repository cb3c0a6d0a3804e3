//! The heartbeat: whom this node probes, what it finds about them and about itself.

use std::time::Duration;

use radix_core::id::Rank;
use radix_core::time::Timestamp;

use crate::limits;
use crate::link::behind;
use crate::message::{Heartbeat, Message};
use crate::output::{Event, Output};
use crate::record::Status;
use crate::timers::Timer;
use crate::topology::Topology;
use crate::watch::Answer;

/// A member that was found worse than it was.
enum Finding {
    Deaf(Duration),
    Mute,
}

impl Topology {
    /// One heartbeat: look at those watched, choose whom to watch, probe them.
    ///
    /// A node that slept looks one heartbeat later: what came meanwhile still has to be read.
    // spec: TOPO-8, TOPO-23
    pub(crate) fn beat(&mut self, now: Timestamp, slept: bool, out: &mut Vec<Output>) {
        self.timers
            .set(Timer::Heartbeat, now.after(self.config.heartbeat));
        self.beats += 1;
        let all = self.beats.is_multiple_of(u64::from(self.config.misses));
        if !slept {
            self.look(now, all, out);
        }
        self.choose(now, all);
        self.probe(now, all, out);
        self.tell_doubted(now, out);
    }

    // spec: TOPO-10
    fn choose(&mut self, now: Timestamp, all: bool) {
        let me = self.config.me;
        let near: Vec<Rank> = behind(&self.links, me)
            .filter(|(_, link)| link.shown.status.in_view())
            .take(limits::WATCHED)
            .filter(|(_, link)| link.is_open())
            .map(|(rank, _)| rank)
            .collect();
        let far = all.then(|| {
            let mut arcs = Vec::new();
            self.arcs(me, &mut arcs);
            arcs.iter().map(|arc| arc.to).collect::<Vec<Rank>>()
        });
        let links = &self.links;
        self.watches.choose(now, &near, far.as_deref(), |rank| {
            let link = links.get(&rank);
            link.is_some_and(|link| link.is_open() && (link.deaf || link.mute))
        });
    }

    fn probe(&mut self, now: Timestamp, all: bool, out: &mut Vec<Output>) {
        let mut to = Vec::new();
        for (rank, watch) in self.watches.iter_mut() {
            let Some(link) = self.links.get(&rank) else {
                continue;
            };
            if all || watch.near || link.deaf || link.mute {
                to.push(rank);
            }
        }
        for rank in to {
            let nonce = self.next_nonce();
            if let Some(watch) = self.watches.get_mut(rank) {
                watch.probed(nonce, now);
            }
            let beat = Heartbeat::probe(nonce, self.position);
            self.send(rank, Message::Heartbeat(beat), out);
        }
    }

    /// Who is linked and not believed alive hears of it as long as it is heard, in case it missed it.
    // spec: TOPO-20
    fn tell_doubted(&self, now: Timestamp, out: &mut Vec<Output>) {
        for (&rank, link) in &self.links {
            let is_heard = link
                .last_heard
                .is_some_and(|heard| now.since(heard) < self.config.heartbeat);
            if link.is_open() && is_heard && link.shown.status != Status::Alive {
                self.greet(rank, out);
            }
        }
    }

    // spec: TOPO-24, TOPO-25
    fn look(&mut self, now: Timestamp, all: bool, out: &mut Vec<Output>) {
        let patience = self.patience();
        let misses = u32::from(self.config.misses).saturating_mul(self.health.factor());
        let mut found = Vec::new();
        for (rank, watch) in self.watches.iter_mut() {
            let Some(link) = self.links.get(&rank).filter(|link| link.is_open()) else {
                continue;
            };
            if all || watch.near || link.deaf || link.mute {
                watch.count();
            }
            let silence = watch.silence(now, link.last_heard);
            // Who is probed more rarely is heard more rarely.
            let patience = patience.saturating_mul(if watch.near { 1 } else { 2 });
            if link.deaf {
                continue;
            }
            if silence >= patience {
                found.push((rank, Finding::Deaf(silence)));
            } else if !link.mute && watch.is_mute(misses) {
                found.push((rank, Finding::Mute));
            }
        }
        let is_deaf_anew = found
            .iter()
            .any(|(_, finding)| matches!(finding, Finding::Deaf(_)));
        for (rank, finding) in found {
            match finding {
                Finding::Deaf(silence) => self.found_deaf(now, rank, silence, out),
                Finding::Mute => self.found_mute(rank, out),
            }
        }
        if is_deaf_anew && self.is_deaf_to_all() {
            self.doubt(1, out);
        }
    }

    /// Whether all near members went silent at once: this node's own ears are the simpler explanation.
    fn is_deaf_to_all(&self) -> bool {
        let near = || {
            behind(&self.links, self.config.me)
                .filter(|(_, link)| link.shown.status.in_view())
                .take(limits::WATCHED)
        };
        near().count() == limits::WATCHED && near().all(|(_, link)| link.deaf)
    }

    fn found_deaf(&mut self, now: Timestamp, rank: Rank, silence: Duration, out: &mut Vec<Output>) {
        if let Some(link) = self.links.get_mut(&rank) {
            link.deaf = true;
            // Who was mute until now was heard until now: it counts as reached until others are heard.
            link.others_reach = link.mute;
        }
        out.push(Output::Event(Event::Silent { rank, silence }));
        self.settle(rank, out);
        self.ask(now, rank, out);
    }

    fn found_mute(&mut self, rank: Rank, out: &mut Vec<Output>) {
        if let Some(link) = self.links.get_mut(&rank) {
            link.mute = true;
        }
        out.push(Output::Event(Event::Mute { rank }));
        self.settle(rank, out);
    }

    /// A frame of any kind came.
    // spec: TOPO-11, TOPO-28
    pub(crate) fn heard(&mut self, now: Timestamp, peer: Rank, out: &mut Vec<Output>) {
        let Some(link) = self.links.get_mut(&peer) else {
            return out.push(Output::Event(Event::UnknownPeer { peer }));
        };
        link.last_heard = Some(now);
        if link.deaf {
            link.deaf = false;
            link.others_reach = false;
            // It is heard; whether it hears this node is seen by the next answer.
            let misses = u32::from(self.config.misses).saturating_mul(self.health.factor());
            let watch = self.watches.get_mut(peer);
            link.mute |= watch.is_some_and(|watch| watch.is_mute(misses));
            self.stop_asking(peer);
            out.push(Output::Event(Event::HeardAgain { rank: peer }));
            self.settle(peer, out);
        }
        self.answer_questions(peer, true, out);
    }

    // spec: TOPO-9, TOPO-25, TOPO-30
    pub(crate) fn heartbeat(
        &mut self,
        now: Timestamp,
        from: Rank,
        beat: Heartbeat,
        out: &mut Vec<Output>,
    ) {
        if beat.ttl == 0 {
            return out.push(Output::Event(Event::SpentHeartbeat { from }));
        }
        let Some(link) = self.links.get_mut(&from) else {
            return;
        };
        link.position = link.position.max((beat.inc, beat.seq));
        if beat.echo {
            let answer = beat.answer(self.position);
            return self.send(from, Message::Heartbeat(answer), out);
        }
        let was_mute = std::mem::replace(&mut link.mute, false);
        let answer = self
            .watches
            .get_mut(from)
            .map(|watch| watch.answered(beat.nonce, now));
        match answer {
            Some(Answer::Fresh(after)) if after <= self.config.heartbeat => self.trust(out),
            Some(Answer::Fresh(_) | Answer::Old) | None => {}
        }
        if was_mute {
            self.settle(from, out);
        }
    }
}
