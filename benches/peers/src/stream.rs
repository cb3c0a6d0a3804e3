//! What the indices are told and asked: the events that the workers' caches cause, in no index's own form.

use std::rc::Rc;

use dynamo_kv_router::protocols::{LocalBlockHash, compute_next_seq_hash};
use fastrand::Rng;

use crate::lru::Lru;
use crate::request::Request;

/// Blocks in one event when everything that is left is removed.
const DRAIN_EVENT_BLOCKS: usize = 64;
const SEED: u64 = 7;

/// One page in a worker's cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    /// The hash of the path up to and with this page: the name by which a worker removes it.
    pub(crate) name: u64,
    /// The hash of the page alone.
    pub(crate) page: u64,
}

/// What happened to a cache.
#[derive(Debug)]
pub(crate) enum Change {
    /// Consecutive blocks were stored behind a block that is held, or at the root.
    Store {
        /// The name of the block before the first.
        parent: Option<u64>,
        /// In order of the path.
        blocks: Vec<Block>,
    },
    /// Blocks were removed, in this order.
    Remove(Vec<u64>),
}

impl Change {
    /// Returns how many pages it concerns.
    pub(crate) fn pages(&self) -> usize {
        match self {
            Change::Store { blocks, .. } => blocks.len(),
            Change::Remove(names) => names.len(),
        }
    }
}

/// A change at one worker. Replicas share the change.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Counted from 0.
    pub(crate) worker: u16,
    /// What happened there.
    pub(crate) change: Rc<Change>,
}

/// Returns how many pages the events concern together.
pub(crate) fn pages(events: &[Event]) -> usize {
    events.iter().map(|event| event.change.pages()).sum()
}

/// Returns the names of the blocks along a path, as Dynamo's router defines them: one of its indices recomputes them,
/// and to all others they are opaque.
pub(crate) fn names(path: &[u64]) -> Vec<u64> {
    let mut last = None;
    path.iter()
        .map(|&page| {
            let name = match last {
                None => page,
                Some(parent) => compute_next_seq_hash(parent, LocalBlockHash(page)),
            };
            last = Some(name);
            name
        })
        .collect()
}

/// The workers and the sizes of their caches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fleet {
    /// How many workers, a multiple of `replicas`.
    pub(crate) workers: u16,
    /// Workers that hold the same: they are told everything that one of them is told.
    pub(crate) replicas: u16,
    /// Unit: pages per worker.
    pub(crate) capacity_pages: usize,
}

/// Everything one measurement needs.
pub(crate) struct Stream {
    /// The prompts, in the order of the requests.
    pub(crate) queries: Vec<Vec<u64>>,
    /// From empty caches to the end of the requests.
    pub(crate) fill: Vec<Event>,
    /// From there to empty caches, as the caches would evict on: leaf first, least recently used first.
    pub(crate) drain_tail: Vec<Event>,
    /// From there to empty caches, sorted by name: as good as shuffled.
    pub(crate) drain_hash: Vec<Event>,
}

impl Stream {
    /// Sends each request to a worker (or group of replicas) drawn at random and notes what its cache does: one store
    /// of the part of the prompt that is missing, one of each page of the answer, one removal of what had to go.
    pub(crate) fn new(requests: Vec<Request>, fleet: Fleet) -> Stream {
        let mut rng = Rng::with_seed(SEED);
        let groups = fleet.workers / fleet.replicas;
        let mut caches: Vec<Lru> = (0..groups).map(|_| Lru::default()).collect();
        let mut stream = Stream {
            queries: Vec::with_capacity(requests.len()),
            fill: Vec::new(),
            drain_tail: Vec::new(),
            drain_hash: Vec::new(),
        };
        for request in requests {
            let group = rng.u16(0..groups);
            let changes = serve(&mut caches[usize::from(group)], &request, fleet);
            tell(&mut stream.fill, group, fleet, changes);
            stream.queries.push(request.prompt);
        }
        for (group, cache) in (0..groups).zip(&mut caches) {
            tell(
                &mut stream.drain_hash,
                group,
                fleet,
                removals(&cache.names()),
            );
            tell(
                &mut stream.drain_tail,
                group,
                fleet,
                removals(&cache.evict(0)),
            );
        }
        stream
    }
}

fn serve(cache: &mut Lru, request: &Request, fleet: Fleet) -> Vec<Change> {
    let prompt = request.prompt.len();
    let path = [&request.prompt[..], &request.decoded[..]].concat();
    let names = names(&path);
    let held = names[..prompt]
        .iter()
        .take_while(|name| cache.touch(**name))
        .count();
    let prefill = (held < prompt).then_some((held, prompt));
    let decode = (prompt..path.len()).map(|page| (page, page + 1));
    let mut changes = Vec::new();
    for (from, to) in prefill.into_iter().chain(decode) {
        let before = |page: usize| page.checked_sub(1).map(|page| names[page]);
        let mut blocks = Vec::with_capacity(to - from);
        for page in from..to {
            let name = names[page];
            cache.insert(name, before(page));
            blocks.push(Block {
                name,
                page: path[page],
            });
        }
        changes.push(Change::Store {
            parent: before(from),
            blocks,
        });
    }
    let gone = cache.evict(fleet.capacity_pages);
    if !gone.is_empty() {
        changes.push(Change::Remove(gone));
    }
    changes
}

fn removals(names: &[u64]) -> Vec<Change> {
    let events = names.chunks(DRAIN_EVENT_BLOCKS);
    events.map(|names| Change::Remove(names.to_vec())).collect()
}

/// Tells changes of a group to each of its replicas, one replica after the other.
fn tell(events: &mut Vec<Event>, group: u16, fleet: Fleet, changes: Vec<Change>) {
    let changes: Vec<Rc<Change>> = changes.into_iter().map(Rc::new).collect();
    for replica in 0..fleet.replicas {
        events.extend(changes.iter().map(|change| Event {
            worker: group * fleet.replicas + replica,
            change: Rc::clone(change),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;
    use crate::request::chats;

    #[test]
    fn both_drains_leave_nothing_held_and_replicas_hold_the_same() {
        let fleet = Fleet {
            workers: 4,
            replicas: 2,
            capacity_pages: 500,
        };
        let stream = Stream::new(chats(128, 60), fleet);
        let found = |events: &[&[Event]]| -> Vec<[u32; 4]> {
            let mut model = Model::default();
            events.iter().for_each(|events| model.apply(events));
            let depths = |query: &Vec<u64>| {
                let mut depths = [0; 4];
                model.depths(query, &mut depths);
                depths
            };
            stream.queries.iter().map(depths).collect()
        };
        let full = found(&[&stream.fill]);
        assert!(full.iter().any(|depths| depths[0] != depths[2]));
        assert!(
            full.iter()
                .all(|depths| depths[0] == depths[1] && depths[2] == depths[3])
        );
        for drain in [&stream.drain_tail, &stream.drain_hash] {
            assert!(pages(drain) <= 4 * fleet.capacity_pages);
            let empty = found(&[&stream.fill, drain]);
            assert!(empty.iter().all(|depths| *depths == [0; 4]));
        }
    }
}
