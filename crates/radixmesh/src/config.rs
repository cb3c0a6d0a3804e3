//! What a running mesh node is told: the cluster, the local addresses, and the optional parts.

use std::path::PathBuf;
use std::time::Duration;

use radix_core::FingerprintKey;
use radix_core::id::Rank;
use thiserror::Error;
use topology::Role;
use transport::tls::{Credentials, Files, FilesError, Name};
use transport::{NodeId, Security};

use crate::admin::Token;
use crate::core::node_id;
use crate::loopback::is_loopback;

/// One member of the cluster. Its rank is its place in [`Config::members`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it does.
    pub role: Role,
    /// Where its peers reach it, `host:port`.
    pub address: String,
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
    /// Every member in rank order, this node included.
    pub members: Vec<Member>,
    /// This node.
    pub me: Rank,
    /// Address to listen on for peers; the member's own address when absent.
    pub listen: Option<String>,
    /// Links without TLS are wanted, although an address lies off loopback.
    pub plaintext: bool,
    /// Address of the admin port; none when absent.
    pub admin: Option<String>,
    /// What the admin port asks for; it asks for nothing when absent, which is refused off loopback.
    pub admin_token: Option<Token>,
    /// Fan-out of the broadcast: 1 is the ring.
    pub fanout: u16,
    /// Period of heartbeats.
    pub heartbeat: Duration,
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
            fanout: 4,
            heartbeat: Duration::from_secs(1),
            exchange: Duration::from_millis(500),
            cold_start: Duration::from_secs(3),
            routing: routing::Config::default(),
            state_dir: None,
            record_log: None,
            trace_applies: false,
            simulated_engine: None,
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
        if usize::from(self.me.0) >= self.members.len() {
            return Err(ConfigError::NotAMember {
                me: self.me,
                members: self.members.len(),
            });
        }
        if !(1..=1024).contains(&self.page_size) {
            return Err(ConfigError::PageSize {
                page_size: self.page_size,
            });
        }
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
        let mut all = self.listen.iter().chain(members);
        match all.find(|address| !is_loopback(address)) {
            Some(address) => Err(ConfigError::Plaintext {
                address: address.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Opens the credentials of this node for [`Tcp::with_tls`](transport::Tcp::with_tls): peers are believed to be
    /// what the members say.
    ///
    /// Errors: [`FilesError`]. Panics: when [`check`](Self::check) fails.
    pub fn credentials(&self, files: Files) -> Result<Credentials, FilesError> {
        let own = &self.members[usize::from(self.me.0)];
        let name = Name::new(&self.cluster, &own.role.to_string(), node_id(self.me));
        let roles: Vec<String> = self.members.iter().map(|m| m.role.to_string()).collect();
        let role_of = move |node: NodeId| {
            let rank = usize::try_from(node.0).ok()?;
            roles.get(rank).cloned()
        };
        Credentials::open(files, name, Box::new(role_of))
    }

    /// Returns the ranks and roles of all members.
    #[must_use]
    pub fn roles(&self) -> Vec<(Rank, Role)> {
        (0u16..)
            .map(Rank)
            .zip(self.members.iter().map(|member| member.role))
            .collect()
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
