//! Measures how fast one core takes in batches of KV events that were encoded before.
//!
//! Usage: `cargo run --release -p engines --example ingest -- [PART OF A STREAM'S NAME]`

use std::time::Duration;

use engines::event::encode::{Dialect, Say};
use engines::source::{Command, Input, Output, Source, SourceConfig};
use radix_core::id::SourceId;
use radix_core::page::FingerprintKey;
use radix_core::time::Timestamp;

const BLOCK: usize = 16;

/// A stream of batches, and how many pages it stores or removes.
struct Stream {
    name: &'static str,
    dialect: Dialect,
    page_size: u16,
    pages: usize,
    batches: Vec<Vec<Say>>,
}

fn stored(hashes: Vec<u64>, parent: Option<u64>, block_size: usize, round: u64) -> Say {
    let token = |at: u64| u32::try_from((at * 2_654_435_761 + round * 97) % 128_000).unwrap_or(0);
    let first = hashes[0];
    let tokens = (0..(hashes.len() * block_size) as u64).map(|at| token(first + at));
    Say::Stored {
        tokens: tokens.collect(),
        hashes,
        parent,
        block_size: u32::try_from(block_size).unwrap_or(1),
        lora: None,
        salt: None,
        medium: "GPU",
        group: (0, "full_attention"),
    }
}

fn name(request: u64, block: u64) -> u64 {
    (request << 20 | block).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn names(request: u64, blocks: std::ops::Range<u64>) -> Vec<u64> {
    blocks.map(|block| name(request, block)).collect()
}

/// Prompts of `blocks` blocks, each told in one event.
fn prompts(requests: u64, blocks: u64, block_size: usize) -> Vec<Vec<Say>> {
    (0..requests)
        .map(|request| vec![stored(names(request, 0..blocks), None, block_size, request)])
        .collect()
}

fn streams() -> Vec<Stream> {
    let prompt = |name, dialect| Stream {
        name,
        dialect,
        page_size: 16,
        pages: 400_000,
        batches: prompts(4000, 100, BLOCK),
    };
    // 64 requests at once, each 256 blocks long, told a block at a time: 64 events a batch.
    let mut decode = prompts(64, 256, BLOCK);
    decode.extend((256..2256).map(|block| {
        let next = |request| {
            let parent = Some(name(request, block - 1));
            stored(names(request, block..block + 1), parent, BLOCK, block)
        };
        (0..64).map(next).collect()
    }));
    // Each batch stores a prompt and removes an old one, a block an event, leaf first.
    let mut churn = prompts(1000, 100, BLOCK);
    churn.extend((1000..3000).map(|request| {
        let gone = |block| Say::Removed {
            hashes: vec![name(request - 1000, block)],
            medium: "GPU",
            group: 0,
        };
        let mut says: Vec<Say> = (0..100).rev().map(gone).collect();
        says.push(stored(names(request, 0..100), None, BLOCK, request));
        says
    }));
    vec![
        prompt("prompts, u64 names", Dialect::VLLM_0_32),
        prompt("prompts, arrays", Dialect::VLLM_0_14),
        prompt("prompts, 32-byte names", Dialect::VLLM_0_32_BYTES),
        Stream {
            name: "prompts, pages of 2 blocks",
            dialect: Dialect::VLLM_0_32,
            page_size: 32,
            pages: 200_000,
            batches: prompts(4000, 100, BLOCK),
        },
        Stream {
            name: "prompts, blocks of 1 token",
            dialect: Dialect::SGLANG_0_5_23,
            page_size: 16,
            pages: 50_000,
            batches: prompts(500, 1600, 1),
        },
        Stream {
            name: "decoding, depth 256 to 2256",
            dialect: Dialect::VLLM_0_32,
            page_size: 16,
            pages: 64 * 2256,
            batches: decode,
        },
        Stream {
            name: "a page stored, a page removed",
            dialect: Dialect::VLLM_0_32,
            page_size: 16,
            pages: 100_000 + 2 * 200_000,
            batches: churn,
        },
    ]
}

/// Time of this thread on a core: other work on the machine does not count.
fn timed(work: impl FnOnce()) -> Duration {
    let clock = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(
            u64::try_from(now.tv_sec).unwrap_or(0),
            u32::try_from(now.tv_nsec).unwrap_or(0),
        )
    };
    let begin = clock();
    work();
    clock() - begin
}

fn main() {
    println!(
        "{:<32} {:>12} {:>10} {:>10} {:>9}",
        "stream", "pages/s", "ns/page", "MB/s", "B/block"
    );
    let wanted = std::env::args().nth(1).unwrap_or_default();
    for stream in streams() {
        if !stream.name.contains(&wanted) {
            continue;
        }
        let payloads: Vec<Vec<u8>> = stream
            .batches
            .iter()
            .map(|says| {
                let mut payload = Vec::new();
                stream.dialect.write(says, 0, &mut payload);
                payload
            })
            .collect();
        let bytes: usize = payloads.iter().map(Vec::len).sum();
        let mut best = Duration::MAX;
        let (mut blocks, mut memory) = (0, 0);
        for _ in 0..3 {
            let config = SourceConfig::new(SourceId(0), FingerprintKey::new(1), stream.page_size);
            let (mut source, mut out, mut told) = (Source::new(config), Vec::new(), 0);
            let before = resident();
            let took = timed(|| {
                for (seq, payload) in (0u64..).zip(&payloads) {
                    let frames: [&[u8]; 3] = [b"kv", &seq.to_be_bytes(), payload];
                    source.handle(Timestamp(0), Input::Live(&frames), &mut out);
                    for output in out.drain(..) {
                        if let Output::Publish(
                            Command::Store { pages, from, .. } | Command::Evict { pages, from, .. },
                        ) = output
                        {
                            told += pages.len() - from as usize;
                        }
                    }
                }
            });
            assert_eq!(told, stream.pages, "every page is told");
            memory = memory.max(resident().saturating_sub(before));
            blocks = source.stats().blocks;
            best = best.min(took);
        }
        let seconds = best.as_secs_f64();
        println!(
            "{:<32} {:>12.0} {:>10.1} {:>10.1} {:>9.0}",
            stream.name,
            stream.pages as f64 / seconds,
            seconds * 1e9 / stream.pages as f64,
            bytes as f64 / 1e6 / seconds,
            memory as f64 / blocks.max(1) as f64,
        );
    }
}

/// Resident memory, where the system tells. Unit: bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kib.unwrap_or(0) * 1024
}
