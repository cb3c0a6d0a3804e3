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

/// Puts pages behind copy `(seq, idx)` of the same rank, as a decoding request does.
fn go_on(index: &mut Index, rank: u16, seq: u64, (of, idx): (u64, u16), path: &[u64]) {
    let run = InsertRun {
        source: SourceId(0),
        tier: Tier::Device,
        place: Place::Copy { seq: Seq(of), idx },
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
fn a_cut_off_is_seen_whole_or_not() {
    model(|| {
        let mut index = index();
        store(&mut index, 0, 1, &[1, 2, 3, 4]);
        store(&mut index, 1, 1, &[1, 2, 3, 4]);
        let reader = index.reader().unwrap();
        let asking = thread::spawn(move || depths(&reader, &[1, 2, 3, 4], [0, 1]));
        lose(&mut index, 1, 2, 1, 1, 1);
        lose(&mut index, 1, 3, 1, 3, 1);
        let [whole, cut] = asking.join().unwrap();
        assert_eq!(whole, 4);
        assert!([1, 4].contains(&cut), "{cut}");
    });
}

#[test]
fn a_run_that_shrinks_in_place_never_lends_pages_to_another_holder() {
    model(|| {
        let mut index = index();
        store(&mut index, 0, 1, &[1, 2, 3, 4, 5, 6, 7, 8]);
        let reader = index.reader().unwrap();
        let path = [1, 2, 3, 4, 5, 6, 7, 8];
        let asking = thread::spawn(move || depths(&reader, &path, [0, 1]));
        lose(&mut index, 0, 2, 1, 7, 1);
        store(&mut index, 1, 1, &[1, 2, 3, 4, 5, 6, 7]);
        let [first, second] = asking.join().unwrap();
        assert!([7, 8].contains(&first), "{first}");
        assert!([0, 7].contains(&second), "{second}");
    });
}

#[test]
fn a_holder_that_leaves_in_place_never_gets_what_is_appended_later() {
    model(|| {
        let mut index = Index::new(IndexConfig {
            readers_max: 1,
            run_pages_max: 64,
        });
        let path = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        store(&mut index, 0, 1, &path[..8]);
        // A run that grew has room for an eighth more.
        go_on(&mut index, 0, 2, (1, 7), &path[8..9]);
        store(&mut index, 1, 1, &path[..9]);
        let reader = index.reader().unwrap();
        let asking = thread::spawn(move || depths(&reader, &path, [0, 1]));
        lose(&mut index, 1, 2, 1, 0, 9);
        go_on(&mut index, 0, 3, (2, 0), &path[9..]);
        let [first, second] = asking.join().unwrap();
        assert!([9, 10].contains(&first), "{first}");
        assert!([0, 9].contains(&second), "{second}");
    });
}

#[test]
fn a_child_is_found_while_its_table_is_replaced() {
    model(|| {
        let mut index = index();
        for (rank, page) in (0..4).zip([1, 2, 3, 4]) {
            store(&mut index, rank, 1, &[page]);
        }
        let reader = index.reader().unwrap();
        let asking = thread::spawn(move || depths(&reader, &[3], [2, 4]));
        // The fifth child needs a larger table.
        store(&mut index, 4, 1, &[5]);
        lose(&mut index, 2, 2, 1, 0, 1);
        let [third, fifth] = asking.join().unwrap();
        assert!([0, 1].contains(&third), "{third}");
        assert_eq!(fifth, 0);
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
