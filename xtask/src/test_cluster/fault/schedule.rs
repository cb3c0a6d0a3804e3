//! What goes wrong when: drawn from a seed before anything runs. Knows no process and no socket.

use std::num::NonZeroU64;
use std::time::Duration;

use faultnet::{Condition, Side};

use super::kind::Kind;

/// Shortest fault.
const LENGTH_MIN: Duration = Duration::from_secs(1);
/// Longest fault.
const LENGTH_MAX: Duration = Duration::from_secs(6);
/// Shortest and longest time without a fault between two.
const GAP: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(3)];
/// The first part of the run is without faults: this share of it.
const BEFORE: f64 = 0.12;
/// The last part is without faults: this share of it, and at least `AFTER_MIN`.
const AFTER: f64 = 0.2;
const AFTER_MIN: Duration = Duration::from_secs(9);

/// One fault.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    /// What kind.
    pub(crate) kind: Kind,
    /// To whom it happens. The two sides of a partition are these and the others.
    pub(crate) nodes: Vec<u16>,
    /// From the beginning of the run.
    pub(crate) begin: Duration,
    /// From the beginning of the run.
    pub(crate) end: Duration,
    /// What is particular about it.
    pub(crate) how: How,
}

/// What is particular about a fault.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum How {
    /// Nothing.
    Plain,
    /// Links between the sides are like this.
    Between(&'static str, Condition),
    /// All links of the nodes are like this.
    At(String, Condition),
    /// Their links work in one direction; `deaf`: nothing reaches them, else nothing of theirs reaches others.
    OneWay {
        /// Which.
        deaf: bool,
    },
    /// What happens to them and to members that came at run time, and when, from the beginning of the run.
    Strikes(Vec<(Duration, Strike)>),
}

/// One thing that happens to a member in a churn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strike {
    /// Killed, and restarted at once.
    Restart(u16),
    /// Killed, and another process joins with its rank at another address.
    Replace(u16),
    /// A new rank joins.
    Join(u16),
    /// A rank that joined leaves in good order.
    Leave(u16),
    /// A rank that joined is killed, and forgotten as soon as it counts as down.
    Forget(u16),
}

/// Ranks that may join a cluster at run time.
pub(crate) const JOINERS: u16 = 8;

impl Fault {
    /// Returns how the link suffers that `dialer` opens to `target`.
    pub(crate) fn condition(&self, dialer: u16, target: u16) -> Condition {
        let [dialer, target] = [dialer, target].map(|rank| self.nodes.contains(&rank));
        match &self.how {
            How::Between(_, condition) if dialer != target => *condition,
            How::At(_, condition) if dialer || target => *condition,
            // Bytes from the dialer to the target go forth.
            How::OneWay { deaf } if dialer != target => Condition::one_way(if dialer == *deaf {
                Side::Forth
            } else {
                Side::Back
            }),
            _ => Condition::PASS,
        }
    }

    /// Returns what is particular about it, in words.
    pub(crate) fn how(&self) -> String {
        match &self.how {
            How::Plain => String::new(),
            How::Between(name, _) => (*name).to_owned(),
            How::At(name, _) => name.clone(),
            How::OneWay { deaf: true } => "deaf".to_owned(),
            How::OneWay { deaf: false } => "mute".to_owned(),
            How::Strikes(strikes) => {
                let count = |name: &str, is: fn(&Strike) -> bool| {
                    let count = strikes.iter().filter(|(_, strike)| is(strike)).count();
                    (count > 0).then(|| format!("{count} {name}"))
                };
                let counts = [
                    count("restarted", |strike| matches!(strike, Strike::Restart(_))),
                    count("replaced", |strike| matches!(strike, Strike::Replace(_))),
                    count("joined", |strike| matches!(strike, Strike::Join(_))),
                    count("left", |strike| matches!(strike, Strike::Leave(_))),
                    count("forgotten", |strike| matches!(strike, Strike::Forget(_))),
                ];
                let counts: Vec<String> = counts.into_iter().flatten().collect();
                counts.join(", ")
            }
        }
    }
}

/// All faults of a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Schedule {
    /// In the order of their beginnings.
    pub(crate) faults: Vec<Fault>,
    /// How long the traffic runs.
    pub(crate) length: Duration,
}

impl Schedule {
    /// Draws the faults of a run of `length` on `nodes` nodes. The kinds take turns, in an order drawn anew each time.
    pub(crate) fn draw(seed: u64, kinds: &[Kind], nodes: u16, length: Duration) -> Schedule {
        let mut draw = Draw {
            random: fastrand::Rng::with_seed(seed ^ 0x6661_756c_7473),
            kinds: kinds.to_vec(),
            bag: Vec::new(),
            nodes,
            joined: Vec::new(),
            next: nodes,
            strikes: 0,
        };
        let mut faults = Vec::new();
        let mut at = length.mul_f64(BEFORE);
        let latest = length.saturating_sub(length.mul_f64(AFTER).max(AFTER_MIN));
        while at + LENGTH_MIN <= latest {
            let end = draw.end(at, latest);
            let first = draw.fault(at, end, &[]);
            at = end;
            let taken = first.nodes.clone();
            // Who comes and goes is drawn in the order in which it happens, so two churns never overlap.
            let churns = first.kind == Kind::Churn && draw.next_kind() == Kind::Churn;
            let overlaps = draw.random.u8(..3) == 0 && !churns;
            let middle = first.begin + (end - first.begin).mul_f64(0.25 + draw.random.f64() / 2.0);
            faults.push(first);
            if overlaps && middle + LENGTH_MIN <= latest {
                let end = draw.end(middle, latest);
                faults.push(draw.fault(middle, end, &taken));
                at = at.max(end);
            }
            at += draw.time(GAP);
        }
        Schedule { faults, length }
    }
}

struct Draw {
    random: fastrand::Rng,
    kinds: Vec<Kind>,
    /// Kinds whose turn is still to come in this round.
    bag: Vec<Kind>,
    nodes: u16,
    /// Ranks that came at run time and are there.
    joined: Vec<u16>,
    /// The next rank that comes.
    next: u16,
    /// How many strikes there were.
    strikes: u32,
}

impl Draw {
    fn time(&mut self, [least, most]: [Duration; 2]) -> Duration {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.random.u64(ms(least)..=ms(most)))
    }

    fn end(&mut self, begin: Duration, latest: Duration) -> Duration {
        let most = LENGTH_MAX.min(latest - begin);
        begin + self.time([LENGTH_MIN, most])
    }

    fn next_kind(&mut self) -> Kind {
        if self.bag.is_empty() {
            self.bag = self.kinds.clone();
            self.random.shuffle(&mut self.bag);
        }
        *self.bag.last().expect("there is at least one kind")
    }

    fn kind(&mut self) -> Kind {
        let kind = self.next_kind();
        self.bag.pop();
        kind
    }

    /// Draws what happens in that time. Processes that are `taken` already suffer something else.
    fn fault(&mut self, begin: Duration, end: Duration, taken: &[u16]) -> Fault {
        let kind = self.kind();
        let count = match kind {
            Kind::Partition => self.random.u16(1..=self.nodes / 2),
            Kind::Kill | Kind::Churn => 1 + u16::from(self.nodes >= 6 && self.random.bool()),
            Kind::Pause | Kind::OneWay | Kind::Slow | Kind::Flap => 1,
        };
        let mut nodes: Vec<u16> = (0..self.nodes)
            .filter(|rank| !kind.is_of_processes() || !taken.contains(rank))
            .collect();
        self.random.shuffle(&mut nodes);
        nodes.truncate(usize::from(count));
        nodes.sort_unstable();
        let how = match kind {
            Kind::Kill | Kind::Pause => How::Plain,
            Kind::Partition => self.partition(),
            Kind::OneWay => How::OneWay {
                deaf: self.random.bool(),
            },
            Kind::Slow => self.slow(),
            Kind::Flap => {
                let period = self.time([Duration::from_millis(100), Duration::from_millis(1_500)]);
                let name = format!("period {period:?}");
                How::At(name, Condition::flapping(period))
            }
            Kind::Churn => self.strikes(begin, end, &nodes),
        };
        Fault {
            kind,
            nodes,
            begin,
            end,
            how,
        }
    }

    fn partition(&mut self) -> How {
        let (name, condition) = match self.random.u8(..3) {
            0 => ("reset", Condition::CUT),
            1 => ("swallowed", Condition::BLACK_HOLE),
            _ => ("held", Condition::HELD),
        };
        How::Between(name, condition)
    }

    fn slow(&mut self) -> How {
        let delay = self.time([Duration::from_millis(5), Duration::from_millis(150)]);
        let jitter = delay / 4;
        let rate = 1 << self.random.u64(14..=18);
        let name = format!("{delay:?} and up to {jitter:?} late, {rate} bytes a second");
        How::At(name, Condition::slow(delay, jitter, NonZeroU64::new(rate)))
    }

    fn strikes(&mut self, begin: Duration, end: Duration, nodes: &[u16]) -> How {
        let mut strikes = Vec::new();
        let mut at = begin;
        while at < end {
            strikes.push((at, self.strike(nodes)));
            at += self.time([Duration::from_millis(200), Duration::from_millis(900)]);
        }
        How::Strikes(strikes)
    }

    /// Draws what happens next. Every other time it is a restart; the rest take turns where they can.
    fn strike(&mut self, nodes: &[u16]) -> Strike {
        self.strikes += 1;
        let one = nodes[self.random.usize(..nodes.len())];
        let may_join = self.next < self.nodes + JOINERS;
        match (self.strikes / 2) % 4 {
            _ if self.strikes.is_multiple_of(2) => Strike::Restart(one),
            0 | 2 if may_join => {
                self.joined.push(self.next);
                self.next += 1;
                Strike::Join(self.next - 1)
            }
            1 => Strike::Replace(one),
            _ if self.joined.is_empty() => Strike::Restart(one),
            _ => {
                let gone = self.joined.remove(self.random.usize(..self.joined.len()));
                match self.random.bool() {
                    true => Strike::Leave(gone),
                    false => Strike::Forget(gone),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use faultnet::Flow;

    use super::super::kind::Kinds;
    use super::*;

    fn draw(seed: u64, seconds: u64) -> Schedule {
        let Kinds(kinds) = "mixed".parse().unwrap();
        Schedule::draw(seed, &kinds, 6, Duration::from_secs(seconds))
    }

    #[test]
    fn the_same_seed_draws_the_same_faults() {
        assert_eq!(draw(7, 120), draw(7, 120));
        assert_ne!(draw(7, 120), draw(8, 120));
    }

    #[test]
    fn faults_leave_the_first_and_the_last_part_alone_and_at_most_two_overlap() {
        for seed in 0..300 {
            let schedule = draw(seed, 20 + seed % 100);
            let length = schedule.length;
            assert!(!schedule.faults.is_empty());
            for fault in &schedule.faults {
                assert!(fault.begin >= length.mul_f64(BEFORE) && fault.end + AFTER_MIN <= length);
                assert!(fault.begin + LENGTH_MIN <= fault.end && !fault.nodes.is_empty());
                assert!(fault.nodes.len() <= 3 && fault.nodes.iter().all(|&rank| rank < 6));
                let overlapping = schedule
                    .faults
                    .iter()
                    .filter(|other| other.begin < fault.end && fault.begin < other.end);
                let overlapping: Vec<&Fault> = overlapping.collect();
                assert!(overlapping.len() <= 2);
                let processes: Vec<u16> = overlapping
                    .iter()
                    .filter(|other| other.kind.is_of_processes())
                    .flat_map(|other| other.nodes.clone())
                    .collect();
                let mut distinct = processes.clone();
                distinct.sort_unstable();
                distinct.dedup();
                assert_eq!(distinct.len(), processes.len(), "{overlapping:?}");
            }
        }
    }

    #[test]
    fn every_kind_has_its_turn() {
        let schedule = draw(3, 180);
        let Kinds(kinds) = "mixed".parse().unwrap();
        for kind in kinds {
            assert!(schedule.faults.iter().any(|fault| fault.kind == kind));
        }
    }

    #[test]
    fn who_leaves_has_joined_and_every_strike_has_its_turn() {
        for seed in 0..100 {
            let schedule = Schedule::draw(seed, &[Kind::Churn], 6, Duration::from_secs(120));
            let mut strikes: Vec<(Duration, Strike)> = Vec::new();
            for fault in &schedule.faults {
                if let How::Strikes(of_fault) = &fault.how {
                    strikes.extend(of_fault);
                }
            }
            let (mut there, mut gone) = (Vec::new(), 0);
            for (_, strike) in strikes {
                match strike {
                    Strike::Restart(rank) | Strike::Replace(rank) => assert!(rank < 6),
                    Strike::Join(rank) => {
                        assert!(rank == 6 + u16::try_from(there.len() + gone).unwrap());
                        there.push(rank);
                    }
                    Strike::Leave(rank) | Strike::Forget(rank) => {
                        let at = there.iter().position(|&here| here == rank).unwrap();
                        there.remove(at);
                        gone += 1;
                    }
                }
            }
            assert!(gone > 0 && gone + there.len() <= usize::from(JOINERS));
        }
    }

    #[test]
    fn a_fault_of_links_is_that_of_the_links_it_names() {
        let fault = |kind, how| Fault {
            kind,
            nodes: vec![1, 2],
            begin: Duration::ZERO,
            end: Duration::ZERO,
            how,
        };
        let partition = fault(Kind::Partition, How::Between("reset", Condition::CUT));
        assert!(partition.condition(0, 1).cut && partition.condition(2, 3).cut);
        assert_eq!(partition.condition(1, 2), Condition::PASS);
        assert_eq!(partition.condition(0, 3), Condition::PASS);
        for (deaf, [from_node, to_node]) in [
            (true, [Flow::Pass, Flow::Swallow]),
            (false, [Flow::Swallow, Flow::Pass]),
        ] {
            let fault = fault(Kind::OneWay, How::OneWay { deaf });
            let dials = fault.condition(2, 3);
            assert_eq!((dials.forth.flow, dials.back.flow), (from_node, to_node));
            let dialed = fault.condition(0, 1);
            assert_eq!((dialed.back.flow, dialed.forth.flow), (from_node, to_node));
            assert_eq!(fault.condition(0, 3), Condition::PASS);
        }
    }
}
