//! The log that this replica writes, and its open batch. It knows no state and no peers.

use std::collections::VecDeque;

use bytes::BytesMut;
use radix_core::id::{Incarnation, OriginId, Seq};
use radix_core::time::Timestamp;

use crate::batch::Batch;
use crate::chain::Chain;
use crate::config::Config;
use crate::delta::Stretch;
use crate::limits::READY_BATCHES_MAX;
use crate::op::Op;
use crate::tail::Tail;

#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) me: OriginId,
    /// The last op appended.
    pub(crate) seq: Seq,
    pub(crate) chain: Chain,
    pub(crate) tail: Tail,
    /// When the first op of the open batch was appended.
    opened: Option<Timestamp>,
    open: BytesMut,
    open_count: u32,
    open_says: Stretch,
    ready: VecDeque<Batch>,
    scratch: Vec<u8>,
    /// Ops since the last checkpoint, and when the first of them was appended.
    unchecked: u32,
    unchecked_since: Timestamp,
    /// The highest incarnation of this rank that somebody else knows of, while it is not answered.
    pub(crate) challenge: Option<Incarnation>,
    pub(crate) reincarnated: Option<Timestamp>,
}

impl Own {
    pub(crate) fn new(me: OriginId, config: &Config) -> Own {
        Own {
            me,
            seq: Seq::ZERO,
            chain: Chain::start(me),
            tail: Tail::new(config.tail_ops_max, config.tail_bytes_max),
            opened: None,
            open: BytesMut::new(),
            open_count: 0,
            open_says: Stretch::default(),
            ready: VecDeque::new(),
            scratch: Vec::new(),
            unchecked: 0,
            unchecked_since: Timestamp(0),
            challenge: None,
            reincarnated: None,
        }
    }

    /// Appends an op behind the last; returns its place and how many closed batches were given up for room.
    pub(crate) fn append(&mut self, now: Timestamp, op: &Op, config: &Config) -> (Seq, u64) {
        self.scratch.clear();
        op.encode(&mut self.scratch);
        let mut unsent = 0;
        if self.open_count > 0 && self.open.len() + self.scratch.len() > config.batch_bytes_max {
            unsent = self.close();
        }
        self.open.extend_from_slice(&self.scratch);
        self.open_count += 1;
        self.open_says.add(self.seq.next(), op);
        self.opened.get_or_insert(now);
        self.chain.push(&self.scratch);
        self.seq = self.seq.next();
        if matches!(op, Op::Checkpoint { .. }) {
            self.unchecked = 0;
        } else {
            if self.unchecked == 0 {
                self.unchecked_since = now;
            }
            self.unchecked += 1;
        }
        (self.seq, unsent)
    }

    /// Closes the open batch; returns how many closed batches were given up for room.
    pub(crate) fn close(&mut self) -> u64 {
        if self.open_count == 0 {
            return 0;
        }
        let first = Seq(self.seq.0 + 1 - u64::from(self.open_count));
        let batch = Batch {
            origin: self.me,
            first,
            count: self.open_count,
            ops: self.open.split().freeze(),
        };
        self.open_count = 0;
        let says = std::mem::take(&mut self.open_says);
        self.tail.push(self.seq, batch.clone(), says);
        self.ready.push_back(batch);
        let mut unsent = 0;
        while self.ready.len() > READY_BATCHES_MAX {
            self.ready.pop_front();
            unsent += 1;
        }
        unsent
    }

    /// Returns the next closed batch that was not broadcast yet.
    pub(crate) fn take_ready(&mut self) -> Option<Batch> {
        let batch = self.ready.pop_front();
        if batch.is_none() {
            self.opened = None;
        }
        batch
    }

    pub(crate) fn wants_checkpoint(&self, now: Timestamp, config: &Config) -> bool {
        self.unchecked >= config.checkpoint_ops
            || self.checkpoint_deadline(config).is_some_and(|at| at <= now)
    }

    pub(crate) fn checkpoint_deadline(&self, config: &Config) -> Option<Timestamp> {
        (self.unchecked > 0).then(|| self.unchecked_since.after(config.checkpoint_interval))
    }

    pub(crate) fn flush_deadline(&self, config: &Config) -> Option<Timestamp> {
        self.opened.map(|at| at.after(config.batch_delay))
    }

    pub(crate) fn challenge_deadline(&self, config: &Config) -> Option<Timestamp> {
        self.challenge?;
        Some(
            self.reincarnated
                .map_or(Timestamp(0), |at| at.after(config.reincarnate_interval)),
        )
    }

    /// Goes on under a new incarnation at the same place. Nothing of the log before can be sent any more.
    // spec: OPLOG-14
    pub(crate) fn rename(&mut self, now: Timestamp, inc: Incarnation) {
        self.me.inc = inc;
        self.chain = Chain::start(self.me);
        self.tail.clear();
        self.ready.clear();
        self.open.clear();
        self.open_count = 0;
        self.open_says = Stretch::default();
        self.opened = None;
        self.unchecked = 0;
        self.challenge = None;
        self.reincarnated = Some(now);
    }
}
