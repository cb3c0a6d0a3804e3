//! The requests of the demo: the built-in chats, or the first requests of a trace.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use radixmesh::engines::trace::TRACE_BLOCK_TOKENS;
use radixmesh::engines::{TraceReader, chats, expand_tokens};

use crate::cli::{Exit, Failure};
use crate::drive::Job;

/// Returns all requests. Memory: their tokens.
pub(super) fn jobs(trace: Option<&Path>, requests: usize, seed: u64) -> Result<Vec<Job>, Failure> {
    let Some(path) = trace else {
        let job = |chat: radixmesh::engines::ChatRequest| Job {
            conversation: Some(chat.conversation),
            turn: chat.turn,
            tokens: chat.tokens,
        };
        return Ok(chats(seed, requests).map(job).collect());
    };
    let fail =
        |why: String| Failure::new(Exit::Usage, format!("--trace {}: {why}", path.display()));
    let file = File::open(path).map_err(|error| fail(error.to_string()))?;
    let mut jobs = Vec::new();
    for request in TraceReader::new(BufReader::new(file)).take(requests) {
        let request = request.map_err(|error| fail(error.to_string()))?;
        let mut tokens = Vec::new();
        expand_tokens(&request, TRACE_BLOCK_TOKENS, &mut tokens);
        jobs.push(Job {
            conversation: None,
            turn: 0,
            tokens,
        });
    }
    if jobs.is_empty() {
        return Err(fail("no request in it".to_owned()));
    }
    Ok(jobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_gives_its_first_requests_and_names_its_bad_line() {
        let path = std::env::temp_dir().join(format!("radixmesh-trace-{}", std::process::id()));
        let line =
            r#"{"timestamp": 1, "input_length": 600, "output_length": 1, "hash_ids": [1, 2]}"#;
        std::fs::write(&path, format!("{line}\n{line}\n{{\n")).unwrap();
        let first = |requests| jobs(Some(&path), requests, 0);
        let two = first(2).unwrap();
        assert_eq!(two.len(), 2);
        assert_eq!((two[0].tokens.len(), two[0].conversation), (600, None));
        let failure = first(3).unwrap_err();
        assert!(
            failure.exit == Exit::Usage && failure.message.contains("line 3"),
            "{failure}"
        );
        assert!(first(0).is_err());
        std::fs::remove_file(&path).unwrap();
    }
}
