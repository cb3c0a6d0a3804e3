//! The links between the nodes: who can reach whom, and what becomes of a frame on the way. What waits for
//! a narrow link is in `narrow`.

use fastrand::Rng;
use radix_core::time::Timestamp;

use crate::event::Delivery;
use crate::narrow::Narrow;
use crate::profile::Profile;
use crate::report::Reached;

/// What becomes of one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    /// When it arrives.
    pub(crate) arrives: Option<Timestamp>,
    /// When its double arrives.
    pub(crate) doubled: Option<Timestamp>,
    /// It is damaged, and whoever receives it notices: the connection ends.
    pub(crate) breaks: bool,
}

/// One connection between two nodes.
#[derive(Clone, Debug, Default)]
struct Link {
    up: bool,
    /// Grows with every new connection; a frame of an older one is lost.
    epoch: u32,
    /// Reasons to be cut.
    cuts: u16,
}

/// One direction of a link.
#[derive(Debug)]
struct Way {
    base_ns: u64,
    last_arrival: Timestamp,
    /// Reasons to lose everything without telling anybody.
    deaf: u16,
    narrow: Option<Box<Narrow>>,
}

/// How long the hops of a measured world take: lognormal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hop {
    /// Half of the hops are shorter. Unit: microseconds.
    pub median_us: f64,
    /// Standard deviation of the logarithm.
    pub sigma: f64,
}

impl Hop {
    fn draw(&self, random: &mut Rng) -> u64 {
        // Box and Muller; the simulator may use floating point where it decides about delays only.
        let (a, b) = (random.f64().max(f64::MIN_POSITIVE), random.f64());
        let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
        (self.median_us * 1e3 * (self.sigma * normal).exp()) as u64
    }
}

/// All links of a world.
#[derive(Debug)]
pub(crate) struct Links {
    nodes: usize,
    /// `[lower][higher]`, flat.
    links: Vec<Link>,
    /// `[from][to]`, flat.
    ways: Vec<Way>,
    /// Until when everything to and from a node is held up.
    clogged: Vec<Timestamp>,
    /// Whose frames are only delayed from now on.
    calm: Vec<bool>,
    hop: Option<Hop>,
    random: Rng,
}

impl Links {
    pub(crate) fn new(nodes: usize, hop: Option<Hop>, profile: &Profile, mut random: Rng) -> Links {
        let ways = (0..nodes * nodes)
            .map(|_| Way {
                base_ns: random.u64(20_000..=profile.delay_ns_max.max(20_000)),
                last_arrival: Timestamp::default(),
                deaf: 0,
                narrow: None,
            })
            .collect();
        Links {
            nodes,
            links: vec![Link::default(); nodes * nodes],
            ways,
            clogged: vec![Timestamp::default(); nodes],
            calm: vec![false; nodes],
            hop,
            random,
        }
    }

    /// From now on frames of that node to others that are calm, too, are only delayed.
    pub(crate) fn calm_down(&mut self, node: usize) {
        self.calm[node] = true;
        self.clogged[node] = Timestamp::default();
    }

    /// Whether nothing goes wrong between two nodes any more.
    pub(crate) fn is_calm(&self, a: usize, b: usize) -> bool {
        self.calm[a] && self.calm[b]
    }

    /// Takes every reason away that a link is cut.
    pub(crate) fn heal(&mut self, a: usize, b: usize) {
        let pair = self.pair(a, b);
        self.links[pair].cuts = 0;
    }

    /// Takes every reason away that a direction is deaf.
    pub(crate) fn clear(&mut self, from: usize, to: usize) {
        self.ways[from * self.nodes + to].deaf = 0;
    }

    pub(crate) fn is_up(&self, a: usize, b: usize) -> bool {
        self.links[self.pair(a, b)].up
    }

    /// Returns whether that connection is the one that there is.
    pub(crate) fn is_current(&self, a: usize, b: usize, epoch: u32) -> bool {
        let link = &self.links[self.pair(a, b)];
        link.up && link.epoch == epoch
    }

    /// Returns whether there is a reason for the link to be cut.
    pub(crate) fn is_cut(&self, a: usize, b: usize) -> bool {
        self.links[self.pair(a, b)].cuts > 0
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
        if !std::mem::take(&mut link.up) {
            return None;
        }
        let epoch = link.epoch;
        for (from, to) in [(a, b), (b, a)] {
            if let Some(narrow) = &mut self.ways[from * self.nodes + to].narrow {
                narrow.clear();
            }
        }
        Some(epoch)
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
    pub(crate) fn deafen(&mut self, from: usize, to: usize) {
        self.ways[from * self.nodes + to].deaf += 1;
    }

    /// One reason to lose everything is gone.
    pub(crate) fn hear(&mut self, from: usize, to: usize) {
        let deaf = &mut self.ways[from * self.nodes + to].deaf;
        *deaf = deaf.saturating_sub(1);
    }

    pub(crate) fn is_deaf(&self, from: usize, to: usize) -> bool {
        self.ways[from * self.nodes + to].deaf > 0
    }

    /// Everything to and from a node waits; what went wrong is not told to anybody.
    pub(crate) fn clog(&mut self, node: usize, until: Timestamp) {
        self.clogged[node] = self.clogged[node].max(until);
    }

    /// What waits for one direction, when it is narrow.
    pub(crate) fn narrow(&mut self, from: usize, to: usize) -> &mut Option<Box<Narrow>> {
        &mut self.ways[from * self.nodes + to].narrow
    }

    /// Decides about one frame that is on its way now.
    pub(crate) fn fly(
        &mut self,
        now: Timestamp,
        delivery: &Delivery,
        profile: &Profile,
        reached: &mut Reached,
    ) -> Fate {
        let (from, to) = delivery.ends();
        let calm = self.is_calm(from, to);
        let clogged = self.clogged[from].max(self.clogged[to]);
        let way = &mut self.ways[from * self.nodes + to];
        let dice = self.random.u64(..);
        let mut delay = match &self.hop {
            None => way.base_ns + (dice >> 40) % (way.base_ns + 1),
            Some(hop) => hop.draw(&mut self.random),
        };
        let mut fate = Fate::default();
        if way.deaf > 0 {
            reached.frames_dropped += 1;
            return fate;
        }
        if !calm {
            let [drop, double, overtake, late] = chances(dice);
            if drop < profile.drop_1024 {
                reached.frames_dropped += 1;
                return fate;
            }
            if profile.corrupt_1024 > 0 && self.random.u64(0..1_024) < profile.corrupt_1024 {
                reached.frames_corrupt += 1;
                fate.breaks = true;
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
        let held = Timestamp(now.0.max(clogged.0) + delay);
        let arrives = held.max(Timestamp(way.last_arrival.0 + 1));
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
