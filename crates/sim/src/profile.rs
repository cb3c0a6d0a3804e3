//! The character of one run: which faults it knows and how the nodes are tuned. Each seed leaves some
//! faults out altogether, since a fault that always happens hides those that need its absence.

use std::time::Duration;

use fastrand::Rng;

use crate::config::SimConfig;

/// Drawn once from the seed.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) fanout: u16,
    /// Chances of a frame, out of 1,024.
    pub(crate) drop_1024: u64,
    pub(crate) double_1024: u64,
    pub(crate) overtake_1024: u64,
    pub(crate) late_1024: u64,
    /// Longest usual delay of a link. Unit: nanoseconds.
    pub(crate) delay_ns_max: u64,
    /// How many of each fault.
    pub(crate) cuts: u32,
    pub(crate) isolations: u32,
    pub(crate) one_way_losses: u32,
    pub(crate) pauses: u32,
    pub(crate) crashes: u32,
    /// Whether a restart may come with an incarnation lower than one already used.
    pub(crate) stale_restarts: bool,
    /// Longest time until a node notices that a peer is gone. Unit: nanoseconds.
    pub(crate) detection_ns_max: u64,
    pub(crate) log: oplog::Config,
    pub(crate) heartbeat: Duration,
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
    pub(crate) fn draw(config: &SimConfig, random: &mut Rng) -> Profile {
        let fanout = *pick(random, &[1, 2, 4]);
        let quiet = Profile {
            fanout: config.fanout.unwrap_or(fanout),
            drop_1024: 0,
            double_1024: 0,
            overtake_1024: 0,
            late_1024: 0,
            delay_ns_max: *pick(random, &[200_000, 1_000_000, 5_000_000]),
            cuts: 0,
            isolations: 0,
            one_way_losses: 0,
            pauses: 0,
            crashes: 0,
            stale_restarts: false,
            detection_ns_max: *pick(random, &[50_000_000, 500_000_000, 3_000_000_000]),
            log: log(random),
            heartbeat: Duration::from_millis(*pick(random, &[250, 500, 1_000])),
            workload: manners(random),
        };
        if !config.faults {
            return quiet;
        }
        // For a world as long as the default; longer ones have more of each.
        let times = u32::try_from(config.fault_ms.div_ceil(10_000))
            .unwrap_or(u32::MAX)
            .max(1);
        let mut some = |max: u32| {
            if random.bool() {
                random.u32(1..=max).saturating_mul(times)
            } else {
                0
            }
        };
        let (cuts, isolations, one_way_losses) = (some(6), some(2), some(3));
        let (pauses, crashes) = (some(2), some(3));
        Profile {
            cuts,
            isolations,
            one_way_losses,
            pauses,
            crashes,
            drop_1024: *pick(random, &[0, 0, 5, 50, 200]),
            double_1024: *pick(random, &[0, 0, 20, 100]),
            overtake_1024: *pick(random, &[0, 0, 30, 300]),
            late_1024: *pick(random, &[0, 0, 5, 30]),
            stale_restarts: random.u8(..4) == 0,
            ..quiet
        }
    }
}

fn log(random: &mut Rng) -> oplog::Config {
    let ms = Duration::from_millis;
    oplog::Config {
        batch_bytes_max: *pick(random, &[64, 1_024, 64 * 1_024]),
        tail_ops_max: *pick(random, &[0, 4, 32, 256, 65_536]),
        reorder_ops_max: *pick(random, &[2, 16, 16_384]),
        reorder_bytes_max: *pick(random, &[256, 4 << 20]),
        pull_bytes_max: *pick(random, &[256, 4_096, 1 << 20]),
        pulls_max: *pick(random, &[1, 16]),
        checkpoint_ops: *pick(random, &[4, 64, 1_024]),
        checkpoint_interval: *pick(random, &[ms(200), ms(1_000)]),
        snapshot_chunk_bytes: *pick(random, &[256, 1_024, 192 * 1_024]),
        sessions_max: *pick(random, &[1, 4]),
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
