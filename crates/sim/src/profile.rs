//! The character of one run: which faults it knows and how the nodes are tuned. Each seed leaves some
//! faults out altogether, since a fault that always happens hides those that need its absence.

use std::time::Duration;

use fastrand::Rng;
use topology::ring_round::RoundConfig;

use crate::config::SimConfig;

/// Drawn once from the seed.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// `None` follows the number of members.
    pub(crate) fanout: Option<u16>,
    /// Nothing is ever lost, and every node lives on: frames are only late, doubled and out of order.
    pub(crate) lossless: bool,
    /// Chances of a frame, out of 1,024.
    pub(crate) drop_1024: u64,
    pub(crate) double_1024: u64,
    pub(crate) overtake_1024: u64,
    pub(crate) late_1024: u64,
    /// Damaged, and noticed by its checksum.
    pub(crate) corrupt_1024: u64,
    /// Damaged, cut or made up, and given to the node all the same.
    pub(crate) hostile_1024: u64,
    /// Longest usual delay of a link. Unit: nanoseconds.
    pub(crate) delay_ns_max: u64,
    /// How many of each fault.
    pub(crate) cuts: u32,
    pub(crate) flaps: u32,
    pub(crate) isolations: u32,
    pub(crate) one_way_losses: u32,
    pub(crate) one_way_for_ever: u32,
    pub(crate) swizzles: u32,
    pub(crate) narrows: u32,
    pub(crate) pauses: u32,
    pub(crate) slows: u32,
    pub(crate) jumps: u32,
    pub(crate) crashes: u32,
    pub(crate) crash_loops: u32,
    pub(crate) responder_deaths: u32,
    pub(crate) damages: u32,
    pub(crate) doubles: u32,
    /// Nodes that nobody configured and that join some time.
    pub(crate) joiners: usize,
    pub(crate) leaves: u32,
    pub(crate) replaces: u32,
    pub(crate) forgets: u32,
    pub(crate) accusations: u32,
    /// How long a member is down before it is forgotten.
    pub(crate) forget_after: Duration,
    pub(crate) check: RoundConfig,
    /// Nodes with which something stays wrong in the end.
    pub(crate) outsiders: usize,
    /// Whether a restart may come with an incarnation lower than one already used.
    pub(crate) stale_restarts: bool,
    /// Whether a restart may come with the incarnation of the life before.
    pub(crate) same_restarts: bool,
    /// How far a clock may run too fast or too slow. Unit: parts of a million.
    pub(crate) skew_ppm_max: i64,
    /// Longest time until a node notices that a peer is gone. Unit: nanoseconds.
    pub(crate) detection_ns_max: u64,
    pub(crate) log: oplog::Config,
    pub(crate) heartbeat: Duration,
    pub(crate) cold_start: Duration,
    pub(crate) workload: Manners,
}

/// How the engines behave.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    /// Different pages that may follow one page.
    pub(crate) alphabet: u64,
    /// Longest path. Unit: pages.
    pub(crate) pages_max: usize,
    /// Engines behind each node.
    pub(crate) sources: u16,
    /// Most publishes at once.
    pub(crate) burst_max: u32,
    /// Chances out of 64 for one publish to be this; the rest stores.
    pub(crate) evict_64: u64,
    pub(crate) drop_64: u64,
    pub(crate) reset_64: u64,
    /// Whether evictions sometimes leave a hole at the head.
    pub(crate) head_first: bool,
    /// Chance out of 64 that a burst is left to the batch timer.
    pub(crate) unflushed_64: u64,
}

impl Profile {
    /// Returns whether members come and go, so that who is linked with whom is for the nodes to say.
    pub(crate) fn has_churn(&self) -> bool {
        self.joiners > 0
            || self.leaves + self.replaces + self.forgets + self.doubles > 0
            || self.forget_after < topology::limits::FORGET_AFTER
    }

    pub(crate) fn draw(config: &SimConfig, random: &mut Rng) -> Profile {
        let quiet = Profile::quiet(config, random);
        if !config.faults {
            return quiet;
        }
        let late = Profile {
            double_1024: *pick(random, &[0, 0, 20, 100]),
            overtake_1024: *pick(random, &[0, 0, 30, 300]),
            late_1024: *pick(random, &[0, 0, 5, 30]),
            ..quiet
        };
        if random.u8(..8) == 0 {
            return Profile {
                lossless: true,
                ..late
            };
        }
        late.with_losses(config, random)
    }

    fn quiet(config: &SimConfig, random: &mut Rng) -> Profile {
        let fanout = *pick(random, &[Some(1), Some(2), Some(4), None]);
        Profile {
            fanout: config.fanout.or(fanout),
            lossless: true,
            drop_1024: 0,
            double_1024: 0,
            overtake_1024: 0,
            late_1024: 0,
            corrupt_1024: 0,
            hostile_1024: 0,
            delay_ns_max: *pick(random, &[200_000, 1_000_000, 5_000_000]),
            cuts: 0,
            flaps: 0,
            isolations: 0,
            one_way_losses: 0,
            one_way_for_ever: 0,
            swizzles: 0,
            narrows: 0,
            pauses: 0,
            slows: 0,
            jumps: 0,
            crashes: 0,
            crash_loops: 0,
            responder_deaths: 0,
            damages: 0,
            doubles: 0,
            joiners: 0,
            leaves: 0,
            replaces: 0,
            forgets: 0,
            accusations: 0,
            forget_after: topology::limits::FORGET_AFTER,
            check: RoundConfig {
                period: Duration::from_millis(*pick(random, &[1_000, 3_000, 10_000])),
                ..RoundConfig::default()
            },
            outsiders: 0,
            stale_restarts: false,
            same_restarts: false,
            skew_ppm_max: 0,
            detection_ns_max: *pick(random, &[50_000_000, 500_000_000, 3_000_000_000]),
            log: log(random),
            heartbeat: Duration::from_millis(*pick(random, &[250, 500, 1_000])),
            // A node waits four times as long for living members that say nothing.
            cold_start: Duration::from_millis(*pick(random, &[500, 1_000])),
            workload: manners(random),
        }
    }

    fn with_losses(self, config: &SimConfig, random: &mut Rng) -> Profile {
        // For a world as long as the default; longer ones have more of each.
        let times = u32::try_from(config.fault_ms.div_ceil(10_000))
            .unwrap_or(u32::MAX)
            .max(1);
        // Out of `of` runs one has it.
        let mut some = |of: u32, max: u32| {
            if random.u32(..of) == 0 {
                random.u32(1..=max).saturating_mul(times)
            } else {
                0
            }
        };
        let links = Profile {
            lossless: false,
            cuts: some(2, 6),
            flaps: some(4, 2),
            isolations: some(2, 2),
            one_way_losses: some(3, 3),
            one_way_for_ever: some(6, 1).min(1),
            swizzles: some(5, 1),
            narrows: some(4, 4),
            ..self
        };
        let nodes = Profile {
            pauses: some(3, 2),
            slows: some(4, 2),
            jumps: some(4, 2),
            crashes: some(2, 3),
            crash_loops: some(6, 1),
            responder_deaths: some(5, 2),
            damages: some(10, 2),
            doubles: some(8, 1),
            joiners: some(4, 2) as usize,
            leaves: some(5, 2),
            replaces: some(6, 2),
            forgets: some(5, 3),
            accusations: some(4, 4),
            outsiders: some(3, u32::from(config.nodes / 2).max(1)) as usize,
            ..links
        };
        Profile {
            drop_1024: *pick(random, &[0, 0, 5, 50, 200]),
            corrupt_1024: *pick(random, &[0, 0, 0, 0, 0, 1]),
            hostile_1024: *pick(random, &[0, 0, 0, 0, 0, 4]),
            stale_restarts: random.u8(..4) == 0,
            same_restarts: random.u8(..8) == 0,
            forget_after: Duration::from_secs(*pick(random, &[2, 5, 600, 600])),
            skew_ppm_max: *pick(random, &[0, 0, 100, 50_000]),
            ..nodes
        }
    }
}

fn log(random: &mut Rng) -> oplog::Config {
    let ms = Duration::from_millis;
    oplog::Config {
        batch_bytes_max: *pick(random, &[64, 1_024, 64 * 1_024]),
        tail_ops_max: *pick(random, &[0, 4, 32, 256, 256, 65_536, 65_536]),
        tail_stable_ops: *pick(random, &[0, 4, 1_024]),
        delta_bytes_min: *pick(random, &[0, 256, 64 << 10]),
        reorder_ops_max: *pick(random, &[2, 16, 16_384, 16_384]),
        reorder_bytes_max: *pick(random, &[256, 4 << 20]),
        pull_bytes_max: *pick(random, &[1_024, 4_096, 1 << 20]),
        pulls_max: *pick(random, &[2, 16]),
        checkpoint_ops: *pick(random, &[4, 64, 1_024]),
        checkpoint_interval: *pick(random, &[ms(200), ms(1_000)]),
        snapshot_chunk_bytes: *pick(random, &[256, 1_024, 192 * 1_024]),
        sessions_max: *pick(random, &[2, 4]),
        // What was damaged may be damaged again before the next repair, but not for the rest of the run.
        repair_interval: *pick(random, &[ms(500), ms(2_000)]),
        ..oplog::Config::default()
    }
}

fn manners(random: &mut Rng) -> Manners {
    Manners {
        alphabet: *pick(random, &[2, 3, 8]),
        pages_max: *pick(random, &[4, 8, 8, 24]),
        sources: *pick(random, &[1, 2]),
        burst_max: *pick(random, &[1, 6, 30]),
        evict_64: *pick(random, &[4, 16, 28]),
        drop_64: *pick(random, &[0, 4, 12]),
        reset_64: *pick(random, &[0, 1]),
        head_first: random.bool(),
        unflushed_64: *pick(random, &[0, 16, 64]),
    }
}

fn pick<'a, T>(random: &mut Rng, choices: &'a [T]) -> &'a T {
    &choices[random.usize(..choices.len())]
}
