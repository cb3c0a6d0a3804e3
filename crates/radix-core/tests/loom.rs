//! All interleavings (up to a bound on preemptions) of a reader with the writer, by loom:
//! `RUSTFLAGS="--cfg radixmesh_loom" cargo test -p radix-core --release --test loom`
//! The reclamation underneath has a test of its own: the same with `--lib`.
#![cfg(radixmesh_loom)]
#![expect(clippy::unwrap_used, reason = "helpers of a test")]

use loom::thread;
use radix_core::id::{
    CopyRange, Holder, Incarnation, Namespace, OpId, OriginId, Rank, Seq, SourceId, Tier,
};
use radix_core::{Fingerprint, Index, IndexConfig, InsertRun, Matches, Place, Reader};

const NS: Namespace = Namespace::DEFAULT;

fn model(check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(check);
}

fn index() -> Index {
    Index::new(IndexConfig {
        readers_max: 1,
        run_pages_max: 8,
    })
}

fn op(rank: u16, seq: u64) -> OpId {
    OpId {
        origin: OriginId {
            rank: Rank(rank),
            inc: Incarnation(1),
        },
        seq: Seq(seq),
    }
}

fn pages(pages: &[u64]) -> Vec<Fingerprint> {
    pages.iter().copied().map(Fingerprint).collect()
}

fn store(index: &mut Index, rank: u16, seq: u64, path: &[u64]) {
    let run = InsertRun {
        source: SourceId(0),
        tier: Tier::Device,
        place: Place::Root(NS),
        pages: &pages(path),
    };
    index.insert(op(rank, seq), run).unwrap();
}

fn lose(index: &mut Index, rank: u16, seq: u64, of: u64, idx: u16, len: u16) {
    index.remove(
        op(rank, seq),
        &[CopyRange {
            seq: Seq(of),
            idx,
            len,
        }],
    );
}

fn depths(reader: &Reader, path: &[u64], ranks: [u16; 2]) -> [u32; 2] {
    let mut out = Matches::new();
    reader.matches(NS, &pages(path), &mut out);
    ranks.map(|rank| {
        out.pages(Holder {
            rank: Rank(rank),
            source: SourceId(0),
        })
    })
}

#[test]
fn a_reader_sees_an_insert_whole_or_not() {
    model(|| {
        let mut index = index();
        let reader = index.reader().unwrap();
        let asking = thread::spawn(move || depths(&reader, &[1, 2, 3], [0, 1]));
        store(&mut index, 0, 1, &[1, 2, 3]);
        let [depth, _] = asking.join().unwrap();
        assert!([0, 3].contains(&depth), "{depth}");
    });
}

#[test]
fn a_split_hides_nothing_from_a_reader() {
    model(|| {
        let mut index = index();
        store(&mut index, 0, 1, &[1, 2, 3, 4]);
        let reader = index.reader().unwrap();
        let asking = thread::spawn(move || depths(&reader, &[1, 2, 3, 4], [0, 1]));
        store(&mut index, 1, 1, &[1, 2, 9]);
        let [old, new] = asking.join().unwrap();
        assert_eq!(old, 4);
        assert!([0, 2].contains(&new), "{new}");
    });
}

#[test]
fn a_join_hides_nothing_from_a_reader() {
    model(|| {
        let mut index = index();
        store(&mut index, 0, 1, &[1, 2, 3, 4]);
        store(&mut index, 1, 1, &[1, 2, 9]);
        let reader = index.reader().unwrap();
        let asking = thread::spawn(move || depths(&reader, &[1, 2, 3, 4], [0, 1]));
        lose(&mut index, 1, 2, 1, 0, 3);
        let [kept, gone] = asking.join().unwrap();
        assert_eq!(kept, 4);
        assert!([0, 2].contains(&gone), "{gone}");
    });
}

#[test]
fn what_is_removed_and_reclaimed_is_not_read() {
    model(|| {
        let mut index = index();
        store(&mut index, 0, 1, &[1, 2, 3]);
        let reader = index.reader().unwrap();
        let asking = thread::spawn(move || depths(&reader, &[1, 2, 3], [0, 1]));
        lose(&mut index, 0, 2, 1, 1, 2);
        lose(&mut index, 0, 3, 1, 0, 1);
        store(&mut index, 1, 1, &[1, 2]);
        let [old, new] = asking.join().unwrap();
        assert!([0, 1, 3].contains(&old), "{old}");
        assert!([0, 2].contains(&new), "{new}");
    });
}

#[test]
fn an_exact_answer_belongs_to_its_position() {
    model(|| {
        let mut index = index();
        store(&mut index, 0, 1, &[1, 2]);
        let reader = index.reader().unwrap();
        let asking = thread::spawn(move || {
            let (mut out, mut at) = (Matches::new(), Vec::new());
            let exact = reader.matches_at(NS, &pages(&[1, 2]), &mut out, &mut at);
            exact.then(|| (at[0].seq.0, out.deepest()))
        });
        lose(&mut index, 0, 2, 1, 1, 1);
        lose(&mut index, 0, 3, 1, 0, 1);
        let answer = asking.join().unwrap();
        assert!(
            [None, Some((1, 2)), Some((2, 1)), Some((3, 0))].contains(&answer),
            "{answer:?}"
        );
    });
}
