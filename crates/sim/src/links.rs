//! The links between the nodes: who can reach whom, and what becomes of a frame on the way.

use fastrand::Rng;
use radix_core::time::Timestamp;

use crate::profile::Profile;
use crate::report::Reached;

/// What becomes of one frame.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    /// When it arrives.
    pub(crate) arrives: Option<Timestamp>,
    /// When its double arrives.
    pub(crate) doubled: Option<Timestamp>,
    /// Which link carries it.
    pub(crate) epoch: u32,
}

/// One connection between two nodes, seen by its two ends.
#[derive(Clone, Debug, Default)]
struct Link {
    up: bool,
    /// Grows with every new connection; a frame of an older one is lost.
    epoch: u32,
    /// Reasons to be cut.
    cuts: u16,
    /// What the lower and the higher end believe to be connected by.
    believed: [Option<u32>; 2],
}

/// One direction of a link.
#[derive(Clone, Debug)]
struct Way {
    base_ns: u64,
    last_arrival: Timestamp,
    deaf_until: Timestamp,
}

/// All links of a world.
#[derive(Debug)]
pub(crate) struct Links {
    nodes: usize,
    /// `[lower][higher]`, flat.
    links: Vec<Link>,
    /// `[from][to]`, flat.
    ways: Vec<Way>,
    random: Rng,
    calm: bool,
}

impl Links {
    pub(crate) fn new(nodes: usize, profile: &Profile, mut random: Rng) -> Links {
        let ways = (0..nodes * nodes)
            .map(|_| Way {
                base_ns: random.u64(20_000..=profile.delay_ns_max.max(20_000)),
                last_arrival: Timestamp::default(),
                deaf_until: Timestamp::default(),
            })
            .collect();
        Links {
            nodes,
            links: vec![Link::default(); nodes * nodes],
            ways,
            random,
            calm: false,
        }
    }

    /// From now on frames are only delayed.
    pub(crate) fn calm_down(&mut self) {
        self.calm = true;
        for link in &mut self.links {
            link.cuts = 0;
        }
        for way in &mut self.ways {
            way.deaf_until = Timestamp::default();
        }
    }

    pub(crate) fn is_up(&self, a: usize, b: usize) -> bool {
        self.links[self.pair(a, b)].up
    }

    /// Returns the connection that `at` believes to have with `peer`.
    pub(crate) fn believed(&self, at: usize, peer: usize) -> Option<u32> {
        self.links[self.pair(at, peer)].believed[usize::from(at > peer)]
    }

    /// A node was told that its connection is there, or gone.
    pub(crate) fn believe(&mut self, at: usize, peer: usize, epoch: Option<u32>) {
        let pair = self.pair(at, peer);
        self.links[pair].believed[usize::from(at > peer)] = epoch;
    }

    /// Adds a reason for the link to be cut; returns the connection that broke by it.
    pub(crate) fn cut(&mut self, a: usize, b: usize) -> Option<u32> {
        let pair = self.pair(a, b);
        self.links[pair].cuts += 1;
        self.break_up(a, b)
    }

    /// Takes a reason away; returns whether the link may be connected again.
    pub(crate) fn mend(&mut self, a: usize, b: usize) -> bool {
        let pair = self.pair(a, b);
        let link = &mut self.links[pair];
        link.cuts = link.cuts.saturating_sub(1);
        link.cuts == 0 && !link.up
    }

    /// Breaks the connection that there is, if any.
    pub(crate) fn break_up(&mut self, a: usize, b: usize) -> Option<u32> {
        let pair = self.pair(a, b);
        let link = &mut self.links[pair];
        std::mem::take(&mut link.up).then_some(link.epoch)
    }

    /// Connects two nodes unless the link is cut or up; returns the new connection.
    pub(crate) fn connect(&mut self, a: usize, b: usize) -> Option<u32> {
        let pair = self.pair(a, b);
        let link = &mut self.links[pair];
        if link.up || link.cuts > 0 {
            return None;
        }
        link.up = true;
        link.epoch += 1;
        Some(link.epoch)
    }

    /// One direction loses everything, and nobody is told.
    pub(crate) fn deafen(&mut self, from: usize, to: usize, until: Timestamp) {
        let way = &mut self.ways[from * self.nodes + to];
        way.deaf_until = way.deaf_until.max(until);
    }

    /// Returns whether a frame of that connection still reaches `to`.
    pub(crate) fn carries(&self, from: usize, to: usize, epoch: u32) -> bool {
        let link = &self.links[self.pair(from, to)];
        link.up && link.epoch == epoch && self.believed(to, from) == Some(epoch)
    }

    /// Decides about one frame.
    pub(crate) fn send(
        &mut self,
        now: Timestamp,
        from: usize,
        to: usize,
        profile: &Profile,
        reached: &mut Reached,
    ) -> Fate {
        let Some(epoch) = self.believed(from, to) else {
            reached.frames_unlinked += 1;
            return Fate::default();
        };
        let link = &self.links[self.pair(from, to)];
        if !link.up || link.epoch != epoch {
            reached.frames_lost_with_link += 1;
            return Fate::default();
        }
        let way = &mut self.ways[from * self.nodes + to];
        let dice = self.random.u64(..);
        let mut delay = way.base_ns + (dice >> 40) % (way.base_ns + 1);
        let mut fate = Fate {
            epoch,
            ..Fate::default()
        };
        if !self.calm {
            if now < way.deaf_until {
                reached.frames_dropped += 1;
                return fate;
            }
            let [drop, double, overtake, late] = chances(dice);
            if drop < profile.drop_1024 {
                reached.frames_dropped += 1;
                return fate;
            }
            if double < profile.double_1024 {
                reached.frames_doubled += 1;
                let later = self.random.u64(0..50_000_000);
                fate.doubled = Some(Timestamp(now.0 + delay + later));
            }
            if late < profile.late_1024 {
                reached.frames_late += 1;
                // Heavy tail: half of them twice as late as the rest, a quarter four times, ..
                let power = self.random.u64(..).trailing_zeros().min(7);
                delay += 5_000_000 << power;
            }
            if overtake < profile.overtake_1024 {
                reached.frames_reordered += 1;
                fate.arrives = Some(Timestamp(now.0 + delay + self.random.u64(0..50_000_000)));
                return fate;
            }
        }
        let arrives = Timestamp(now.0 + delay).max(Timestamp(way.last_arrival.0 + 1));
        way.last_arrival = arrives;
        fate.arrives = Some(arrives);
        fate
    }

    fn pair(&self, a: usize, b: usize) -> usize {
        a.min(b) * self.nodes + a.max(b)
    }
}

/// Four independent numbers below 1,024.
fn chances(dice: u64) -> [u64; 4] {
    [0, 10, 20, 30].map(|shift| (dice >> shift) & 1023)
}
