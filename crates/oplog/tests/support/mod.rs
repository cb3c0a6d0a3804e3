//! A naive state that checks every step against what any other replica saw, and a network of replicas in virtual time.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use oplog::{
    ApplyError, Batch, Config, Event, Insert, Message, Op, Output, Pages, Parent, Replica, State,
};
use radix_core::id::{
    CopyRange, Incarnation, Namespace, OpId, OriginId, Rank, Seq, SourceId, Tier,
};
use radix_core::page::Fingerprint;
use radix_core::time::Timestamp;
use radix_core::{SnapshotDelta, SnapshotPlace, SnapshotRun};

/// Set digest after each op of each log, as the first replica that got there had it: the writer.
pub(crate) type History = Rc<RefCell<BTreeMap<(OriginId, Seq), u64>>>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copy {
    pub(crate) source: SourceId,
    pub(crate) tier: Tier,
    pub(crate) namespace: Namespace,
    /// From the root to this page.
    pub(crate) path: Vec<Fingerprint>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) inc: Incarnation,
    pub(crate) seq: Seq,
    pub(crate) copies: BTreeMap<(Seq, u16), Copy>,
}

/// Each log folded into a plain map. Panics when an op is applied past a gap or twice, or when a log's fold
/// differs from the one that its writer had at that place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) logs: BTreeMap<Rank, Log>,
    pub(crate) history: History,
    /// Takes damaged ops for what they are, for tests that damage them.
    pub(crate) unchecked: bool,
}

impl Model {
    pub(crate) fn sharing(history: &History) -> Model {
        Model {
            history: Rc::clone(history),
            ..Model::default()
        }
    }

    fn check(&self, origin: OriginId, seq: Seq) {
        if self.unchecked {
            return;
        }
        let digest = self.digest(origin.rank);
        let known = *self
            .history
            .borrow_mut()
            .entry((origin, seq))
            .or_insert(digest);
        assert_eq!(
            known, digest,
            "I5: {origin} at {seq} is not the fold of its log"
        );
    }

    fn insert(
        &mut self,
        at: OpId,
        idx: u16,
        place: &SnapshotPlace,
        run: (SourceId, Tier, &[Fingerprint]),
    ) -> Result<(), ApplyError> {
        let copies = &mut self.logs.entry(at.origin.rank).or_default().copies;
        let (namespace, mut path) = match place {
            SnapshotPlace::Root(namespace) => (*namespace, Vec::new()),
            SnapshotPlace::Copy { seq, idx } => match copies.get(&(*seq, *idx)) {
                Some(parent) => (parent.namespace, parent.path.clone()),
                None => {
                    return Err(ApplyError::UnknownParent {
                        seq: *seq,
                        idx: *idx,
                    });
                }
            },
            SnapshotPlace::Path(namespace, pages) => (*namespace, pages.clone()),
        };
        let (source, tier, pages) = run;
        for (offset, page) in (0u16..).zip(pages) {
            path.push(*page);
            let twice = copies.insert(
                (at.seq, idx + offset),
                Copy {
                    source,
                    tier,
                    namespace,
                    path: path.clone(),
                },
            );
            assert!(self.unchecked || twice.is_none(), "a name is given once");
        }
        Ok(())
    }
}

impl State for Model {
    fn apply(&mut self, at: OpId, op: &Op) -> Result<(), ApplyError> {
        let log = self.logs.entry(at.origin.rank).or_default();
        assert_eq!(
            (log.inc, log.seq.next()),
            (at.origin.inc, at.seq),
            "never past a gap, never twice"
        );
        log.seq = at.seq;
        let result = match op {
            Op::Insert(Insert {
                source,
                tier,
                parent,
                pages,
            }) => {
                let place = match parent {
                    Parent::Root(namespace) => SnapshotPlace::Root(*namespace),
                    Parent::Copy { seq, idx } => SnapshotPlace::Copy {
                        seq: *seq,
                        idx: *idx,
                    },
                    Parent::Path { namespace, pages } => {
                        SnapshotPlace::Path(*namespace, pages.0.clone())
                    }
                };
                self.insert(at, 0, &place, (*source, *tier, &pages.0))
            }
            Op::Remove { copies } => {
                for range in copies {
                    for idx in range.idx..range.idx + range.len {
                        log.copies.remove(&(range.seq, idx));
                    }
                }
                Ok(())
            }
            Op::ResetSource { source } => {
                log.copies.retain(|_, copy| copy.source != *source);
                Ok(())
            }
            Op::Checkpoint { .. } => Ok(()),
        };
        self.check(at.origin, at.seq);
        result
    }

    fn reset(&mut self, origin: OriginId, seq: Seq) {
        self.logs.insert(
            origin.rank,
            Log {
                inc: origin.inc,
                seq,
                copies: BTreeMap::new(),
            },
        );
    }

    fn rename(&mut self, rank: Rank, inc: Incarnation) {
        let log = self.logs.entry(rank).or_default();
        assert!(inc > log.inc, "I7: incarnations grow");
        log.inc = inc;
        let seq = log.seq;
        self.check(OriginId { rank, inc }, seq);
    }

    fn digest(&self, rank: Rank) -> u64 {
        let Some(log) = self.logs.get(&rank) else {
            return 0;
        };
        let mut sum = 0u64;
        for ((seq, idx), copy) in &log.copies {
            let bytes = postcard::to_stdvec(&(
                seq,
                idx,
                copy.source,
                copy.tier,
                copy.namespace,
                &copy.path,
            ))
            .expect("plain data");
            sum = sum.wrapping_add(xxhash_rust::xxh3::xxh3_64(&bytes));
        }
        sum
    }

    fn snapshot(&self, rank: Rank, base: Seq) -> Vec<SnapshotRun> {
        let Some(log) = self.logs.get(&rank) else {
            return Vec::new();
        };
        let behind = |(name, _): &(&(Seq, u16), &Copy)| name.0 > base;
        let mut copies: Vec<_> = log.copies.iter().filter(behind).collect();
        copies.sort_by_key(|(name, copy)| (copy.path.len(), **name));
        let run = |(&(seq, idx), copy): (&(Seq, u16), &Copy)| {
            let (last, before) = copy.path.split_last().expect("a copy has a page");
            let parent = log
                .copies
                .iter()
                .find(|(_, other)| other.namespace == copy.namespace && other.path == before);
            let place = match parent {
                Some((&(seq, idx), _)) => SnapshotPlace::Copy { seq, idx },
                None if before.is_empty() => SnapshotPlace::Root(copy.namespace),
                None => SnapshotPlace::Path(copy.namespace, before.to_vec()),
            };
            SnapshotRun {
                source: copy.source,
                tier: copy.tier,
                place,
                seq,
                idx,
                pages: vec![*last],
            }
        };
        copies.into_iter().map(run).collect()
    }

    fn load(&mut self, origin: OriginId, seq: Seq, delta: SnapshotDelta) -> Result<(), ApplyError> {
        let before = self.logs.remove(&origin.rank).unwrap_or_default();
        assert!(
            delta.base == Seq::ZERO
                || before.inc == origin.inc && (delta.base..seq).contains(&before.seq),
            "changes fit onto what is here"
        );
        let stays = |(seq, idx): &(Seq, u16), copy: &Copy| {
            let of = |range: &CopyRange| {
                range.seq == *seq && (range.idx..range.idx + range.len).contains(idx)
            };
            *seq <= delta.base
                && !delta.sources.contains(&copy.source)
                && !delta.removed.iter().any(of)
        };
        self.reset(origin, seq);
        let stay = before
            .copies
            .into_iter()
            .filter(|(name, copy)| stays(name, copy));
        self.logs.entry(origin.rank).or_default().copies = stay.collect();
        for run in delta.runs {
            let at = OpId {
                origin,
                seq: run.seq,
            };
            if let Err(error) =
                self.insert(at, run.idx, &run.place, (run.source, run.tier, &run.pages))
            {
                self.reset(origin, seq);
                return Err(error);
            }
        }
        self.check(origin, seq);
        Ok(())
    }
}

pub(crate) const fn rank(rank: u16) -> Rank {
    Rank(rank)
}

pub(crate) const fn origin(rank: u16, inc: u64) -> OriginId {
    OriginId {
        rank: Rank(rank),
        inc: Incarnation(inc),
    }
}

pub(crate) fn pages(pages: &[u64]) -> Pages {
    Pages(pages.iter().copied().map(Fingerprint).collect())
}

pub(crate) fn insert(page: u64, count: u64) -> Op {
    let parent = Parent::Root(Namespace(page % 3));
    let pages = Pages((page..page + count).map(Fingerprint).collect());
    Op::Insert(Insert {
        source: SourceId(0),
        tier: Tier::Device,
        parent,
        pages,
    })
}

pub(crate) fn remove(seq: u64, idx: u16, len: u16) -> Op {
    Op::Remove {
        copies: vec![CopyRange {
            seq: Seq(seq),
            idx,
            len,
        }],
    }
}

pub(crate) fn batch(origin: OriginId, first: u64, ops: &[Op]) -> Batch {
    Batch {
        origin,
        first: Seq(first),
        count: ops.len() as u32,
        ops: Batch::encode_ops(ops),
    }
}

pub(crate) const fn ms(ms: u64) -> Timestamp {
    Timestamp(ms * 1_000_000)
}

/// A checkpoint interval that tests do not reach by accident, and no wait for company.
pub(crate) fn config() -> Config {
    Config {
        batch_delay: Duration::ZERO,
        checkpoint_interval: Duration::from_secs(600),
        ..Config::default()
    }
}

/// One replica and what it said.
pub(crate) struct Node {
    pub(crate) replica: Replica<Model>,
    pub(crate) out: Vec<Output>,
}

impl Node {
    pub(crate) fn new(me: OriginId, config: Config) -> Node {
        Node::sharing(me, config, &History::default())
    }

    pub(crate) fn sharing(me: OriginId, config: Config, history: &History) -> Node {
        let seed = u64::from(me.rank.0) ^ me.inc.0 << 16;
        Node {
            replica: Replica::new(me, config, seed, Model::sharing(history)),
            out: Vec::new(),
        }
    }

    pub(crate) fn handle(&mut self, at: u64, from: u16, message: Message) -> Vec<Output> {
        self.replica
            .handle(ms(at), Rank(from), message, &mut self.out);
        std::mem::take(&mut self.out)
    }

    pub(crate) fn tick(&mut self, at: u64) -> Vec<Output> {
        self.replica.tick(ms(at), &mut self.out);
        std::mem::take(&mut self.out)
    }

    pub(crate) fn publish(&mut self, at: u64, op: Op) -> Vec<Output> {
        self.replica
            .publish(ms(at), op)
            .expect("the test publishes what can be");
        self.replica.flush(ms(at), &mut self.out);
        std::mem::take(&mut self.out)
    }

    pub(crate) fn seq(&self, rank: u16) -> u64 {
        self.replica.offer().entry(Rank(rank)).seq.0
    }

    pub(crate) fn copies(&self, rank: u16) -> usize {
        self.replica
            .state()
            .logs
            .get(&Rank(rank))
            .map_or(0, |log| log.copies.len())
    }
}

pub(crate) fn events(out: &[Output]) -> Vec<Event> {
    out.iter()
        .filter_map(|output| {
            if let Output::Event(event) = output {
                Some(*event)
            } else {
                None
            }
        })
        .collect()
}

pub(crate) fn sent(out: &[Output]) -> Vec<(u16, Message)> {
    out.iter()
        .filter_map(|output| {
            if let Output::Send { to, message } = output {
                Some((to.0, message.clone()))
            } else {
                None
            }
        })
        .collect()
}

/// Replicas, and messages between them in the order in which they were sent.
pub(crate) struct Net {
    pub(crate) now: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) wires: VecDeque<(u16, u16, Message)>,
    pub(crate) events: Vec<(u16, Event)>,
    pub(crate) history: History,
    pub(crate) config: Config,
    incs: u64,
}

impl Net {
    pub(crate) fn new(nodes: u16, config: Config) -> Net {
        let history = History::default();
        let nodes = (0..nodes)
            .map(|rank| Node::sharing(origin(rank, 1), config.clone(), &history))
            .collect();
        Net {
            now: 0,
            nodes,
            wires: VecDeque::new(),
            events: Vec::new(),
            history,
            config,
            incs: 1,
        }
    }

    pub(crate) fn node(&mut self, rank: u16) -> &mut Node {
        &mut self.nodes[usize::from(rank)]
    }

    pub(crate) fn publish(&mut self, rank: u16, op: Op) {
        let now = ms(self.now);
        let node = self.node(rank);
        // An op without effect is part of the game.
        let _ = node.replica.publish(now, op);
        self.carry(rank);
    }

    pub(crate) fn flush(&mut self, rank: u16) {
        let now = ms(self.now);
        let node = self.node(rank);
        node.replica.flush(now, &mut node.out);
        self.carry(rank);
    }

    pub(crate) fn offer(&mut self, from: u16, to: u16) {
        let vector = self.node(from).replica.offer();
        self.wires.push_back((
            from,
            to,
            Message::Offer {
                vector,
                reply: true,
            },
        ));
    }

    /// Starts a rank anew, empty, in a life that it never had.
    pub(crate) fn restart(&mut self, rank: u16) {
        self.incs += 100;
        self.nodes[usize::from(rank)] =
            Node::sharing(origin(rank, self.incs), self.config.clone(), &self.history);
    }

    /// Delivers the message at `index`.
    pub(crate) fn deliver(&mut self, index: usize) {
        let Some((from, to, message)) = self.wires.remove(index) else {
            return;
        };
        let now = ms(self.now);
        let node = self.node(to);
        node.replica.handle(now, Rank(from), message, &mut node.out);
        self.carry(to);
    }

    pub(crate) fn advance(&mut self, ms: u64) {
        self.now += ms;
        for rank in 0..self.nodes.len() as u16 {
            let now = Timestamp(self.now * 1_000_000);
            let node = self.node(rank);
            if node.replica.next_deadline().is_some_and(|at| at <= now) {
                node.replica.tick(now, &mut node.out);
                assert!(
                    node.replica.next_deadline().is_none_or(|at| at > now),
                    "a tick does all that is due"
                );
            }
            self.carry(rank);
        }
    }

    fn carry(&mut self, from: u16) {
        for output in std::mem::take(&mut self.node(from).out) {
            match output {
                Output::Broadcast(batch) => {
                    for to in (0..self.nodes.len() as u16).filter(|to| *to != from) {
                        self.wires
                            .push_back((from, to, Message::Batch(batch.clone())));
                    }
                }
                Output::Send { to, message } => {
                    if usize::from(to.0) < self.nodes.len() {
                        self.wires.push_back((from, to.0, message));
                    }
                }
                Output::Event(event) => self.events.push((from, event)),
                Output::Applied { first, last, .. } => assert!(first <= last),
                Output::Reincarnated { .. } => {}
            }
        }
    }

    /// Lets everything arrive in order, with offers twice a second, until all have the same.
    ///
    /// Returns the virtual milliseconds it took.
    pub(crate) fn settle(&mut self) -> u64 {
        let start = self.now;
        while self.now < start + 120_000 {
            if (self.now - start).is_multiple_of(500) {
                for from in 0..self.nodes.len() as u16 {
                    self.flush(from);
                    for to in (0..self.nodes.len() as u16).filter(|to| *to != from) {
                        self.offer(from, to);
                    }
                }
            }
            while !self.wires.is_empty() {
                self.deliver(0);
            }
            self.advance(10);
            if self.wires.is_empty() && self.is_settled() {
                return self.now - start;
            }
        }
        let vectors: Vec<_> = self.nodes.iter().map(|node| node.replica.offer()).collect();
        panic!(
            "no agreement after two minutes: {vectors:#?} {:#?}",
            &self.events[self.events.len().saturating_sub(20)..]
        );
    }

    pub(crate) fn is_settled(&self) -> bool {
        let vector = self.nodes[0].replica.offer();
        self.nodes.iter().all(|node| node.replica.offer() == vector)
    }

    /// Equal vectors must mean equal copies and equal digests.
    pub(crate) fn assert_equal(&self) {
        let first = &self.nodes[0].replica;
        for node in &self.nodes[1..] {
            for rank in first.offer().0.keys() {
                assert_eq!(
                    first.digests(*rank),
                    node.replica.digests(*rank),
                    "rank {rank}"
                );
                let copies = |replica: &Replica<Model>| {
                    replica.state().logs.get(rank).map(|log| log.copies.clone())
                };
                assert_eq!(
                    copies(first).unwrap_or_default(),
                    copies(&node.replica).unwrap_or_default(),
                    "rank {rank}"
                );
            }
        }
    }
}
