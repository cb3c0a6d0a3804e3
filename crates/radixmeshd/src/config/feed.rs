//! The way to an engine that a `[[source]]` table names: its sockets, its HTTP port, or none.

use radixmesh::source::{Feed, ZmqFeed};

use super::engine::{EngineTable, missing};
use super::error::ConfigError;
use super::kind::{EngineKind, Parsed, socket_port};

/// A key that only some ways to an engine have: the key, for which ways it is, and why it is not for others.
pub(super) type Only = (&'static str, fn(&Feed) -> bool, &'static str);

pub(super) const ONLY: [Only; 6] = [
    ("source.bind", is_zmq, OF_ENDPOINT),
    ("source.replay", is_zmq, OF_ENDPOINT),
    ("source.topic", is_zmq, OF_ENDPOINT),
    (
        "source.drain_every",
        |feed| matches!(feed, Feed::TrtHttp { .. }),
        "only `kind = \"tensorrt-llm\"` with `url` is drained",
    ),
    (
        "source.ttl",
        |feed| matches!(feed, Feed::Approximate { .. }),
        "only for `kind = \"approximate\"`; the others say themselves what they drop",
    ),
    (
        "source.down_after",
        |feed| !matches!(feed, Feed::Approximate { .. }),
        "nothing connects to an engine of `kind = \"approximate\"`; `ttl` ends its copies",
    ),
];

const OF_ENDPOINT: &str = "it belongs to `endpoint`; an engine that is asked at `url` needs none";

fn is_zmq(feed: &Feed) -> bool {
    matches!(feed, Feed::Zmq(_))
}

impl EngineTable {
    /// Returns how the engine's events are reached.
    pub(super) fn feed(&self) -> Result<Feed, ConfigError> {
        let Some(Parsed::Engine(kind)) = self.get("source.kind").map(|now| &now.value) else {
            return Err(missing(
                "source.kind",
                "vllm, sglang, tensorrt-llm or approximate",
            ));
        };
        let (endpoint, url) = (self.text("source.endpoint"), self.text("source.url"));
        match (kind, endpoint, url) {
            (EngineKind::Approximate, None, None) => Ok(Feed::Approximate {
                ttl: self.time("source.ttl"),
            }),
            (EngineKind::Approximate, at, _) => {
                let key = at.map_or("source.url", |_| "source.endpoint");
                let why =
                    "nothing connects to an engine of `kind = \"approximate\"`; name what it is";
                Err(self.bad(key, why))
            }
            (_, Some(endpoint), Some(_)) => {
                let why = format!("`endpoint` = {endpoint:?} is set as well: which of the two?");
                Err(self.bad("source.url", &why))
            }
            (_, None, None) => Err(missing(
                "source.endpoint",
                "either the socket where the engine publishes, or its HTTP address as `url`",
            )),
            (_, Some(endpoint), None) => self.zmq(*kind, endpoint).map(Feed::Zmq),
            (EngineKind::Vllm | EngineKind::Sglang, None, Some(url)) => Ok(Feed::Discover {
                url: url.to_owned(),
            }),
            (EngineKind::TensorRtLlm, None, Some(url)) => Ok(Feed::TrtHttp {
                url: url.to_owned(),
                every: self.time("source.drain_every"),
            }),
        }
    }

    fn zmq(&self, kind: EngineKind, endpoint: &str) -> Result<ZmqFeed, ConfigError> {
        let bind = matches!(
            self.get("source.bind").map(|now| &now.value),
            Some(Parsed::Flag(true))
        );
        let replay = self.text("source.replay");
        if bind && kind == EngineKind::TensorRtLlm {
            let why = "TensorRT-LLM listens at its endpoint itself; this node connects";
            return Err(self.bad("source.bind", why));
        }
        let connects = [
            ("source.endpoint", Some(endpoint).filter(|_| !bind)),
            ("source.replay", replay),
        ];
        for (key, at) in connects {
            if at.is_some_and(is_wildcard) {
                let why =
                    "that is where an engine listens: write the host at which this node reaches it";
                return Err(self.bad(key, why));
            }
        }
        Ok(ZmqFeed {
            // `*` is ZeroMQ's word for all interfaces; the system knows none.
            endpoint: endpoint.replacen("tcp://*:", "tcp://0.0.0.0:", 1),
            bind,
            replay: replay.map(str::to_owned),
            topic: self.text("source.topic").unwrap_or_default().to_owned(),
        })
    }

    /// Checks that the sockets of all ranks exist, and that none is another's.
    pub(super) fn check_ports(&self, feed: &ZmqFeed, ranks: u16) -> Result<(), ConfigError> {
        let last = ranks - 1;
        let bad = |why: &str| Err(self.bad("source.ranks", why));
        for at in [Some(&feed.endpoint), feed.replay.as_ref()]
            .into_iter()
            .flatten()
        {
            match socket_port(at) {
                None if ranks > 1 => {
                    return bad(&format!(
                        "`{at}` is the socket of one rank; give each rank a table of its own"
                    ));
                }
                Some(port) if port.checked_add(last).is_none() => {
                    let far = u32::from(port) + u32::from(last);
                    return bad(&format!("rank {last} would be at port {far} behind `{at}`"));
                }
                None | Some(_) => {}
            }
        }
        let Some(replay) = &feed.replay else {
            return Ok(());
        };
        if *replay == feed.endpoint {
            return Err(self.bad("source.replay", "that is `endpoint`"));
        }
        let ports = socket_port(&feed.endpoint).zip(socket_port(replay));
        match ports {
            Some((events, replays)) if host(&feed.endpoint) == host(replay) => {
                let apart = events.abs_diff(replays);
                if apart < ranks {
                    return bad(&format!(
                        "`endpoint` and `replay` are {apart} ports apart, so sockets of {ranks} ranks would be the same"
                    ));
                }
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Returns the host of `tcp://host:port`.
fn host(endpoint: &str) -> Option<&str> {
    let (host, _) = endpoint.strip_prefix("tcp://")?.rsplit_once(':')?;
    Some(host)
}

/// Returns whether the host stands for all interfaces.
fn is_wildcard(endpoint: &str) -> bool {
    matches!(host(endpoint), Some("*" | "0.0.0.0" | "[::]"))
}
