//! What follows when a link opens or closes, and when a member takes frames too slowly.

use radix_core::id::{Incarnation, Rank};
use radix_core::time::Timestamp;

use crate::limits;
use crate::output::{Event, Output};
use crate::timers::Timer;
use crate::topology::Topology;

impl Topology {
    // spec: TOPO-7, TOPO-20
    pub(crate) fn link_up(
        &mut self,
        now: Timestamp,
        peer: Rank,
        inc: Incarnation,
        out: &mut Vec<Output>,
    ) {
        let is_forgotten = inc <= self.table.floor(peer);
        let Some(link) = self.links.get_mut(&peer) else {
            return out.push(Output::Event(Event::UnknownPeer { peer }));
        };
        let was_direct = link.shown.is_direct();
        link.opened(now, inc);
        self.timers.cancel(Timer::CaughtUp(peer));
        self.watches.remove(peer);
        self.stop_asking(peer);
        self.greet(peer, out);
        let exchanged = self.settle(peer, out);
        // The link was replaced, and what was under way on the old one may be lost; or the logs have to tell the
        // member that its life is forgotten.
        if !exchanged && (was_direct || is_forgotten) {
            self.exchange_with(peer, out);
        }
    }

    // spec: TOPO-26
    pub(crate) fn link_down(&mut self, now: Timestamp, peer: Rank, out: &mut Vec<Output>) {
        let Some(link) = self.links.get_mut(&peer) else {
            return out.push(Output::Event(Event::UnknownPeer { peer }));
        };
        let Some(inc) = link.open else { return };
        link.closed();
        self.timers.cancel(Timer::CaughtUp(peer));
        self.watches.remove(peer);
        self.stop_asking(peer);
        self.settle(peer, out);
        self.answer_questions(peer, false, out);
        self.relay_lost(now, peer, out);
        let Some(record) = self.table.get(peer) else {
            return;
        };
        if record.is_never_seen() && self.config.seed_of(peer).is_none() {
            self.remove_member(peer, out);
        } else if record.inc > inc {
            // The link was that of an earlier life; the present one may still be on its way.
            let at = now.after(self.patience());
            self.timers.set(Timer::Ask(peer), at);
        } else {
            self.ask(now, peer, out);
        }
    }

    // spec: TOPO-32
    pub(crate) fn link_slow(&mut self, peer: Rank, out: &mut Vec<Output>) {
        let Some(link) = self.links.get_mut(&peer) else {
            return out.push(Output::Event(Event::UnknownPeer { peer }));
        };
        if !link.is_open() {
            return;
        }
        self.timers.cancel(Timer::CaughtUp(peer));
        if !std::mem::replace(&mut link.slow, true) {
            out.push(Output::Event(Event::Slow { rank: peer }));
            self.settle(peer, out);
        }
    }

    // spec: TOPO-32
    pub(crate) fn link_drained(&mut self, now: Timestamp, peer: Rank, out: &mut Vec<Output>) {
        let Some(link) = self.links.get(&peer) else {
            return out.push(Output::Event(Event::UnknownPeer { peer }));
        };
        if !link.slow || self.timers.is_set(Timer::CaughtUp(peer)) {
            return;
        }
        let after = limits::RECOVERY_HEARTBEATS;
        let at = now.after(self.config.heartbeat.saturating_mul(after));
        self.timers.set(Timer::CaughtUp(peer), at);
        self.exchange_with(peer, out);
    }

    pub(crate) fn caught_up(&mut self, peer: Rank, out: &mut Vec<Output>) {
        if let Some(link) = self.links.get_mut(&peer) {
            link.slow = false;
            out.push(Output::Event(Event::CaughtUp { rank: peer }));
            self.settle(peer, out);
        }
    }
}
