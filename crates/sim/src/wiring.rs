//! Connections and what travels on them: who is told of a link when, and what arrives.

use std::time::Duration;

use bytes::Bytes;
use node::wire::{self, Frame};
use node::{Input, Lane};
use oplog::{Batch, Message, Op};
use radix_core::id::{OriginId, Rank};
use radix_core::page::Fingerprint;

use crate::event::{Cargo, Delivery, Event};
use crate::meter::Class;
use crate::narrow::Queued;
use crate::slot::Connection;
use crate::violation::Violation;
use crate::world::{Passage, Passing, Taint, World};

impl World {
    /// A frame leaves its sender.
    pub(crate) fn dispatch(&mut self, lane: Lane, delivery: Delivery) {
        let (from, to) = delivery.ends();
        let Some(narrow) = self.links.narrow(from, to) else {
            return self.fly(delivery);
        };
        match narrow.push(lane as usize, delivery) {
            Queued::Waits => {}
            Queued::Writing { ns, turn } => {
                let at = self.now.after(Duration::from_nanos(ns));
                self.queue.push(at, Event::Written { from, to, turn });
            }
            Queued::Refused { first } => {
                self.reached.frames_refused_by_lane += 1;
                if first && lane == Lane::Data {
                    self.tell_lane(from, to, true);
                }
            }
        }
    }

    /// A narrow link has written a frame, and begins with the next.
    pub(crate) fn written(&mut self, from: usize, to: usize, turn: u32) -> Result<(), Violation> {
        let Some(narrow) = self.links.narrow(from, to) else {
            return Ok(());
        };
        let (bytes, max) = narrow.fullest();
        let Some((delivery, next, drained)) = narrow.written(turn) else {
            return Ok(());
        };
        self.peaks.bytes_in_a_lane = self.peaks.bytes_in_a_lane.max(bytes as u64);
        let max = max.max(crate::limits::FRAME_BYTES_MAX);
        self.bound(from, "bytes in a lane", bytes as u64, max as u64)?;
        if let Some((ns, turn)) = next {
            let at = self.now.after(Duration::from_nanos(ns));
            self.queue.push(at, Event::Written { from, to, turn });
        }
        if drained {
            self.tell_lane(from, to, false);
        }
        self.fly(delivery);
        Ok(())
    }

    /// A node learns that what it sends on a link does not leave fast enough, or that it does again.
    fn tell_lane(&mut self, node: usize, peer: usize, full: bool) {
        let life = self.slots[node].lives;
        let lane = Event::Lane {
            node,
            life,
            peer,
            full,
        };
        self.queue.push(self.now, lane);
    }

    pub(crate) fn lane(
        &mut self,
        node: usize,
        life: u32,
        peer: usize,
        full: bool,
    ) -> Result<(), Violation> {
        let (slot, peer) = (&self.slots[node], self.slots[peer].rank);
        if slot.lives != life {
            return Ok(());
        }
        if !full {
            return self.feed(node, Input::LinkDrained { peer }, None);
        }
        self.reached.links_slow += 1;
        self.feed(node, Input::LinkSlow { peer }, None)
    }

    /// A narrow direction is wide again: what waited leaves at once.
    pub(crate) fn widen(&mut self, from: usize, to: usize) -> Result<(), Violation> {
        if let Some(narrow) = self.links.narrow(from, to).take() {
            let (waiting, refused) = narrow.drain();
            if refused {
                self.tell_lane(from, to, false);
            }
            for delivery in waiting {
                self.fly(delivery);
            }
        }
        Ok(())
    }

    fn fly(&mut self, delivery: Delivery) {
        let fate = self
            .links
            .fly(self.now, &delivery, &self.profile, &mut self.reached);
        if fate.breaks {
            let (from, to) = delivery.ends();
            self.break_link(from, to);
            self.connect_soon(from, to);
            return;
        }
        if let Some(at) = fate.doubled {
            let double = Delivery {
                doubled: true,
                ..delivery.clone()
            };
            self.queue.push(at, Event::Deliver(double));
        }
        if let Some(at) = fate.arrives {
            self.queue.push(at, Event::Deliver(delivery));
        }
    }

    pub(crate) fn deliver(&mut self, delivery: Delivery) -> Result<(), Violation> {
        let (from, to) = delivery.ends();
        let sender = self.slots[from].rank;
        let believed = self.slots[to].connection(sender, from);
        if !self.links.is_current(from, to, delivery.epoch) || believed != Some(delivery.epoch) {
            self.reached.frames_lost_with_link += 1;
            return Ok(());
        }
        self.reached.frames_delivered += 1;
        self.hash.words([1, from as u64, to as u64, self.now.0]);
        let broadcast = delivery.broadcast();
        if !delivery.doubled
            && let Some(name) = broadcast
        {
            self.visit(to, name)?;
        }
        if delivery.cargo == Cargo::Snapshot && self.spring_trap(&delivery) {
            return Ok(());
        }
        let passing = Passing {
            from: sender,
            to: self.slots[to].rank,
            bytes: &delivery.bytes,
        };
        let bytes = match self.tampered(passing) {
            Passage::Keep => delivery.bytes,
            Passage::Replace(other) => other,
            Passage::Lose => return Ok(()),
        };
        let bytes = match self.spoil(from, to, delivery.cargo, bytes) {
            Some(bytes) => bytes,
            None => return Ok(()),
        };
        self.class = Class::of(delivery.cargo);
        self.overhear(to, sender, &bytes);
        self.feed(
            to,
            Input::Frame {
                from: sender,
                bytes,
            },
            broadcast.filter(|_| delivery.doubled),
        )
    }

    /// Notes what a node that is not Ready is told.
    fn overhear(&mut self, to: usize, from: Rank, bytes: &Bytes) {
        let life = self.slots[to].life.as_mut();
        let Some(join) = life.and_then(|life| life.join.as_mut()) else {
            return;
        };
        match wire::decode(bytes) {
            Ok(Frame::Readiness { ready }) => join.said(from, ready),
            Ok(Frame::Log(Message::Offer { vector, .. })) => join.offered(from, vector),
            Ok(Frame::Log(_) | Frame::Broadcast { .. } | Frame::Topology(_) | Frame::Check(_))
            | Err(_) => {}
        }
    }

    /// A frame may be damaged on the way without a checksum to tell it. Returns what arrives, if anything does.
    fn spoil(&mut self, from: usize, to: usize, cargo: Cargo, bytes: Bytes) -> Option<Bytes> {
        let carries_ops = matches!(cargo, Cargo::Broadcast(_) | Cargo::Ops);
        if self.slots[to].damage_next && carries_ops && self.calm_since.is_none() {
            return Some(self.damage(to, bytes));
        }
        if self.profile.hostile_1024 == 0
            || self.links.is_calm(from, to)
            || self.chance.u64(0..1_024) >= self.profile.hostile_1024
        {
            return Some(bytes);
        }
        let mut rubbish = bytes.to_vec();
        match self.chance.u8(..4) {
            0 => rubbish.truncate(self.chance.usize(..bytes.len())),
            1 => rubbish.extend((0..self.chance.u8(1..9)).map(|_| self.chance.u8(..))),
            2 => rubbish.fill_with(|| self.chance.u8(..)),
            _ => {
                let at = self.chance.usize(..rubbish.len().min(32));
                rubbish[at] ^= 1 << self.chance.u8(..8);
            }
        }
        // What looks like a frame would be the word of a member that lies, and no member lies.
        if wire::decode(&Bytes::from(rubbish.clone())).is_ok() {
            self.reached.frames_dropped += 1;
            return None;
        }
        self.reached.frames_hostile += 1;
        self.slots[to].hostile += 1;
        Some(rubbish.into())
    }

    /// Changes a page of an op, so that all that follows differs from what the origin wrote.
    fn damage(&mut self, to: usize, bytes: Bytes) -> Bytes {
        let Ok(mut frame) = wire::decode(&bytes) else {
            return bytes;
        };
        let (Frame::Broadcast { batch, .. } | Frame::Log(Message::Batch(batch))) = &mut frame
        else {
            return bytes;
        };
        let Some(ops) = damaged(batch) else {
            return bytes;
        };
        batch.ops = ops;
        let origin = batch.origin;
        self.tainted.entry(origin).or_insert(Taint::Damaged);
        self.slots[to].damage_next = false;
        self.reached.damages += 1;
        wire::encode(&frame).1.to_bytes()
    }

    /// Breaks the connection between two nodes, if there is one; both notice some time.
    pub(crate) fn break_link(&mut self, a: usize, b: usize) {
        if let Some(epoch) = self.links.break_up(a, b) {
            self.tell_lost(a, b, epoch);
            self.tell_lost(b, a, epoch);
        }
    }

    /// A node will notice that a connection is gone, some time.
    pub(crate) fn tell_lost(&mut self, node: usize, peer: usize, epoch: u32) {
        let slot = &self.slots[node];
        if slot.life.is_some() {
            let life = slot.lives;
            let delay = self.chance.u64(0..=self.profile.detection_ns_max);
            self.queue.push(
                self.now.after(Duration::from_nanos(delay)),
                Event::LinkLost {
                    node,
                    life,
                    peer,
                    epoch,
                },
            );
        }
    }

    pub(crate) fn link_lost(
        &mut self,
        node: usize,
        life: u32,
        peer: usize,
        epoch: u32,
    ) -> Result<(), Violation> {
        let rank = self.slots[peer].rank;
        let slot = &mut self.slots[node];
        if slot.lives != life || slot.connection(rank, peer) != Some(epoch) {
            return Ok(());
        }
        self.hash.words([5, node as u64, peer as u64, self.now.0]);
        self.tell_down(node, rank)
    }

    /// A node is told that its link to a rank is gone.
    fn tell_down(&mut self, node: usize, rank: Rank) -> Result<(), Violation> {
        if let Some(life) = &mut self.slots[node].life {
            life.believe(rank, None);
        }
        self.feed(node, Input::LinkDown { peer: rank }, None)
    }

    pub(crate) fn connect_soon(&mut self, a: usize, b: usize) {
        let delay = self.chance.u64(1_000_000..=80_000_000);
        self.connect_after(a, b, delay);
    }

    fn connect_after(&mut self, a: usize, b: usize, delay_ns: u64) {
        if self.slots[a].rank != self.slots[b].rank {
            let at = self.now.after(Duration::from_nanos(delay_ns));
            self.queue.push(at, Event::Connect { a, b });
        }
    }

    pub(crate) fn connect(&mut self, a: usize, b: usize) -> Result<(), Violation> {
        let (one, two) = (&self.slots[a], &self.slots[b]);
        if one.life.is_none() || two.life.is_none() || self.links.is_up(a, b) {
            return Ok(());
        }
        let awake = one.paused_until.max(two.paused_until);
        if awake > self.now {
            // Who stands still for good is not tried again and again.
            if awake.0 != u64::MAX {
                self.queue.push(
                    awake.after(Duration::from_millis(1)),
                    Event::Connect { a, b },
                );
            }
            return Ok(());
        }
        if let Some(node) = self.unwanted(a, b) {
            // Who dials and is not known introduces itself again.
            let dialer = self.slots[a].rank.min(self.slots[b].rank);
            if self.slots[node].rank != dialer {
                self.introduce_again(if node == a { b } else { a });
            }
            return Ok(());
        }
        if self.is_refused(a, b)? {
            let delay = self.chance.u64(200_000_000..1_200_000_000);
            self.connect_after(a, b, delay);
            return Ok(());
        }
        let Some(epoch) = self.links.connect(a, b) else {
            return Ok(());
        };
        self.hash.words([6, a as u64, b as u64, self.now.0]);
        let ranks = [self.slots[b].rank, self.slots[a].rank];
        // A host reports a link as gone before it reports it as new; a replaced one it need not.
        for (node, rank) in [a, b].into_iter().zip(ranks) {
            let life = self.slots[node].life.as_ref();
            let known = life.and_then(|life| life.links[usize::from(rank.0)]);
            if known.is_some() && self.chance.bool() {
                self.tell_down(node, rank)?;
            }
        }
        let ends = [(a, b), (b, a)];
        for ((node, peer), rank) in ends.into_iter().zip(ranks) {
            if let Some(life) = &mut self.slots[node].life {
                life.believe(rank, Some(Connection { peer, epoch }));
            }
        }
        let inc = |node: usize| {
            let life = self.slots[node].life.as_ref();
            life.map(|life| life.origin.inc).unwrap_or_default()
        };
        let incs = [inc(b), inc(a)];
        for ((node, peer), inc) in [a, b].into_iter().zip(ranks).zip(incs) {
            let life = self.slots[node].life.as_mut();
            if let Some(join) = life.and_then(|life| life.join.as_mut()) {
                join.linked(peer, inc);
            }
            self.feed(node, Input::LinkUp { peer, inc }, None)?;
        }
        Ok(())
    }

    /// One end may know of a later life of the other, or be connected to another process of that rank.
    fn is_refused(&mut self, a: usize, b: usize) -> Result<bool, Violation> {
        for (node, peer) in [(a, b), (b, a)] {
            let (rank, life) = (self.slots[peer].rank, self.slots[node].life.as_ref());
            let Some(life) = life else { return Ok(true) };
            let inc = self.slots[peer].life.as_ref().map(|life| life.origin.inc);
            let known = life.node.replica().digests(rank).map(|log| log.inc);
            if known > inc && self.chance.bool() {
                self.reached.outlived += 1;
                let inc = known.unwrap_or_default();
                self.feed(peer, Input::Outlived { inc }, None)?;
                return Ok(true);
            }
            let Some(life) = self.slots[node].life.as_ref() else {
                return Ok(true);
            };
            let other = life.links[usize::from(rank.0)].filter(|other| other.peer != peer);
            if let Some(other) = other
                && self.links.is_current(node, other.peer, other.epoch)
            {
                self.reached.ranks_taken += 1;
                if self.chance.bool() {
                    return Ok(true);
                }
                self.break_link(node, other.peer);
                let delay = self.chance.u64(200_000_000..1_200_000_000);
                self.connect_after(node, other.peer, delay);
            }
        }
        Ok(false)
    }

    /// Returns whether a node has a link to every other rank, in its own belief.
    pub(crate) fn is_linked_to_all(&self, node: usize) -> bool {
        let slot = &self.slots[node];
        let Some(life) = &slot.life else { return false };
        let me = usize::from(slot.rank.0);
        let linked = |(rank, link): (usize, &Option<Connection>)| rank == me || link.is_some();
        life.links.iter().enumerate().all(linked)
    }

    /// Returns whether everybody has a link to everybody.
    pub(crate) fn is_complete(&self) -> bool {
        (0..self.ranks()).all(|node| self.is_linked_to_all(node))
    }

    /// Whoever waits for the sender of a snapshot to die sees it die now.
    fn spring_trap(&mut self, delivery: &Delivery) -> bool {
        let Some(for_ns) = self.responder_trap else {
            return false;
        };
        let Ok(Frame::Log(Message::Snapshot(chunk))) = wire::decode(&delivery.bytes) else {
            return false;
        };
        if chunk.index + 1 >= chunk.head.chunks || self.calm_since.is_some() {
            return false;
        }
        self.responder_trap = None;
        self.reached.responder_deaths += 1;
        self.crash(
            usize::from(delivery.from),
            for_ns,
            crate::fault::Rebirth::Proper,
            0,
        );
        true
    }

    /// The name of a log is used by two lives, or its ops were changed on the way.
    pub(crate) fn taint(&mut self, origin: OriginId, taint: Taint) {
        if taint != Taint::Damaged {
            self.reached.names_used_twice += 1;
        }
        self.tainted.insert(origin, taint);
    }
}

/// Returns the ops of a batch with one page changed, if any of them names a page.
fn damaged(batch: &Batch) -> Option<Bytes> {
    let mut ops: Vec<Op> = Vec::new();
    for op in batch.ops() {
        ops.push(op.ok()?.0);
    }
    let page = ops.iter_mut().find_map(|op| match op {
        Op::Insert(insert) => insert.pages.0.first_mut(),
        Op::Remove { .. } | Op::ResetSource { .. } | Op::Checkpoint { .. } => None,
    })?;
    *page = Fingerprint(page.0 ^ 0x00ff_00ff);
    Some(Batch::encode_ops(&ops))
}
