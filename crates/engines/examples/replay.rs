//! Prints the hit rates that pure policies reach on a Mooncake trace.
//!
//! Usage: `replay FILE [PAGE_SIZE] [PAGES_PER_NODE] [NODES]`

use std::fs::File;
use std::io::BufReader;

use engines::{Baselines, TraceReader, expand_tokens, trace::TRACE_BLOCK_TOKENS};
use radix_core::id::Namespace;
use radix_core::page::FingerprintKey;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path = args
        .next()
        .ok_or("usage: replay FILE [PAGE_SIZE] [PAGES_PER_NODE] [NODES]")?;
    let mut number = |default: usize| args.next().map_or(Ok(default), |arg| arg.parse());
    let (page_size, capacity_pages, nodes) =
        (number(16)?.max(1), number(100_000)?, number(3)?.max(1));

    let key = FingerprintKey::new(1);
    let mut baselines = Baselines::new(nodes, capacity_pages, 1);
    let (mut tokens, mut pages, mut requests) = (Vec::new(), Vec::new(), 0u64);
    for request in TraceReader::new(BufReader::new(File::open(path)?)) {
        expand_tokens(&request?, TRACE_BLOCK_TOKENS, &mut tokens);
        pages.clear();
        key.pages(&tokens, page_size, &mut pages);
        baselines.feed(Namespace::DEFAULT, &pages);
        requests += 1;
    }
    let rates = baselines.rates();
    println!(
        "{requests} requests, {} pages of {page_size} tokens",
        rates.pages
    );
    println!(
        "{nodes} nodes of {capacity_pages} pages, {} in all",
        nodes * capacity_pages
    );
    let lines = [
        ("random", rates.random),
        ("round robin", rates.round_robin),
        ("ideal", rates.ideal),
        ("unlimited", rates.unlimited),
    ];
    for (policy, rate) in lines {
        println!("{policy:>12} {:6.2} %", rate * 100.0);
    }
    Ok(())
}
