//! What goes wrong in a run, and when: all of it is decided before the run begins.

use fastrand::Rng;
use radix_core::time::Timestamp;

use crate::profile::Profile;

/// One thing that goes wrong. Durations are in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The link between two nodes breaks for a time.
    Cut { a: usize, b: usize, for_ns: u64 },
    /// A node loses all its links for a time.
    Isolate { node: usize, for_ns: u64 },
    /// One direction loses everything for a time, and nobody is told.
    OneWay { from: usize, to: usize, for_ns: u64 },
    /// A node stands still for a time.
    Pause { node: usize, for_ns: u64 },
    /// A node dies, loses everything and comes back after a time.
    Crash {
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
    let mut faults = Vec::new();
    let mut put = |count: u32, fault: &mut dyn FnMut(&mut Rng) -> Fault| {
        for _ in 0..count {
            let at = Timestamp(random.u64(0..end.0));
            let fault = fault(random);
            faults.push((at, fault));
        }
    };
    let two = |random: &mut Rng| {
        let a = random.usize(..nodes);
        (a, (a + random.usize(1..nodes)) % nodes)
    };
    if nodes > 1 {
        put(profile.cuts, &mut |random| {
            let (a, b) = two(random);
            Fault::Cut {
                a,
                b,
                for_ns: duration(random, 4_000),
            }
        });
        put(profile.isolations, &mut |random| Fault::Isolate {
            node: random.usize(..nodes),
            for_ns: duration(random, 4_000),
        });
        put(profile.one_way_losses, &mut |random| {
            let (from, to) = two(random);
            Fault::OneWay {
                from,
                to,
                for_ns: duration(random, 6_000),
            }
        });
    }
    put(profile.pauses, &mut |random| Fault::Pause {
        node: random.usize(..nodes),
        for_ns: duration(random, 3_000),
    });
    put(profile.crashes, &mut |random| Fault::Crash {
        node: random.usize(..nodes),
        for_ns: duration(random, 3_000),
        stale: profile.stale_restarts && random.bool(),
    });
    faults
}

/// Short times as likely as long ones: 1 ms up to `ms_max`, evenly over the powers of two.
fn duration(random: &mut Rng, ms_max: u64) -> u64 {
    let powers = ms_max.ilog2();
    (1_000_000 << random.u32(0..=powers)) + random.u64(0..1_000_000)
}
