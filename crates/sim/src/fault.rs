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
            for_ns: duration(random, 4_000),
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

fn two(random: &mut Rng, nodes: usize) -> (usize, usize) {
    let a = random.usize(..nodes);
    (a, (a + random.usize(1..nodes)) % nodes)
}

/// Short times as likely as long ones: 1 ms up to `ms_max`, evenly over the powers of two.
pub(crate) fn duration(random: &mut Rng, ms_max: u64) -> u64 {
    let powers = ms_max.ilog2();
    (1_000_000 << random.u32(0..=powers)) + random.u64(0..1_000_000)
}
