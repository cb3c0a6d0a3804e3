//! One claim of the documentation each.

use radix_core::Fingerprint;
use radix_core::cache::{
    Cache, CacheConfig, ConfigError, Event, Handle, HandleError, InsertError, Match, Policy,
    SlotsPer,
};
use radix_core::id::Namespace;
use radix_core::limits::{CACHE_EVENT_PAGES_MAX, CACHE_PAGE_TOKENS_MAX};

const NS: Namespace = Namespace::DEFAULT;

/// Page size 2, a slot per token.
fn config() -> CacheConfig {
    CacheConfig {
        page_size: 2,
        ..CacheConfig::default()
    }
}

fn cache(config: CacheConfig) -> Cache {
    Cache::new(config).expect("in range")
}

fn with_events(event_pages_max: usize) -> Cache {
    cache(CacheConfig {
        events: true,
        event_pages_max,
        ..config()
    })
}

/// Inserts whole pages of two tokens with slots from `slot` on; returns the end and the duplicates.
fn put(cache: &mut Cache, tokens: &[u32], slot: u32) -> (Handle, Vec<u32>) {
    let slots: Vec<u32> = (slot..).take(tokens.len()).collect();
    let mut duplicates = Vec::new();
    let inserted = cache.insert(NS, tokens, &slots, 0, &mut duplicates);
    cache.debug_check();
    (inserted.expect("a row for every page").handle, duplicates)
}

fn find(cache: &mut Cache, tokens: &[u32]) -> Match {
    let found = cache.match_prefix(NS, tokens);
    cache.debug_check();
    found
}

fn slots(cache: &Cache, handle: Handle) -> Vec<u32> {
    let mut slots = Vec::new();
    cache.slots(handle, &mut slots).expect("a live handle");
    slots
}

fn evict(cache: &mut Cache, pages: usize) -> Vec<u32> {
    let mut freed = Vec::new();
    let gone = cache.evict(pages, &mut freed);
    assert_eq!(gone * 2, freed.len());
    cache.debug_check();
    freed
}

#[test]
fn a_value_out_of_range_is_named_with_its_range() {
    for page_size in [0, CACHE_PAGE_TOKENS_MAX + 1] {
        let refused = Cache::<u32, u32>::new(CacheConfig {
            page_size,
            ..config()
        })
        .err();
        assert_eq!(refused, Some(ConfigError::PageSize { page_size }));
    }
    let error = ConfigError::PageSize { page_size: 0 }.to_string();
    assert_eq!(error, "page_size is 0 tokens, not 1 to 512");
    for event_pages_max in [0, CACHE_EVENT_PAGES_MAX + 1] {
        let config = CacheConfig {
            event_pages_max,
            ..config()
        };
        let refused = Cache::<u32, u32>::new(config).err();
        assert_eq!(
            refused,
            Some(ConfigError::EventPagesMax { event_pages_max })
        );
    }
}

#[test]
fn a_match_ends_at_a_page_though_more_tokens_agree() {
    let mut cache = cache(config());
    put(&mut cache, &[1, 2, 3, 4], 10);
    let found = find(&mut cache, &[1, 2, 3, 9, 5, 6]);
    assert_eq!((found.len, found.pages), (2, 1));
    assert_eq!(slots(&cache, found.handle), [10, 11]);
    assert_eq!(find(&mut cache, &[1]).len, 0);
    assert_eq!(find(&mut cache, &[]).len, 0);
    let nothing = find(&mut cache, &[7, 7]);
    assert_eq!((nothing.len, slots(&cache, nothing.handle)), (0, vec![]));
}

#[test]
fn namespaces_share_no_page() {
    let mut cache = cache(config());
    put(&mut cache, &[1, 2], 0);
    assert_eq!(cache.match_prefix(Namespace(7), &[1, 2]).len, 0);
    assert_eq!(cache.peek(NS, &[1, 2]), 2);
}

#[test]
fn tokens_behind_the_last_whole_page_are_left_out_and_said_to_be() {
    let mut cache = cache(config());
    let inserted = cache.insert(NS, &[1, 2, 3], &[10, 11], 0, &mut Vec::new());
    let inserted = inserted.expect("a row for one page");
    assert_eq!(
        (inserted.present, inserted.added, inserted.left_out),
        (0, 2, 1)
    );
    assert_eq!(cache.total_len(), 2);
    let nothing = cache
        .insert(NS, &[5], &[], 0, &mut Vec::new())
        .expect("no page, no slot");
    assert_eq!((nothing.added, nothing.left_out), (0, 1));
    cache.debug_check();
}

#[test]
fn slots_for_pages_that_are_there_come_back_where_they_differ() {
    let mut cache = cache(config());
    put(&mut cache, &[1, 2, 3, 4], 10);
    // The request matched the first page and computed the second, as another had meanwhile.
    let mut duplicates = vec![99];
    let brought = [10, 11, 22, 23, 24, 25];
    let inserted = cache.insert(NS, &[1, 2, 3, 4, 5, 6], &brought, 0, &mut duplicates);
    let inserted = inserted.expect("a row for every page");
    assert_eq!(duplicates, [99, 22, 23]);
    assert_eq!((inserted.present, inserted.added), (4, 2));
    assert_eq!(slots(&cache, inserted.handle), [10, 11, 12, 13, 24, 25]);
}

#[test]
fn a_wrong_number_of_slots_changes_nothing() {
    let mut cache = with_events(100);
    put(&mut cache, &[1, 2], 10);
    let mut duplicates = Vec::new();
    for got in [0, 2, 3, 5] {
        let brought: Vec<u32> = (50..50 + got as u32).collect();
        let refused = cache.insert(NS, &[1, 2, 3, 4, 5], &brought, 0, &mut duplicates);
        let error = InsertError::WrongSlots {
            pages: 2,
            expected: 4,
            got,
        };
        assert_eq!(refused, Err(error));
    }
    assert!(duplicates.is_empty());
    assert_eq!((cache.total_len(), cache.take_events().len()), (2, 1));
    cache.debug_check();
}

#[test]
fn a_page_may_have_one_slot_and_prompts_may_be_fingerprints() {
    let config = CacheConfig {
        slots: SlotsPer::Page,
        ..config()
    };
    let mut blocks = cache(config);
    blocks
        .insert(NS, &[1, 2, 3, 4], &[7, 8], 0, &mut Vec::new())
        .expect("a block per page");
    let found = blocks.match_prefix(NS, &[1, 2, 3, 4]);
    assert_eq!((found.len, slots(&blocks, found.handle)), (4, vec![7, 8]));

    let pages = [Fingerprint(5), Fingerprint(6)];
    let mut cache: Cache<Fingerprint, i64> = Cache::new(config).expect("in range");
    cache
        .insert(NS, &pages, &[-1, -2], 0, &mut Vec::new())
        .expect("a block per page");
    let found = cache.match_prefix(NS, &pages);
    assert_eq!((found.pages, found.len), (2, 4), "lengths are in tokens");
    let mut out = Vec::new();
    assert_eq!(cache.slots(found.handle, &mut out), Ok(2));
    assert_eq!(out, [-1, -2]);
    cache.debug_check();
}

#[test]
fn runs_longer_than_a_node_are_one_prompt() {
    let tokens: Vec<u32> = (0..10_000).collect();
    let mut cache = with_events(10_000);
    let (handle, _) = put(&mut cache, &tokens, 0);
    assert!(cache.stats().nodes > 1);
    assert_eq!(find(&mut cache, &tokens).handle, handle);
    assert_eq!(slots(&cache, handle), tokens, "slot i holds token i");
    assert_eq!(cache.take_events().len(), 1);
    assert_eq!(evict(&mut cache, 4_999).len(), 9_998);
    assert_eq!(cache.peek(NS, &tokens), 2);
}

#[test]
fn a_peek_leaves_no_mark_and_a_match_does() {
    let mut cache = cache(config());
    put(&mut cache, &[1, 2], 10);
    put(&mut cache, &[3, 4], 20);
    assert_eq!(cache.peek(NS, &[1, 2]), 2);
    let mut out = Vec::new();
    assert_eq!(cache.peek_slots(NS, &[1, 2, 9, 9], &mut out), 2);
    assert_eq!(out, [10, 11]);
    assert_eq!(
        evict(&mut cache, 1),
        [10, 11],
        "still the least recently used"
    );
    put(&mut cache, &[1, 2], 10);
    find(&mut cache, &[3, 4]);
    assert_eq!(evict(&mut cache, 1), [10, 11]);
}

#[test]
fn a_slot_buffer_with_room_is_not_allocated_again() {
    let mut cache = cache(config());
    let (handle, _) = put(&mut cache, &[1, 2, 3, 4], 10);
    let mut out = Vec::with_capacity(4);
    let at = out.as_ptr();
    cache.slots(handle, &mut out).expect("a live handle");
    assert_eq!((out.as_ptr(), out.capacity()), (at, 4));
}

#[test]
fn a_lock_covers_its_path_and_what_follows_may_go() {
    let mut cache = cache(config());
    put(&mut cache, &[1, 2, 3, 4, 5, 6], 10);
    let found = find(&mut cache, &[1, 2, 3, 4]);
    let receipt = cache.lock(found.handle).expect("just matched");
    assert_eq!((cache.protected_len(), cache.evictable_len()), (4, 2));
    assert_eq!(evict(&mut cache, 99), [14, 15]);
    assert_eq!((cache.protected_len(), cache.evictable_len()), (4, 0));
    cache.unlock(receipt).expect("its own");
    assert_eq!((cache.protected_len(), cache.evictable_len()), (0, 4));
    assert_eq!(evict(&mut cache, 99), [10, 11, 12, 13]);
}

#[test]
fn a_split_under_locks_keeps_their_counts() {
    let mut cache = cache(config());
    let (end, _) = put(&mut cache, &[1, 2, 3, 4], 10);
    let first = cache.lock(end).expect("just inserted");
    let second = cache.lock(end).expect("just inserted");
    let middle = find(&mut cache, &[1, 2]);
    let third = cache.lock(middle.handle).expect("just matched");
    cache.unlock(first).expect("its own");
    assert_eq!(cache.protected_len(), 4);
    cache.unlock(second).expect("its own");
    cache.debug_check();
    assert_eq!((cache.protected_len(), cache.evictable_len()), (2, 2));
    cache.unlock(third).expect("its own");
    assert_eq!(cache.evictable_len(), 4);
    assert_eq!(
        slots(&cache, end),
        [10, 11, 12, 13],
        "a split leaves handles alone"
    );
}

#[test]
fn a_handle_is_stale_once_its_page_went_also_when_another_took_its_place() {
    let mut cache = cache(config());
    let (end, _) = put(&mut cache, &[1, 2, 3, 4], 10);
    // Only the tail goes; the run is still there, and ends elsewhere.
    evict(&mut cache, 1);
    assert_eq!(cache.lock(end).err(), Some(HandleError::StaleHandle));
    put(&mut cache, &[1, 2, 3, 4], 20);
    assert_eq!(cache.lock(end).err(), Some(HandleError::StaleHandle));
    let (end, _) = put(&mut cache, &[7, 8], 30);
    evict(&mut cache, 99);
    put(&mut cache, &[7, 8], 40);
    assert_eq!(
        cache.slots(end, &mut Vec::new()),
        Err(HandleError::StaleHandle)
    );
}

#[test]
fn what_another_cache_gave_is_refused_and_keeps_holding() {
    let (mut mine, mut other) = (cache(config()), cache(config()));
    let (end, _) = put(&mut mine, &[1, 2], 10);
    put(&mut other, &[1, 2], 10);
    assert_eq!(other.lock(end).err(), Some(HandleError::ForeignHandle));
    let receipt = mine.lock(end).expect("just inserted");
    let refused = other.unlock(receipt).expect_err("another cache's");
    assert_eq!(mine.protected_len(), 2);
    mine.unlock(refused.receipt).expect("its own");
    assert_eq!(mine.protected_len(), 0);
}

#[test]
fn a_reset_ends_locks_and_spends_receipts() {
    let mut cache = cache(config());
    let (end, _) = put(&mut cache, &[1, 2], 10);
    let receipt = cache.lock(end).expect("just inserted");
    cache.reset();
    cache.debug_check();
    assert_eq!((cache.total_len(), cache.protected_len()), (0, 0));
    put(&mut cache, &[1, 2], 20);
    cache.unlock(receipt).expect("a spent receipt is no error");
    assert_eq!(cache.lock(end).err(), Some(HandleError::StaleHandle));
    assert_eq!(evict(&mut cache, 9), [20, 21]);
}

#[test]
fn eviction_takes_exactly_what_was_asked_and_cuts_the_last_run() {
    let mut cache = cache(config());
    put(&mut cache, &[1, 2, 3, 4, 5, 6, 7, 8], 10);
    assert_eq!(evict(&mut cache, 0), []);
    assert_eq!(evict(&mut cache, 1), [16, 17]);
    assert_eq!(evict(&mut cache, 2), [12, 13, 14, 15]);
    assert_eq!(evict(&mut cache, 2), [10, 11]);
    assert_eq!((cache.stats().nodes, cache.total_len()), (0, 0));
}

#[test]
fn leaves_go_first_and_parents_follow() {
    let mut cache = cache(config());
    put(&mut cache, &[1, 2, 3, 4], 10);
    put(&mut cache, &[1, 2, 5, 6], 20);
    assert_eq!(evict(&mut cache, 1), [12, 13]);
    assert_eq!(evict(&mut cache, 1), [22, 23]);
    assert_eq!(evict(&mut cache, 1), [10, 11]);
}

/// Inserts a, b, c, then matches a twice and b once; `c` has the highest priority and `a` the lowest.
fn order_of(policy: Policy) -> String {
    let mut cache = cache(CacheConfig { policy, ..config() });
    let mut put = |token: u32, priority| {
        let slots = [token, token];
        cache
            .insert(NS, &[token, token], &slots, priority, &mut Vec::new())
            .expect("a row for a page");
    };
    put(u32::from(b'a'), -3);
    put(u32::from(b'b'), 0);
    put(u32::from(b'c'), 3);
    for token in [b'a', b'a', b'b'].map(u32::from) {
        find(&mut cache, &[token, token]);
    }
    let mut freed = Vec::new();
    cache.evict(3, &mut freed);
    let names = freed.iter().step_by(2);
    names
        .map(|slot| char::from_u32(*slot).expect("a letter"))
        .collect()
}

#[test]
fn every_policy_has_its_order() {
    let orders = [
        (Policy::Lru, "cab"),
        (Policy::Lfu, "cba"),
        (Policy::Fifo, "abc"),
        (Policy::Mru, "bac"),
        (Policy::Filo, "cba"),
        (Policy::Priority, "abc"),
        (Policy::Slru, "cab"),
    ];
    for (policy, order) in orders {
        assert_eq!(order_of(policy), order, "{policy:?}");
    }
}

#[test]
fn two_hits_protect_a_page_from_pages_that_came_once() {
    let mut cache = cache(CacheConfig {
        policy: Policy::Slru,
        ..config()
    });
    put(&mut cache, &[1, 2], 10);
    find(&mut cache, &[1, 2]);
    put(&mut cache, &[3, 4], 20);
    put(&mut cache, &[5, 6], 30);
    assert_eq!(evict(&mut cache, 2), [20, 21, 30, 31]);
}

#[test]
fn an_insert_raises_the_priority_of_its_path_and_never_lowers_it() {
    let mut cache = cache(CacheConfig {
        policy: Policy::Priority,
        ..config()
    });
    let mut put = |tokens: &[u32], slots: &[u32], priority| {
        let done = cache.insert(NS, tokens, slots, priority, &mut Vec::new());
        done.expect("a row for every page");
    };
    put(&[1, 2], &[10, 11], 0);
    put(&[3, 4], &[20, 21], 1);
    put(&[1, 2], &[10, 11], 2);
    put(&[1, 2], &[10, 11], -5);
    assert_eq!(evict(&mut cache, 1), [20, 21]);
}

#[test]
fn a_partial_match_refreshes_only_what_it_matched() {
    let mut cache = cache(config());
    put(&mut cache, &[1, 2, 3, 4], 10);
    put(&mut cache, &[7, 8], 20);
    find(&mut cache, &[1, 2]);
    assert_eq!(evict(&mut cache, 2), [12, 13, 20, 21]);
}

#[test]
fn events_tell_of_stores_and_removals_and_not_of_splits() {
    let mut cache = with_events(100);
    put(&mut cache, &[1, 2, 3, 4], 10);
    find(&mut cache, &[1, 2]);
    put(&mut cache, &[1, 2, 5, 6], 20);
    put(&mut cache, &[1, 2, 5, 6, 7, 8], 20);
    evict(&mut cache, 1);
    evict(&mut cache, 1);
    let events = cache.take_events();
    let stored = |start, parent, units: &[u32], slots: &[u32]| Event::Stored {
        namespace: NS,
        start,
        parent,
        units: units.to_vec(),
        slots: slots.to_vec(),
    };
    let expected = [
        stored(0, None, &[1, 2, 3, 4], &[10, 11, 12, 13]),
        // Two inserts, of which the second goes on where the first ended.
        stored(2, Some(11), &[5, 6, 7, 8], &[22, 23, 24, 25]),
        Event::Removed {
            namespace: NS,
            slots: vec![12, 13, 24, 25],
        },
    ];
    assert_eq!(events, expected);
    assert!(cache.take_events().is_empty(), "events are told once");
    cache.reset();
    assert_eq!(cache.take_events(), [Event::Cleared]);
}

#[test]
fn a_full_event_buffer_says_what_was_lost() {
    let mut cache = with_events(3);
    put(&mut cache, &[1, 2, 3, 4], 10);
    put(&mut cache, &[5, 6, 7, 8], 20);
    put(&mut cache, &[9, 9], 30);
    let events = cache.take_events();
    assert_eq!(events.len(), 2);
    assert_eq!(
        events[1],
        Event::Lost { pages: 3 },
        "also what would have fitted by itself"
    );
    put(&mut cache, &[1, 1], 40);
    assert!(matches!(cache.take_events()[..], [Event::Stored { .. }]));
}

#[test]
fn without_events_none_are_kept() {
    let mut cache = cache(config());
    put(&mut cache, &[1, 2], 10);
    cache.reset();
    assert!(cache.take_events().is_empty());
}

#[test]
fn the_same_calls_give_the_same_answers_slot_for_slot() {
    let run = || {
        let mut random = fastrand::Rng::with_seed(5);
        let mut cache = cache(config());
        let mut story = Vec::new();
        for at in 0..500 {
            let tokens: Vec<u32> = (0..random.usize(1..9) * 2)
                .map(|_| random.u32(..3))
                .collect();
            put(&mut cache, &tokens, at * 100);
            find(&mut cache, &tokens[..tokens.len() / 2]);
            cache.evict(random.usize(..6), &mut story);
        }
        cache.for_each(|entry| story.extend(entry.own_slots()));
        story
    };
    assert_eq!(run(), run());
}

#[test]
fn a_clone_does_the_same_from_there_on_and_has_no_locks() {
    let mut cache = with_events(1_000);
    for at in 0..40 {
        put(&mut cache, &[at % 3, at % 5, at % 3, at % 7], at * 10);
    }
    let found = find(&mut cache, &[0, 0]);
    let receipt = cache.lock(found.handle).expect("just matched");
    let mut twin = cache.clone();
    twin.debug_check();
    assert_eq!(
        twin.lock(found.handle).err(),
        Some(HandleError::ForeignHandle)
    );
    assert_eq!(
        (twin.total_len(), twin.protected_len()),
        (cache.total_len(), 0)
    );
    cache.unlock(receipt).expect("its own");
    while cache.total_len() > 0 {
        assert_eq!(evict(&mut cache, 3), evict(&mut twin, 3));
    }
    assert_eq!(cache.take_events(), twin.take_events());
}

#[test]
fn memory_is_given_back() {
    let mut cache = cache(config());
    let empty = cache.stats().bytes;
    for at in 0..2_000 {
        put(&mut cache, &[at, 1, at, 2, at, 3], at * 6);
    }
    let full = cache.stats();
    assert_eq!((full.nodes, full.pages), (2_000, 6_000));
    cache.evict(6_000, &mut Vec::new());
    assert!(cache.stats().bytes < empty + 4_096, "{:?}", cache.stats());
}
