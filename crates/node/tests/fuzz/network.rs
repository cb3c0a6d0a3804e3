//! Three real nodes and a network that the input rules: it carries, drops, doubles, bends and forges frames.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use node::{Boot, Effect, Input, Node, NodeConfig, Publish, wire};
use radix_core::id::{Incarnation, Namespace, Rank, SourceId, Tier};
use radix_core::page::Fingerprint;
use radix_core::time::Timestamp;
use topology::Role;

use crate::frames::{self, forged};
use crate::heap;

const NODES: u16 = 3;
/// Frames under way; the oldest is lost beyond.
const WIRES_MAX: usize = 64;
/// Frames and words that one input may lead to.
const EFFECTS_MAX: usize = 4_096;
/// The largest frame that a link carries.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// What one input may make a node hold, for each byte of it and besides. The table of a snapshot's chunks is 512 KiB.
const HELD_PER_BYTE_MAX: usize = 256;
const HELD_MAX: usize = 1 << 20;

pub(crate) struct Network {
    nodes: Vec<Node>,
    wires: VecDeque<(Rank, Rank, Bytes)>,
    now: Timestamp,
    kinds: Vec<u8>,
}

/// What a script came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reached {
    pub(crate) ops: u64,
    pub(crate) snapshots: u64,
    pub(crate) bad_frames: u64,
}

impl Network {
    /// Nodes whose limits are so small that snapshots, overflows and checkpoints are common.
    pub(crate) fn new(knobs: u8, kinds: Vec<u8>) -> Network {
        let now = Timestamp(1);
        let node = |rank| {
            let members = (0..NODES).map(|rank| (Rank(rank), Role::Decode)).collect();
            let mut config = NodeConfig::new(Rank(rank), members);
            config.log.tail_ops_max = [0, 2, 1_000][usize::from(knobs % 3)];
            config.log.snapshot_chunk_bytes = 16;
            config.log.snapshot_bytes_max = 64 << 10;
            config.log.reorder_ops_max = 4;
            config.log.checkpoint_ops = 4;
            config.log.repair_interval = Duration::from_millis(10);
            let inc = Incarnation(if knobs & 128 == 0 { 1 } else { 1 << 20 });
            let seed = u64::from(rank);
            Node::new(config, Boot { inc, seed }, now).expect("the configuration is sound")
        };
        Network {
            nodes: (0..NODES).map(node).collect(),
            wires: VecDeque::new(),
            now,
            kinds,
        }
    }

    /// Returns what became of what the nodes sent each other, all together.
    pub(crate) fn reached(&self) -> Reached {
        let mut reached = Reached::default();
        for node in &self.nodes {
            let log = node.replica().counters();
            reached.ops += log.ops_accepted;
            reached.snapshots += log.snapshots_loaded;
            reached.bad_frames += node.status().counters.frames_bad;
        }
        reached
    }

    /// Does what the next bytes say.
    pub(crate) fn step(&mut self, script: &mut frames::Input<'_>) {
        let what = script.byte();
        let at = Rank(u16::from(script.byte()) % NODES);
        let peer = Rank((at.0 + 1 + u16::from(script.byte()) % (NODES - 1)) % NODES);
        match what % 16 {
            0 => self.link(at, peer),
            1 => self.input(at, Input::LinkDown { peer }, 0),
            2 => {
                let waits = [1, 30, 400, 5_000];
                self.pass(Duration::from_millis(waits[usize::from(what / 16) % 4]));
            }
            3 | 4 => self.publish(at, script),
            5 => self.input(at, Input::Flush, 0),
            6 => {
                let bytes = forged(&self.kinds, script, 60);
                self.deliver(peer, at, bytes);
            }
            7 => self.bend(script),
            8 => {
                self.wires.pop_front();
            }
            9 => {
                let copy = self.wires.front().cloned();
                self.wires.extend(copy);
            }
            10 if !self.wires.is_empty() => {
                let count = usize::from(what / 16) % self.wires.len();
                self.wires.rotate_left(count);
            }
            _ => {
                for _ in 0..=what / 16 {
                    if let Some((from, to, bytes)) = self.wires.pop_front() {
                        self.deliver(from, to, bytes);
                    }
                }
            }
        }
    }

    fn link(&mut self, a: Rank, b: Rank) {
        for (at, peer) in [(a, b), (b, a)] {
            let inc = self.nodes[usize::from(peer.0)].replica().me().inc;
            self.input(at, Input::LinkUp { peer, inc }, 0);
        }
    }

    fn publish(&mut self, at: Rank, script: &mut frames::Input<'_>) {
        let (kind, len) = (script.byte(), usize::from(script.byte()) % 6 + 1);
        let page = |byte: &u8| Fingerprint(u64::from(byte % 3));
        let pages: Vec<Fingerprint> = script.take(len).iter().map(page).collect();
        let from = u32::from(kind / 16) % 4;
        let (source, namespace) = (SourceId(u16::from(kind % 2)), Namespace::DEFAULT);
        let publish = match kind % 4 {
            0 => Publish::Evict {
                source,
                namespace,
                pages,
                from,
            },
            1 if kind > 200 => Publish::Reset { source },
            _ => Publish::Store {
                source,
                namespace,
                tier: Tier::Device,
                pages,
                from,
                renew: kind % 8 == 3,
            },
        };
        self.input(at, Input::Publish(publish), 0);
    }

    /// Delivers the next frame with one byte changed, or cut short.
    fn bend(&mut self, script: &mut frames::Input<'_>) {
        let (place, flip) = (usize::from(script.byte()), script.byte());
        if let Some((from, to, bytes)) = self.wires.pop_front() {
            let mut bytes = bytes.to_vec();
            if flip == 0 {
                bytes.truncate(place % bytes.len());
            } else {
                let place = place % bytes.len();
                bytes[place] ^= flip;
            }
            self.deliver(from, to, bytes.into());
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now.after(time);
        for at in 0..NODES {
            for _ in 0..100 {
                let due = self.nodes[usize::from(at)].next_deadline();
                let Some(due) = due.filter(|due| *due <= end) else {
                    break;
                };
                self.now = self.now.max(due);
                self.input(Rank(at), Input::Tick, 0);
            }
        }
        self.now = end;
    }

    fn deliver(&mut self, from: Rank, to: Rank, bytes: Bytes) {
        let len = bytes.len();
        self.input(to, Input::Frame { from, bytes }, len);
    }

    fn input(&mut self, at: Rank, input: Input, len: usize) {
        let mut effects = Vec::new();
        let (node, now) = (&mut self.nodes[usize::from(at.0)], self.now);
        let ((), held) = heap::measured(|| node.handle(now, input, &mut effects));
        assert!(
            held <= HELD_MAX + HELD_PER_BYTE_MAX * len,
            "{held} bytes held for {len}"
        );
        assert!(effects.len() <= EFFECTS_MAX, "{} effects", effects.len());
        for effect in effects {
            if let Effect::Send { to, frame, .. } = effect {
                let bytes = frame.to_bytes();
                assert!(bytes.len() <= FRAME_BYTES_MAX);
                assert!(wire::decode(&bytes).is_ok(), "a node sends frames");
                if to.0 < NODES {
                    self.wires.push_back((at, to, bytes));
                }
            }
        }
        while self.wires.len() > WIRES_MAX {
            self.wires.pop_front();
        }
    }
}
