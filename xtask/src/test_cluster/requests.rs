//! The requests of a run, ready to be sent: read or generated, hashed, encoded, and fed to the baselines, all in a
//! thread of its own and only a few requests ahead.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;
use engines::trace::TRACE_BLOCK_TOKENS;
use engines::{Baselines, Rates, TraceReader, chats, expand_tokens};
use radix_core::FingerprintKey;
use radix_core::id::Namespace;
use tokio::sync::mpsc;

use super::chain::Key;
use super::options::Options;

/// Requests that are prepared ahead.
const AHEAD_MAX: usize = 8;
/// Requests when the command line names no source.
const SYNTHETIC_DEFAULT: usize = 500;
/// Requests of a run that time ends.
pub(crate) const SYNTHETIC_ENDLESS: usize = 1 << 40;
/// Time between two generated requests at speed 1. Unit: ms.
const SYNTHETIC_PERIOD_MS: u64 = 100;

/// One prompt.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Counted from 0.
    pub(crate) number: u64,
    /// Arrival at speed 1. Unit: ms from the beginning.
    pub(crate) at_ms: u64,
    /// Length of the prompt.
    pub(crate) tokens: u32,
    /// The prefix that ends with each page.
    pub(crate) path: Arc<[Key]>,
    /// Leading pages that a request which continues this one has too.
    pub(crate) trunk: usize,
    /// `{"tokens":[..]}`: a body of `/route` and of `/engine/run`.
    pub(crate) body: Arc<str>,
}

impl Request {
    /// Returns the body of `/engine/run` for a node that is sent the KV.
    pub(crate) fn transferred_body(&self) -> String {
        format!("{},\"transferred\":true}}", self.body.trim_end_matches('}'))
    }

    /// Returns whether this request continues `other`: it would hit what `other` is about to store.
    pub(crate) fn continues(&self, other: &Request) -> bool {
        other
            .trunk
            .checked_sub(1)
            .is_some_and(|last| self.path.get(last) == Some(&other.path[last]))
    }
}

/// Where prompts come from.
enum Prompts {
    Trace(TraceReader<BufReader<File>>),
    Chats(engines::Chats),
}

/// Prompts that are being prepared.
pub(crate) struct Requests {
    /// They come in trace order; the channel ends with the last.
    pub(crate) ready: mpsc::Receiver<Request>,
    /// How many there will be.
    pub(crate) total: u64,
    /// Whose result is what the baselines reached, or why the source failed.
    pub(crate) thread: JoinHandle<anyhow::Result<Rates>>,
}

impl Requests {
    /// Opens the source that the options name and begins to read it.
    ///
    /// Errors: the file cannot be read.
    pub(crate) fn open(options: &Options, key: FingerprintKey) -> anyhow::Result<Requests> {
        let (prompts, total) = match &options.trace {
            Some(path) => {
                let total = count_lines(path)?.min(options.requests.unwrap_or(usize::MAX));
                let file =
                    File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
                (
                    Prompts::Trace(TraceReader::new(BufReader::new(file))),
                    total,
                )
            }
            None => {
                let total = match options.synthetic {
                    Some(total) => total,
                    None if options.fault.is_some() => SYNTHETIC_ENDLESS,
                    None => SYNTHETIC_DEFAULT,
                };
                (Prompts::Chats(chats(options.seed, total)), total)
            }
        };
        anyhow::ensure!(total > 0, "there is no request to send");
        let page_size = usize::from(options.page_size());
        let baselines = Baselines::new(
            usize::from(options.prefill()),
            options.pages_per_node(),
            options.seed,
        );
        let (sender, ready) = mpsc::channel(AHEAD_MAX);
        let thread = std::thread::Builder::new()
            .name("requests".to_owned())
            .spawn(move || prepare(prompts, total, key, page_size, baselines, &sender))?;
        Ok(Requests {
            ready,
            total: total as u64,
            thread,
        })
    }
}

fn count_lines(path: &Path) -> anyhow::Result<usize> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut lines = 0;
    for line in BufReader::new(file).split(b'\n') {
        let line = line.with_context(|| format!("cannot read {}", path.display()))?;
        lines += usize::from(!line.trim_ascii().is_empty());
    }
    Ok(lines)
}

fn prepare(
    mut prompts: Prompts,
    total: usize,
    key: FingerprintKey,
    page_size: usize,
    mut baselines: Baselines,
    sender: &mpsc::Sender<Request>,
) -> anyhow::Result<Rates> {
    let (mut tokens, mut pages) = (Vec::new(), Vec::new());
    for number in 0..total as u64 {
        let (at_ms, trunk) = match &mut prompts {
            Prompts::Trace(reader) => {
                let Some(request) = reader.next().transpose()? else {
                    break;
                };
                expand_tokens(&request, TRACE_BLOCK_TOKENS, &mut tokens);
                // The last block of a prompt may be partial, and then nobody else has it.
                let block = TRACE_BLOCK_TOKENS as usize;
                (request.at_ms, tokens.len() / block * block / page_size)
            }
            Prompts::Chats(chats) => {
                let Some(request) = chats.next() else { break };
                tokens = request.tokens;
                (number * SYNTHETIC_PERIOD_MS, tokens.len() / page_size)
            }
        };
        pages.clear();
        key.pages(&tokens, page_size, &mut pages);
        baselines.feed(Namespace::DEFAULT, &pages);
        let request = Request {
            number,
            at_ms,
            tokens: u32::try_from(tokens.len()).context("a prompt of more than 2^32 tokens")?,
            path: Key::root(Namespace::DEFAULT).walk(&pages).collect(),
            trunk,
            body: body(&tokens).into(),
        };
        if sender.blocking_send(request).is_err() {
            break;
        }
    }
    Ok(baselines.rates())
}

fn body(tokens: &[u32]) -> String {
    let mut text = String::with_capacity(tokens.len() * 7 + 16);
    text.push_str("{\"tokens\":");
    push_list(&mut text, tokens);
    text.push('}');
    text
}

/// Appends a JSON list of numbers. Cost: a few nanoseconds a token.
pub(crate) fn push_list(text: &mut String, tokens: &[u32]) {
    text.push('[');
    for (place, &token) in tokens.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        push_number(text, token);
    }
    text.push(']');
}

fn push_number(text: &mut String, mut number: u32) {
    let mut digits = [0u8; 10];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).expect("a digit");
        number /= 10;
        if number == 0 {
            break;
        }
    }
    text.push_str(std::str::from_utf8(&digits[at..]).expect("digits are ASCII"));
}

#[cfg(test)]
mod tests {
    use radixmesh::admin::api::{EngineRequest, PrefixRequest};

    use super::*;

    fn request(pages: &[u64], trunk: usize) -> Request {
        let pages: Vec<_> = pages.iter().copied().map(radix_core::Fingerprint).collect();
        let path = Key::root(Namespace::DEFAULT).walk(&pages).collect();
        Request {
            number: 0,
            at_ms: 0,
            tokens: 0,
            path,
            trunk,
            body: body(&[0, 7, u32::MAX]).into(),
        }
    }

    #[test]
    fn bodies_are_the_json_of_the_admin_port() {
        let request = request(&[], 0);
        let plain: PrefixRequest = serde_json::from_str(&request.body).unwrap();
        assert_eq!(plain.tokens, [0, 7, u32::MAX]);
        let moved: EngineRequest = serde_json::from_str(&request.transferred_body()).unwrap();
        assert_eq!((moved.tokens, moved.transferred), (plain.tokens, true));
        assert_eq!(body(&[]), "{\"tokens\":[]}");
    }

    #[test]
    fn a_request_continues_another_when_it_has_all_of_its_trunk() {
        let first = request(&[1, 2, 3], 2);
        assert!(request(&[1, 2, 9, 9], 4).continues(&first));
        assert!(!request(&[1, 9, 9, 9], 4).continues(&first));
        assert!(!request(&[1], 1).continues(&first));
        assert!(
            !first.continues(&request(&[1, 2], 0)),
            "nobody waits for a prompt without a whole page"
        );
    }

    #[test]
    fn generated_requests_come_in_order_and_with_their_baselines() {
        let options = Options::of("--synthetic 20 --seed 3");
        let mut requests = Requests::open(&options, FingerprintKey::new(1)).unwrap();
        let mut numbers = Vec::new();
        while let Some(request) = requests.ready.blocking_recv() {
            numbers.push(request.number);
            assert_eq!(request.path.len(), request.tokens as usize / 16);
        }
        assert_eq!(numbers, (0..20).collect::<Vec<_>>());
        let rates = requests.thread.join().unwrap().unwrap();
        assert!(rates.pages > 0 && rates.ideal >= rates.random);
    }
}
