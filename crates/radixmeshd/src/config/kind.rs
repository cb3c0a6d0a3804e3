//! The kinds of values that keys take, how each is read from TOML or from plain text, and its range in words.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use figment::value::Value;
use radixmesh::radix_core::FingerprintKey;
use radixmesh::radix_core::id::Rank;
use radixmesh::topology::{Fanout, Role};
use tracing_subscriber::EnvFilter;

/// Most arms of a broadcast that may be asked for.
const FANOUT_MAX: u64 = 64;

/// What values a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A word.
    Text {
        /// Longest accepted.
        chars_max: usize,
    },
    /// `host:port`.
    Address {
        /// Lowest accepted port.
        port_min: u16,
    },
    /// A list of `host:port`.
    Addresses,
    /// `auto`, `off` or `host:port`.
    Admin,
    /// What a node does for the cluster.
    Role,
    /// `auto` or a number.
    Fanout,
    /// A list of `rank=host:port`.
    Via,
    /// A whole number.
    Count {
        /// Lowest accepted.
        min: u64,
        /// Highest accepted.
        max: u64,
    },
    /// A time with its unit.
    Time {
        /// Lowest accepted. Unit: ms.
        min_ms: u64,
        /// Highest accepted. Unit: ms.
        max_ms: u64,
    },
    /// Yes or no.
    Flag,
    /// A path in the file system.
    Path,
    /// Directives of tracing's `EnvFilter`.
    Filter,
    /// A fingerprint key, or the file that holds it.
    Secret,
    /// What an engine is.
    Engine,
    /// A ZeroMQ socket.
    ZmqEndpoint,
    /// The HTTP address of an engine.
    Url,
}

/// A value that was found to be good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Of [`Kind::Text`], [`Kind::Address`], [`Kind::Filter`], [`Kind::ZmqEndpoint`] and [`Kind::Url`].
    Text(String),
    /// Of [`Kind::Addresses`].
    Texts(Vec<String>),
    /// Of [`Kind::Admin`].
    Admin(Admin),
    /// Of [`Kind::Role`].
    Role(Role),
    /// Of [`Kind::Fanout`].
    Fanout(Fanout),
    /// Of [`Kind::Via`].
    Via(BTreeMap<Rank, String>),
    /// Of [`Kind::Count`].
    Count(u64),
    /// Of [`Kind::Time`].
    Time(Duration),
    /// Of [`Kind::Flag`].
    Flag(bool),
    /// Of [`Kind::Path`].
    Path(PathBuf),
    /// Of [`Kind::Secret`].
    Secret(FingerprintKey),
    /// Of [`Kind::Engine`].
    Engine(EngineKind),
}

/// What an engine is, and so how its events are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// vLLM: ZeroMQ, or asked where.
    Vllm,
    /// SGLang: ZeroMQ, or asked where.
    Sglang,
    /// TensorRT-LLM: ZeroMQ, or drained over HTTP.
    TensorRtLlm,
    /// It says nothing.
    Approximate,
}

impl EngineKind {
    /// Returns its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            EngineKind::Vllm => "vllm",
            EngineKind::Sglang => "sglang",
            EngineKind::TensorRtLlm => "tensorrt-llm",
            EngineKind::Approximate => "approximate",
        }
    }
}

/// Where the admin port is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admin {
    /// Loopback, at the mesh port and 1000.
    Auto,
    /// Nowhere.
    Off,
    /// There.
    At(String),
}

impl Kind {
    /// Returns the accepted values in words.
    #[must_use]
    pub fn range(self) -> String {
        let time = |ms| humantime::format_duration(Duration::from_millis(ms));
        match self {
            Kind::Text { chars_max } => format!("1 to {chars_max} characters"),
            Kind::Address { port_min: 0 } => "host:port".to_owned(),
            Kind::Address { port_min } => format!("host:port, the port {port_min} to 65535"),
            Kind::Addresses => "a list of host:port, each once".to_owned(),
            Kind::Admin => "\"auto\", \"off\" or host:port".to_owned(),
            Kind::Role => "prefill, decode or router".to_owned(),
            Kind::Fanout => format!("\"auto\" or 1 to {FANOUT_MAX}"),
            Kind::Via => "a list of rank=host:port, each rank once".to_owned(),
            Kind::Count { min, max } => format!("{min} to {max}"),
            Kind::Time { min_ms, max_ms } => {
                format!("{} to {}, with its unit", time(min_ms), time(max_ms))
            }
            Kind::Flag => "true or false".to_owned(),
            Kind::Path => "a path".to_owned(),
            Kind::Filter => {
                "off, error, warn, info, debug, trace, or directives as \"info,oplog=debug\""
                    .to_owned()
            }
            Kind::Secret => {
                "16 hexadecimal digits, or \"file:PATH\" of a file that holds them".to_owned()
            }
            Kind::Engine => "vllm, sglang, tensorrt-llm or approximate".to_owned(),
            Kind::ZmqEndpoint => "tcp://host:port or ipc://path".to_owned(),
            Kind::Url => "http://host:port".to_owned(),
        }
    }

    /// Reads a value; the environment and flags deliver every kind as text. Only [`Kind::Secret`] opens a file.
    ///
    /// Errors: why it is none, in words that follow "must be" or stand alone.
    pub fn parse(self, value: &Value) -> Result<Parsed, String> {
        let must = || format!("must be {}", self.range());
        match self {
            Kind::Text { chars_max } => {
                let text = text(value).ok_or_else(must)?;
                let chars = text.chars().count();
                if (1..=chars_max).contains(&chars) {
                    Ok(Parsed::Text(text))
                } else {
                    Err(must())
                }
            }
            Kind::Address { port_min } => {
                let text = text(value).ok_or_else(must)?;
                address_port(&text)
                    .filter(|port| *port >= port_min)
                    .map(|_| Parsed::Text(text))
                    .ok_or_else(must)
            }
            Kind::Addresses => addresses(value).ok_or_else(must).and_then(|list| {
                match list
                    .iter()
                    .find(|address| address_port(address).is_none_or(|port| port == 0))
                {
                    Some(bad) => Err(format!("`{bad}` is no host:port with a port of 1 to 65535")),
                    None => Ok(Parsed::Texts(list)),
                }
            }),
            Kind::Admin => {
                let text = text(value).ok_or_else(must)?;
                let bare = text
                    .strip_prefix("http://")
                    .unwrap_or(&text)
                    .trim_end_matches('/');
                match bare {
                    "auto" => Ok(Parsed::Admin(Admin::Auto)),
                    "off" => Ok(Parsed::Admin(Admin::Off)),
                    _ if address_port(bare).is_some() => {
                        Ok(Parsed::Admin(Admin::At(bare.to_owned())))
                    }
                    _ => Err(must()),
                }
            }
            Kind::Role => match text(value).as_deref() {
                Some("prefill") => Ok(Parsed::Role(Role::Prefill)),
                Some("decode") => Ok(Parsed::Role(Role::Decode)),
                Some("router") => Ok(Parsed::Role(Role::Router)),
                _ => Err(must()),
            },
            Kind::Fanout => match (text(value).as_deref(), number(value)) {
                (Some("auto"), _) => Ok(Parsed::Fanout(Fanout::Auto)),
                (_, Some(arms @ 1..=FANOUT_MAX)) => Ok(Parsed::Fanout(Fanout::Fixed(arms as u16))),
                _ => Err(must()),
            },
            Kind::Via => via(value).map(Parsed::Via).ok_or_else(must),
            Kind::Count { min, max } => number(value)
                .filter(|count| (min..=max).contains(count))
                .map(Parsed::Count)
                .ok_or_else(must),
            Kind::Time { min_ms, max_ms } => {
                let text = text(value).ok_or_else(must)?;
                let time = humantime::parse_duration(&text)
                    .map_err(|error| format!("{}: {error}", must()))?;
                let range = Duration::from_millis(min_ms)..=Duration::from_millis(max_ms);
                if range.contains(&time) {
                    Ok(Parsed::Time(time))
                } else {
                    Err(must())
                }
            }
            Kind::Flag => match value {
                Value::Bool(_, flag) => Ok(Parsed::Flag(*flag)),
                Value::String(_, text) => text.parse().map(Parsed::Flag).map_err(|_| must()),
                _ => Err(must()),
            },
            Kind::Path => match text(value) {
                Some(text) if !text.is_empty() => Ok(Parsed::Path(text.into())),
                _ => Err(must()),
            },
            Kind::Filter => {
                let text = text(value).ok_or_else(must)?;
                EnvFilter::try_new(&text).map_err(|error| format!("{}: {error}", must()))?;
                Ok(Parsed::Text(text))
            }
            Kind::Secret => secret(&text(value).ok_or_else(must)?).map(Parsed::Secret),
            Kind::Engine => {
                let all = [
                    EngineKind::Vllm,
                    EngineKind::Sglang,
                    EngineKind::TensorRtLlm,
                    EngineKind::Approximate,
                ];
                let word = text(value).ok_or_else(must)?;
                let kind = all.into_iter().find(|kind| kind.as_str() == word);
                kind.map(Parsed::Engine).ok_or_else(must)
            }
            Kind::ZmqEndpoint => {
                let text = text(value).ok_or_else(must)?;
                let is_path = text.strip_prefix("ipc://").is_some_and(|at| !at.is_empty());
                if is_path || socket_port(&text).is_some() {
                    Ok(Parsed::Text(text))
                } else {
                    Err(must())
                }
            }
            Kind::Url => {
                let text = text(value).ok_or_else(must)?;
                let bare = text.trim_end_matches('/');
                let address = bare.strip_prefix("http://").and_then(address_port);
                if address.is_some_and(|port| port > 0) {
                    Ok(Parsed::Text(bare.to_owned()))
                } else {
                    Err(must())
                }
            }
        }
    }
}

impl fmt::Display for Parsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Parsed::Text(text) => write!(f, "{text:?}"),
            Parsed::Texts(list) => write!(f, "{list:?}"),
            Parsed::Admin(Admin::Auto) => f.write_str("\"auto\""),
            Parsed::Admin(Admin::Off) => f.write_str("\"off\""),
            Parsed::Admin(Admin::At(address)) => write!(f, "{address:?}"),
            Parsed::Role(role) => write!(f, "\"{role}\""),
            Parsed::Fanout(Fanout::Auto) => f.write_str("\"auto\""),
            Parsed::Fanout(Fanout::Fixed(arms)) => write!(f, "{arms}"),
            Parsed::Via(via) => {
                let pair = |(rank, at): (&Rank, &String)| format!("{rank}={at}");
                write!(f, "{:?}", via.iter().map(pair).collect::<Vec<_>>())
            }
            Parsed::Count(count) => write!(f, "{count}"),
            Parsed::Time(time) => write!(f, "\"{}\"", humantime::format_duration(*time)),
            Parsed::Flag(flag) => write!(f, "{flag}"),
            Parsed::Path(path) => write!(f, "\"{}\"", path.display()),
            Parsed::Engine(kind) => write!(f, "\"{}\"", kind.as_str()),
            Parsed::Secret(key) => write!(f, "(a secret with id {:016x})", key.id()),
        }
    }
}

/// Returns the port of `host:port`. IPv6 hosts stand in brackets.
pub(crate) fn address_port(address: &str) -> Option<u16> {
    let (host, port) = address.rsplit_once(':')?;
    let bracketed = host.starts_with('[') && host.ends_with(']') && host.len() > 2;
    let plain = !host.is_empty() && !host.contains([':', '/', '[', ']', '@', ' ']);
    if bracketed || plain {
        port.parse().ok()
    } else {
        None
    }
}

/// Returns the port of `tcp://host:port`; 0 is none.
pub(super) fn socket_port(endpoint: &str) -> Option<u16> {
    let port = endpoint.strip_prefix("tcp://").and_then(address_port)?;
    (port > 0).then_some(port)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn number(value: &Value) -> Option<u64> {
    match value {
        // Figment keeps signed and unsigned numbers apart.
        Value::Num(_, number) => match (number.to_u128(), number.to_i128()) {
            (Some(number), _) => u64::try_from(number).ok(),
            (None, Some(number)) => u64::try_from(number).ok(),
            (None, None) => None,
        },
        Value::String(_, text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A TOML list, or text with commas between.
fn addresses(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(_, items) => items.iter().map(text).collect(),
        Value::String(_, text) => {
            let items = text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            Some(items.map(str::to_owned).collect())
        }
        _ => None,
    }
}

fn via(value: &Value) -> Option<BTreeMap<Rank, String>> {
    let mut via = BTreeMap::new();
    for pair in addresses(value)? {
        let (rank, address) = pair.split_once('=')?;
        address_port(address).filter(|port| *port > 0)?;
        let rank = Rank(rank.trim().parse().ok()?);
        if via.insert(rank, address.to_owned()).is_some() {
            return None;
        }
    }
    Some(via)
}

fn secret(text: &str) -> Result<FingerprintKey, String> {
    let digits = match text.strip_prefix("file:") {
        None => text.to_owned(),
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read the file `{path}`: {error}"))?,
    };
    let digits = digits.trim();
    let all_hex = digits.chars().all(|digit| digit.is_ascii_hexdigit());
    match u64::from_str_radix(digits, 16) {
        Ok(secret) if digits.len() == 16 && all_hex => Ok(FingerprintKey::new(secret)),
        _ => Err(format!("must be {}", Kind::Secret.range())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, value: impl Into<Value>, expect: impl Into<Option<Parsed>>) {
        let value = value.into();
        assert_eq!(kind.parse(&value).ok(), expect.into(), "{kind:?} {value:?}");
    }

    #[test]
    fn numbers_and_flags_are_read_from_toml_and_from_text() {
        let kind = Kind::Count { min: 1, max: 9 };
        check(kind, 9, Some(Parsed::Count(9)));
        check(kind, "3", Some(Parsed::Count(3)));
        check(kind, 0, None);
        check(kind, -1, None);
        check(kind, 2.5, None);
        check(kind, "ten", None);
        check(Kind::Flag, true, Some(Parsed::Flag(true)));
        check(Kind::Flag, "false", Some(Parsed::Flag(false)));
        check(Kind::Flag, "no", None);
    }

    #[test]
    fn a_time_needs_its_unit() {
        let kind = Kind::Time {
            min_ms: 10,
            max_ms: 60_000,
        };
        check(
            kind,
            "500ms",
            Some(Parsed::Time(Duration::from_millis(500))),
        );
        check(kind, "1m", Some(Parsed::Time(Duration::from_secs(60))));
        check(kind, "500", None);
        check(kind, 500, None);
        check(kind, "2m", None);
    }

    #[test]
    fn addresses_are_host_and_port() {
        let kind = Kind::Address { port_min: 1 };
        let some = |text: &str| Some(Parsed::Text(text.to_owned()));
        for good in ["127.0.0.1:7000", "node-1.local:1", "[::1]:65535"] {
            check(kind, good, some(good));
        }
        for bad in [
            "",
            "7000",
            ":7000",
            "::1:7000",
            "a:0",
            "a:65536",
            "http://a:1",
            "a b:1",
        ] {
            check(kind, bad, None);
        }
        let list = Parsed::Texts(vec!["a:1".to_owned(), "b:2".to_owned()]);
        check(Kind::Addresses, "a:1, b:2", Some(list.clone()));
        check(Kind::Addresses, vec!["a:1", "b:2"], Some(list));
        check(Kind::Addresses, vec!["a:1", "b"], None);
        check(Kind::Addresses, 3, None);
    }

    #[test]
    fn the_admin_port_is_named_by_address_or_url() {
        check(Kind::Admin, "off", Some(Parsed::Admin(Admin::Off)));
        let at = Some(Parsed::Admin(Admin::At("a:80".to_owned())));
        check(Kind::Admin, "a:80", at.clone());
        check(Kind::Admin, "http://a:80/", at);
        check(Kind::Admin, "on", None);
    }

    #[test]
    fn arms_roles_and_ways_are_read_from_toml_and_from_text() {
        check(Kind::Fanout, "auto", Some(Parsed::Fanout(Fanout::Auto)));
        check(Kind::Fanout, 1, Some(Parsed::Fanout(Fanout::Fixed(1))));
        check(Kind::Fanout, "4", Some(Parsed::Fanout(Fanout::Fixed(4))));
        check(Kind::Fanout, 0, None);
        check(Kind::Fanout, 65, None);
        check(Kind::Role, "decode", Some(Parsed::Role(Role::Decode)));
        check(Kind::Role, "Decode", None);
        let via = BTreeMap::from([(Rank(1), "a:1".to_owned()), (Rank(3), "[::1]:2".to_owned())]);
        check(Kind::Via, "1=a:1, 3=[::1]:2", Some(Parsed::Via(via)));
        check(Kind::Via, "", Some(Parsed::Via(BTreeMap::new())));
        for bad in ["a:1", "x=a:1", "1=a", "1=a:1,1=b:1", "70000=a:1"] {
            check(Kind::Via, bad, None);
        }
    }

    #[test]
    fn a_secret_is_sixteen_digits_and_never_printed() {
        let key = FingerprintKey::new(0x0123_4567_89ab_cdef);
        check(Kind::Secret, "0123456789abcdef", Some(Parsed::Secret(key)));
        for bad in [
            "",
            "123",
            "0123456789abcdeg",
            "+123456789abcdef",
            "file:/no/such/file",
        ] {
            check(Kind::Secret, bad, None);
        }
        assert!(!Parsed::Secret(key).to_string().contains("0123456789abcdef"));
    }

    #[test]
    fn engines_are_named_by_kind_socket_and_address() {
        let some = |text: &str| Some(Parsed::Text(text.to_owned()));
        let trt = Parsed::Engine(EngineKind::TensorRtLlm);
        check(Kind::Engine, "tensorrt-llm", Some(trt));
        check(Kind::Engine, "trt", None);
        for good in ["tcp://*:5557", "tcp://[::1]:1", "ipc:///run/kv"] {
            check(Kind::ZmqEndpoint, good, some(good));
        }
        for bad in ["", "tcp://h", "tcp://h:0", "ipc://", "udp://h:1", "h:1"] {
            check(Kind::ZmqEndpoint, bad, None);
        }
        check(Kind::Url, "http://h:8000/", some("http://h:8000"));
        for bad in [
            "h:8000",
            "http://h",
            "http://h:0",
            "https://h:1",
            "http://h:1/v1",
        ] {
            check(Kind::Url, bad, None);
        }
    }

    #[test]
    fn filters_are_checked() {
        check(
            Kind::Filter,
            "info,oplog=debug",
            Some(Parsed::Text("info,oplog=debug".to_owned())),
        );
        check(Kind::Filter, "oplog=loud", None);
    }
}
