//! The published Mooncake trace, where a checkout has it beside the workspace.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use engines::TraceReader;

#[test]
fn an_unlimited_cache_hits_the_published_share_of_blocks() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/traces/mooncake-conversation.jsonl");
    let Ok(file) = File::open(&path) else {
        println!("skipped: no trace at {}", path.display());
        return;
    };
    let (mut requests, mut blocks, mut hits, mut seen) = (0, 0u64, 0u64, BTreeSet::new());
    for request in TraceReader::new(BufReader::new(file)) {
        let request = request.expect("the published trace is well formed");
        requests += 1;
        blocks += request.blocks.len() as u64;
        hits += request
            .blocks
            .iter()
            .filter(|&&block| !seen.insert(block))
            .count() as u64;
    }
    assert_eq!(requests, 12_031);
    let rate = hits as f64 / blocks as f64;
    assert!((rate - 0.366).abs() < 0.0005, "{rate}");
}
