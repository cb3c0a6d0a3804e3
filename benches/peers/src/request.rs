//! The requests: prompts and answers as page hashes, from a trace or made up. What caches make of them is in
//! `stream`.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::Context;
use clap::ValueEnum;
use engines::trace::TRACE_BLOCK_TOKENS;
use engines::{Chats, ChatsConfig, TraceReader};
use fastrand::Rng;
use radix_core::FingerprintKey;
use serde::Serialize;

/// The seed of everything that is made up.
const SEED: u64 = 42;

/// Where the requests come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Workload {
    /// A trace in the JSON lines of Mooncake.
    Mooncake,
    /// Made up: system prompts of different popularity, conversations of several turns.
    Chats,
}

impl Workload {
    /// Returns its name on the command line and in the results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Workload::Mooncake => "mooncake",
            Workload::Chats => "chats",
        }
    }
}

/// One request, in hashes of whole pages. Equal pages have equal hashes.
#[derive(Debug)]
pub(crate) struct Request {
    /// What is asked for, and stored by one prefill.
    pub(crate) prompt: Vec<u64>,
    /// The pages that the answer completes, one by one.
    pub(crate) decoded: Vec<u64>,
}

/// Reads the first `requests_max` requests of a trace. A page's hash stands for its block's id and its place in it.
///
/// The answers are not in a trace: their pages are like no others, and later prompts do not go on from them.
///
/// Errors: the file cannot be read, or one of these lines is not a request.
pub(crate) fn mooncake(
    path: &Path,
    page_tokens: u32,
    requests_max: usize,
) -> anyhow::Result<Vec<Request>> {
    let name = || path.display().to_string();
    let file = File::open(path).with_context(name)?;
    let key = FingerprintKey::new(SEED);
    let mut answers = Rng::with_seed(SEED);
    let pages_per_block = TRACE_BLOCK_TOKENS / page_tokens;
    TraceReader::new(BufReader::new(file))
        .take(requests_max)
        .map(|request| {
            let request = request.with_context(name)?;
            let whole = |tokens: u32| (tokens / page_tokens) as usize;
            let prompt_pages = whole(request.input_tokens);
            let pages = request.blocks.iter().flat_map(|block| {
                let (high, low) = ((block >> 32) as u32, (block & 0xffff_ffff) as u32);
                (0..pages_per_block).map(move |place| key.page(&[high, low, place]).0)
            });
            let all_pages = whole(request.input_tokens.saturating_add(request.output_tokens));
            let decoded = std::iter::repeat_with(|| answers.u64(..));
            Ok(Request {
                prompt: pages.take(prompt_pages).collect(),
                decoded: decoded.take(all_pages - prompt_pages).collect(),
            })
        })
        .collect()
}

/// Makes up `requests` requests with prompts about as long as those of the trace; a turn goes on from the answer
/// before it.
pub(crate) fn chats(page_tokens: u32, requests: usize) -> Vec<Request> {
    let key = FingerprintKey::new(SEED);
    let config = ChatsConfig {
        seed: SEED,
        requests,
        conversations: 400,
        system_prompts: 100,
        system_tokens: 1_000..=12_000,
        turns: 1..=9,
        user_tokens: 100..=3_500,
        answer_tokens: 50..=700,
    };
    Chats::new(config)
        .map(|chat| {
            let whole = chat.tokens.len() / page_tokens as usize;
            let mut all = chat.tokens;
            all.extend_from_slice(&chat.answer);
            let mut pages = Vec::new();
            key.pages(&all, page_tokens as usize, &mut pages);
            let mut prompt: Vec<u64> = pages.into_iter().map(|page| page.0).collect();
            let decoded = prompt.split_off(whole);
            Request { prompt, decoded }
        })
        .collect()
}
