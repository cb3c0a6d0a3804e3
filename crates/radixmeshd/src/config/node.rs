//! From checked keys to the settings of one node: what is missing, and what does not fit together.

use std::path::PathBuf;
use std::time::Duration;

use radixmesh::admin::Token;
use radixmesh::radix_core::FingerprintKey;
use radixmesh::radix_core::id::Rank;
use radixmesh::source::SourceSettings;
use radixmesh::topology::Role;
use radixmesh::transport::tls::Files;
use radixmesh::{Member, SimulatedEngine, is_loopback, routing};

use super::error::{ConfigError, ConfigErrors};
use super::kind::{Admin, Parsed, address_port};
use super::load::{Loaded, Resolved};

impl Loaded {
    /// Makes the settings of one node.
    ///
    /// Errors: what is missing, and values that do not fit together.
    pub fn node(&self) -> Result<radixmesh::Config, ConfigErrors> {
        let secret = self.secret();
        let mut config = match (self.begin(), &secret) {
            (Ok(config), Ok(_)) => config,
            (begun, _) => {
                let errors = secret.err().into_iter().chain(begun.err());
                return Err(ConfigErrors(errors.collect()));
            }
        };
        let (rank, role) = (usize::from(config.me.0), config.own().role);
        config.page_size = self.count16("page_size");
        if let Some(Parsed::Fanout(fanout)) = self.value("fanout") {
            config.fanout = *fanout;
        }
        if let Some(Parsed::Via(via)) = self.value("via") {
            config.via.clone_from(via);
        }
        config.heartbeat = self.time("heartbeat");
        config.misses = self.count16("misses");
        config.forget_after = self.time("forget_after");
        config.join_timeout = self.time("join_timeout");
        config.exchange = self.time("exchange");
        config.cold_start = self.time("cold_start");
        config.admin = self.admin()?;
        config.admin_token = self.admin_token(config.admin.as_deref())?;
        config.plaintext = self.flag("security.plaintext");
        config.state_dir = self.path("state_dir", rank);
        config.record_log = self.path("record_log", rank);
        config.trace_applies = self.flag("trace_applies");
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
        let sources = self.sources()?;
        // One file serves all nodes, and a router has no engine.
        if role != Role::Router {
            self.check_simulated(&config, &sources)?;
            config.sources = sources;
        }
        let key = if config.join.is_some() {
            "join"
        } else {
            "prefill"
        };
        config
            .check()
            .map_err(|error| self.bad(key, &error.to_string()))?;
        let join = config.join.iter().flat_map(|join| &join.addresses);
        let addresses = config.members.iter().map(|member| &member.address);
        self.check_security(addresses.chain(join).chain([&config.own().address]))?;
        Ok(config)
    }

    /// Checks that no engine publishes as the simulated one does.
    fn check_simulated(
        &self,
        config: &radixmesh::Config,
        engines: &[SourceSettings],
    ) -> Result<(), ConfigError> {
        let first = engines.iter().find(|engine| engine.first.0 == 0);
        match first {
            Some(engine) if config.simulated_engine.is_some() => Err(self.bad(
                "simulated_engine.capacity_pages",
                &format!(
                    "the simulated engine publishes as source 0, and so does source `{}`: give that one an `id`",
                    engine.name
                ),
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Returns the settings that say who this node is, all others at their defaults.
    fn begin(&self) -> Result<radixmesh::Config, ConfigError> {
        let (cluster, key) = (self.text("cluster").unwrap_or_default(), self.secret());
        // Told by the caller, and of no use without it.
        let key = key.unwrap_or(FingerprintKey::new(0));
        let join = self.texts("join");
        if !join.is_empty() {
            let address = self.local("where do peers reach this node? (--listen HOST:PORT)")?;
            let (rank, role) = (self.rank()?, self.role()?);
            let member = Member { role, address };
            return Ok(radixmesh::Config::joining(
                cluster,
                key,
                rank,
                member,
                join.to_vec(),
            ));
        }
        let members = self.members()?;
        let me = self.me(&members)?;
        for (key, fits) in [
            (
                "rank",
                self.get("rank").is_none() || usize::from(self.rank()?.0) == me,
            ),
            (
                "role",
                self.get("role").is_none() || self.role()? == members[me].role,
            ),
        ] {
            if !fits {
                let Member { role, address } = &members[me];
                let why = format!(
                    "the lists say that {address} is rank {me}, {role}; a node that joins needs `join`"
                );
                return Err(self.bad(key, &why));
            }
        }
        let rank = u16::try_from(me).map_err(|_| self.bad("prefill", "more members than ranks"))?;
        Ok(radixmesh::Config::new(cluster, key, members, Rank(rank)))
    }

    fn rank(&self) -> Result<Rank, ConfigError> {
        match self.value("rank") {
            Some(Parsed::Count(rank)) => {
                Ok(Rank(u16::try_from(*rank).expect("its range ends there")))
            }
            _ => Err(ConfigError::Missing {
                key: "rank",
                why: "a node that joins needs a rank that nobody else has (--rank N)".to_owned(),
            }),
        }
    }

    fn role(&self) -> Result<Role, ConfigError> {
        match self.value("role") {
            Some(Parsed::Role(role)) => Ok(*role),
            _ => Err(ConfigError::Missing {
                key: "role",
                why: "a node that joins says what it does: prefill, decode or router (--role R)"
                    .to_owned(),
            }),
        }
    }

    fn local(&self, question: &str) -> Result<String, ConfigError> {
        let local = self.text("local").map(str::to_owned);
        local.ok_or_else(|| ConfigError::Missing {
            key: "local",
            why: question.to_owned(),
        })
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
            for address in self.texts(key) {
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
        let local =
            self.local("which of the member addresses is this node's? (--local HOST:PORT)")?;
        members
            .iter()
            .position(|member| member.address == local)
            .ok_or_else(|| {
                let all: Vec<&str> = members
                    .iter()
                    .map(|member| member.address.as_str())
                    .collect();
                let why = format!(
                    "must be one of the member addresses: {} (a node that joins needs `join`)",
                    all.join(", ")
                );
                self.bad("local", &why)
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

    /// Returns where the credentials of rank `me` lie; `None` when links have no TLS.
    ///
    /// Errors: one of the three files without the others.
    pub fn credential_files(&self, me: usize) -> Result<Option<Files>, ConfigError> {
        let file = |key| self.path(key, me);
        let keys = [
            "security.ca_file",
            "security.cert_file",
            "security.key_file",
        ];
        match keys.map(file) {
            [Some(ca), Some(cert), Some(key)] => Ok(Some(Files { ca, cert, key })),
            [None, None, None] => Ok(None),
            some => {
                let lacks = some.iter().position(Option::is_none);
                let key = keys[lacks.expect("neither all nor none are set")];
                let why = "links have TLS when all three of security.ca_file, cert_file and key_file are set";
                Err(ConfigError::Missing {
                    key,
                    why: why.to_owned(),
                })
            }
        }
    }

    /// Checks that the links between nodes at these addresses are protected as they must be.
    ///
    /// Errors: no TLS off loopback that nobody asked for, or TLS and plaintext at once.
    pub fn check_security<'a>(
        &self,
        addresses: impl IntoIterator<Item = &'a String>,
    ) -> Result<(), ConfigError> {
        let plaintext = self.flag("security.plaintext");
        match (self.credential_files(0)?, plaintext) {
            (Some(_), true) => {
                let why = "security.ca_file, cert_file and key_file are set as well: which of the two?";
                Err(self.bad("security.plaintext", why))
            }
            (Some(_), false) | (None, true) => Ok(()),
            (None, false) => match addresses.into_iter().find(|at| !is_loopback(at)) {
                None => Ok(()),
                Some(address) => Err(self.bad(
                    "security.plaintext",
                    &format!(
                        "`{address}` is not on loopback, so links need TLS: set security.ca_file, cert_file and \
                         key_file (`radixmeshd cert` makes them), or ask for plaintext by name (--plaintext)"
                    ),
                )),
            },
        }
    }

    fn admin_token(&self, admin: Option<&str>) -> Result<Option<Token>, ConfigError> {
        if let Some(path) = self.path("admin_token_file", 0) {
            let token = Token::read(&path);
            return token
                .map(Some)
                .map_err(|error| self.bad("admin_token_file", &error.to_string()));
        }
        match admin {
            Some(address) if !is_loopback(address) => Err(ConfigError::Missing {
                key: "admin_token_file",
                why: format!("the admin port {address} is not on loopback: it needs a token"),
            }),
            _ => Ok(None),
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

    fn value(&self, key: &str) -> Option<&Parsed> {
        self.get(key).map(|resolved| &resolved.value)
    }

    fn texts(&self, key: &str) -> &[String] {
        match self.value(key) {
            Some(Parsed::Texts(list)) => list,
            _ => &[],
        }
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Resolved {
                value: Parsed::Text(text),
                ..
            }) => Some(text),
            _ => None,
        }
    }

    fn flag(&self, key: &str) -> bool {
        matches!(
            self.get(key),
            Some(Resolved {
                value: Parsed::Flag(true),
                ..
            })
        )
    }

    /// Returns the period of looking at the credentials.
    #[must_use]
    pub fn reload(&self) -> Duration {
        self.time("security.reload")
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

#[cfg(test)]
mod tests {
    use super::super::load::tests::{KEY, base};
    use super::*;

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
    fn a_node_that_joins_needs_a_rank_a_role_an_address_and_somebody_to_ask() {
        let join = [
            ("join", "a:1,b:2"),
            ("rank", "7"),
            ("role", "decode"),
            ("local", "e:5"),
        ];
        let config = node(&join).unwrap();
        assert_eq!((config.me, config.members.len()), (Rank(7), 0));
        assert_eq!(config.own().role, Role::Decode);
        assert_eq!(config.own().address, "e:5");
        assert_eq!(config.join.unwrap().addresses, ["a:1", "b:2"]);
        for (lacks, expect) in [(1, "key `rank` is not set"), (2, "key `role` is not set")] {
            let mut some = join.to_vec();
            some.remove(lacks);
            let error = node(&some).unwrap_err();
            assert!(error.contains(expect), "{error}");
        }
        let error = node(&[&join[1..], &[("join", "e:5")]].concat()).unwrap_err();
        assert!(error.contains("rank 7 joins, and no address"), "{error}");
        let error = node(&[("rank", "7")]).unwrap_err();
        assert!(error.contains("c:3 is rank 2, decode"), "{error}");
        let near = [&join[..], &[("security.plaintext", "false")]].concat();
        assert!(
            node(&near)
                .unwrap_err()
                .contains("`a:1` is not on loopback")
        );
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
    fn off_loopback_links_need_tls_or_a_word() {
        let near = [
            ("prefill", "127.0.0.1:1,localhost:2"),
            ("decode", "[::1]:3"),
            ("router", ""),
            ("local", "[::1]:3"),
            ("security.plaintext", "false"),
        ];
        assert!(node(&near).is_ok());
        let far = [("security.plaintext", "false")];
        let error = node(&far).unwrap_err();
        assert!(error.contains("key `security.plaintext`"), "{error}");
        assert!(error.contains("`a:1` is not on loopback"), "{error}");
        let tls = [
            ("security.plaintext", "false"),
            ("security.ca_file", "/x/ca.pem"),
            ("security.cert_file", "/x/{rank}.pem"),
            ("security.key_file", "/x/{rank}.key"),
        ];
        assert!(!node(&tls).unwrap().plaintext);
        let loaded = Loaded::load(&base(&tls)).unwrap();
        let files = loaded.credential_files(2).unwrap().unwrap();
        assert_eq!(files.cert, PathBuf::from("/x/2.pem"));
        let error = node(&tls[..3]).unwrap_err();
        assert!(
            error.contains("key `security.key_file` is not set"),
            "{error}"
        );
        let mut both = tls;
        both[0].1 = "true";
        assert!(node(&both).unwrap_err().contains("which of the two?"));
    }

    #[test]
    fn an_admin_port_off_loopback_needs_a_token() {
        let error = node(&[("admin", "0.0.0.0:80")]).unwrap_err();
        assert!(
            error.contains("key `admin_token_file` is not set"),
            "{error}"
        );
        let path = std::env::temp_dir().join(format!("radixmesh-admin-{}", std::process::id()));
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        let file = path.to_string_lossy().into_owned();
        let config = node(&[("admin", "0.0.0.0:80"), ("admin_token_file", &file)]).unwrap();
        assert!(config.admin_token.unwrap().is(b"0123456789abcdef"));
        std::fs::write(&path, "short").unwrap();
        let error = node(&[("admin_token_file", &file)]).unwrap_err();
        assert!(error.contains("16 to 1024 characters"), "{error}");
        std::fs::remove_file(path).unwrap();
    }

    fn node(more: &[(&str, &str)]) -> Result<radixmesh::Config, String> {
        let loaded = Loaded::load(&base(more)).unwrap();
        loaded.node().map_err(|errors| errors.to_string())
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
