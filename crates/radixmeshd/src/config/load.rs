//! Lays defaults, file, environment and flags over each other, checks every key, and makes a node's settings of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use radixmesh::radix_core::FingerprintKey;
use radixmesh::radix_core::id::Rank;
use radixmesh::topology::Role;
use radixmesh::{Member, SimulatedEngine, routing};

use super::error::{ConfigError, ConfigErrors};
use super::keys::{Default, ENV_PREFIX, KEYS, Key};
use super::kind::{Admin, Kind, Parsed, address_port};

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
        let mut errors = Vec::new();
        for (name, value) in leaves {
            let origin = origin(&figment, value);
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
            Ok(Loaded { values })
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

    /// Returns the directives of the log.
    #[must_use]
    pub fn log(&self) -> &str {
        self.text("log").unwrap_or("info")
    }

    /// Makes the settings of one node.
    ///
    /// Errors: what is missing, and values that do not fit together.
    pub fn node(&self) -> Result<radixmesh::Config, ConfigErrors> {
        let mut errors = Vec::new();
        let key = self.secret().unwrap_or_else(|error| {
            errors.push(error);
            FingerprintKey::new(0)
        });
        let members = self.members().unwrap_or_else(|error| {
            errors.push(error);
            Vec::new()
        });
        let me = match self.me(&members) {
            Ok(me) => me,
            Err(error) => {
                errors.push(error);
                0
            }
        };
        if !errors.is_empty() {
            return Err(ConfigErrors(errors));
        }
        let role = members[me].role;
        let rank =
            Rank(u16::try_from(me).map_err(|_| self.bad("prefill", "more members than ranks"))?);
        let mut config =
            radixmesh::Config::new(self.text("cluster").unwrap_or_default(), key, members, rank);
        config.page_size = self.count16("page_size");
        config.fanout = self.count16("fanout");
        config.heartbeat = self.time("heartbeat");
        config.exchange = self.time("exchange");
        config.cold_start = self.time("cold_start");
        config.admin = self.admin()?;
        config.state_dir = self.path("state_dir", me);
        config.record_log = self.path("record_log", me);
        config.trace_applies = matches!(
            self.get("trace_applies"),
            Some(Resolved {
                value: Parsed::Flag(true),
                ..
            })
        );
        config.routing = routing::Config {
            warmup_requests: self.count("routing.warmup_requests"),
            match_pages_min: self.count("routing.match_pages_min") as u32,
            match_permille_min: self.count16("routing.match_percent_min") * 10,
            ..routing::Config::default()
        };
        let pages = self.count("simulated_engine.capacity_pages");
        config.simulated_engine = (pages > 0 && role != Role::Router).then(|| SimulatedEngine {
            capacity_pages: usize::try_from(pages).unwrap_or(usize::MAX),
            prefill_ns_per_token: self.count("simulated_engine.prefill_us_per_token") * 1_000,
        });
        config
            .check()
            .map_err(|error| self.bad("prefill", &error.to_string()))?;
        Ok(config)
    }

    /// Returns all members in rank order.
    ///
    /// Errors: none at all, or one named twice.
    pub fn members(&self) -> Result<Vec<Member>, ConfigError> {
        let mut members: Vec<Member> = Vec::new();
        for (key, role) in [
            ("prefill", Role::Prefill),
            ("decode", Role::Decode),
            ("router", Role::Router),
        ] {
            let Some(Resolved {
                value: Parsed::Texts(list),
                ..
            }) = self.get(key)
            else {
                continue;
            };
            for address in list {
                if let Some(rank) = members.iter().position(|member| member.address == *address) {
                    let why = format!("`{address}` is also the address of rank {rank}");
                    return Err(self.bad(key, &why));
                }
                members.push(Member {
                    role,
                    address: address.clone(),
                });
            }
        }
        if members.is_empty() {
            let why = "no member is named in `prefill`, `decode` or `router`".to_owned();
            return Err(ConfigError::Missing {
                key: "prefill",
                why,
            });
        }
        Ok(members)
    }

    fn me(&self, members: &[Member]) -> Result<usize, ConfigError> {
        let Some(local) = self.text("local") else {
            let why =
                "which of the member addresses is this node's? (--local HOST:PORT)".to_owned();
            return Err(ConfigError::Missing { key: "local", why });
        };
        members
            .iter()
            .position(|member| member.address == local)
            .ok_or_else(|| {
                let all: Vec<&str> = members
                    .iter()
                    .map(|member| member.address.as_str())
                    .collect();
                self.bad(
                    "local",
                    &format!("must be one of the member addresses: {}", all.join(", ")),
                )
            })
    }

    /// Returns the cluster's secret.
    ///
    /// Errors: there is no default.
    pub fn secret(&self) -> Result<FingerprintKey, ConfigError> {
        match self.get("fingerprint_key") {
            Some(Resolved { value: Parsed::Secret(key), .. }) => Ok(*key),
            _ => Err(ConfigError::Missing {
                key: "fingerprint_key",
                why: "every cluster needs a secret of its own, the same on all nodes: 16 hexadecimal digits, \
                      or `file:PATH` (`head -c8 /dev/urandom | xxd -p` makes one)"
                    .to_owned(),
            }),
        }
    }

    fn admin(&self) -> Result<Option<String>, ConfigError> {
        match self.get("admin").map(|resolved| &resolved.value) {
            Some(Parsed::Admin(Admin::At(address))) => Ok(Some(address.clone())),
            Some(Parsed::Admin(Admin::Off)) | None => Ok(None),
            Some(_) => {
                let port = self
                    .text("local")
                    .and_then(address_port)
                    .unwrap_or_default();
                let port = port.checked_add(ADMIN_PORT_OFFSET).ok_or_else(|| {
                    self.bad(
                        "admin",
                        "the port of `local` + 1000 is above 65535: name an address",
                    )
                })?;
                Ok(Some(format!("127.0.0.1:{port}")))
            }
        }
    }

    fn bad(&self, key: &'static str, why: &str) -> ConfigError {
        let resolved = self.get(key);
        ConfigError::Bad {
            key,
            value: resolved
                .map_or_else(|| "unset".to_owned(), |resolved| resolved.value.to_string()),
            origin: resolved
                .map_or_else(|| "default".to_owned(), |resolved| resolved.origin.clone()),
            why: why.to_owned(),
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Resolved {
                value: Parsed::Text(text),
                ..
            }) => Some(text),
            _ => None,
        }
    }

    fn count(&self, key: &str) -> u64 {
        match self.get(key) {
            Some(Resolved {
                value: Parsed::Count(count),
                ..
            }) => *count,
            _ => unreachable!("`{key}` has a default and is a count"),
        }
    }

    fn count16(&self, key: &str) -> u16 {
        u16::try_from(self.count(key)).expect("the range of the key ends below 2^16")
    }

    fn time(&self, key: &str) -> Duration {
        match self.get(key) {
            Some(Resolved {
                value: Parsed::Time(time),
                ..
            }) => *time,
            _ => unreachable!("`{key}` has a default and is a time"),
        }
    }

    fn path(&self, key: &str, me: usize) -> Option<PathBuf> {
        match self.get(key) {
            Some(Resolved {
                value: Parsed::Path(path),
                ..
            }) => Some(PathBuf::from(
                path.to_string_lossy().replace("{rank}", &me.to_string()),
            )),
            _ => None,
        }
    }
}

/// What `auto` adds to the mesh port.
const ADMIN_PORT_OFFSET: u16 = 1_000;

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

fn show(key: &Key, value: &Value) -> String {
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
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef";

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

    fn base(more: &[(&str, &str)]) -> Sources {
        let mut flags = vec![
            ("prefill", "a:1,b:2"),
            ("decode", "c:3"),
            ("router", "d:4"),
            ("local", "c:3"),
            ("fingerprint_key", KEY),
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
    fn ranks_are_the_places_in_prefill_decode_router() {
        let config = Loaded::load(&base(&[])).unwrap().node().unwrap();
        assert_eq!(config.me, Rank(2));
        let roles: Vec<Role> = config.members.iter().map(|member| member.role).collect();
        assert_eq!(
            roles,
            [Role::Prefill, Role::Prefill, Role::Decode, Role::Router]
        );
        assert_eq!(config.admin.as_deref(), Some("127.0.0.1:1003"));
        assert_eq!(config.routing, routing::Config::default());
        assert_eq!(config.simulated_engine, None);
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
            "key `local` = \"e:5\" (from flag --set): must be one of the member addresses: a:1, b:2, c:3, d:4",
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

    #[test]
    fn a_router_hosts_no_engine_and_paths_name_the_rank() {
        let engine = [
            ("simulated_engine.capacity_pages", "100"),
            ("simulated_engine.prefill_us_per_token", "7"),
            ("record_log", "/x/{rank}.log"),
        ];
        let config = Loaded::load(&base(&engine)).unwrap().node().unwrap();
        let expect = SimulatedEngine {
            capacity_pages: 100,
            prefill_ns_per_token: 7_000,
        };
        assert_eq!(config.simulated_engine, Some(expect));
        assert_eq!(config.record_log, Some("/x/2.log".into()));
        let mut router = engine.to_vec();
        router.push(("local", "d:4"));
        let config = Loaded::load(&base(&router)).unwrap().node().unwrap();
        assert_eq!(config.simulated_engine, None);
    }

    #[test]
    fn the_secret_can_lie_in_a_file() {
        let path = std::env::temp_dir().join(format!("radixmesh-key-{}", std::process::id()));
        std::fs::write(&path, format!("{KEY}\n")).unwrap();
        let from_file = base(&[("fingerprint_key", &format!("file:{}", path.display()))]);
        let config = Loaded::load(&from_file).unwrap().node().unwrap();
        assert_eq!(
            config.fingerprint_key,
            FingerprintKey::new(0x0123_4567_89ab_cdef)
        );
        std::fs::remove_file(path).unwrap();
    }
}
