//! Request traces in the JSON lines of Mooncake (FAST '25): arrival, lengths and one id per block of the prompt.
//!
//! Equal ids mean equal prompts up to and including that block. The text itself is not in a trace;
//! [`expand_tokens`] makes tokens up that are equal where the ids are.

use std::io::{BufRead, Read};

use serde_json::Value;
use thiserror::Error;

use crate::limits::{TRACE_LINE_BYTES_MAX, TRACE_TOKENS_MAX, VOCABULARY};

/// Tokens in one block of the published Mooncake traces; the last block of a prompt may be partial.
pub const TRACE_BLOCK_TOKENS: u32 = 512;

/// One request of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceRequest {
    /// Arrival. Unit: ms from the beginning of the trace.
    pub at_ms: u64,
    /// Length of the prompt. Unit: tokens.
    pub input_tokens: u32,
    /// Length of the answer. Unit: tokens.
    pub output_tokens: u32,
    /// One id per block of the prompt.
    pub blocks: Vec<u64>,
}

/// Why a trace cannot be read.
///
/// State: for all but `Io` the reader stands behind the bad line, and the caller may go on.
#[derive(Debug, Error)]
pub enum TraceError {
    /// The source failed. State: the reader has ended.
    #[error("line {line}: {source}")]
    Io {
        /// Counted from 1.
        line: u64,
        /// What the source said.
        source: std::io::Error,
    },
    /// A line is longer than [`TRACE_LINE_BYTES_MAX`]. State: the reader has ended.
    #[error("line {line}: longer than {TRACE_LINE_BYTES_MAX} bytes")]
    LineTooLong {
        /// Counted from 1.
        line: u64,
    },
    /// A line is not a JSON object. State: behind that line.
    #[error("line {line}: not a json object: {reason}")]
    NotAnObject {
        /// Counted from 1.
        line: u64,
        /// What the parser said.
        reason: String,
    },
    /// A field is missing or holds what it must not. State: behind that line.
    #[error("line {line}: field `{field}`: {reason}")]
    Field {
        /// Counted from 1.
        line: u64,
        /// The field's name in the file.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads a trace request by request; memory is one line. Empty lines are skipped, unknown fields ignored.
///
/// ```
/// let text = r#"{"timestamp": 27, "input_length": 600, "output_length": 9, "hash_ids": [4, 5]}"#;
/// let requests: Result<Vec<_>, _> = engines::TraceReader::new(text.as_bytes()).collect();
/// assert_eq!(requests?[0].blocks, [4, 5]);
/// # Ok::<(), engines::TraceError>(())
/// ```
#[derive(Debug)]
pub struct TraceReader<R> {
    source: R,
    block_tokens: u32,
    line: u64,
    buffer: Vec<u8>,
    ended: bool,
}

impl<R: BufRead> TraceReader<R> {
    /// Returns a reader of a trace with blocks of [`TRACE_BLOCK_TOKENS`].
    pub fn new(source: R) -> Self {
        Self::with_block_tokens(source, TRACE_BLOCK_TOKENS)
    }

    /// Returns a reader of a trace with other blocks. Panics: when `block_tokens` is 0.
    pub fn with_block_tokens(source: R, block_tokens: u32) -> Self {
        assert!(block_tokens > 0, "a block is at least 1 token");
        TraceReader {
            source,
            block_tokens,
            line: 0,
            buffer: Vec::new(),
            ended: false,
        }
    }

    /// Reads the next line that is not empty into the buffer. `Ok(false)` is the end.
    fn next_line(&mut self) -> Result<bool, TraceError> {
        loop {
            self.line += 1;
            self.buffer.clear();
            let mut source = (&mut self.source).take(TRACE_LINE_BYTES_MAX);
            let bytes = source
                .read_until(b'\n', &mut self.buffer)
                .map_err(|source| TraceError::Io {
                    line: self.line,
                    source,
                })?;
            if bytes == 0 {
                return Ok(false);
            }
            if bytes as u64 == TRACE_LINE_BYTES_MAX && !self.buffer.ends_with(b"\n") {
                return Err(TraceError::LineTooLong { line: self.line });
            }
            if !self.buffer.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }

    fn parse(&self) -> Result<TraceRequest, TraceError> {
        let line = self.line;
        let fields: serde_json::Map<String, Value> =
            serde_json::from_slice(&self.buffer).map_err(|error| TraceError::NotAnObject {
                line,
                reason: error.to_string(),
            })?;
        let fail = |field, reason| TraceError::Field {
            line,
            field,
            reason,
        };
        let value = |field| {
            fields
                .get(field)
                .ok_or_else(|| fail(field, "missing".to_owned()))
        };
        let number = |field| {
            let value = value(field)?;
            value.as_u64().ok_or_else(|| {
                fail(
                    field,
                    format!("{value} is not a whole number of at least 0"),
                )
            })
        };
        let tokens = |field| {
            let tokens = number(field)?;
            u32::try_from(tokens)
                .ok()
                .filter(|_| tokens <= TRACE_TOKENS_MAX)
                .ok_or_else(|| {
                    fail(
                        field,
                        format!("{tokens} is more than {TRACE_TOKENS_MAX} tokens"),
                    )
                })
        };
        let ids = value("hash_ids")?;
        let ids = ids
            .as_array()
            .ok_or_else(|| fail("hash_ids", "not a list".to_owned()))?;
        let block = |id: &Value| {
            id.as_u64().ok_or_else(|| {
                fail(
                    "hash_ids",
                    format!("{id} is not a whole number of at least 0"),
                )
            })
        };
        let request = TraceRequest {
            at_ms: number("timestamp")?,
            input_tokens: tokens("input_length")?,
            output_tokens: tokens("output_length")?,
            blocks: ids.iter().map(block).collect::<Result<_, _>>()?,
        };
        let needed = request.input_tokens.div_ceil(self.block_tokens) as usize;
        if request.blocks.len() != needed {
            let (have, input, block) = (
                request.blocks.len(),
                request.input_tokens,
                self.block_tokens,
            );
            return Err(fail(
                "hash_ids",
                format!("{have} ids where {input} tokens in blocks of {block} need {needed}"),
            ));
        }
        Ok(request)
    }
}

impl<R: BufRead> Iterator for TraceReader<R> {
    type Item = Result<TraceRequest, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.next_line() {
            Ok(true) => Some(self.parse()),
            Ok(false) => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}

/// Replaces `out` by the prompt of a request: exactly `input_tokens` token ids below [`VOCABULARY`].
///
/// Token `j` of a block depends on the block's id and `j` alone, so that prompts share tokens where they share ids.
///
/// Panics: when `block_tokens` is 0, or the request has fewer blocks than its prompt needs; a [`TraceReader`] with
/// the same block size returns no such request.
pub fn expand_tokens(request: &TraceRequest, block_tokens: u32, out: &mut Vec<u32>) {
    let needed = request.input_tokens.div_ceil(block_tokens) as usize;
    assert!(
        request.blocks.len() >= needed,
        "{} blocks where {needed} are needed",
        request.blocks.len()
    );
    out.clear();
    out.reserve(request.input_tokens as usize);
    let mut left = request.input_tokens;
    for &block in &request.blocks {
        let tokens = left.min(block_tokens);
        let key = mix(block);
        out.extend((0..tokens).map(|place| token(key.wrapping_add(u64::from(place)))));
        left -= tokens;
    }
}

/// Maps a well spread or counted value to a token id. Multiply-shift reduction: no division, no bias worth naming.
pub(crate) fn token(value: u64) -> u32 {
    let high = mix(value) >> 32;
    u32::try_from((high * u64::from(VOCABULARY)) >> 32)
        .expect("32 bits times a value, shifted by 32")
}

/// The finalizer of splitmix64 over a Weyl step. Source: Steele, Lea, Flood, OOPSLA 2014.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Result<TraceRequest, String>> {
        TraceReader::new(text.as_bytes())
            .map(|request| request.map_err(|error| error.to_string()))
            .collect()
    }

    #[test]
    fn good_lines_are_read_in_order_and_empty_ones_skipped() {
        let text = concat!(
            r#"{"timestamp": 0, "input_length": 513, "output_length": 2, "hash_ids": [0, 9], "more": null}"#,
            "\n\n",
            r#"{"timestamp": 3, "input_length": 0, "output_length": 0, "hash_ids": []}"#
        );
        let first = TraceRequest {
            at_ms: 0,
            input_tokens: 513,
            output_tokens: 2,
            blocks: vec![0, 9],
        };
        let second = TraceRequest {
            at_ms: 3,
            ..TraceRequest::default()
        };
        assert_eq!(read(text), [Ok(first), Ok(second)]);
    }

    #[test]
    fn an_error_names_line_and_field_and_the_next_line_is_still_read() {
        let good = r#"{"timestamp": 1, "input_length": 1, "output_length": 1, "hash_ids": [1]}"#;
        let check = |bad: &str, expect: &str| {
            let read = read(&format!("{good}\n{bad}\n{good}\n"));
            assert_eq!(read.len(), 3, "{bad}");
            let error = read[1].as_ref().expect_err("a bad line");
            assert!(error.starts_with(expect), "{error} begins with {expect}");
            assert!(read[2].is_ok());
        };
        check("{", "line 2: not a json object: ");
        check("[1]", "line 2: not a json object: ");
        check(
            r#"{"timestamp": 1, "input_length": 1, "output_length": 1}"#,
            "line 2: field `hash_ids`: missing",
        );
        check(
            &good.replace("[1]", "7"),
            "line 2: field `hash_ids`: not a list",
        );
        check(
            &good.replace("[1]", "[-1]"),
            "line 2: field `hash_ids`: -1 is not a whole number",
        );
        check(
            &good.replace("[1]", "[1, 2]"),
            "line 2: field `hash_ids`: 2 ids where 1 tokens in blocks of 512 need 1",
        );
        check(
            &good.replace("\"timestamp\": 1", "\"timestamp\": 1.5"),
            "line 2: field `timestamp`: 1.5 is not",
        );
        check(
            &good.replace("\"output_length\": 1", "\"output_length\": \"x\""),
            "line 2: field `output_length`: \"x\"",
        );
        check(
            &good.replace("\"input_length\": 1", "\"input_length\": 99999999999"),
            "line 2: field `input_length`: 99999999999 is more than",
        );
    }

    #[test]
    fn an_endless_line_is_an_error_and_the_end() {
        let text = " ".repeat(usize::try_from(TRACE_LINE_BYTES_MAX).unwrap() + 10);
        assert_eq!(
            read(&text),
            [Err(format!(
                "line 1: longer than {TRACE_LINE_BYTES_MAX} bytes"
            ))]
        );
    }

    #[test]
    fn expansion_is_exact_and_equal_where_the_ids_are() {
        let long = TraceRequest {
            input_tokens: 1300,
            blocks: vec![7, 8, 9],
            ..TraceRequest::default()
        };
        let short = TraceRequest {
            input_tokens: 600,
            blocks: vec![7, 10],
            ..TraceRequest::default()
        };
        let (mut a, mut b) = (Vec::new(), vec![1; 5]);
        expand_tokens(&long, 512, &mut a);
        expand_tokens(&short, 512, &mut b);
        assert_eq!((a.len(), b.len()), (1300, 600));
        assert_eq!(a[..512], b[..512]);
        assert_ne!(a[512..600], b[512..600]);
        assert!(a.iter().all(|&token| token < VOCABULARY));
    }

    #[test]
    fn the_expansion_is_frozen() {
        let request = TraceRequest {
            input_tokens: 4,
            blocks: vec![0, 1],
            ..TraceRequest::default()
        };
        let mut tokens = Vec::new();
        expand_tokens(&request, 2, &mut tokens);
        assert_eq!(tokens, [67095, 89202, 53639, 103013]);
    }
}
