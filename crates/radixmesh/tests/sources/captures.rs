//! What real servers sent, played again over real sockets: after it the tree holds what bookkeeping by hand says.

use crate::by_hand::ByHand;
use crate::double::KEY;
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
            if place % 8 == 7 || place + 1 == batches.len() {
                node.until_held(&by_hand.pages(KEY, "", page_size.into()))
                    .await;
            }
        }
        node.until_exact().await;
        println!("{name}: {} batches", batches.len());
        node.running.shutdown().await;
        publisher.kill().await;
    }
}
