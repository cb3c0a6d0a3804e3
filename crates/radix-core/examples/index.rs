//! Two nodes store prompts, one evicts part of its own, a router asks who holds most of a prompt.
//! `cargo run -p radix-core --example index`

use radix_core::id::{
    CopyRange, Incarnation, Namespace, OpId, OriginId, Rank, Seq, SourceId, Tier,
};
use radix_core::{FingerprintKey, Index, IndexConfig, InsertRun, Matches, Place};

fn main() {
    let key = FingerprintKey::new(0x5eed);
    let tokens: Vec<u32> = (0..64).collect();
    let mut pages = Vec::new();
    key.pages(&tokens, 16, &mut pages);

    let mut index = Index::new(IndexConfig::default());
    let at = |rank, seq| OpId {
        origin: OriginId {
            rank: Rank(rank),
            inc: Incarnation(1),
        },
        seq: Seq(seq),
    };
    let run = InsertRun {
        source: SourceId(0),
        tier: Tier::Device,
        place: Place::Root(Namespace::DEFAULT),
        pages: &pages,
    };
    index
        .insert(at(0, 1), run)
        .expect("a run of four pages fits");
    index
        .insert(at(1, 1), run)
        .expect("a run of four pages fits");
    let last_two = CopyRange {
        seq: Seq(1),
        idx: 2,
        len: 2,
    };
    let dead = index.remove(at(1, 2), &[last_two]);
    println!("rank 1 lost {dead} copies");

    let reader = index.reader().expect("the first of 64 readers");
    let (mut matches, mut positions) = (Matches::new(), Vec::new());
    let exact = reader.matches_at(Namespace::DEFAULT, &pages, &mut matches, &mut positions);
    for (holder, pages) in matches.iter() {
        println!(
            "{holder} holds {} pages on the device",
            pages[Tier::Device as usize]
        );
    }
    println!("one instant: {exact}, folded up to {positions:?}");
    println!("{:?}", index.stats());
}
