//! The order of batches: duplicates, gaps, replays, and the lives of a publisher.
//!
//! A publisher numbers its batches from 0 and says nowhere which life it lives. Two things tell: a live number that goes
//! back, and a replay that begins with the last batch taken in. That batch must come, and must be the same, byte for byte.

use std::collections::BTreeMap;
use std::time::Duration;

use radix_core::time::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

use crate::event::{Live, Replayed, TrtEvent};
use crate::limits::{PAYLOAD_BYTES_MAX, PENDING_BATCHES_MAX, PENDING_BYTES_MAX, REPLAY_TRIES_MAX};
use crate::source::Source;
use crate::source::output::{Cause, Output};

/// The last batch taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) seq: u64,
    /// Of its payload; `None` when the batch itself was never seen.
    pub(crate) digest: Option<u64>,
}

/// A replay that was asked for.
#[derive(Clone, Copy, Debug)]
struct Ask {
    id: u32,
    from: u64,
    /// Asked for to be sure, not because something is missing.
    poll: bool,
    tries: u32,
    answers: u64,
    deadline: Timestamp,
}

/// What the first batch of a replay says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    /// The publisher is the one it was, and nothing is missing before this batch.
    Same,
    /// It lives another life.
    OtherLife,
    /// Live batches overtook the question, or the buffer ends just behind the last batch; nobody doubted the publisher.
    Within,
    /// The batch that would prove the publisher did not come, but the one behind it.
    Unproved,
    /// Batches before it are gone.
    Late,
}

/// Where a source is in its publisher's stream.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    pub(crate) last: Option<Last>,
    /// The highest number that came live in this life.
    live: Option<u64>,
    /// The highest number that a replay brought in this life.
    replayed: Option<u64>,
    /// Batches behind a gap.
    pub(crate) pending: BTreeMap<u64, Box<[u8]>>,
    pub(crate) pending_bytes: usize,
    ask: Option<Ask>,
    asks: u32,
    poll_at: Timestamp,
    poll_wait: Duration,
    /// What was before the first batch taken in is known, or known to be lost.
    begun: bool,
}

impl Sequence {
    pub(crate) fn new(poll: Duration) -> Self {
        Sequence {
            last: None,
            live: None,
            replayed: None,
            pending: BTreeMap::new(),
            pending_bytes: 0,
            ask: None,
            asks: 0,
            poll_at: Timestamp(0),
            poll_wait: poll,
            begun: false,
        }
    }

    /// Begins behind a batch that was taken in before.
    pub(crate) fn resume(&mut self, last: Option<Last>) {
        self.last = last;
        self.begun = last.is_some();
    }

    pub(crate) fn asked(&self, id: u32) -> bool {
        self.ask.is_some_and(|ask| ask.id == id)
    }

    pub(crate) fn deadline(&self) -> Timestamp {
        self.ask.map_or(self.poll_at, |ask| ask.deadline)
    }

    /// Nothing is known to be missing.
    pub(crate) fn is_settled(&self) -> bool {
        self.begun && self.pending.is_empty() && self.ask.is_none_or(|ask| ask.poll)
    }

    /// The batch that continues what was taken in.
    fn next(&self) -> u64 {
        self.last.map_or(0, |last| last.seq.saturating_add(1))
    }

    fn has_room(&self, payload: &[u8]) -> bool {
        self.pending.len() < PENDING_BATCHES_MAX
            && self.pending_bytes + payload.len() <= PENDING_BYTES_MAX
    }

    fn forget_pending(&mut self) {
        self.pending.clear();
        self.pending_bytes = 0;
    }

    fn take_pending(&mut self, seq: u64) -> Option<Box<[u8]>> {
        let payload = self.pending.remove(&seq)?;
        self.pending_bytes -= payload.len();
        Some(payload)
    }
}

/// A payload that is too long to be read is kept as one that is empty: both are lost.
fn readable(payload: &[u8]) -> &[u8] {
    if payload.len() > PAYLOAD_BYTES_MAX {
        &[]
    } else {
        payload
    }
}

impl Source {
    pub(crate) fn connected(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        // spec: EVENTS-13
        if self.sequence.last.is_none() {
            if self.config.replay && self.sequence.ask.is_none() {
                self.ask(now, false, 0, out);
            }
        } else if self.config.replay {
            // What comes next waits until the publisher is known to be the one it was.
            self.proved = false;
            self.cause = Cause::Gap;
            self.ask(now, false, 0, out);
        } else {
            // What was missed, and by whom it is sent now, cannot be known.
            self.counters.gaps_lost += 1;
            self.lose(Cause::Lost, out);
            self.sequence.last = None;
            self.sequence.live = None;
        }
    }

    pub(crate) fn tick(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if !self.config.replay || now < self.sequence.deadline() {
            return;
        }
        if self.sequence.ask.is_some() {
            self.ask_failed(now, out);
        } else {
            let poll = self.sequence.begun && self.proved;
            self.ask(now, poll, 0, out);
        }
    }

    pub(crate) fn live(&mut self, now: Timestamp, frames: &[&[u8]], out: &mut Vec<Output>) {
        let Ok(Live { seq, payload, .. }) = Live::parse(frames) else {
            self.counters.odd_messages += 1;
            return;
        };
        if seq == u64::MAX {
            // No batch has the number that ends a replay.
            self.counters.odd_messages += 1;
            return;
        }
        let payload = readable(payload);
        self.sequence.poll_wait = self.config.poll;
        self.sequence.poll_at = now.after(self.config.poll);
        // spec: EVENTS-8
        let (live, last) = (self.sequence.live, self.sequence.last);
        let differs = |last: Last| {
            seq == last.seq && last.digest.is_some_and(|digest| digest != xxh3_64(payload))
        };
        if live.is_some_and(|live| seq < live) || last.is_some_and(differs) {
            self.restarted(out);
        } else if live == Some(seq) {
            self.counters.duplicate_batches += 1;
            return;
        } else if let Some(last) = last.filter(|last| seq <= last.seq) {
            let overtaken = self
                .sequence
                .replayed
                .is_some_and(|replayed| seq <= replayed);
            if overtaken || seq == last.seq {
                self.sequence.live = Some(seq);
                self.counters.duplicate_batches += 1;
                return;
            }
            self.restarted(out);
        }
        self.sequence.live = Some(seq);
        if !self.proved && !self.config.replay && seq == self.sequence.next() {
            // Nothing better can be had: the number fits.
            self.prove(out);
        }
        self.accept(now, seq, payload, out);
    }

    /// Takes in a batch that is not known to be a duplicate, or keeps it until those before it came.
    fn accept(&mut self, now: Timestamp, seq: u64, payload: &[u8], out: &mut Vec<Output>) {
        let next = self.sequence.next();
        if seq < next {
            self.counters.duplicate_batches += 1;
            return;
        }
        if seq == next && self.proved {
            self.take_in(seq, payload, out);
            self.take_in_pending(out);
            return;
        }
        // spec: EVENTS-9
        if !self.sequence.pending.contains_key(&seq) {
            if !self.sequence.has_room(payload) {
                while !self.sequence.has_room(payload) {
                    self.lost(out);
                }
                return self.accept(now, seq, payload, out);
            }
            self.sequence.pending_bytes += payload.len();
            self.sequence.pending.insert(seq, payload.into());
        }
        if seq == next {
            return;
        }
        if !self.config.replay {
            self.counters.gaps += 1;
            self.lost(out);
        } else if self.sequence.ask.is_none_or(|ask| ask.poll) {
            self.counters.gaps += 1;
            self.cause = Cause::Gap;
            self.ask(now, false, 0, out);
        }
    }

    fn take_in(&mut self, seq: u64, payload: &[u8], out: &mut Vec<Output>) {
        if self.sequence.last.is_none() && seq == 0 {
            // The first of a life: before it the engine held nothing.
            self.sequence.begun = true;
            self.forget(out);
        }
        self.batch(payload, out);
        self.sequence.last = Some(Last {
            seq,
            digest: Some(xxh3_64(payload)),
        });
    }

    fn take_in_pending(&mut self, out: &mut Vec<Output>) {
        if !self.proved {
            return;
        }
        while let Some((&seq, _)) = self.sequence.pending.first_key_value() {
            let next = self.sequence.next();
            if seq > next {
                return;
            }
            if let Some(payload) = self.sequence.take_pending(seq)
                && seq == next
            {
                self.take_in(seq, &payload, out);
            }
        }
    }

    /// Asks for a replay that begins with the last batch taken in.
    fn ask(&mut self, now: Timestamp, poll: bool, tries: u32, out: &mut Vec<Output>) {
        // spec: EVENTS-10
        let sequence = &mut self.sequence;
        sequence.asks = sequence.asks.wrapping_add(1);
        let from = sequence.last.map_or(0, |last| last.seq);
        sequence.ask = Some(Ask {
            id: sequence.asks,
            from,
            poll,
            tries,
            answers: 0,
            deadline: now.after(self.config.replay_silence),
        });
        self.counters.replays += 1;
        out.push(Output::AskReplay {
            source: self.config.source,
            ask: sequence.asks,
            from,
        });
    }

    pub(crate) fn replayed(
        &mut self,
        now: Timestamp,
        id: u32,
        frames: &[&[u8]],
        out: &mut Vec<Output>,
    ) {
        let Some(mut ask) = self.sequence.ask.filter(|ask| ask.id == id) else {
            self.counters.odd_messages += 1;
            return;
        };
        let Ok(message) = Replayed::parse(frames) else {
            self.counters.odd_messages += 1;
            return;
        };
        match message {
            Replayed::End => self.replay_ended(now, ask, out),
            Replayed::Batch { seq, .. } if seq < ask.from => self.counters.odd_messages += 1,
            Replayed::Batch { seq, payload } => {
                let payload = readable(payload);
                ask.deadline = now.after(self.config.replay_silence);
                ask.answers += 1;
                self.sequence.ask = Some(ask);
                let first = ask.answers == 1;
                match first.then(|| self.judge(seq, payload)) {
                    None | Some(Begin::Within) => {}
                    Some(Begin::Same) => {
                        self.prove(out);
                        self.take_in_pending(out);
                    }
                    Some(Begin::OtherLife) => {
                        self.restarted(out);
                        self.ask(now, false, 0, out);
                        return;
                    }
                    Some(Begin::Unproved) if ask.tries + 1 < REPLAY_TRIES_MAX => {
                        self.ask(now, false, ask.tries + 1, out);
                        return;
                    }
                    Some(Begin::Unproved | Begin::Late) => {
                        self.counters.gaps_lost += 1;
                        self.lost_up_to(seq, out);
                        self.take_in_pending(out);
                    }
                }
                self.sequence.replayed = self.sequence.replayed.max(Some(seq));
                if seq >= self.sequence.next() {
                    self.counters.replayed_batches += 1;
                    self.accept(now, seq, payload, out);
                }
            }
        }
    }

    /// Looks at the first batch of a replay.
    fn judge(&self, seq: u64, payload: &[u8]) -> Begin {
        // spec: EVENTS-11
        let next = self.sequence.next();
        match self.sequence.last {
            Some(last) if seq == last.seq => {
                let other = last.digest.is_some_and(|digest| digest != xxh3_64(payload));
                if other { Begin::OtherLife } else { Begin::Same }
            }
            None if seq == 0 => Begin::Same,
            Some(_) if seq <= next && self.proved => Begin::Within,
            Some(_) if seq == next => Begin::Unproved,
            Some(_) | None => Begin::Late,
        }
    }

    fn replay_ended(&mut self, now: Timestamp, ask: Ask, out: &mut Vec<Output>) {
        self.sequence.ask = None;
        self.take_in_pending(out);
        let waits = !self.sequence.pending.is_empty();
        if ask.answers == 0 && self.sequence.last.is_some() && !waits {
            // The publisher has not got the last batch: it never sent it.
            self.restarted(out);
            self.ask(now, false, 0, out);
            return;
        }
        self.sequence.begun = true;
        self.cause = Cause::CaughtUp;
        if waits {
            let again = ask.answers > 0 && ask.tries + 1 < REPLAY_TRIES_MAX;
            if again {
                self.ask(now, false, ask.tries + 1, out);
            } else {
                self.lost(out);
            }
            return;
        }
        self.poll_later(now, ask.answers > 1);
    }

    fn poll_later(&mut self, now: Timestamp, found: bool) {
        let wait = if found {
            self.config.poll
        } else {
            self.sequence.poll_wait.saturating_mul(2)
        };
        self.sequence.poll_wait =
            wait.clamp(self.config.poll, self.config.poll_max.max(self.config.poll));
        self.sequence.poll_at = now.after(self.sequence.poll_wait);
    }

    pub(crate) fn ask_failed(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let Some(ask) = self.sequence.ask.take() else {
            return;
        };
        if ask.tries + 1 < REPLAY_TRIES_MAX {
            self.ask(now, ask.poll, ask.tries + 1, out);
            return;
        }
        self.poll_later(now, false);
        if !self.sequence.pending.is_empty() {
            self.lost(out);
        } else if !self.proved || !self.sequence.begun {
            self.counters.gaps_lost += 1;
            self.lose(Cause::Lost, out);
            self.sequence.begun = true;
            self.sequence.last = None;
        }
    }

    /// Gives up what is missing before the batches that wait.
    fn lost(&mut self, out: &mut Vec<Output>) {
        // spec: EVENTS-12
        self.counters.gaps_lost += 1;
        self.sequence.ask = None;
        if let Some((&first, _)) = self.sequence.pending.first_key_value() {
            self.lost_up_to(first, out);
            self.take_in_pending(out);
        }
    }

    /// Batches before `seq` never come: what is claimed is dropped, what is named stays, and `seq` is next.
    fn lost_up_to(&mut self, seq: u64, out: &mut Vec<Output>) {
        self.lose(Cause::Lost, out);
        self.sequence.begun = true;
        self.sequence.last = seq.checked_sub(1).map(|seq| Last { seq, digest: None });
    }

    /// Forgets a life: the next batch is the first of another.
    pub(crate) fn restarted(&mut self, out: &mut Vec<Output>) {
        self.counters.restarts += 1;
        self.forget(out);
        self.window_max = 0;
        self.cause = Cause::Restarted;
        self.sequence.last = None;
        self.sequence.live = None;
        self.sequence.replayed = None;
        self.sequence.ask = None;
        self.sequence.begun = false;
        self.sequence.forget_pending();
    }

    /// Takes in an answer of TensorRT-LLM: numbered events instead of batches, and no replay.
    pub(crate) fn drained(&mut self, events: &[TrtEvent], out: &mut Vec<Output>) {
        for event in events {
            if self.config.rank.is_some() && event.rank.is_some() && event.rank != self.config.rank
            {
                continue;
            }
            if let Some(id) = event.id {
                match self.sequence.live {
                    Some(live) if id == live => {
                        self.counters.duplicate_batches += 1;
                        continue;
                    }
                    Some(live) if id < live => self.restarted(out),
                    Some(_) | None => {}
                }
                let next = self.sequence.next();
                if id < next {
                    self.restarted(out);
                }
                if id > self.sequence.next() {
                    self.counters.gaps += 1;
                    self.counters.gaps_lost += 1;
                    self.lost_up_to(id, out);
                }
                self.sequence.begun = true;
                self.sequence.live = Some(id);
                self.prove(out);
                self.sequence.last = Some(Last {
                    seq: id,
                    digest: None,
                });
            }
            match &event.events {
                Ok(events) => events.iter().for_each(|event| self.event(event, out)),
                Err(error) => self.unread(*error),
            }
        }
        self.flush(out);
    }
}
