//! What the indices of dynamo-kv-router have in common: the form of events, queries and answers.

use dynamo_kv_router::protocols::{
    ExternalSequenceBlockHash, KvCacheEvent, KvCacheEventData, KvCacheRemoveData, KvCacheStoreData,
    KvCacheStoredBlockData, LocalBlockHash, OverlapScores, RouterEvent,
};

use crate::stream::{Change, Event};

/// Brings an event into Dynamo's form. `last_id` counts events; the indices do not look at it.
pub(super) fn event(last_id: &mut u64, event: &Event) -> RouterEvent {
    *last_id += 1;
    let hash = ExternalSequenceBlockHash;
    let data = match &*event.change {
        Change::Store { parent, blocks } => KvCacheEventData::Stored(KvCacheStoreData {
            parent_hash: parent.map(hash),
            start_position: None,
            blocks: blocks
                .iter()
                .map(|block| KvCacheStoredBlockData {
                    block_hash: hash(block.name),
                    tokens_hash: LocalBlockHash(block.page),
                    mm_extra_info: None,
                })
                .collect(),
        }),
        Change::Remove(names) => KvCacheEventData::Removed(KvCacheRemoveData {
            block_hashes: names.iter().copied().map(hash).collect(),
        }),
    };
    let event_data = KvCacheEvent {
        event_id: *last_id,
        data,
        dp_rank: 0,
    };
    RouterEvent::new(event.worker.into(), event_data)
}

/// Brings a prompt into Dynamo's form.
pub(super) fn query(pages: &[u64]) -> Vec<LocalBlockHash> {
    pages.iter().copied().map(LocalBlockHash).collect()
}

/// Writes an answer out. Dynamo's users get the map: this is never on the clock.
pub(super) fn write(scores: &OverlapScores, depths: &mut [u32]) {
    depths.fill(0);
    for (worker, depth) in &scores.scores {
        let worker = usize::try_from(worker.worker_id).expect("workers are counted from 0");
        depths[worker] = *depth;
    }
}
