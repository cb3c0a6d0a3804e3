//! How a cache is built, and in which order it evicts.

use crate::cache::slots::Use;
use crate::limits::{CACHE_EVENT_PAGES_MAX, CACHE_PAGE_TOKENS_MAX};

/// What one slot stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlotsPer {
    /// A page has a row of `page_size` slots, one per token (as in SGLang).
    #[default]
    Token,
    /// A page has one slot, the block it lies in (as in vLLM).
    Page,
}

/// Which page is evicted first.
///
/// Defined per page, so that it does not matter how the tree cuts its runs. Every page has four marks:
/// - `access`: the operation that last used it, [`match_prefix`](crate::cache::Cache::match_prefix) or
///   [`insert`](crate::cache::Cache::insert) along a path with the page on it;
/// - `created`: the insert that brought it;
/// - `hits`: 1 for that insert, and 1 for every `match_prefix` that matched the page;
/// - `priority`: the largest that an insert along a path with the page on it has had.
///
/// Evicting one page means: of the pages that no page follows and that no lock covers, the one with the smallest
/// key goes. Operations are counted, not timed. No two such pages have equal keys: all pages that one operation
/// used or brought lie on one path.
///
/// SGLang counts a hit when a request inserts, since its scheduler matches one waiting request many times; ask
/// with [`peek`](crate::cache::Cache::peek) for that, match once, and both count alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Least recently used. Key: `access`.
    #[default]
    Lru,
    /// Least frequently used, then least recently. Key: `(hits, access)`.
    Lfu,
    /// Oldest. Key: `created`.
    Fifo,
    /// Most recently used. Key: `-access`.
    Mru,
    /// Newest. Key: `-created`.
    Filo,
    /// Lowest priority, then least recently used. Key: `(priority, access)`.
    Priority,
    /// Segmented LRU: pages with fewer than two hits go before all others. Key: `(hits >= 2, access)`.
    Slru,
}

/// Hits from which [`Policy::Slru`] protects a page.
const SLRU_PROTECTED_HITS: u32 = 2;

/// A place in the order of eviction: smaller goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub(crate) major: u32,
    pub(crate) minor: u64,
}

impl Policy {
    /// Returns the place of pages with these marks.
    #[inline]
    pub(crate) fn rank(self, marks: &Use) -> Rank {
        let (major, minor) = match self {
            Policy::Lru => (0, marks.access),
            Policy::Lfu => (marks.hits, marks.access),
            Policy::Fifo => (0, marks.created),
            Policy::Mru => (0, !marks.access),
            Policy::Filo => (0, !marks.created),
            // Flipping the sign bit puts negative numbers below the others.
            Policy::Priority => (marks.priority.cast_unsigned() ^ 1 << 31, marks.access),
            Policy::Slru => (u32::from(marks.hits >= SLRU_PROTECTED_HITS), marks.access),
        };
        Rank { major, minor }
    }
}

/// What a [`Cache`](crate::cache::Cache) is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// Tokens per page, 1 to [`CACHE_PAGE_TOKENS_MAX`]. Default 16.
    pub page_size: usize,
    /// What one slot stands for. Default [`SlotsPer::Token`].
    pub slots: SlotsPer,
    /// Which page is evicted first. Default [`Policy::Lru`].
    pub policy: Policy,
    /// Whether changes are remembered for [`take_events`](crate::cache::Cache::take_events). Default false.
    pub events: bool,
    /// How many pages the remembered changes may speak of; those that come after are lost, and the loss is
    /// reported. 1 to [`CACHE_EVENT_PAGES_MAX`]; at page size 16 a page takes some 130 bytes. Default 65,536.
    pub event_pages_max: usize,
}

impl Default for CacheConfig {
    fn default() -> Self {
        CacheConfig {
            page_size: 16,
            slots: SlotsPer::default(),
            policy: Policy::default(),
            events: false,
            event_pages_max: 65_536,
        }
    }
}

/// Why a cache was not built. State: there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The page is too small or too large.
    #[error("page_size is {page_size} tokens, not 1 to {CACHE_PAGE_TOKENS_MAX}")]
    PageSize {
        /// What was asked for. Unit: tokens.
        page_size: usize,
    },
    /// The event buffer is too small or too large.
    #[error("event_pages_max is {event_pages_max} pages, not 1 to {CACHE_EVENT_PAGES_MAX}")]
    EventPagesMax {
        /// What was asked for. Unit: pages.
        event_pages_max: usize,
    },
}

impl CacheConfig {
    /// Returns the first value that is out of range.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let CacheConfig {
            page_size,
            event_pages_max,
            ..
        } = *self;
        if !(1..=CACHE_PAGE_TOKENS_MAX).contains(&page_size) {
            return Err(ConfigError::PageSize { page_size });
        }
        if !(1..=CACHE_EVENT_PAGES_MAX).contains(&event_pages_max) {
            return Err(ConfigError::EventPagesMax { event_pages_max });
        }
        Ok(())
    }
}
