//! What a running mesh node is told: the cluster, the local addresses, and the optional parts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use radix_core::FingerprintKey;
use radix_core::id::Rank;
use thiserror::Error;
use topology::{Fanout, Role, Seed};
use transport::Security;
use transport::tls::{Credentials, Files, FilesError, Name};

use crate::admin::Token;
use crate::core::node_id;
use crate::loopback::is_loopback;
use crate::roles::Roles;
use crate::source::{self, SourceSettings, SourcesError};

/// One member of the cluster. Its rank is its place in [`Config::members`], unless it joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it does.
    pub role: Role,
    /// Where its peers reach it, `host:port`.
    pub address: String,
}

/// How a node becomes a member that nobody has configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// What it is, and where its peers reach it.
    pub member: Member,
    /// Mesh addresses of members, any of which it introduces itself to.
    pub addresses: Vec<String>,
}

/// A simulated engine behind this node, for demos and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimulatedEngine {
    /// Size of its page pool. Unit: pages.
    pub capacity_pages: usize,
    /// Time to compute one token. Unit: nanoseconds; 0 answers at once.
    pub prefill_ns_per_token: u64,
}

/// All settings of one node.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the cluster: nodes of different clusters refuse each other.
    pub cluster: String,
    /// The cluster's secret for page fingerprints; the same on every node.
    pub fingerprint_key: FingerprintKey,
    /// Tokens in a page; the same on every node.
    pub page_size: u16,
    /// The configured members in rank order, this node included unless it joins. More may join, others may take their places.
    pub members: Vec<Member>,
    /// This node.
    pub me: Rank,
    /// This node joins: it introduces itself, and learns from the answer who the members are.
    pub join: Option<Join>,
    /// How long a start tries to join, while nobody answers or another process has the rank; and how long a node whose
    /// rank another process has taken goes on. Default 30 s.
    pub join_timeout: Duration,
    /// Where this node dials a rank, whatever its address is said to be: through a proxy, say.
    pub via: BTreeMap<Rank, String>,
    /// Address to listen on for peers; the member's own address when absent.
    pub listen: Option<String>,
    /// Links without TLS are wanted, although an address lies off loopback.
    pub plaintext: bool,
    /// Address of the admin port; none when absent.
    pub admin: Option<String>,
    /// What the admin port asks for; it asks for nothing when absent, which is refused off loopback.
    pub admin_token: Option<Token>,
    /// Arms of the broadcast tree: 1 is the ring; by default as the number of members asks for.
    pub fanout: Fanout,
    /// Period of heartbeats.
    pub heartbeat: Duration,
    /// Heartbeats that may be missing before others are asked about a member.
    pub misses: u16,
    /// How long a member is down before it is forgotten.
    pub forget_after: Duration,
    /// Period of version-vector exchanges.
    pub exchange: Duration,
    /// How long a start waits for a Ready peer.
    pub cold_start: Duration,
    /// Routing policy.
    pub routing: routing::Config,
    /// Where the incarnation is kept over restarts; without it the wall clock and the peers supply it.
    pub state_dir: Option<PathBuf>,
    /// Appends every batch of this node's own log to this file, before it is sent: an audit trail.
    pub record_log: Option<PathBuf>,
    /// Remembers when ops were applied, for measurements of propagation.
    pub trace_applies: bool,
    /// A simulated engine to host.
    pub simulated_engine: Option<SimulatedEngine>,
    /// The engines behind this node whose KV events it follows.
    pub sources: Vec<SourceSettings>,
    /// What role every rank has now, as the running node knows: certificates are compared with it.
    pub(crate) roles: Roles,
}

/// Why a configuration cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// `me` is no member.
    ///
    /// State: nothing was started.
    #[error("rank {me} is not among the {members} members")]
    NotAMember {
        /// As given.
        me: Rank,
        /// How many there are.
        members: usize,
    },
    /// Two members share an address.
    ///
    /// State: nothing was started.
    #[error("address {address} is named by two members")]
    DuplicateAddress {
        /// As given.
        address: String,
    },
    /// A node joins, and no member is named that it could introduce itself to.
    ///
    /// State: nothing was started.
    #[error("rank {me} joins, and no address of a member is named but its own")]
    NobodyToJoin {
        /// As given.
        me: Rank,
    },
    /// A page holds no token.
    ///
    /// State: nothing was started.
    #[error("page_size must be 1 to 1024 tokens, not {page_size}")]
    PageSize {
        /// As given.
        page_size: u16,
    },
    /// Links would leave the machine unprotected.
    ///
    /// State: nothing was started.
    #[error(
        "{address} is not on loopback, and links have no TLS: anybody who reaches a node could claim to be another; \
         give it a certificate, or ask for plaintext by name"
    )]
    Plaintext {
        /// The first such address.
        address: String,
    },
    /// The admin port would be open to strangers.
    ///
    /// State: nothing was started.
    #[error(
        "the admin port {address} is not on loopback and has no token: anybody who reaches it could publish"
    )]
    OpenAdmin {
        /// As given.
        address: String,
    },
    /// More members than ranks.
    ///
    /// State: nothing was started.
    #[error("{members} members are more than the {max} that are supported")]
    TooManyMembers {
        /// As given.
        members: usize,
        /// The bound.
        max: usize,
    },
    /// The part of the topology is wrong.
    ///
    /// State: nothing was started.
    #[error(transparent)]
    Topology(#[from] topology::ConfigError),
    /// The part of the engines is wrong.
    ///
    /// State: nothing was started.
    #[error(transparent)]
    Sources(#[from] SourcesError),
    /// The part of the routing policy is wrong.
    ///
    /// State: nothing was started.
    #[error(transparent)]
    Routing(#[from] routing::ConfigError),
}

/// Members of one flat cluster at most.
pub const MEMBERS_MAX: usize = 1_024;

impl Config {
    /// Returns the defaults for one node of `members`.
    #[must_use]
    pub fn new(
        cluster: &str,
        fingerprint_key: FingerprintKey,
        members: Vec<Member>,
        me: Rank,
    ) -> Self {
        Config {
            cluster: cluster.to_owned(),
            fingerprint_key,
            page_size: 16,
            members,
            me,
            listen: None,
            plaintext: false,
            admin: None,
            admin_token: None,
            join: None,
            join_timeout: Duration::from_secs(30),
            via: BTreeMap::new(),
            fanout: Fanout::Fixed(4),
            heartbeat: topology::limits::HEARTBEAT,
            misses: topology::limits::MISSES,
            forget_after: topology::limits::FORGET_AFTER,
            exchange: Duration::from_millis(500),
            cold_start: Duration::from_secs(3),
            routing: routing::Config::default(),
            state_dir: None,
            record_log: None,
            trace_applies: false,
            simulated_engine: None,
            sources: Vec::new(),
            roles: Roles::default(),
        }
    }

    /// Returns the defaults for a node that joins as rank `me`, through any of the members at `addresses`.
    #[must_use]
    pub fn joining(
        cluster: &str,
        fingerprint_key: FingerprintKey,
        me: Rank,
        member: Member,
        addresses: Vec<String>,
    ) -> Self {
        let mut config = Config::new(cluster, fingerprint_key, Vec::new(), me);
        config.join = Some(Join { member, addresses });
        config
    }

    /// Returns what this node is, and where its peers reach it.
    ///
    /// Panics: when [`check`](Self::check) fails.
    #[must_use]
    pub fn own(&self) -> &Member {
        match &self.join {
            Some(join) => &join.member,
            None => &self.members[usize::from(self.me.0)],
        }
    }

    /// Checks what can be checked without a socket.
    ///
    /// Errors: [`ConfigError`] names the first thing that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.members.len() > MEMBERS_MAX {
            return Err(ConfigError::TooManyMembers {
                members: self.members.len(),
                max: MEMBERS_MAX,
            });
        }
        match &self.join {
            None if usize::from(self.me.0) >= self.members.len() => {
                return Err(ConfigError::NotAMember {
                    me: self.me,
                    members: self.members.len(),
                });
            }
            Some(join) if join.addresses.iter().all(|at| *at == join.member.address) => {
                return Err(ConfigError::NobodyToJoin { me: self.me });
            }
            None | Some(_) => {}
        }
        if !(1..=1024).contains(&self.page_size) {
            return Err(ConfigError::PageSize {
                page_size: self.page_size,
            });
        }
        source::check(&self.sources)?;
        let mut addresses: Vec<&str> = self
            .members
            .iter()
            .map(|member| member.address.as_str())
            .collect();
        addresses.sort_unstable();
        if let Some(pair) = addresses.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(ConfigError::DuplicateAddress {
                address: pair[0].to_owned(),
            });
        }
        match &self.admin {
            Some(address) if self.admin_token.is_none() && !is_loopback(address) => {
                Err(ConfigError::OpenAdmin {
                    address: address.clone(),
                })
            }
            _ => Ok(()),
        }
    }

    /// Checks that links over a transport that protects them so may be made between these addresses.
    ///
    /// Errors: [`ConfigError::Plaintext`].
    pub fn check_links(&self, security: &Security) -> Result<(), ConfigError> {
        if self.plaintext || *security != Security::Plaintext {
            return Ok(());
        }
        let members = self.members.iter().map(|member| &member.address);
        let join = self.join.iter();
        let join = join.flat_map(|join| join.addresses.iter().chain([&join.member.address]));
        let mut all = self.listen.iter().chain(members).chain(join);
        match all.find(|address| !is_loopback(address)) {
            Some(address) => Err(ConfigError::Plaintext {
                address: address.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Opens the credentials of this node for [`Tcp::with_tls`](transport::Tcp::with_tls): peers are believed to be
    /// what the members say, who may change while a node with this configuration or a clone of it runs.
    ///
    /// Errors: [`FilesError`]. Panics: when [`check`](Self::check) fails.
    pub fn credentials(&self, files: Files) -> Result<Credentials, FilesError> {
        let role = self.own().role.to_string();
        let name = Name::new(&self.cluster, &role, node_id(self.me));
        let configured = self.members.iter().map(|member| member.role);
        self.roles.set((0u16..).map(Rank).zip(configured));
        let roles = self.roles.clone();
        Credentials::open(files, name, Box::new(move |node| roles.of(node)))
    }

    /// Returns the members that are linked before anything is heard: the configured ones, or this node alone.
    pub(crate) fn seeds(&self) -> Vec<Seed> {
        let seed = |(rank, member): (Rank, &Member)| Seed {
            rank,
            role: member.role,
            address: member.address.clone(),
        };
        match &self.join {
            Some(join) => vec![seed((self.me, &join.member))],
            None => (0u16..).map(Rank).zip(&self.members).map(seed).collect(),
        }
    }

    /// Returns the digest of what all nodes must agree on: page size, fingerprint key, protocol. Never
    /// members, addresses or timings.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let text = format!(
            "radixmesh wire={} page_size={} fingerprint_key={:016x} order=tier,rank,inc,seq",
            node::wire::VERSION,
            self.page_size,
            self.fingerprint_key.id()
        );
        FingerprintKey::new(0).namespace(&text).0
    }
}
