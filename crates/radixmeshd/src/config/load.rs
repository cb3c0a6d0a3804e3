//! Lays defaults, file, environment and flags over each other and checks every key by itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use radixmesh::source::SourceSettings;

use super::engine::{self, EngineTable};
use super::engine_keys::SOURCE_PREFIX;
use super::error::{ConfigError, ConfigErrors};
use super::keys::{Default, ENV_PREFIX, KEYS, Key};
use super::kind::{Kind, Parsed};

/// Where a configuration comes from, weakest first; the defaults are below all of them.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// Variables by name; those that do not begin with [`ENV_PREFIX`] are ignored.
    pub env: Vec<(String, String)>,
    /// Flags: how the flag is called, the key it sets, the value.
    pub flags: Vec<(String, String, String)>,
}

impl Sources {
    /// Takes `key=value` as `--set` delivers it.
    ///
    /// Errors: [`ConfigError::NotAPair`]; state: unchanged.
    pub fn set(&mut self, pair: &str) -> Result<(), ConfigError> {
        match pair.split_once('=').map(|(key, value)| (key.trim(), value)) {
            Some((key, value)) if key.split('.').all(|part| !part.is_empty()) => {
                self.flags
                    .push(("flag --set".to_owned(), key.to_owned(), value.to_owned()));
                Ok(())
            }
            _ => Err(ConfigError::NotAPair {
                text: pair.to_owned(),
            }),
        }
    }
}

/// A value and who set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// In range.
    pub value: Parsed,
    /// `default`, a file, a variable or a flag.
    pub origin: String,
}

/// Every key that is set, each in its own range. How they fit together [`Loaded::node`] finds out.
#[derive(Clone, Debug)]
pub struct Loaded {
    values: BTreeMap<&'static str, Resolved>,
    engines: Vec<EngineTable>,
}

impl Loaded {
    /// Reads all sources.
    ///
    /// Errors: every unknown key and every value out of range at once.
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
        let mut figment = Figment::from(Toml::string(&defaults()));
        if let Some(path) = &sources.file {
            check_file(path)?;
            figment = figment.merge(Toml::file_exact(path));
        }
        for (name, value) in &sources.env {
            if let Some(key) = name.strip_prefix(ENV_PREFIX) {
                let key = key.to_lowercase().replace("__", ".");
                figment = figment.merge(Pair::new(format!("variable {name}"), &key, value));
            }
        }
        for (flag, key, value) in &sources.flags {
            figment = figment.merge(Pair::new(flag.clone(), key, value));
        }
        let data = figment.data().map_err(|error| ConfigError::Syntax {
            path: sources.file.clone().unwrap_or_default(),
            why: error.to_string(),
        })?;
        let mut leaves = Vec::new();
        for dict in data.values() {
            flatten("", dict, &mut leaves);
        }
        let mut values = BTreeMap::new();
        let mut engines = Vec::new();
        let mut errors = Vec::new();
        for (name, value) in leaves {
            if name == "source" {
                engines = engine::read(value, |value| origin(&figment, value), &mut errors);
                continue;
            }
            let origin = origin(&figment, value);
            if name.starts_with(SOURCE_PREFIX) {
                errors.push(engine::no_table(&name, value, origin));
                continue;
            }
            match Key::find(&name) {
                None => errors.push(ConfigError::Unknown { key: name, origin }),
                Some(key) => match key.kind.parse(value) {
                    Ok(parsed) => {
                        values.insert(
                            key.name,
                            Resolved {
                                value: parsed,
                                origin,
                            },
                        );
                    }
                    Err(why) => {
                        errors.push(ConfigError::Bad {
                            key: key.name,
                            value: show(key, value),
                            origin,
                            why,
                        });
                    }
                },
            }
        }
        if errors.is_empty() {
            Ok(Loaded { values, engines })
        } else {
            Err(ConfigErrors(errors))
        }
    }

    /// Returns what a key is and who set it; `None` when it is unset or unknown.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Resolved> {
        self.values.get(key)
    }

    /// Returns every set key in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Resolved)> {
        self.values.iter().map(|(name, resolved)| (*name, resolved))
    }

    /// Returns the `[[source]]` tables, in the order of the file.
    #[must_use]
    pub fn engines(&self) -> &[EngineTable] {
        &self.engines
    }

    /// Returns the engines that these tables make, whatever the node's role.
    ///
    /// Errors: what is missing in a table, and what does not fit together.
    pub fn sources(&self) -> Result<Vec<SourceSettings>, ConfigErrors> {
        engine::settings(&self.engines).map_err(ConfigErrors)
    }

    /// Returns whether a node of this configuration joins a running cluster.
    #[must_use]
    pub fn joins(&self) -> bool {
        matches!(self.get("join"), Some(Resolved { value: Parsed::Texts(list), .. }) if !list.is_empty())
    }

    /// Returns the directives of the log.
    #[must_use]
    pub fn log(&self) -> &str {
        self.text("log").unwrap_or("info")
    }
}

/// One key from a variable or a flag.
struct Pair {
    origin: String,
    data: Dict,
}

impl Pair {
    fn new(origin: String, key: &str, value: &str) -> Pair {
        let nested = figment::util::nest(key, Value::from(value));
        let data = nested.into_dict().unwrap_or_default();
        Pair { origin, data }
    }
}

impl Provider for Pair {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.data.clone())]))
    }
}

/// The defaults as TOML: dotted keys need no tables.
fn defaults() -> String {
    let line = |key: &Key| match key.default {
        Default::Toml(value) => format!("{} = {value}\n", key.name),
        Default::Unset(_) | Default::Required(_) => String::new(),
    };
    KEYS.iter().map(line).collect()
}

fn check_file(path: &Path) -> Result<(), ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
        path: path.to_owned(),
        why: error.to_string(),
    })?;
    match text.parse::<toml::Table>() {
        Ok(_) => Ok(()),
        Err(error) => Err(ConfigError::Syntax {
            path: path.to_owned(),
            why: error.to_string(),
        }),
    }
}

/// Lists what is set, with dots; tables that no key lies in stay whole.
fn flatten<'a>(prefix: &str, dict: &'a Dict, out: &mut Vec<(String, &'a Value)>) {
    for (name, value) in dict {
        let name = format!("{prefix}{name}");
        match value {
            Value::Dict(_, inner) if !inner.is_empty() && Key::find(&name).is_none() => {
                flatten(&format!("{name}."), inner, out);
            }
            _ => out.push((name, value)),
        }
    }
}

fn origin(figment: &Figment, value: &Value) -> String {
    // A list carries the tag of its source in its items only, when it has any.
    let tag = match value {
        Value::Array(tag, items) => items.first().map_or(*tag, Value::tag),
        other => other.tag(),
    };
    match figment.get_metadata(tag) {
        Some(Metadata {
            source: Some(figment::Source::File(path)),
            ..
        }) => {
            format!("file {}", path.display())
        }
        Some(metadata)
            if metadata.name.starts_with("variable ") || metadata.name.starts_with("flag ") =>
        {
            metadata.name.to_string()
        }
        _ => "default".to_owned(),
    }
}

pub(super) fn show(key: &Key, value: &Value) -> String {
    match value {
        _ if key.kind == Kind::Secret => "(hidden)".to_owned(),
        Value::String(_, text) => format!("{text:?}"),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Num(_, number) => match (number.to_u128(), number.to_i128(), number.to_f64()) {
            (Some(number), _, _) => number.to_string(),
            (_, Some(number), _) => number.to_string(),
            (_, _, number) => number.unwrap_or_default().to_string(),
        },
        Value::Array(_, items) => {
            let items: Vec<String> = items.iter().map(|item| show(key, item)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Dict(..) => "a table".to_owned(),
        Value::Char(_, char) => format!("{char:?}"),
        Value::Empty(..) => "nothing".to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::config) const KEY: &str = "0123456789abcdef";

    fn sources(flags: &[(&str, &str)]) -> Sources {
        let flag = |(key, value): &(&str, &str)| {
            (
                "flag --set".to_owned(),
                (*key).to_owned(),
                (*value).to_owned(),
            )
        };
        Sources {
            flags: flags.iter().map(flag).collect(),
            ..Sources::default()
        }
    }

    pub(in crate::config) fn base(more: &[(&str, &str)]) -> Sources {
        let mut flags = vec![
            ("prefill", "a:1,b:2"),
            ("decode", "c:3"),
            ("router", "d:4"),
            ("local", "c:3"),
            ("fingerprint_key", KEY),
            ("security.plaintext", "true"),
        ];
        flags.extend_from_slice(more);
        sources(&flags)
    }

    fn fails(sources: &Sources) -> String {
        match Loaded::load(sources) {
            Ok(loaded) => loaded.node().unwrap_err().to_string(),
            Err(errors) => errors.to_string(),
        }
    }

    #[test]
    fn a_flag_beats_a_variable_and_a_variable_the_file() {
        let path =
            std::env::temp_dir().join(format!("radixmesh-layers-{}.toml", std::process::id()));
        std::fs::write(
            &path,
            "page_size = 4\nfanout = 2\ncluster = \"file\"\n[routing]\nmatch_percent_min = 7\n",
        )
        .unwrap();
        let mut sources = base(&[("page_size", "8")]);
        sources.file = Some(path.clone());
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        sources.env = vec![
            variable("RADIXMESH_PAGE_SIZE", "6"),
            variable("RADIXMESH_FANOUT", "3"),
            variable("RADIXMESH_ROUTING__MATCH_PAGES_MIN", "9"),
            variable("PATH", "/bin"),
        ];
        let loaded = Loaded::load(&sources).unwrap();
        let now = |key: &str| {
            let now = loaded.get(key).unwrap();
            (now.value.to_string(), now.origin.clone())
        };
        let file = format!("file {}", path.display());
        let expect = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
        assert_eq!(now("page_size"), expect("8", "flag --set"));
        assert_eq!(now("fanout"), expect("3", "variable RADIXMESH_FANOUT"));
        assert_eq!(now("cluster"), expect("\"file\"", &file));
        assert_eq!(now("routing.match_percent_min"), expect("7", &file));
        let variable = "variable RADIXMESH_ROUTING__MATCH_PAGES_MIN";
        assert_eq!(now("routing.match_pages_min"), expect("9", variable));
        assert_eq!(now("heartbeat"), expect("\"1s\"", "default"));
        let config = loaded.node().unwrap();
        assert_eq!(
            (config.page_size, config.routing.match_permille_min),
            (8, 70)
        );
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn an_error_names_key_value_source_and_reason() {
        let check = |sources: &Sources, expect: &str| {
            let error = fails(sources);
            assert!(error.contains(expect), "{error}\n  should hold\n{expect}");
        };
        check(
            &base(&[("page_size", "0")]),
            "key `page_size` = \"0\" (from flag --set): must be 1 to 1024",
        );
        check(
            &base(&[("pagesize", "4")]),
            "unknown key `pagesize` (from flag --set)",
        );
        check(
            &base(&[("routing.x", "4")]),
            "unknown key `routing.x` (from flag --set)",
        );
        check(
            &base(&[("routing", "4")]),
            "unknown key `routing` (from flag --set)",
        );
        check(
            &base(&[("page_size.x", "4")]),
            "key `page_size` = a table (from flag --set): must be 1",
        );
        check(
            &base(&[("local", "e:5")]),
            "key `local` = \"e:5\" (from flag --set): must be one of the member addresses: a:1, b:2, c:3, d:4 (a node",
        );
        check(
            &base(&[("decode", "a:1")]),
            "`a:1` is also the address of rank 0",
        );
        let local = [("local", "c:65000"), ("decode", "c:65000")];
        check(
            &base(&local),
            "key `admin` = \"auto\" (from default): the port of `local` + 1000",
        );
        check(&sources(&[]), "key `prefill` is not set");
        check(&sources(&[("prefill", "a:1")]), "key `local` is not set");
        check(
            &sources(&[("prefill", "a:1"), ("local", "a:1")]),
            "key `fingerprint_key` is not set",
        );
        check(
            &base(&[("fingerprint_key", "12")]),
            "key `fingerprint_key` = (hidden)",
        );
        let mut typo = base(&[]);
        typo.env
            .push(("RADIXMESH_FAN_OUT".to_owned(), "2".to_owned()));
        check(
            &typo,
            "unknown key `fan_out` (from variable RADIXMESH_FAN_OUT)",
        );
        let absent = Sources {
            file: Some("/no/such.toml".into()),
            ..Sources::default()
        };
        check(
            &absent,
            "cannot read the configuration file `/no/such.toml`",
        );
        for bad in ["page_size", "=1", "routing.=1"] {
            let expect = ConfigError::NotAPair {
                text: bad.to_owned(),
            };
            assert_eq!(Sources::default().set(bad), Err(expect));
        }
    }

    #[test]
    fn all_errors_are_told_at_once() {
        let error = fails(&base(&[("page_size", "0"), ("fanout", "0"), ("nope", "1")]));
        assert_eq!(error.lines().count(), 3, "{error}");
    }
}
