//! Who comes and goes: introductions, goodbyes, words of the operator. What a driver does about members is done here,
//! what a member is stays the nodes' business.

use std::time::Duration;

use node::wire::{self, Frame};
use node::{Effect, Input};
use radix_core::id::{Incarnation, OriginId, Rank};
use radix_core::time::Timestamp;
use topology::{ForgetError, IntroduceError, Message, Record, Role, Status};

use crate::event::Event;
use crate::fault::Rebirth;
use crate::limits;
use crate::slot::Slot;
use crate::violation::Violation;
use crate::world::World;

/// Returns where a host is dialed.
pub(crate) fn address(host: usize) -> String {
    format!("h{host}")
}

/// Returns what a rank does.
pub(crate) fn role(rank: Rank) -> Role {
    [Role::Prefill, Role::Decode, Role::Router][usize::from(rank.0 % 3)]
}

impl World {
    /// Plans an introduction of a host, for its next life or for the one that is there.
    pub(crate) fn introduce_soon(&mut self, node: usize, inc: Incarnation, since: Timestamp) {
        let life = self.slots[node].lives;
        let delay = self.chance.u64(1_000_000..400_000_000);
        let at = self.now.after(Duration::from_nanos(delay));
        self.queue.push(
            at,
            Event::Introduce {
                node,
                life,
                inc,
                since,
            },
        );
    }

    /// A host asks some member to let its node in; what it is told, the node begins with.
    pub(crate) fn introduce(
        &mut self,
        node: usize,
        life: u32,
        inc: Incarnation,
        since: Timestamp,
    ) -> Result<(), Violation> {
        let slot = &self.slots[node];
        let again = slot.life.is_some();
        if slot.lives != life || slot.stays_away() || (again && slot.introduces_at.is_none()) {
            return Ok(());
        }
        let (rank, me) = (slot.rank, inc);
        if slot.paused_until > self.now {
            if slot.paused_until.0 < u64::MAX {
                self.introduce_soon(node, inc, since);
            }
            return Ok(());
        }
        let nobody_lives = self.slots.iter().all(|slot| slot.life.is_none());
        if nobody_lives && self.calm_since.is_some() {
            // There is no cluster any more: the operator begins one.
            return self.begin_life(node, OriginId { rank, inc }, Vec::new());
        }
        let Some(contact) = self.contact(node) else {
            self.introduce_soon(node, inc, since);
            return Ok(());
        };
        self.hash
            .words([20, node as u64, contact as u64, self.now.0]);
        let input = Input::Introduce {
            rank,
            role: role(rank),
            address: address(node),
            inc: me,
        };
        self.feed(contact, input, None)?;
        let answer = self.introduced.take();
        let lost = !self.links.is_calm(node, contact) && self.chance.u8(..8) == 0;
        match answer {
            Some(Ok(records)) if !lost => self.welcome(node, me, records),
            Some(Err(IntroduceError::RankTaken { .. })) if !again => {
                self.reached.introductions_refused += 1;
                let patience = Duration::from_secs(limits::JOIN_SECONDS_MAX);
                if self.now.since(since) < patience || self.calm_since.is_some() {
                    self.introduce_soon(node, inc, since);
                } else {
                    self.reached.joins_given_up += 1;
                }
                Ok(())
            }
            Some(Err(
                IntroduceError::RankTaken { .. }
                | IntroduceError::OwnRank { .. }
                | IntroduceError::Leaving,
            ))
            | Some(Ok(_))
            | None => {
                self.introduce_soon(node, inc, since);
                Ok(())
            }
            Some(Err(error)) => Err(Violation::Alarm {
                at: rank,
                event: format!("an introduction is refused: {error}"),
            }),
        }
    }

    /// Returns a member that a host can ask.
    fn contact(&mut self, node: usize) -> Option<usize> {
        let hosts = self.slots.len();
        let first = self.chance.usize(..hosts);
        (first..first + hosts)
            .map(|host| host % hosts)
            .find(|host| {
                let slot = &self.slots[*host];
                let answers = slot.rank != self.slots[node].rank
                    && slot.life.is_some()
                    && slot.free_at() <= self.now;
                let way = |from, to| !self.links.is_deaf(from, to);
                answers && !self.links.is_cut(node, *host) && way(node, *host) && way(*host, node)
            })
    }

    fn welcome(
        &mut self,
        node: usize,
        inc: Incarnation,
        records: Vec<Record>,
    ) -> Result<(), Violation> {
        self.reached.introductions += 1;
        let rank = self.slots[node].rank;
        let own = records.iter().find(|record| record.rank == rank);
        let Some(own) = own.filter(|own| own.inc >= inc && own.address == address(node)) else {
            return Err(Violation::Alarm {
                at: rank,
                event: format!("it is welcomed as {own:?}, not in incarnation {inc}"),
            });
        };
        if self.slots[node].life.is_some() {
            self.reached.introductions_again += 1;
            self.slots[node].introduces_at = None;
            return self.feed(node, Input::Table(records), None);
        }
        let me = OriginId { rank, inc: own.inc };
        self.slots[node].highest = self.slots[node].highest.max(own.inc);
        self.begin_life(node, me, records)
    }

    /// A node that nobody links to, or that a peer does not know, introduces itself again.
    pub(crate) fn introduce_again(&mut self, node: usize) {
        if !self.profile.has_churn() {
            return;
        }
        let at = self
            .now
            .after(Duration::from_millis(self.chance.u64(300..2_000)));
        let slot = &mut self.slots[node];
        let Some(life) = &slot.life else { return };
        if slot.introduces_at.is_some() || slot.left {
            return;
        }
        slot.introduces_at = Some(at);
        let (life, inc) = (slot.lives, life.origin.inc);
        let since = self.now;
        self.queue.push(
            at,
            Event::Introduce {
                node,
                life,
                inc,
                since,
            },
        );
    }

    /// Looks after a while whether a node is linked with enough of the others.
    pub(crate) fn lonely_later(&mut self, node: usize) {
        if self.profile.has_churn() {
            let life = self.slots[node].lives;
            let delay = self.chance.u64(1_500..3_000);
            let at = self.now.after(Duration::from_millis(delay));
            self.queue.push(at, Event::Lonely { node, life });
        }
    }

    /// A host whose node is linked with no more than half of those it knows lets it introduce itself again: nobody dials a
    /// node that is believed to be elsewhere, or was forgotten while it was away. The name that it asks under
    /// leads to any living member.
    pub(crate) fn lonely(&mut self, node: usize, life: u32) {
        let slot = &self.slots[node];
        let Some(alive) = slot.life.as_ref().filter(|_| slot.lives == life) else {
            return;
        };
        let linked = alive.links.iter().flatten().count();
        if 2 * linked <= alive.node.peers().count() {
            self.introduce_again(node);
        }
        self.lonely_later(node);
    }

    /// Who is to be linked with a node, or where, changed.
    pub(crate) fn peers_changed(&mut self, node: usize) {
        if !self.profile.has_churn() {
            return;
        }
        let (me, Some(life)) = (self.slots[node].rank, &self.slots[node].life) else {
            return;
        };
        let wanted: Vec<(Rank, String)> = life
            .node
            .peers()
            .map(|(rank, address)| (rank, address.to_owned()))
            .collect();
        let linked: Vec<(usize, Rank)> = (0u16..)
            .zip(&life.links)
            .filter_map(|(rank, link)| Some((link.as_ref()?.peer, Rank(rank))))
            .collect();
        for (peer, rank) in &linked {
            if !wanted.iter().any(|(wanted, _)| wanted == rank) {
                self.break_link(node, *peer);
            }
        }
        for host in 0..self.slots.len() {
            let rank = self.slots[host].rank;
            let link = linked.iter().any(|(peer, _)| *peer == host);
            // Who is lower dials; the other waits for it.
            let dials = me > rank
                || wanted
                    .iter()
                    .any(|(other, at)| *other == rank && *at == address(host));
            if !link && rank != me && dials && self.slots[host].life.is_some() {
                self.connect_soon(node, host);
            }
        }
    }

    /// Returns who does not want a link between two hosts, if one of them does not.
    pub(crate) fn unwanted(&self, a: usize, b: usize) -> Option<usize> {
        if !self.profile.has_churn() {
            return None;
        }
        let (dialer, answerer) = if self.slots[a].rank < self.slots[b].rank {
            (a, b)
        } else {
            (b, a)
        };
        let wants = |node: usize, peer: usize, there: bool| {
            let life = self.slots[node].life.as_ref();
            let rank = self.slots[peer].rank;
            life.is_some_and(|life| {
                let mut peers = life.node.peers();
                peers.any(|(other, at)| other == rank && (!there || at == address(peer)))
            })
        };
        if !wants(dialer, answerer, true) {
            Some(dialer)
        } else if !wants(answerer, dialer, false) {
            Some(answerer)
        } else {
            None
        }
    }

    /// A node said goodbye: its host ends it.
    pub(crate) fn said_goodbye(&mut self, node: usize) {
        self.reached.goodbyes += 1;
        self.slots[node].left = true;
        // What lies in its lanes is written before its links close.
        let written = self
            .now
            .after(Duration::from_millis(self.chance.u64(20..300)));
        self.queue.push(written, Event::Single { node });
    }

    /// A host ends its node: a second process, or one that said goodbye.
    pub(crate) fn end(&mut self, node: usize) {
        self.kill(node);
        if self.calm_since.is_some() && self.is_core(node) {
            // Told to leave when it was not known yet that it belongs to the core.
            let (rebirth, again) = (Rebirth::Proper, 0);
            let soon = self.now.after(Duration::from_millis(100));
            let restart = Event::Restart {
                node,
                rebirth,
                again,
            };
            self.queue.push(soon, restart);
        }
    }

    pub(crate) fn leave(
        &mut self,
        node: usize,
        drain_ns: u64,
        back_ns: Option<u64>,
    ) -> Result<(), Violation> {
        if self.slots[node].life.is_none() || self.slots[node].free_at() > self.now {
            return Ok(());
        }
        self.reached.leaves_asked += 1;
        let drain = Duration::from_nanos(drain_ns);
        if let Some(back_ns) = back_ns {
            let at = self.now.after(drain + Duration::from_nanos(back_ns));
            let (rebirth, again) = (Rebirth::Proper, 0);
            let restart = Event::Restart {
                node,
                rebirth,
                again,
            };
            self.queue.push(at, restart);
        }
        self.feed(node, Input::Leave { drain }, None)
    }

    /// A node dies for good; another host takes its rank after a time.
    pub(crate) fn replace(&mut self, node: usize, for_ns: u64) {
        let rank = self.slots[node].rank;
        self.kill(node);
        self.slots[node].retired = true;
        self.reached.replaces += 1;
        let host = self.slots.len();
        self.slots.push(Slot {
            highest: self.slots[node].highest,
            forgetful: self.slots[node].forgetful,
            seeded: false,
            lives: 1,
            clock: self.slots[node].clock,
            ..Slot::new(rank)
        });
        self.home[usize::from(rank.0)] = host;
        let (rebirth, again) = (Rebirth::Proper, 0);
        self.queue.push(
            self.now.after(Duration::from_nanos(for_ns)),
            Event::Restart {
                node: host,
                rebirth,
                again,
            },
        );
    }

    pub(crate) fn forget(&mut self, at: usize, node: usize) -> Result<(), Violation> {
        self.reached.forgets_asked += 1;
        let rank = self.slots[node].rank;
        self.feed(at, Input::Forget { rank }, None)
    }

    pub(crate) fn forget_answered(&mut self, result: &Result<Incarnation, ForgetError>) {
        if matches!(result, Err(ForgetError::TakesPart { .. })) {
            self.reached.forgets_refused += 1;
        }
    }

    /// Somebody says of a living member that it is suspected, as a slow node may.
    pub(crate) fn accuse(&mut self, at: usize, node: usize) -> Result<(), Violation> {
        let rank = self.slots[node].rank;
        let (Some(accused), Some(told)) = (&self.slots[node].life, &self.slots[at].life) else {
            return Ok(());
        };
        let links = (0u16..).zip(&told.links);
        let Some(from) = links
            .filter_map(|(rank, link)| link.map(|_| Rank(rank)))
            .next()
        else {
            return Ok(());
        };
        if self.slots[at].free_at() > self.now || accused.origin.rank == self.slots[at].rank {
            return Ok(());
        }
        let record = Record {
            rank,
            role: role(rank),
            address: address(node),
            inc: accused.origin.inc,
            counter: self.chance.u32(0..4),
            status: Status::Suspect,
        };
        self.reached.accusations += 1;
        let message = Message::Members {
            records: vec![record],
            all_of: None,
        };
        let bytes = wire::encode(&Frame::Topology(message)).1.to_bytes();
        self.feed(at, Input::Frame { from, bytes }, None)
    }

    /// Takes note of an effect that is about members.
    pub(crate) fn member_effect(&mut self, node: usize, effect: Effect) {
        match effect {
            Effect::PeersChanged => self.peers_changed(node),
            Effect::Introduced(result) => self.introduced = Some(result),
            Effect::ForgetAnswered(result) => self.forget_answered(&result),
            Effect::Left => self.said_goodbye(node),
            Effect::Send { .. }
            | Effect::Logged(_)
            | Effect::Applied { .. }
            | Effect::Published(_)
            | Effect::MembersChanged
            | Effect::Event(_) => {}
        }
    }
}
