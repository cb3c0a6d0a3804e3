//! What goes wrong in a run, and when: all of it is decided before the run begins.

use fastrand::Rng;
use radix_core::time::Timestamp;

use crate::profile::Profile;

/// Which incarnation a node comes back with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rebirth {
    /// Above all before, as the rules want it.
    Proper,
    /// Below one already used, but new: its file is lost and its clock went back.
    Stale,
    /// The one of the life before, though all else is lost. Against the rules.
    Same,
}

/// One thing that goes wrong. Durations are in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The link between two nodes breaks for a time.
    Cut { a: usize, b: usize, for_ns: u64 },
    /// A link breaks and mends again and again.
    Flap {
        a: usize,
        b: usize,
        period_ns: u64,
        times: u32,
    },
    /// A node loses all its links for a time.
    Isolate { node: usize, for_ns: u64 },
    /// One direction loses everything for a time, and nobody is told. Without a time it stays so.
    OneWay {
        from: usize,
        to: usize,
        for_ns: Option<u64>,
    },
    /// Everything to and from a node is held up for a time.
    Clog { node: usize, for_ns: u64 },
    /// One direction carries only so much for a time.
    Narrow {
        from: usize,
        to: usize,
        for_ns: u64,
        bytes_per_s: u64,
        bytes_max: usize,
    },
    /// A node stands still for a time.
    Pause { node: usize, for_ns: u64 },
    /// A node needs so long for everything it does.
    Slow {
        node: usize,
        for_ns: u64,
        each_ns: u64,
    },
    /// A node's clock jumps ahead.
    Jump { node: usize, by_ns: u64 },
    /// A node dies, loses everything and comes back after a time; and again as often as it says.
    Crash {
        node: usize,
        for_ns: u64,
        rebirth: Rebirth,
        again: u32,
    },
    /// Whoever next sends a piece of a snapshot that is not the last dies.
    ResponderDies { for_ns: u64 },
    /// The next ops that a node receives are others than were sent.
    Damage { node: usize },
    /// A second process begins to live under the rank of a node, for a time.
    Double {
        node: usize,
        for_ns: u64,
        stale: bool,
    },
    /// A node that nobody configured joins.
    Join { node: usize },
    /// A node leaves on purpose, and comes back after a time if one is given.
    Leave {
        node: usize,
        drain_ns: u64,
        back_ns: Option<u64>,
    },
    /// A node dies for good, and another host takes its rank after a time.
    Replace { node: usize, for_ns: u64 },
    /// The operator asks one node to forget another.
    Forget { at: usize, node: usize },
    /// A node is told that a living one is suspected.
    Accuse { at: usize, node: usize },
}

impl Fault {
    /// Returns the same with hosts instead of the ranks it was planned for.
    pub(crate) fn at(mut self, home: impl Fn(usize) -> usize) -> Fault {
        match &mut self {
            Fault::Cut { a, b, .. } | Fault::Flap { a, b, .. } => (*a, *b) = (home(*a), home(*b)),
            Fault::OneWay { from, to, .. } | Fault::Narrow { from, to, .. } => {
                (*from, *to) = (home(*from), home(*to));
            }
            Fault::Forget { at, node } | Fault::Accuse { at, node } => {
                (*at, *node) = (home(*at), home(*node));
            }
            Fault::Isolate { node, .. }
            | Fault::Clog { node, .. }
            | Fault::Pause { node, .. }
            | Fault::Slow { node, .. }
            | Fault::Jump { node, .. }
            | Fault::Crash { node, .. }
            | Fault::Damage { node }
            | Fault::Double { node, .. }
            | Fault::Join { node }
            | Fault::Leave { node, .. }
            | Fault::Replace { node, .. } => *node = home(*node),
            Fault::ResponderDies { .. } => {}
        }
        self
    }
}

/// Draws the faults of a run, in no order.
pub(crate) fn plan(
    nodes: usize,
    profile: &Profile,
    end: Timestamp,
    random: &mut Rng,
) -> Vec<(Timestamp, Fault)> {
    let mut plan = Plan {
        nodes,
        end,
        faults: Vec::new(),
        random,
    };
    if nodes > 1 {
        plan.links(profile);
    }
    plan.nodes(profile);
    plan.members(profile);
    plan.faults
}

struct Plan<'a> {
    nodes: usize,
    end: Timestamp,
    faults: Vec<(Timestamp, Fault)>,
    random: &'a mut Rng,
}

impl Plan<'_> {
    fn put(&mut self, count: u32, fault: impl Fn(&mut Rng, usize) -> Fault) {
        for _ in 0..count {
            let at = Timestamp(self.random.u64(0..self.end.0));
            let fault = fault(self.random, self.nodes);
            self.faults.push((at, fault));
        }
    }

    fn links(&mut self, profile: &Profile) {
        self.put(profile.cuts, |random, nodes| {
            let (a, b) = two(random, nodes);
            let for_ns = duration(random, 4_000);
            Fault::Cut { a, b, for_ns }
        });
        self.put(profile.flaps, |random, nodes| {
            let (a, b) = two(random, nodes);
            Fault::Flap {
                a,
                b,
                period_ns: random.u64(40_000_000..800_000_000),
                times: random.u32(3..12),
            }
        });
        self.put(profile.isolations, |random, nodes| Fault::Isolate {
            node: random.usize(..nodes),
            for_ns: duration(random, 8_000),
        });
        self.put(profile.one_way_losses, |random, nodes| {
            let (from, to) = two(random, nodes);
            Fault::OneWay {
                from,
                to,
                for_ns: Some(duration(random, 6_000)),
            }
        });
        self.put(profile.one_way_for_ever, |random, nodes| {
            let (from, to) = two(random, nodes);
            let for_ns = None;
            Fault::OneWay { from, to, for_ns }
        });
        self.put(profile.narrows, |random, nodes| {
            let (from, to) = two(random, nodes);
            Fault::Narrow {
                from,
                to,
                for_ns: duration(random, 6_000),
                bytes_per_s: 1_000 << random.u32(0..10),
                bytes_max: 256 << random.u32(0..10),
            }
        });
        for _ in 0..profile.swizzles {
            self.swizzle();
        }
    }

    /// Clogs some nodes one after the other, and lets them go in another order.
    fn swizzle(&mut self) {
        let begin = self.random.u64(0..self.end.0);
        for node in 0..self.nodes {
            if self.random.bool() {
                continue;
            }
            let at = begin + self.random.u64(0..1_500_000_000);
            let for_ns = duration(self.random, 2_000);
            self.faults
                .push((Timestamp(at), Fault::Clog { node, for_ns }));
        }
    }

    fn nodes(&mut self, profile: &Profile) {
        self.put(profile.pauses, |random, nodes| Fault::Pause {
            node: random.usize(..nodes),
            for_ns: duration(random, 3_000),
        });
        self.put(profile.slows, |random, nodes| Fault::Slow {
            node: random.usize(..nodes),
            for_ns: duration(random, 4_000),
            each_ns: 50_000 << random.u32(0..9),
        });
        self.put(profile.jumps, |random, nodes| Fault::Jump {
            node: random.usize(..nodes),
            by_ns: duration(random, 3_600_000),
        });
        let rebirth = |random: &mut Rng| match random.u8(..8) {
            0..3 if profile.stale_restarts => Rebirth::Stale,
            3..5 if profile.same_restarts => Rebirth::Same,
            _ => Rebirth::Proper,
        };
        self.put(profile.crashes, |random, nodes| Fault::Crash {
            node: random.usize(..nodes),
            for_ns: duration(random, 3_000),
            rebirth: rebirth(random),
            again: 0,
        });
        self.put(profile.crash_loops, |random, nodes| Fault::Crash {
            node: random.usize(..nodes),
            for_ns: duration(random, 500),
            rebirth: Rebirth::Proper,
            again: random.u32(2..6),
        });
        self.put(profile.responder_deaths, |random, _| Fault::ResponderDies {
            for_ns: duration(random, 2_000),
        });
        self.put(profile.damages, |random, nodes| Fault::Damage {
            node: random.usize(..nodes),
        });
        self.put(profile.doubles, |random, nodes| Fault::Double {
            node: random.usize(..nodes),
            for_ns: duration(random, 4_000),
            stale: random.bool(),
        });
    }
}

impl Plan<'_> {
    fn members(&mut self, profile: &Profile) {
        for joiner in 0..profile.joiners {
            let node = self.nodes + joiner;
            let at = Timestamp(self.random.u64(0..self.end.0));
            self.faults.push((at, Fault::Join { node }));
        }
        self.put(profile.leaves, |random, nodes| Fault::Leave {
            node: random.usize(..nodes),
            drain_ns: duration(random, 500),
            back_ns: random.bool().then(|| duration(random, 4_000)),
        });
        self.put(profile.replaces, |random, nodes| Fault::Replace {
            node: random.usize(..nodes),
            for_ns: duration(random, 4_000),
        });
        self.put(profile.forgets, |random, nodes| Fault::Forget {
            at: random.usize(..nodes),
            node: random.usize(..nodes),
        });
        if self.nodes > 1 {
            self.put(profile.accusations, |random, nodes| {
                let (at, node) = two(random, nodes);
                Fault::Accuse { at, node }
            });
        }
    }
}

fn two(random: &mut Rng, nodes: usize) -> (usize, usize) {
    let a = random.usize(..nodes);
    (a, (a + random.usize(1..nodes)) % nodes)
}

/// Short times as likely as long ones: 1 ms up to `ms_max`, evenly over the powers of two.
pub(crate) fn duration(random: &mut Rng, ms_max: u64) -> u64 {
    let powers = ms_max.ilog2();
    (1_000_000 << random.u32(0..=powers)) + random.u64(0..1_000_000)
}
