//! Asks an engine's HTTP port where it publishes its KV events.

use std::error::Error as _;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode, Url};
use serde_json::Value;
use thiserror::Error;

use super::settings::{ZmqFeed, at_rank};

/// How long one question may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Longest answer about endpoints. SGLang tells all its settings with them. Unit: bytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Why an engine's HTTP port told nothing.
///
/// State: nothing changed; it is asked again.
#[derive(Debug, Error)]
pub(crate) enum HttpError {
    /// No connection, or it broke.
    #[error("{}", cause(.0))]
    Unreachable(#[from] reqwest::Error),
    /// It refused.
    #[error("{url} answers {status}")]
    Refused { url: String, status: StatusCode },
    /// The answer is longer than any engine's.
    #[error("{url} answers more than {max} bytes")]
    TooLong { url: String, max: usize },
    /// The answer is not what the engine's documents say.
    #[error("{url}: {why}")]
    Nonsense { url: String, why: String },
}

/// reqwest's own text names the address only; what happened is behind it.
fn cause(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(inner) = next {
        text = format!("{text}: {inner}");
        next = inner.source();
    }
    text
}

pub(crate) fn client() -> Result<Client, HttpError> {
    Ok(Client::builder().timeout(ANSWER_MAX).no_proxy().build()?)
}

/// Returns the body of an answer that is none too long.
pub(crate) async fn body(
    url: &str,
    mut answer: Response,
    max: usize,
) -> Result<Vec<u8>, HttpError> {
    let url = || url.to_owned();
    if !answer.status().is_success() {
        let status = answer.status();
        return Err(HttpError::Refused { url: url(), status });
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if bytes.len() + chunk.len() > max {
            return Err(HttpError::TooLong { url: url(), max });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Finds out where a data-parallel rank publishes: vLLM says it of each rank, SGLang of the first.
pub(crate) async fn look(url: &str, rank: u16) -> Result<ZmqFeed, HttpError> {
    let base = url.trim_end_matches('/');
    let client = client()?;
    let mut refused = None;
    for (path, read) in [
        (
            "/kv_event_sources",
            of_vllm as fn(&Value, &str, u16) -> Result<ZmqFeed, String>,
        ),
        ("/server_info", of_sglang),
    ] {
        let at = format!("{base}{path}");
        let nonsense = |why| HttpError::Nonsense {
            url: at.clone(),
            why,
        };
        let answer = client.get(&at).send().await?;
        match body(&at, answer, ANSWER_BYTES_MAX).await {
            Err(error @ HttpError::Refused { .. }) => refused = Some(error),
            Err(error) => return Err(error),
            Ok(bytes) => {
                let value =
                    serde_json::from_slice(&bytes).map_err(|error| nonsense(error.to_string()))?;
                let host = Url::parse(url)
                    .ok()
                    .and_then(|url| url.host_str().map(str::to_owned));
                return read(&value, &host.unwrap_or_default(), rank).map_err(nonsense);
            }
        }
    }
    Err(refused.unwrap_or_else(|| HttpError::Nonsense {
        url: base.to_owned(),
        why: "tells of no KV events".to_owned(),
    }))
}

/// Reads vLLM's answer: settings of each data-parallel rank, by its number.
fn of_vllm(value: &Value, host: &str, rank: u16) -> Result<ZmqFeed, String> {
    let ranks = value.as_object().ok_or("no object of ranks")?;
    let config = ranks
        .get(&rank.to_string())
        .ok_or_else(|| format!("rank {rank} is not among {:?}", ranks.keys()))?;
    let text = |key: &str| config.get(key).and_then(Value::as_str);
    let endpoint = text("endpoint").ok_or("no `endpoint`")?;
    Ok(ZmqFeed {
        endpoint: reachable(endpoint, host)?,
        bind: false,
        replay: text("replay_endpoint")
            .map(|at| reachable(at, host))
            .transpose()?,
        topic: text("topic").unwrap_or_default().to_owned(),
    })
}

/// Reads what SGLang says of its KV events among its settings: the port of rank 0, the others are behind.
fn of_sglang(value: &Value, host: &str, rank: u16) -> Result<ZmqFeed, String> {
    let events = value
        .get("kv_events")
        .filter(|events| events.is_object())
        .ok_or("no `kv_events`: start it with --kv-events-config")?;
    let port = |key: &str| {
        let port = events.get(key).and_then(Value::as_u64);
        port.and_then(|port| u16::try_from(port).ok())
    };
    let said = events.get("endpoint_host").and_then(Value::as_str);
    let at = |port| {
        let endpoint = format!("tcp://{}:{port}", said.unwrap_or("*"));
        let endpoint = reachable(&endpoint, host)?;
        at_rank(&endpoint, rank).ok_or_else(|| format!("`{endpoint}` has no port for rank {rank}"))
    };
    let topic = events.get("topic").and_then(Value::as_str);
    Ok(ZmqFeed {
        endpoint: at(port("endpoint_port_base").ok_or("no `endpoint_port_base`")?)?,
        bind: false,
        replay: port("replay_endpoint_port_base").map(at).transpose()?,
        topic: topic.unwrap_or_default().to_owned(),
    })
}

/// Returns an endpoint as it is dialed from here: where an engine listens everywhere, at the host of its HTTP port.
fn reachable(endpoint: &str, host: &str) -> Result<String, String> {
    let wrong = || format!("`{endpoint}` cannot be connected to");
    if endpoint.starts_with("ipc://") {
        return Ok(endpoint.to_owned());
    }
    let (at, port) = endpoint
        .strip_prefix("tcp://")
        .and_then(|rest| rest.rsplit_once(':'))
        .ok_or_else(wrong)?;
    let at = match at {
        "*" | "0.0.0.0" | "::" | "[::]" => host,
        at => at,
    };
    at_rank(&format!("tcp://{at}:{port}"), 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn vllm_tells_of_each_rank() {
        let answer = json!({
            "0": {"publisher": "zmq", "endpoint": "tcp://*:5557", "replay_endpoint": null, "topic": ""},
            "1": {"publisher": "zmq", "endpoint": "tcp://10.0.0.2:5558", "replay_endpoint": "tcp://*:5560", "topic": "kv"},
        });
        let feed = of_vllm(&answer, "gpu-1", 0).unwrap();
        assert_eq!(
            (feed.endpoint.as_str(), feed.replay),
            ("tcp://gpu-1:5557", None)
        );
        let feed = of_vllm(&answer, "gpu-1", 1).unwrap();
        assert_eq!(feed.endpoint, "tcp://10.0.0.2:5558");
        assert_eq!(feed.replay.as_deref(), Some("tcp://gpu-1:5560"));
        assert_eq!(feed.topic, "kv");
        assert!(of_vllm(&answer, "gpu-1", 2).unwrap_err().contains("rank 2"));
        assert!(of_vllm(&json!([]), "gpu-1", 0).is_err());
        assert!(of_vllm(&json!({"0": {"endpoint": "inproc://x"}}), "h", 0).is_err());
    }

    #[test]
    fn sglang_tells_of_its_first_rank() {
        let answer = json!({"kv_events": {
            "publisher": "zmq", "endpoint_host": "*", "endpoint_port_base": 5557, "topic": "kv",
            "replay_endpoint_port_base": 6557, "block_size": 1, "dp_size": 2,
        }});
        let feed = of_sglang(&answer, "gpu-1", 1).unwrap();
        assert_eq!(feed.endpoint, "tcp://gpu-1:5558");
        assert_eq!(feed.replay.as_deref(), Some("tcp://gpu-1:6558"));
        let none = of_sglang(&json!({"kv_events": null}), "gpu-1", 0);
        assert!(none.unwrap_err().contains("--kv-events-config"));
    }
}
