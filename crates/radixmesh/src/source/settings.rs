//! What a node is told of one engine behind it.

use std::time::Duration;

use radix_core::id::SourceId;
use thiserror::Error;

/// Data-parallel ranks of one engine at most; each is a source of its own.
pub const ENGINE_RANKS_MAX: u16 = 256;

/// Engines behind one node at most.
pub const ENGINES_MAX: usize = 256;

/// How the engine's KV events are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feed {
    /// ZeroMQ sockets at given endpoints: vLLM, SGLang, TensorRT-LLM's publisher.
    Zmq(ZmqFeed),
    /// vLLM since 0.33 and SGLang say themselves where they publish: `GET /kv_event_sources`, `GET /server_info`.
    Discover {
        /// The engine's HTTP address, `http://host:port`.
        url: String,
    },
    /// TensorRT-LLM's HTTP port: `POST /kv_cache_events` is drained. Nobody else may drain it.
    TrtHttp {
        /// The engine's HTTP address, `http://host:port`.
        url: String,
        /// Time between two drains that found nothing.
        every: Duration,
    },
    /// The engine says nothing: whoever routes to it reports prompts (`POST /sources/observed`), and they are taken for
    /// cached for this long. An approximation, and called so wherever it shows.
    Approximate {
        /// How long a prompt is taken for cached after it was last reported.
        ttl: Duration,
    },
}

/// The sockets of one publisher; those of further data-parallel ranks are at the ports behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZmqFeed {
    /// Where events are published, `tcp://host:port` or `ipc://path`.
    pub endpoint: String,
    /// This node binds the endpoint and the engine connects (vLLM with an endpoint without `*`).
    pub bind: bool,
    /// Where lost batches are asked for; without it every gap degrades the source.
    pub replay: Option<String>,
    /// Only messages whose topic begins so. Default: all.
    pub topic: String,
}

/// One engine behind a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSettings {
    /// What its operator calls it; unique on a node.
    pub name: String,
    /// How its events are reached.
    pub feed: Feed,
    /// The source under which its first data-parallel rank publishes; the others follow. Keep it: peers know copies by it.
    pub first: SourceId,
    /// Its data-parallel ranks. Range 1 ..= [`ENGINE_RANKS_MAX`]. Default 1.
    pub ranks: u16,
    /// The namespace of requests without adapter and salt: what the cluster calls the engine's model. Default empty.
    pub namespace: String,
    /// Its copies are withdrawn when it cannot be reached for so long. Default 5 s.
    pub down_after: Duration,
    /// Blocks that are remembered of each rank at most. Default [`engines::limits::BLOCKS_MAX`].
    pub blocks_max: usize,
}

impl SourceSettings {
    /// Returns the defaults for an engine of one rank.
    #[must_use]
    pub fn new(name: &str, first: SourceId, feed: Feed) -> Self {
        SourceSettings {
            name: name.to_owned(),
            feed,
            first,
            ranks: 1,
            namespace: String::new(),
            down_after: Duration::from_secs(5),
            blocks_max: engines::limits::BLOCKS_MAX,
        }
    }

    /// Returns the sources of its ranks.
    pub fn sources(&self) -> impl Iterator<Item = SourceId> + use<> {
        (self.first.0..=u16::MAX)
            .take(usize::from(self.ranks))
            .map(SourceId)
    }
}

/// Why engines cannot be followed as they are configured.
///
/// State: nothing was started.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SourcesError {
    /// More engines than a node follows.
    #[error("{engines} engines are more than the {ENGINES_MAX} that one node follows")]
    TooMany {
        /// As many are configured.
        engines: usize,
    },
    /// An engine without ranks, or with too many.
    #[error(
        "source `{name}` has {ranks} data-parallel ranks; there may be 1 to {ENGINE_RANKS_MAX}"
    )]
    Ranks {
        /// Its name.
        name: String,
        /// As configured.
        ranks: u16,
    },
    /// Two engines have one name.
    #[error("two sources are called `{name}`")]
    SameName {
        /// The name.
        name: String,
    },
    /// Two engines would publish under one source.
    #[error(
        "sources `{one}` and `{other}` both publish as source {source_id}; give the second another `id`"
    )]
    SameSource {
        /// The first engine.
        one: String,
        /// The second.
        other: String,
        /// The source.
        source_id: u16,
    },
    /// An address that none can be.
    #[error("source `{name}`: `{address}` is no address of {wanted}")]
    Address {
        /// Its name.
        name: String,
        /// As configured.
        address: String,
        /// What it should be.
        wanted: &'static str,
    },
}

/// Checks what can be checked without a socket.
///
/// Errors: [`SourcesError`] names the first thing that is wrong.
pub(crate) fn check(all: &[SourceSettings]) -> Result<(), SourcesError> {
    if all.len() > ENGINES_MAX {
        return Err(SourcesError::TooMany { engines: all.len() });
    }
    for (place, one) in all.iter().enumerate() {
        let name = || one.name.clone();
        let fits = usize::from(one.first.0) + usize::from(one.ranks) <= 1 << 16;
        if !(1..=ENGINE_RANKS_MAX).contains(&one.ranks) || !fits {
            let ranks = one.ranks;
            return Err(SourcesError::Ranks {
                name: name(),
                ranks,
            });
        }
        for other in &all[place + 1..] {
            if other.name == one.name {
                return Err(SourcesError::SameName { name: name() });
            }
            if let Some(both) = one.sources().find(|id| other.sources().any(|at| at == *id)) {
                return Err(SourcesError::SameSource {
                    one: name(),
                    other: other.name.clone(),
                    source_id: both.0,
                });
            }
        }
        check_feed(one)?;
    }
    Ok(())
}

fn check_feed(one: &SourceSettings) -> Result<(), SourcesError> {
    let wrong = |address: &String, wanted| SourcesError::Address {
        name: one.name.clone(),
        address: address.clone(),
        wanted,
    };
    match &one.feed {
        Feed::Zmq(feed) => {
            for address in [Some(&feed.endpoint), feed.replay.as_ref()]
                .into_iter()
                .flatten()
            {
                if at_rank(address, one.ranks - 1).is_none() {
                    return Err(wrong(
                        address,
                        "a ZeroMQ socket: tcp://host:port or ipc://path",
                    ));
                }
            }
            Ok(())
        }
        Feed::Discover { url } | Feed::TrtHttp { url, .. } => match reqwest::Url::parse(url) {
            Ok(parsed) if parsed.scheme() == "http" && parsed.has_host() => Ok(()),
            Ok(_) | Err(_) => Err(wrong(url, "an engine: http://host:port")),
        },
        Feed::Approximate { .. } => Ok(()),
    }
}

/// Returns the endpoint of a data-parallel rank: the port behind, as vLLM and SGLang count them.
pub(crate) fn at_rank(endpoint: &str, rank: u16) -> Option<String> {
    if let Some(path) = endpoint.strip_prefix("ipc://") {
        return (!path.is_empty() && rank == 0).then(|| endpoint.to_owned());
    }
    let (host, port) = endpoint.strip_prefix("tcp://")?.rsplit_once(':')?;
    let port = port.parse::<u16>().ok().filter(|port| *port > 0)?;
    let port = port.checked_add(rank)?;
    (!host.is_empty()).then(|| format!("tcp://{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zmq(endpoint: &str) -> Feed {
        Feed::Zmq(ZmqFeed {
            endpoint: endpoint.to_owned(),
            bind: false,
            replay: None,
            topic: String::new(),
        })
    }

    #[test]
    fn ranks_are_at_the_ports_behind() {
        assert_eq!(
            at_rank("tcp://10.0.0.1:5557", 3).as_deref(),
            Some("tcp://10.0.0.1:5560")
        );
        assert_eq!(at_rank("tcp://[::1]:65535", 1), None);
        assert_eq!(
            at_rank("ipc:///run/kv", 0).as_deref(),
            Some("ipc:///run/kv")
        );
        for wrong in [
            "",
            "tcp://",
            "tcp://host",
            "tcp://:1",
            "udp://host:1",
            "ipc://",
            "tcp://host:0",
        ] {
            assert_eq!(at_rank(wrong, 0), None, "{wrong}");
        }
    }

    #[test]
    fn engines_that_get_into_each_others_way_are_named() {
        let engine = |name, first, ranks| SourceSettings {
            ranks,
            ..SourceSettings::new(name, SourceId(first), zmq("tcp://localhost:5557"))
        };
        assert_eq!(check(&[engine("a", 0, 4), engine("b", 4, 1)]), Ok(()));
        let both = check(&[engine("a", 0, 4), engine("b", 3, 1)]);
        assert!(
            matches!(both, Err(SourcesError::SameSource { source_id: 3, .. })),
            "{both:?}"
        );
        let both = check(&[engine("a", 0, 1), engine("a", 1, 1)]);
        assert!(
            matches!(both, Err(SourcesError::SameName { .. })),
            "{both:?}"
        );
        for (first, ranks) in [(0, 0), (0, 257), (65_535, 2)] {
            let wrong = check(&[engine("a", first, ranks)]);
            assert!(
                matches!(wrong, Err(SourcesError::Ranks { .. })),
                "{wrong:?}"
            );
        }
        let wrong = check(&[SourceSettings::new("a", SourceId(0), zmq("localhost:5557"))]);
        assert!(
            matches!(wrong, Err(SourcesError::Address { .. })),
            "{wrong:?}"
        );
    }
}
