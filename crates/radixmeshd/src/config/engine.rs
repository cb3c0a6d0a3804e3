//! One `[[source]]` table: an engine behind this node. What its keys may be by themselves is in
//! [`engine_keys`](super::engine_keys); here is how they fit together. The way to the engine is in [`feed`](super::feed).

use std::collections::BTreeMap;
use std::time::Duration;

use figment::value::{Dict, Value};
use radixmesh::radix_core::FingerprintKey;
use radixmesh::radix_core::id::{Rank, SourceId};
use radixmesh::source::{Feed, SourceSettings};
use radixmesh::topology::Role;
use radixmesh::{Config, Member};

use super::engine_keys::{SOURCE_KEYS, SOURCE_PREFIX};
use super::error::ConfigError;
use super::feed::ONLY;
use super::keys::{Default, Key};
use super::kind::Parsed;
use super::load::{Resolved, show};

/// One `[[source]]` table, each key in its own range.
#[derive(Clone, Debug)]
pub struct EngineTable {
    /// How messages call it.
    which: String,
    /// What it sets.
    values: BTreeMap<&'static str, Resolved>,
}

/// Reads the value of `source`: a list of tables. Appends everything that is wrong by itself.
pub(super) fn read(
    value: &Value,
    origin: impl Fn(&Value) -> String,
    errors: &mut Vec<ConfigError>,
) -> Vec<EngineTable> {
    let mut tables = Vec::new();
    let Value::Array(_, items) = value else {
        errors.push(no_table("source", value, origin(value)));
        return tables;
    };
    for (place, item) in items.iter().enumerate() {
        match item {
            Value::Dict(_, dict) => tables.push(read_table(place, dict, &origin, errors)),
            other => errors.push(no_table("source", other, origin(other))),
        }
    }
    tables
}

/// Returns that something that is no list of tables sets `name`, which is `source` or begins so.
pub(super) fn no_table(name: &str, value: &Value, origin: String) -> ConfigError {
    ConfigError::Bad {
        key: Key::find(name).map_or("source", |key| key.name),
        value: Key::find(name).map_or_else(|| "no table".to_owned(), |key| show(key, value)),
        origin,
        why: "engines are [[source]] tables of the configuration file, with two brackets; no variable and no flag \
              sets them"
            .to_owned(),
    }
}

fn read_table(
    place: usize,
    dict: &Dict,
    origin: &impl Fn(&Value) -> String,
    errors: &mut Vec<ConfigError>,
) -> EngineTable {
    let which = match dict.get("name").and_then(Value::as_str) {
        Some(name) => format!("source `{name}`"),
        None => format!("[[source]] table {}", place + 1),
    };
    let mut values = BTreeMap::new();
    for (name, value) in dict {
        let name = format!("{SOURCE_PREFIX}{name}");
        let origin = origin(value);
        let error = match Key::find(&name) {
            None => ConfigError::Unknown { key: name, origin },
            Some(key) => match key.kind.parse(value) {
                Ok(value) => {
                    values.insert(key.name, Resolved { value, origin });
                    continue;
                }
                Err(why) => ConfigError::Bad {
                    key: key.name,
                    value: show(key, value),
                    origin,
                    why,
                },
            },
        };
        errors.push(error.in_source(&which));
    }
    EngineTable { which, values }
}

/// Turns tables into settings, and checks that they fit together.
///
/// Errors: the first of each table; else the first of all together.
pub(super) fn settings(tables: &[EngineTable]) -> Result<Vec<SourceSettings>, Vec<ConfigError>> {
    let (mut engines, mut errors) = (Vec::new(), Vec::new());
    // One more than the highest source of the tables so far.
    let mut behind = 0;
    for table in tables {
        match table.settings(behind) {
            Ok(engine) => {
                behind = behind.max(u32::from(engine.first.0) + u32::from(engine.ranks));
                engines.push(engine);
            }
            Err(error) => errors.push(error.in_source(&table.which)),
        }
    }
    if errors.is_empty() {
        check(&engines).map_err(|error| vec![error])?;
        Ok(engines)
    } else {
        Err(errors)
    }
}

/// Asks the node what it thinks of them, before anything else of the node is known.
fn check(engines: &[SourceSettings]) -> Result<(), ConfigError> {
    let member = Member {
        role: Role::Prefill,
        address: String::new(),
    };
    let mut config = Config::new("", FingerprintKey::new(0), vec![member], Rank(0));
    config.sources = engines.to_vec();
    match config.check() {
        Err(radixmesh::ConfigError::Sources(error)) => Err(ConfigError::Sources(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

impl EngineTable {
    /// Returns what a key of this table is, with its prefix, and who set it; `None` when the table does not.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Resolved> {
        self.values.get(key)
    }

    /// Returns how messages call it.
    #[must_use]
    pub fn which(&self) -> &str {
        &self.which
    }

    /// Returns every key that is set or has a default, in the order of `config default`: name, value, origin.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, String, String)> {
        SOURCE_KEYS.iter().filter_map(|key| {
            if let Some(now) = self.get(key.name) {
                return Some((key.name, now.value.to_string(), now.origin.clone()));
            }
            match key.default {
                Default::Toml(value) if !self.is_refused(key.name) => {
                    Some((key.name, value.to_owned(), "default".to_owned()))
                }
                Default::Toml(_) | Default::Unset(_) | Default::Required(_) => None,
            }
        })
    }

    /// Returns whether the way to this engine has no such key.
    fn is_refused(&self, key: &str) -> bool {
        let only = ONLY.iter().find(|(name, ..)| *name == key);
        only.is_some_and(|(_, is_for, _)| !self.feed().is_ok_and(|feed| is_for(&feed)))
    }

    fn settings(&self, behind: u32) -> Result<SourceSettings, ConfigError> {
        let Some(name) = self.text("source.name") else {
            return Err(missing("source.name", "give it one that you know it by"));
        };
        let feed = self.feed()?;
        for (key, is_for, why) in ONLY {
            if self.get(key).is_some() && !is_for(&feed) {
                return Err(self.bad(key, why));
            }
        }
        let first = match self.get("source.id").map(|now| &now.value) {
            Some(Parsed::Count(id)) => u16::try_from(*id).expect("its range ends there"),
            _ => u16::try_from(behind).map_err(|_| {
                missing(
                    "source.id",
                    "the tables before it use up the numbers to 65535",
                )
            })?,
        };
        let mut engine = SourceSettings::new(name, SourceId(first), feed);
        engine.ranks = u16::try_from(self.count("source.ranks")).expect("its range ends below");
        engine.namespace = self.text("source.model").unwrap_or_default().to_owned();
        engine.down_after = self.time("source.down_after");
        let blocks = self.count("source.blocks_max");
        engine.blocks_max = usize::try_from(blocks).unwrap_or(usize::MAX);
        if let Feed::Zmq(feed) = &engine.feed {
            self.check_ports(feed, engine.ranks)?;
        }
        Ok(engine)
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.value {
            Parsed::Text(text) => Some(text),
            _ => None,
        }
    }

    fn count(&self, key: &'static str) -> u64 {
        match self.value(key) {
            Parsed::Count(count) => count,
            _ => unreachable!("`{key}` has a default and is a count"),
        }
    }

    pub(super) fn time(&self, key: &'static str) -> Duration {
        match self.value(key) {
            Parsed::Time(time) => time,
            _ => unreachable!("`{key}` has a default and is a time"),
        }
    }

    /// Returns the value of a key that has a default.
    fn value(&self, key: &'static str) -> Parsed {
        if let Some(now) = self.get(key) {
            return now.value.clone();
        }
        let key = Key::find(key).expect("it is in the table of keys");
        let Default::Toml(text) = key.default else {
            unreachable!("`{}` has a default", key.name);
        };
        let plain = Value::from(text.trim_matches('"'));
        key.kind.parse(&plain).expect("a default is in its range")
    }

    pub(super) fn bad(&self, key: &'static str, why: &str) -> ConfigError {
        let now = self.get(key);
        ConfigError::Bad {
            key,
            value: now.map_or_else(|| "unset".to_owned(), |now| now.value.to_string()),
            origin: now.map_or_else(|| "default".to_owned(), |now| now.origin.clone()),
            why: why.to_owned(),
        }
    }
}

pub(super) fn missing(key: &'static str, why: &str) -> ConfigError {
    ConfigError::Missing {
        key,
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use radixmesh::source::ZmqFeed;

    use super::super::load::Loaded;
    use super::super::load::tests::base;
    use super::*;

    /// Loads these tables behind a good configuration; flags are as `--set` delivers them.
    fn load(name: &str, tables: &str, flags: &[(&str, &str)]) -> Result<Config, String> {
        let file = format!("radixmesh-source-{name}-{}.toml", std::process::id());
        let path = std::env::temp_dir().join(file);
        std::fs::write(&path, tables).unwrap();
        let mut sources = base(flags);
        sources.file = Some(path.clone());
        let config = Loaded::load(&sources).and_then(|loaded| loaded.node());
        std::fs::remove_file(&path).unwrap();
        config.map_err(|errors| {
            let text = errors.to_string();
            text.replace(&format!("file {}", path.display()), "file F")
        })
    }

    fn zmq(endpoint: &str) -> ZmqFeed {
        ZmqFeed {
            endpoint: endpoint.to_owned(),
            bind: false,
            replay: None,
            topic: String::new(),
        }
    }

    #[test]
    fn every_kind_of_engine_is_configured_and_numbered_behind_those_before_it() {
        let tables = r#"
            [[source]]
            name = "a"
            kind = "vllm"
            endpoint = "tcp://10.0.0.9:5557"
            replay = "tcp://10.0.0.9:5657"
            topic = "kv@"
            ranks = 4
            model = "llama"
            down_after = "9s"
            blocks_max = 1000
            [[source]]
            name = "b"
            kind = "sglang"
            url = "http://127.0.0.1:30000/"
            [[source]]
            name = "c"
            kind = "vllm"
            endpoint = "tcp://*:6000"
            bind = true
            id = 100
            ranks = 2
            [[source]]
            name = "d"
            kind = "tensorrt-llm"
            url = "http://trt:8000"
            drain_every = "20ms"
            [[source]]
            name = "e"
            kind = "approximate"
            ttl = "30s"
        "#;
        let sources = load("kinds", tables, &[]).unwrap().sources;
        let at: Vec<(&str, u16, u16)> = sources
            .iter()
            .map(|one| (one.name.as_str(), one.first.0, one.ranks))
            .collect();
        let expect = [
            ("a", 0, 4),
            ("b", 4, 1),
            ("c", 100, 2),
            ("d", 102, 1),
            ("e", 103, 1),
        ];
        assert_eq!(at, expect);
        let feeds: Vec<&Feed> = sources.iter().map(|one| &one.feed).collect();
        assert_eq!(
            feeds,
            [
                &Feed::Zmq(ZmqFeed {
                    replay: Some("tcp://10.0.0.9:5657".to_owned()),
                    topic: "kv@".to_owned(),
                    ..zmq("tcp://10.0.0.9:5557")
                }),
                &Feed::Discover {
                    url: "http://127.0.0.1:30000".to_owned()
                },
                &Feed::Zmq(ZmqFeed {
                    bind: true,
                    ..zmq("tcp://0.0.0.0:6000")
                }),
                &Feed::TrtHttp {
                    url: "http://trt:8000".to_owned(),
                    every: Duration::from_millis(20)
                },
                &Feed::Approximate {
                    ttl: Duration::from_secs(30)
                },
            ]
        );
        let first = &sources[0];
        assert_eq!(
            (first.namespace.as_str(), first.blocks_max),
            ("llama", 1000)
        );
        assert_eq!(first.down_after, Duration::from_secs(9));
    }

    #[test]
    fn a_short_table_has_the_defaults_of_the_node() {
        let tables = "[[source]]\nname = \"a\"\nkind = \"vllm\"\nendpoint = \"tcp://h:1\"\n";
        let sources = load("short", tables, &[]).unwrap().sources;
        let expect = SourceSettings::new("a", SourceId(0), Feed::Zmq(zmq("tcp://h:1")));
        assert_eq!(sources, [expect]);
    }

    #[test]
    fn a_router_follows_no_engine() {
        let tables = "[[source]]\nname = \"a\"\nkind = \"vllm\"\nendpoint = \"tcp://h:1\"\n";
        let router = load("router", tables, &[("local", "d:4")]).unwrap();
        assert_eq!(router.sources, []);
        assert_eq!(load("none", "", &[]).unwrap().sources, []);
    }

    #[test]
    fn a_wrong_table_is_told_with_its_name_the_key_the_value_and_the_reason() {
        let check = |table: &str, expect: &str| {
            let tables = format!("[[source]]\n{}", table.replace("; ", "\n"));
            let error = load("wrong", &tables, &[]).unwrap_err();
            assert!(
                error.contains(expect),
                "{table}: {error}\n  should hold\n{expect}"
            );
        };
        let vllm = |more: &str| {
            format!("name = \"a\"; kind = \"vllm\"; endpoint = \"tcp://h:5557\"; {more}")
        };
        check(
            &vllm("endpiont = 1"),
            "source `a`: unknown key `source.endpiont` (from file F)",
        );
        check(
            &vllm("ranks = 0"),
            "source `a`: key `source.ranks` = 0 (from file F): must be 1 to 256",
        );
        check(
            "kind = \"vllm\"; endpoint = \"tcp://h:1\"",
            "[[source]] table 1: key `source.name` is not set",
        );
        check(
            "name = \"a\"; endpoint = \"tcp://h:1\"",
            "source `a`: key `source.kind` is not set",
        );
        check(
            "name = \"a\"; kind = \"vLLM\"; endpoint = \"tcp://h:1\"",
            "key `source.kind` = \"vLLM\" (from file F): must be vllm, sglang, tensorrt-llm or approximate",
        );
        check(
            "name = \"a\"; kind = \"vllm\"",
            "source `a`: key `source.endpoint` is not set: either",
        );
        check(
            &vllm("url = \"http://h:1\""),
            "key `source.url` = \"http://h:1\" (from file F): `endpoint` = \"tcp://h:5557\" is set as well",
        );
        check(
            "name = \"a\"; kind = \"vllm\"; endpoint = \"h:5557\"",
            "key `source.endpoint` = \"h:5557\" (from file F): must be tcp://host:port or ipc://path",
        );
        check(
            "name = \"a\"; kind = \"vllm\"; endpoint = \"tcp://*:5557\"",
            "write the host at which this node reaches it",
        );
        check(
            &vllm("replay = \"tcp://0.0.0.0:1\""),
            "key `source.replay` = \"tcp://0.0.0.0:1\"",
        );
        check(
            &vllm("replay = \"tcp://h:5557\""),
            "(from file F): that is `endpoint`",
        );
        check(
            &vllm("replay = \"tcp://h:5558\"; ranks = 2"),
            "`endpoint` and `replay` are 1 ports apart, so sockets of 2 ranks would be the same",
        );
        check(
            "name = \"a\"; kind = \"vllm\"; endpoint = \"tcp://h:65535\"; ranks = 2",
            "rank 1 would be at port 65536 behind `tcp://h:65535`",
        );
        check(
            "name = \"a\"; kind = \"vllm\"; endpoint = \"ipc:///x\"; ranks = 2",
            "`ipc:///x` is the socket of one rank",
        );
        check(
            "name = \"a\"; kind = \"tensorrt-llm\"; endpoint = \"tcp://h:1\"; bind = true",
            "source `a`: key `source.bind` = true (from file F): TensorRT-LLM listens",
        );
        check(
            "name = \"a\"; kind = \"vllm\"; url = \"http://h:1\"; topic = \"kv\"",
            "key `source.topic` = \"kv\" (from file F): it belongs to `endpoint`",
        );
        check(
            "name = \"a\"; kind = \"vllm\"; url = \"https://h:1\"",
            "key `source.url` = \"https://h:1\" (from file F): must be http://host:port",
        );
        check(&vllm("drain_every = \"1s\""), "is drained");
        check(&vllm("ttl = \"1s\""), "only for `kind = \"approximate\"`");
        check(
            "name = \"a\"; kind = \"approximate\"; down_after = \"1s\"",
            "`ttl` ends its copies",
        );
        check(
            "name = \"a\"; kind = \"approximate\"; url = \"http://h:1\"",
            "key `source.url` = \"http://h:1\"",
        );
        check(
            &vllm("id = 65535; ranks = 2"),
            "source `a` has 2 data-parallel ranks",
        );
    }

    #[test]
    fn tables_that_get_into_each_others_way_are_named() {
        let table = |name: &str, more: &str| {
            format!(
                "[[source]]\nname = \"{name}\"\nkind = \"vllm\"\nendpoint = \"tcp://h:1\"\n{more}\n"
            )
        };
        let both = |one: &str, other: &str| load("both", &(one.to_owned() + other), &[]);
        let error = both(&table("a", ""), &table("a", "")).unwrap_err();
        assert_eq!(error, "two sources are called `a`");
        let error = both(&table("a", "ranks = 4"), &table("b", "id = 3")).unwrap_err();
        assert!(
            error.contains("sources `a` and `b` both publish as source 3"),
            "{error}"
        );
        let error = both(&table("a", "id = 65535"), &table("b", "")).unwrap_err();
        assert!(
            error.contains("source `b`: key `source.id` is not set"),
            "{error}"
        );
        let error = both(&table("a", "x = 1"), &table("b", "y = 1")).unwrap_err();
        assert_eq!(error.lines().count(), 2, "{error}");
        let simulated = [("simulated_engine.capacity_pages", "10")];
        let error = load("simulated", &table("a", ""), &simulated).unwrap_err();
        assert!(
            error.contains("the simulated engine publishes as source 0"),
            "{error}"
        );
        assert!(load("simulated", &table("a", "id = 1"), &simulated).is_ok());
    }

    #[test]
    fn only_the_file_sets_engines() {
        let expect = "engines are [[source]] tables of the configuration file";
        for (key, value) in [("source", "a"), ("source.endpoint", "tcp://h:1")] {
            let error = load("flag", "", &[(key, value)]).unwrap_err();
            assert!(
                error.contains(expect) && error.contains("(from flag --set)"),
                "{error}"
            );
        }
        for file in ["[source]\nname = \"a\"\n", "source = [1]\n"] {
            let error = load("table", file, &[]).unwrap_err();
            assert!(
                error.contains(expect) && error.contains("(from file F)"),
                "{error}"
            );
        }
    }
}
