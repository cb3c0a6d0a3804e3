//! Every bound of the simulator, and the bounds it holds the nodes to.

/// Most nodes of one world; the largest that was measured.
pub const NODES_MAX: u16 = 1_024;

/// Largest frame a node may send. Unit: bytes. `docs/protocols/wire.md`.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// Most effects of one input beyond those per node: a pull's answer, cut into the smallest batches, fits.
pub const EFFECTS_PER_INPUT_MAX: usize = 4_096;

/// Most events that may wait, in a small world. More is a storm of frames, not a backlog.
pub const QUEUE_EVENTS_MAX: usize = 400_000;

/// Events that may wait for each pair of nodes, where that is more: every link may carry an offer.
pub const QUEUE_EVENTS_PER_PAIR_MAX: usize = 8;

/// Most events of one run for each node and second of virtual time. More is a livelock.
pub const EVENTS_PER_NODE_SECOND_MAX: u64 = 40_000;

/// Most ticks that one node may ask for without time going on.
pub const TICKS_PER_INSTANT_MAX: u32 = 16;

/// Every so many events one replica is compared with the truth copy by copy, and asked one question.
pub const FULL_CHECK_PERIOD: u64 = 64;

/// Worlds up to that many nodes compare every log of a node after each of its inputs; larger ones
/// only those that the effects name, and all of them every [`FULL_CHECK_PERIOD`] events.
pub const EACH_LOG_NODES_MAX: usize = 16;

/// Questions that each node must answer rightly at the end.
pub const FINAL_QUESTIONS: usize = 48;

/// After the logs agree, for each node: how long it may take until everybody knows that everybody is Ready.
/// What a node says about itself is repeated to one random peer at a time, so it is a matter of chance.
/// Unit: virtual seconds.
pub const VIEW_SECONDS_PER_NODE: u64 = 12;

/// Frames that may wait for a node that stands still or is slow; the rest is lost, as behind a full window.
pub const BACKLOG_FRAMES_MAX: usize = 4_096;

/// Views of one node that are remembered, to judge what a ring check says of them.
pub const VIEWS_KEPT: usize = 1_024;

/// How long a joiner that is refused tries again. Unit: virtual seconds.
pub const JOIN_SECONDS_MAX: u64 = 30;

/// When, after the faults, whoever wrote a log that was damaged says one more thing. Damage is found at the
/// next checkpoint, and there is none without a new op. Unit: virtual milliseconds.
pub const AFTERMATH_MS: [u64; 3] = [500, 3_000, 6_000];

/// How old a broadcast is that must have come to everybody, when nothing is ever lost. Unit: virtual milliseconds.
pub const COVERAGE_MS: u64 = 5_000;
