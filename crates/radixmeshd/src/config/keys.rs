//! The one table of every configuration key: kind, default, range and meaning. `config default`, `config explain`
//! and the loader all read it. Where values come from is in [`load`](super::load).

use super::engine_keys::{SOURCE_KEYS, SOURCE_PREFIX};
use super::kind::Kind;

/// One key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Name with dots, as in the file: `routing.match_pages_min`.
    pub name: &'static str,
    /// What values it takes, and so its range.
    pub kind: Kind,
    /// What it is when nobody sets it.
    pub default: Default,
    /// What it does and how to choose it.
    pub doc: &'static str,
}

/// What a key is when nobody sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// This value, written as in TOML.
    Toml(&'static str),
    /// Nothing: the feature is off. The text is an example.
    Unset(&'static str),
    /// A node does not start without it. The text is an example.
    Required(&'static str),
}

impl Key {
    /// Returns the key of that name, be it one of the node or of a `[[source]]` table.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Key> {
        Key::all().find(|key| key.name == name)
    }

    /// Returns every key there is, those of `[[source]]` tables last.
    pub fn all() -> impl Iterator<Item = &'static Key> {
        KEYS.iter().chain(SOURCE_KEYS)
    }

    /// Returns whether it is a key of `[[source]]` tables. Only the file has those.
    #[must_use]
    pub fn is_of_source(&self) -> bool {
        self.name.starts_with(SOURCE_PREFIX)
    }

    /// Returns the environment variable that sets it, unless it [is of a `[[source]]` table](Self::is_of_source).
    #[must_use]
    pub fn env(&self) -> String {
        format!(
            "{ENV_PREFIX}{}",
            self.name.to_uppercase().replace('.', "__")
        )
    }
}

/// What the names of all environment variables begin with.
pub const ENV_PREFIX: &str = "RADIXMESH_";

const HOUR_MS: u64 = 3_600_000;

/// Every key but those of `[[source]]` tables ([`SOURCE_KEYS`]), tables last, in the order of `config default`.
pub const KEYS: &[Key] = &[
    Key {
        name: "cluster",
        kind: Kind::Text { chars_max: 64 },
        default: Default::Toml("\"radixmesh\""),
        doc: "Name of the cluster. Nodes of different clusters refuse each other.",
    },
    Key {
        name: "prefill",
        kind: Kind::Addresses,
        default: Default::Toml("[]"),
        doc: "Mesh addresses of the nodes next to prefill engines. A node's rank is its place in the list\n\
              prefill, decode, router, so keep the order. The lists are where a cluster begins: more nodes join with\n\
              ranks behind them (key `join`), and every member learns of them.",
    },
    Key {
        name: "decode",
        kind: Kind::Addresses,
        default: Default::Toml("[]"),
        doc: "Mesh addresses of the nodes next to decode engines. Ranks follow those of `prefill`.",
    },
    Key {
        name: "router",
        kind: Kind::Addresses,
        default: Default::Toml("[]"),
        doc: "Mesh addresses of the nodes that only route. Ranks follow those of `decode`.",
    },
    Key {
        name: "local",
        kind: Kind::Address { port_min: 1 },
        default: Default::Required("127.0.0.1:7000"),
        doc: "Which of these addresses is this node's: exactly as it is written there; of a node that joins, where\n\
              its peers reach it. It differs from node to node; give it as a flag and share the file.",
    },
    Key {
        name: "join",
        kind: Kind::Addresses,
        default: Default::Toml("[]"),
        doc: "Joins a running cluster through any of these mesh addresses, as `rank` and `role`; `prefill`, `decode`\n\
              and `router` are not looked at then. `radixmeshd join --via` sets it (docs/operate/members.md).",
    },
    Key {
        name: "rank",
        kind: Kind::Count {
            min: 0,
            max: 65_535,
        },
        default: Default::Unset("7"),
        doc: "The rank of a node that joins. One that is free, or whose holder is down: a replacement takes its place.",
    },
    Key {
        name: "role",
        kind: Kind::Role,
        default: Default::Unset("decode"),
        doc: "What a node that joins does. For a rank of the lists it must be the role that they give it.",
    },
    Key {
        name: "join_timeout",
        kind: Kind::Time {
            min_ms: 0,
            max_ms: HOUR_MS,
        },
        default: Default::Toml("\"30s\""),
        doc: "How long a start tries to join, while no member answers or another process has the rank; also how long\n\
              a node goes on whose rank another process has taken, while no member links with it.",
    },
    Key {
        name: "fingerprint_key",
        kind: Kind::Secret,
        default: Default::Required("file:/etc/radixmesh/fingerprint.key"),
        doc: "The cluster's secret for page fingerprints, the same on every node: who knows it can make\n\
              prompts that collide. `head -c8 /dev/urandom | xxd -p` makes one. There is no default.",
    },
    Key {
        name: "page_size",
        kind: Kind::Count { min: 1, max: 1_024 },
        default: Default::Toml("16"),
        doc: "Tokens in a page, the same on every node. Take the engine's block size.",
    },
    Key {
        name: "fanout",
        kind: Kind::Fanout,
        default: Default::Toml("4"),
        doc: "Arms of a broadcast: 1 is the ring, 4 reaches hundreds of nodes in a few hops. `\"auto\"` is 1 up to 16\n\
              members and 4 above, as they come and go. Nodes need not agree.",
    },
    Key {
        name: "heartbeat",
        kind: Kind::Time {
            min_ms: 10,
            max_ms: 60_000,
        },
        default: Default::Toml("\"1s\""),
        doc: "Period of heartbeats. Shorter finds a hung member sooner; too short takes a busy one for hung.",
    },
    Key {
        name: "misses",
        kind: Kind::Count { min: 1, max: 100 },
        default: Default::Toml("3"),
        doc: "Heartbeats of a member that may be missing before others are asked whether they reach it. If none does,\n\
              it is hidden from routing, and down unless it objects.",
    },
    Key {
        name: "forget_after",
        kind: Kind::Time {
            min_ms: 1_000,
            max_ms: 168 * HOUR_MS,
        },
        default: Default::Toml("\"10m\""),
        doc: "How long a member is down before its copies are forgotten everywhere. A partition that lasts longer costs\n\
              each node of the other side its copies in the mesh; it is let in again with a new life.",
    },
    Key {
        name: "exchange",
        kind: Kind::Time {
            min_ms: 10,
            max_ms: 60_000,
        },
        default: Default::Toml("\"500ms\""),
        doc: "Period of version-vector exchanges, which find and repair what a broadcast lost.",
    },
    Key {
        name: "cold_start",
        kind: Kind::Time {
            min_ms: 0,
            max_ms: HOUR_MS,
        },
        default: Default::Toml("\"3s\""),
        doc: "How long a start waits for a Ready peer before the lowest reachable rank begins alone.",
    },
    Key {
        name: "admin",
        kind: Kind::Admin,
        default: Default::Toml("\"auto\""),
        doc: "Address of the admin port (docs/http.md). `auto` is loopback at the port of `local` + 1000;\n\
              `off` is none. Off loopback it needs `admin_token_file`. It is never encrypted.",
    },
    Key {
        name: "admin_token_file",
        kind: Kind::Path,
        default: Default::Unset("/etc/radixmesh/admin.token"),
        doc: "File with the token that the admin port asks for: 16 to 1024 visible characters. Read at the start.\n\
              Required when `admin` is not on loopback. `head -c24 /dev/urandom | base64` makes one.",
    },
    Key {
        name: "state_dir",
        kind: Kind::Path,
        default: Default::Unset("/var/lib/radixmesh/{rank}"),
        doc: "Where the incarnation is kept over restarts; without it the clock and the peers supply it.\n\
              `{rank}` is replaced by the node's rank.",
    },
    Key {
        name: "record_log",
        kind: Kind::Path,
        default: Default::Unset("/var/lib/radixmesh/{rank}.log"),
        doc: "Appends every batch of the node's own log to this file before it is sent: an audit trail\n\
              without bound. `{rank}` is replaced by the node's rank.",
    },
    Key {
        name: "via",
        kind: Kind::Via,
        default: Default::Toml("[]"),
        doc: "Where this node dials a rank, whatever its address is said to be: through a proxy or a tunnel.",
    },
    Key {
        name: "trace_applies",
        kind: Kind::Flag,
        default: Default::Toml("false"),
        doc: "Remembers when ops were applied, for `GET /applied`. For measurements.",
    },
    Key {
        name: "log",
        kind: Kind::Filter,
        default: Default::Toml("\"info\""),
        doc: "What is logged to stderr, as directives of tracing's EnvFilter.",
    },
    Key {
        name: "security.ca_file",
        kind: Kind::Path,
        default: Default::Unset("/etc/radixmesh/ca.pem"),
        doc: "The CA certificates that sign the nodes of this cluster, PEM. With `security.cert_file` and\n\
              `security.key_file` all links are TLS 1.3, and both ends prove who they are (docs/operate/security.md).",
    },
    Key {
        name: "security.cert_file",
        kind: Kind::Path,
        default: Default::Unset("/etc/radixmesh/{rank}.pem"),
        doc: "This node's certificate, and those between it and the CA, PEM. The one URI radixmesh://cluster/role/rank\n\
              in it must name this node. `{rank}` is replaced by the node's rank.",
    },
    Key {
        name: "security.key_file",
        kind: Kind::Path,
        default: Default::Unset("/etc/radixmesh/{rank}.key"),
        doc: "The private key of `security.cert_file`, PEM. `{rank}` is replaced by the node's rank.",
    },
    Key {
        name: "security.plaintext",
        kind: Kind::Flag,
        default: Default::Toml("false"),
        doc: "Lets links go without TLS although an address is not on loopback. Whoever reaches a node's port may\n\
              then claim to be any other node. On loopback links go without TLS in any case unless files are named.",
    },
    Key {
        name: "security.reload",
        kind: Kind::Time {
            min_ms: 100,
            max_ms: HOUR_MS,
        },
        default: Default::Toml("\"10s\""),
        doc: "How often the three files are looked at; SIGHUP looks at once. Changed files that are good are used for\n\
              new links, others are refused and the old ones stay.",
    },
    Key {
        name: "routing.warmup_requests",
        kind: Kind::Count {
            min: 0,
            max: 1_000_000,
        },
        default: Default::Toml("32"),
        doc: "The first requests of a router are spread at random, so that a cold tree is not filled at one\n\
              node; 0 begins with prefixes at once.",
    },
    Key {
        name: "routing.match_pages_min",
        kind: Kind::Count {
            min: 1,
            max: 1_000_000,
        },
        default: Default::Toml("1"),
        doc: "A holder of fewer leading pages of a prompt than this does not attract it.",
    },
    Key {
        name: "routing.match_percent_min",
        kind: Kind::Count { min: 0, max: 100 },
        default: Default::Toml("5"),
        doc: "A holder of less of a prompt than this does not attract it: one shared greeting does not pin a\n\
              long prompt. Unit: percent of its pages.",
    },
    Key {
        name: "simulated_engine.capacity_pages",
        kind: Kind::Count {
            min: 0,
            max: 1 << 31,
        },
        default: Default::Toml("0"),
        doc: "Hosts a simulated engine with a pool of that many pages; 0 hosts none. It computes nothing:\n\
              it is for demos and tests. Routers host none in any case.",
    },
    Key {
        name: "simulated_engine.prefill_us_per_token",
        kind: Kind::Count {
            min: 0,
            max: 1_000_000,
        },
        default: Default::Toml("0"),
        doc: "Time that the simulated engine takes for one token of a prompt. Unit: microseconds.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_and_example_is_in_the_range_of_its_key() {
        for key in Key::all() {
            let (Default::Toml(text) | Default::Unset(text) | Default::Required(text)) =
                key.default;
            let value = match key.default {
                Default::Toml(_) => {
                    let table: toml::Table = format!("value = {text}").parse().expect(key.name);
                    figment::value::Value::serialize(&table["value"]).expect(key.name)
                }
                Default::Unset(_) | Default::Required(_) => text.into(),
            };
            let parsed = key.kind.parse(&value);
            let file_is_missing = key.kind == Kind::Secret && parsed.is_err();
            assert!(
                parsed.is_ok() || file_is_missing,
                "{}: {parsed:?}",
                key.name
            );
        }
    }

    #[test]
    fn names_are_unique_and_tables_come_last() {
        let mut in_tables = false;
        for (at, key) in Key::all().enumerate() {
            assert!(
                Key::all().take(at).all(|other| other.name != key.name),
                "{}",
                key.name
            );
            in_tables |= key.name.contains('.');
            assert_eq!(key.name.contains('.'), in_tables, "{}", key.name);
            assert!(!key.doc.is_empty());
        }
    }

    #[test]
    fn variables_spell_dots_as_two_underscores() {
        let key = Key::find("routing.match_pages_min").unwrap();
        assert_eq!(key.env(), "RADIXMESH_ROUTING__MATCH_PAGES_MIN");
    }
}
