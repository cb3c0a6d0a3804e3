//! What real servers sent, played again over real sockets: after it the tree holds what bookkeeping by hand says.

use std::collections::{BTreeMap, BTreeSet};

use radixmesh::engines::event::{Batch, EngineHash, Event, Stored};
use radixmesh::engines::source::namespace;
use radixmesh::radix_core::id::Tier;

use crate::double::KEY;
use crate::mesh::Held;
use crate::publisher::{Framing, Publisher};
use crate::tree::{Node, engine};

const CAPTURES: [(&str, &str); 3] = [
    (
        "vLLM 0.32, u64",
        include_str!("../../../engines/tests/data/vllm-0.32.0-u64.txt"),
    ),
    (
        "vLLM 0.32, bytes",
        include_str!("../../../engines/tests/data/vllm-0.32.0-bytes.txt"),
    ),
    (
        "SGLang 0.5.23, page 1",
        include_str!("../../../engines/tests/data/sglang-0.5.23-page1.txt"),
    ),
];

/// A reader that knows these streams: all in order, nothing lost, one copy of each block.
#[derive(Default)]
struct ByHand {
    blocks: BTreeMap<EngineHash, (Option<EngineHash>, Stored)>,
    held: BTreeSet<EngineHash>,
}

impl ByHand {
    fn batch(&mut self, payload: &[u8]) {
        for event in Batch::open(payload).unwrap() {
            match event.unwrap() {
                Event::Stored(stored) => self.stored(&stored),
                Event::Removed(removed) => removed.hashes.iter().for_each(|hash| {
                    self.held.remove(hash);
                }),
                Event::Cleared => self.held.clear(),
                other => panic!("no engine of these said {other:?}"),
            }
        }
    }

    fn stored(&mut self, stored: &Stored) {
        let mut parent = stored.parent;
        let blocks = stored.tokens.chunks(stored.block_size as usize);
        for (hash, tokens) in stored.hashes.iter().zip(blocks) {
            let own = Stored {
                tokens: tokens.to_vec(),
                ..stored.clone()
            };
            self.blocks.insert(*hash, (parent, own));
            self.held.insert(*hash);
            parent = Some(*hash);
        }
    }

    fn truth(&self, page_size: usize) -> Held {
        let mut held = Held::new();
        for hash in &self.held {
            let (mut tokens, mut usable, mut root) = (Vec::new(), Vec::new(), None);
            let mut next = Some(*hash);
            while let Some(hash) = next {
                let (parent, own) = &self.blocks[&hash];
                tokens.splice(0..0, own.tokens.iter().copied());
                let is_held = self.held.contains(&hash);
                usable.splice(0..0, own.tokens.iter().map(|_| is_held));
                root = Some(own);
                next = *parent;
            }
            let root = root.unwrap();
            let namespace = namespace(KEY, "", root.lora.as_ref(), root.salt.as_deref());
            let mut pages = Vec::new();
            KEY.pages(&tokens, page_size, &mut pages);
            for end in 1..=pages.len() {
                if usable[(end - 1) * page_size..end * page_size]
                    .iter()
                    .all(|held| *held)
                {
                    let path = (namespace, pages[..end].to_vec());
                    held.entry(path).or_default().insert(Tier::Device);
                }
            }
        }
        held
    }
}

#[tokio::test]
async fn every_capture_over_real_sockets_leaves_the_tree_as_the_engine() {
    for (name, text) in CAPTURES {
        let line = |line: &str| {
            let (seq, payload) = line.split_once(' ').unwrap();
            let byte = |at| u8::from_str_radix(&payload[at..at + 2], 16).unwrap();
            let payload: Vec<u8> = (0..payload.len()).step_by(2).map(byte).collect();
            (seq.parse::<u64>().unwrap(), payload)
        };
        let batches: Vec<(u64, Vec<u8>)> = text.lines().map(line).collect();
        assert!(
            batches
                .iter()
                .map(|(seq, _)| *seq)
                .eq(0..batches.len() as u64),
            "{name}"
        );
        let mut publisher = Publisher::start(Framing::New, None).await;
        let sources = vec![engine(&publisher.endpoint, Some(&publisher.replay))];
        let page_size = 16;
        let node = Node::start(page_size, sources).await;
        node.until("connected", |report| report.connected).await;
        let mut by_hand = ByHand::default();
        for (place, (_, payload)) in batches.iter().enumerate() {
            by_hand.batch(payload);
            // Some get lost on the way.
            publisher
                .publish(payload, usize::from(place % 7 != 3))
                .await;
            // Compared now and then: after each would take long for blocks of one token.
            if place % 97 == 96 || place + 1 == batches.len() {
                node.until_held(&by_hand.truth(page_size.into())).await;
            }
        }
        node.until_exact().await;
        println!("{name}: {} batches", batches.len());
        node.running.shutdown().await;
        publisher.kill().await;
    }
}
