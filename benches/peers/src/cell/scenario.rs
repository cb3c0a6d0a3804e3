//! What an index answers when a path has holes: engines do evict a head before its tail, and from the middle.

use std::collections::BTreeSet;
use std::rc::Rc;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::model::{Model, Wrong};
use crate::peer::{Name, Peer, Reader, with_peer};
use crate::stream::{Block, Change, Event, names};

const SEED: u64 = 17;
const WORKERS: u16 = 8;
/// Stores and removes of the random stream.
const STEPS: usize = 4_000;
/// Steps between two looks at the whole index.
const STEPS_PER_LOOK: usize = 50;
/// Random paths: long enough for runs, few enough choices to meet again.
const PATHS: usize = 60;
const PATH_PAGES_MAX: usize = 40;

/// What was found of one index.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Findings {
    /// The pages that each worker is credited with after a head was evicted.
    pub(crate) headless: Vec<u32>,
    /// The pages that each worker holds then.
    pub(crate) headless_truth: Vec<u32>,
    /// Queries of the random stream.
    pub(crate) holes_asked: u64,
    /// Those with a wrong answer.
    pub(crate) holes_wrong: u64,
    /// Those with an answer that credits a worker with too much.
    pub(crate) holes_over: u64,
    /// Operations that the index said it refused.
    pub(crate) refused: u64,
}

/// Runs both scenarios and prints one line of JSON.
pub(crate) fn run(name: Name) {
    let findings = with_peer!(name, P => find::<P>());
    let line = serde_json::to_string(&findings).expect("findings have string keys only");
    println!("{line}");
}

fn find<P: Peer>() -> Findings {
    let mut findings = Findings::default();
    headless::<P>(&mut findings);
    holes::<P>(&mut findings);
    findings
}

/// An index beside the model.
struct Rig<P: Peer> {
    peer: P,
    publisher: P::Publisher,
    model: Model,
    refused: u64,
}

impl<P: Peer> Rig<P> {
    fn new() -> Rig<P> {
        Rig {
            peer: P::new(WORKERS),
            publisher: P::Publisher::default(),
            model: Model::default(),
            refused: 0,
        }
    }

    fn tell(&mut self, worker: u16, change: Change) {
        let event = Event {
            worker,
            change: Rc::new(change),
        };
        let op = P::op(&mut self.publisher, &event);
        self.refused += self.peer.apply(vec![op], &|| ()).refused;
        self.model.apply(&[event]);
    }

    /// Returns the answer and the truth.
    fn ask(&mut self, reader: &mut P::Reader, path: &[u64]) -> (Vec<u32>, Vec<u32>) {
        let mut answer = vec![0; usize::from(WORKERS)];
        let mut truth = answer.clone();
        reader.depths(&mut P::Reader::query(path), &mut answer);
        self.model.depths(path, &mut truth);
        (answer, truth)
    }
}

fn blocks(path: &[u64]) -> Vec<Block> {
    let named = names(path).into_iter().zip(path);
    named.map(|(name, &page)| Block { name, page }).collect()
}

/// Worker 0 holds two pages. Worker 1 holds these and two more, and loses the first two. Worker 2 comes and goes
/// another way behind the first two.
fn headless<P: Peer>(findings: &mut Findings) {
    let mut rig = Rig::<P>::new();
    let (long, other) = ([1, 2, 3, 4], [1, 2, 9]);
    let stored = |path: &[u64]| Change::Store {
        parent: None,
        blocks: blocks(path),
    };
    let gone = |path: &[u64], pages: &[usize]| {
        let names = names(path);
        Change::Remove(pages.iter().map(|page| names[*page]).collect())
    };
    rig.tell(0, stored(&long[..2]));
    rig.tell(1, stored(&long));
    rig.tell(2, stored(&other));
    rig.tell(1, gone(&long, &[1, 0]));
    rig.tell(2, gone(&other, &[2, 1, 0]));
    let mut reader = rig.peer.reader();
    (findings.headless, findings.headless_truth) = rig.ask(&mut reader, &long);
    findings.refused += rig.refused;
}

/// Stores what is missing of random paths, and removes blocks wherever they are.
fn holes<P: Peer>(findings: &mut Findings) {
    let mut rng = Rng::with_seed(SEED);
    let paths = paths(&mut rng);
    let mut rig = Rig::<P>::new();
    let mut reader = rig.peer.reader();
    let mut held: Vec<BTreeSet<u64>> = vec![BTreeSet::new(); usize::from(WORKERS)];
    let mut wrong = Wrong::default();
    for step in 1..=STEPS {
        let worker = rng.u16(0..WORKERS);
        let held = &mut held[usize::from(worker)];
        if rng.u8(..3) > 0 || held.is_empty() {
            let path = &paths[rng.usize(..paths.len())];
            let path = &path[..rng.usize(1..=path.len())];
            for change in missing(&blocks(path), held) {
                rig.tell(worker, change);
            }
        } else {
            let mut names: Vec<u64> = held.iter().copied().collect();
            rng.shuffle(&mut names);
            names.truncate(rng.usize(1..=16));
            for name in &names {
                held.remove(name);
            }
            rig.tell(worker, Change::Remove(names));
        }
        if step % STEPS_PER_LOOK == 0 {
            for path in &paths {
                let (answer, truth) = rig.ask(&mut reader, path);
                wrong.add(&answer, &truth);
            }
        }
    }
    (findings.holes_asked, findings.holes_wrong) = (wrong.asked, wrong.wrong);
    findings.holes_over = wrong.over;
    findings.refused += rig.refused;
}

/// Paths that begin alike and part somewhere.
fn paths(rng: &mut Rng) -> Vec<Vec<u64>> {
    let mut paths: Vec<Vec<u64>> = Vec::new();
    for _ in 0..PATHS {
        let mut path = match paths.len() {
            0 => Vec::new(),
            some => {
                let other = &paths[rng.usize(..some)];
                other[..rng.usize(..=other.len())].to_vec()
            }
        };
        let pages = rng.usize(path.len().max(1)..=PATH_PAGES_MAX);
        path.resize_with(pages, || rng.u64(..));
        paths.push(path);
    }
    paths
}

/// Marks the blocks of a path as held; returns a store of each stretch that was not.
fn missing(path: &[Block], held: &mut BTreeSet<u64>) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut parent = None;
    for stretch in path.chunk_by(|a, b| held.contains(&a.name) == held.contains(&b.name)) {
        if !held.contains(&stretch[0].name) {
            changes.push(Change::Store {
                parent,
                blocks: stretch.to_vec(),
            });
        }
        parent = stretch.last().map(|block| block.name);
    }
    held.extend(path.iter().map(|block| block.name));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_without_its_head_is_credited_with_nothing_by_us_and_not_by_all() {
        let credited = |name| with_peer!(name, P => find::<P>()).headless[..3].to_vec();
        assert_eq!(credited(Name::RadixMesh), [2, 0, 0]);
        assert_eq!(credited(Name::DynamoCrtc), [4, 0, 0]);
        assert_eq!(credited(Name::DynamoPos32), [4, 0, 0]);
    }

    #[test]
    fn radixmesh_is_exact_where_paths_have_holes() {
        let findings = with_peer!(Name::RadixMesh, P => find::<P>());
        assert!(findings.holes_asked > 1_000);
        assert_eq!((findings.holes_wrong, findings.refused), (0, 0));
    }
}
