//! Every bound of this crate, in one place.

/// The most pages one insert may bring: the page inside an op is a `u16`. Unit: pages.
pub const INSERT_PAGES_MAX: usize = 65_535;
/// The most pages one run (one node) may hold, whatever the configuration asks for. Unit: pages.
pub const RUN_PAGES_MAX: usize = 32_768;
/// The longest path from a namespace's root. Unit: pages.
pub const DEPTH_PAGES_MAX: u32 = u32::MAX / 2;
/// The most sources that one rank may have copies for at a time.
pub const SOURCES_PER_RANK_MAX: usize = 1_024;
/// The most reader slots an index may be configured with.
pub const READERS_MAX: usize = 4_096;
/// How often an exact read tries again before it gives up.
pub const EXACT_READ_TRIES_MAX: usize = if cfg!(radixmesh_loom) { 2 } else { 8 };
/// Pieces in one node above which it is cut in two, when a cut helps.
pub(crate) const PIECES_CROWDED: usize = if cfg!(test) { 12 } else { 128 };
/// Retired versions that are collected in one go.
pub(crate) const RETIRED_BATCH: usize = if cfg!(radixmesh_loom) { 1 } else { 64 };
/// The largest page of an engine's cache. Unit: tokens.
pub const CACHE_PAGE_TOKENS_MAX: usize = 512;
/// The most pages that may wait in a cache's event buffer. Unit: pages.
pub const CACHE_EVENT_PAGES_MAX: usize = 1 << 30;
/// Where the runs of an engine's cache are cut, so that a split copies no more than this. Unit: units of a run.
pub(crate) const CACHE_RUN_UNITS_MAX: u32 = 4_096;
