//! The JSON of the admin port. `docs/http.md` shows an example of each.
//!
//! Token ids are numbers, pages are counted in whole pages, times in the unit that ends the name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use super::members_api::{
    BadLink, BehindStatus, ForgetResponse, LagStatus, Lagging, LeaveRequest, LeaveResponse,
    MemberStatus, MembersResponse, OtherView, RingCheck, RingCheckStatus,
};
pub use super::sources_api::{ObservedRequest, ObservedResponse, SourceStatus};

/// Body of `POST /match` and `POST /route`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrefixRequest {
    /// Token ids of the prompt.
    pub tokens: Vec<u32>,
    /// Model, adapter, salt ...; the empty name is the default namespace.
    #[serde(default)]
    pub namespace: String,
}

/// One entry of a version vector: the answer was read when this much of that log was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Whose log.
    pub rank: u16,
    /// In which life.
    pub incarnation: u64,
    /// Last applied op.
    pub seq: u64,
}

/// What one holder has of a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderMatch {
    /// The node.
    pub rank: u16,
    /// The engine behind it.
    pub source: u16,
    /// `prefill`, `decode` or `router`.
    pub role: String,
    /// Leading pages held without a hole, at any tier.
    pub pages: u32,
    /// Leading pages held without a hole in device memory.
    pub device_pages: u32,
    /// Leading pages held without a hole in device or host memory.
    pub host_pages: u32,
    /// The node may be routed to; false hides it from `/route`.
    pub routable: bool,
}

/// Answer of `POST /match`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchResponse {
    /// Whole pages of the request.
    pub pages: u32,
    /// Deepest page that any holder has without a hole.
    pub deepest: u32,
    /// Every holder of at least one page, by rank and source.
    pub holders: Vec<HolderMatch>,
    /// The version vector that the answer was read at.
    pub version: Vec<Position>,
}

/// One chosen node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteChoice {
    /// The node.
    pub rank: u16,
    /// Its mesh address.
    pub address: String,
    /// Leading pages it holds.
    pub matched_pages: u32,
    /// Why: `warm_up`, `prefix`, `below_minimum` or `no_holder`.
    pub reason: String,
}

/// Answer of `POST /route`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RouteResponse {
    /// Whole pages of the request.
    pub pages: u32,
    /// Where to compute the prompt; absent when no prefill node may be routed to.
    pub prefill: Option<RouteChoice>,
    /// Where to generate; absent when no decode node may be routed to.
    pub decode: Option<RouteChoice>,
    /// Every holder, as in [`MatchResponse`].
    pub holders: Vec<HolderMatch>,
    /// The version vector that the decision was read at.
    pub version: Vec<Position>,
    /// One line a candidate, for people.
    pub explanation: Vec<String>,
}

/// What one engine stored. An item of [`PublishRequest`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishItem {
    /// Token ids of the whole prefix from the root; a partial last page is not published.
    pub tokens: Vec<u32>,
    /// First page that this is about; earlier ones only name the path.
    #[serde(default)]
    pub from_page: u32,
    /// The engine behind this node.
    #[serde(default)]
    pub source: u16,
    /// Model, adapter, salt ...
    #[serde(default)]
    pub namespace: String,
    /// `device`, `host` or `disk`; device when absent.
    #[serde(default)]
    pub tier: TierName,
    /// The KV was stored anew in other slots: known copies die, new ones are named.
    #[serde(default)]
    pub renew: bool,
}

/// A storage tier by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TierName {
    /// Accelerator memory.
    #[default]
    Device,
    /// Host memory.
    Host,
    /// Local disk.
    Disk,
}

/// Body of `POST /publish`. Either all items are valid or none is applied.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishRequest {
    /// 1 to 4,096 items, applied in order.
    pub items: Vec<PublishItem>,
}

/// Copies of consecutive pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copies {
    /// The insert op of the node's log that named them.
    pub seq: u64,
    /// Index of the first page inside the op.
    pub idx: u16,
    /// How many pages.
    pub len: u16,
}

/// New copies of consecutive pages of a published path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// First page, counted from the root.
    pub page: u32,
    /// The insert op that named them.
    pub seq: u64,
    /// Index of the first page inside the op.
    pub idx: u16,
    /// How many pages.
    pub len: u32,
}

/// What became of one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemReceipt {
    /// New copies.
    pub stored: Vec<Stored>,
    /// Pages that were held already.
    pub already_held: u32,
    /// Copies that died.
    pub removed: u64,
    /// The log's last op when the item was done.
    pub seq: u64,
}

/// Answer of `POST /publish` and `POST /evict`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishResponse {
    /// The node whose log grew.
    pub rank: u16,
    /// Its life.
    pub incarnation: u64,
    /// Point of the machine's monotonic clock when the last item was in the log. Unit: nanoseconds.
    pub published_at_ns: u64,
    /// One for each item, in order.
    pub receipts: Vec<ItemReceipt>,
}

/// What one engine dropped. An item of [`EvictRequest`]: exactly one of the three forms.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum EvictItem {
    /// Pages of a path, from `from_page` to its end.
    Prefix {
        /// Token ids of the whole prefix from the root.
        tokens: Vec<u32>,
        /// First dropped page.
        #[serde(default)]
        from_page: u32,
        /// The engine behind this node.
        #[serde(default)]
        source: u16,
        /// Model, adapter, salt ...
        #[serde(default)]
        namespace: String,
    },
    /// Copies by name.
    Copies(Vec<Copies>),
    /// Everything that one engine held.
    Source(u16),
}

/// Body of `POST /evict`. Either all items are valid or none is applied.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvictRequest {
    /// 1 to 4,096 items, applied in order.
    pub items: Vec<EvictItem>,
}

/// One log as a node has it. Nodes that agree print the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginStatus {
    /// Whose log.
    pub rank: u16,
    /// In which life.
    pub incarnation: u64,
    /// Last applied op.
    pub seq: u64,
    /// Live copies.
    pub copies: u64,
    /// Digest of the ops, in order. Hexadecimal in JSON.
    #[serde(with = "hex")]
    pub chain_digest: u64,
    /// Digest of the live copies, in no order. Hexadecimal in JSON.
    #[serde(with = "hex")]
    pub set_digest: u64,
}

/// Answer of `GET /status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusResponse {
    /// Name of the cluster.
    pub cluster: String,
    /// This node.
    pub rank: u16,
    /// `prefill`, `decode` or `router`.
    pub role: String,
    /// Its life.
    pub incarnation: u64,
    /// Version of the program.
    pub version: String,
    /// It caught up.
    pub ready: bool,
    /// Why not, in a sentence; absent when it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_ready: Option<String>,
    /// Time since the start.
    pub uptime_ms: u64,
    /// Tokens in a page.
    pub page_size: u16,
    /// Every member, by rank.
    pub members: Vec<MemberStatus>,
    /// The set of members that this node takes for part of the cluster, as one number. Hexadecimal.
    #[serde(default)]
    pub view: String,
    /// What the ring checks found.
    #[serde(default)]
    pub ring_check: RingCheckStatus,
    /// Members that live and that this node reaches only through others: the link is bad.
    #[serde(default)]
    pub degraded_links: Vec<u16>,
    /// How much the node doubts itself, 0 to 8: its verdicts on others take that many times longer.
    #[serde(default)]
    pub self_doubt: u32,
    /// Logs of which this node lacks something, farthest behind first; the first 64.
    #[serde(default)]
    pub behind: Vec<BehindStatus>,
    /// Every log, by rank.
    pub origins: Vec<OriginStatus>,
    /// The engines behind this node whose events it follows, one entry for each data-parallel rank.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceStatus>,
    /// Resident memory of the process.
    pub memory_bytes: u64,
    /// Size of the tree.
    pub index: IndexStatus,
    /// What protects the links.
    #[serde(default)]
    pub security: SecurityStatus,
    /// Every counter by name; the same numbers as `/metrics`.
    pub counters: BTreeMap<String, u64>,
}

/// What protects the links of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityStatus {
    /// `tls`, `plaintext` or `in_process`.
    pub links: String,
    /// What the node proves itself with; only with TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateStatus>,
}

/// A node's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// The name in it.
    pub name: String,
    /// When it began. Unit: seconds since 1970.
    pub cert_not_before: i64,
    /// When it ends. Unit: seconds since 1970.
    pub cert_not_after: i64,
    /// How often changed files were taken over.
    pub reloads: u64,
    /// How often changed files were refused.
    pub reload_errors: u64,
    /// Why the files as they are now are not in use; absent when they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// Size of the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexStatus {
    /// Runs of pages.
    pub nodes: u64,
    /// Distinct pages.
    pub pages: u64,
    /// Live copies of all holders.
    pub copies: u64,
    /// Heap held, estimated.
    pub bytes: u64,
}

/// Body of `POST /engine/run`: a request for the simulated engine, where one is hosted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineRequest {
    /// Token ids of the prompt.
    pub tokens: Vec<u32>,
    /// Model, adapter, salt ...
    #[serde(default)]
    pub namespace: String,
    /// The KV arrives by transfer instead of being computed (a decode node): no prefill time is spent.
    #[serde(default)]
    pub transferred: bool,
}

/// Answer of `POST /engine/run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineResponse {
    /// Whole pages of the prompt.
    pub pages: u32,
    /// Leading pages that were in the engine's cache.
    pub hit_pages: u32,
    /// Pages that were computed (or transferred) and are cached now.
    pub stored_pages: u32,
    /// Pages that had to go.
    pub evicted_pages: u32,
    /// Simulated prefill time.
    pub prefill_us: u64,
}

/// One record of `GET /applied`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Whose log.
    pub rank: u16,
    /// In which life.
    pub incarnation: u64,
    /// First op.
    pub first: u64,
    /// Last op.
    pub last: u64,
    /// Point of the machine's monotonic clock when they were in the tree. Unit: nanoseconds.
    pub at_ns: u64,
}

/// Answer of every refused request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorResponse {
    /// What was wrong and what happened to the state.
    pub error: String,
}

mod hex {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{value:016x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
    }
}
