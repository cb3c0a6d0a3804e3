//! One function for each endpoint.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::IntoResponse;
use node::{Publish, PublishError, Receipt};
use radix_core::id::{CopyRange, Rank, Seq, SourceId, Tier};
use radix_core::page::Fingerprint;
use serde::Deserialize;
use transport::Security;

use super::api::{
    Applied, CertificateStatus, EngineRequest, EngineResponse, EvictItem, EvictRequest,
    HolderMatch, IndexStatus, ItemReceipt, MatchResponse, OriginStatus, Position, PrefixRequest,
    PublishItem, PublishRequest, PublishResponse, RouteChoice, RouteResponse, SecurityStatus,
    StatusResponse, Stored, TierName,
};
use super::members::{self, ms_since};
use super::metrics;
use super::reasons;
use super::refusal::Refusal;
use super::server::Admin;
use super::sources;
use crate::clock;
use crate::core::Published;
use crate::lookup::Lookup;

/// Items of one publish or evict request at most.
const ITEMS_MAX: usize = 4_096;
/// Records of one `/applied` answer at most.
const APPLIED_MAX: usize = 65_536;

pub(super) type Body<T> = Result<Json<T>, JsonRejection>;
pub(crate) type Answer<T> = Result<Json<T>, Refusal>;

pub(crate) async fn status(State(admin): State<Arc<Admin>>) -> Answer<StatusResponse> {
    let mesh = &admin.mesh;
    let report = mesh.report().await?;
    let config = mesh.config();
    let now = clock::now();
    let origins = report
        .origins
        .iter()
        .map(|(rank, digests, copies)| OriginStatus {
            rank: rank.0,
            incarnation: digests.inc.0,
            seq: digests.seq.0,
            copies: *copies,
            chain_digest: digests.chain,
            set_digest: digests.set,
        });
    let index = report.status.index;
    Ok(Json(StatusResponse {
        cluster: config.cluster.clone(),
        rank: config.me.0,
        role: config.own().role.to_string(),
        incarnation: report.status.inc.0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ready: report.status.ready,
        not_ready: reasons::not_ready(&report.status, now),
        uptime_ms: ms_since(mesh.started(), now),
        page_size: config.page_size,
        members: members::list(&report.status, now),
        view: report.status.view.to_string(),
        ring_check: members::ring_check(&report.status.check, now),
        degraded_links: members::degraded(&report.status),
        self_doubt: report.status.health,
        behind: members::behind(&report.status),
        origins: origins.collect(),
        sources: sources::list(&mesh.sources()),
        memory_bytes: metrics::resident_bytes(),
        index: IndexStatus {
            nodes: index.nodes,
            pages: index.pages,
            copies: index.copies,
            bytes: index.bytes,
        },
        security: security(report.security.as_ref()),
        counters: metrics::counters(&report).collect::<BTreeMap<String, u64>>(),
    }))
}

fn security(security: Option<&Security>) -> SecurityStatus {
    let (links, certificate) = match security {
        None => ("", None),
        Some(Security::InProcess) => ("in_process", None),
        Some(Security::Plaintext) => ("plaintext", None),
        Some(Security::Tls(certificate)) => ("tls", Some(certificate)),
    };
    SecurityStatus {
        links: links.to_owned(),
        certificate: certificate.map(|certificate| CertificateStatus {
            name: certificate.name.clone(),
            cert_not_before: certificate.not_before_s,
            cert_not_after: certificate.not_after_s,
            reloads: certificate.reloads,
            reload_errors: certificate.reload_errors,
            last_error: certificate.last_error.clone(),
        }),
    }
}

pub(crate) async fn matches(
    State(admin): State<Arc<Admin>>,
    body: Body<PrefixRequest>,
) -> Answer<MatchResponse> {
    let Json(request) = body?;
    let mut lookup = admin.lookup()?;
    read(&admin, &mut lookup, &request).await?;
    let answer = MatchResponse {
        pages: page_count(lookup.pages()),
        deepest: lookup.matches().deepest(),
        holders: holders(&lookup),
        version: version(&lookup),
    };
    admin.give_back(lookup);
    Ok(Json(answer))
}

pub(crate) async fn route(
    State(admin): State<Arc<Admin>>,
    body: Body<PrefixRequest>,
) -> Answer<RouteResponse> {
    let Json(request) = body?;
    let mut lookup = admin.lookup()?;
    if !lookup.is_routable(admin.mesh.config().me) {
        admin.give_back(lookup);
        return Err(not_ready(&admin).await?);
    }
    let namespace = read(&admin, &mut lookup, &request).await?;
    let (decision, explanation) = lookup.explain(namespace);
    let choice = |choice: routing::Choice| RouteChoice {
        rank: choice.rank.0,
        address: lookup.address(choice.rank).unwrap_or_default(),
        matched_pages: choice.matched,
        reason: choice.reason.as_str().to_owned(),
    };
    let answer = RouteResponse {
        pages: page_count(lookup.pages()),
        prefill: decision.prefill.map(choice),
        decode: decision.decode.map(choice),
        holders: holders(&lookup),
        version: version(&lookup),
        explanation: explanation.to_string().lines().map(str::to_owned).collect(),
    };
    admin.give_back(lookup);
    Ok(Json(answer))
}

pub(crate) async fn publish(
    State(admin): State<Arc<Admin>>,
    body: Body<PublishRequest>,
) -> Answer<PublishResponse> {
    let Json(request) = body?;
    check_count(request.items.len())?;
    let publishes = numbered(request.items, |item| store(&admin, &item))?;
    let published = admin.mesh.publish(publishes).await?;
    receipts(&admin, published)
}

pub(crate) async fn evict(
    State(admin): State<Arc<Admin>>,
    body: Body<EvictRequest>,
) -> Answer<PublishResponse> {
    let Json(request) = body?;
    check_count(request.items.len())?;
    let publishes = numbered(request.items, |item| dropped(&admin, item))?;
    let published = admin.mesh.publish(publishes).await?;
    receipts(&admin, published)
}

pub(crate) async fn engine_run(
    State(admin): State<Arc<Admin>>,
    body: Body<EngineRequest>,
) -> Answer<EngineResponse> {
    let Json(request) = body?;
    let Some(engine) = admin.mesh.engine() else {
        return Err(Refusal::not_found(
            "this node hosts no simulated engine; nothing was changed",
        ));
    };
    let (namespace, pages) = fingerprints(&admin, &request.namespace, &request.tokens);
    let count = page_count(&pages);
    let run = engine
        .run(&admin.mesh, namespace, pages, request.transferred)
        .await?;
    Ok(Json(EngineResponse {
        pages: count,
        hit_pages: run.hit_pages,
        stored_pages: run.stored_pages,
        evicted_pages: run.evicted_pages,
        prefill_us: run.prefill_ns / 1_000,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppliedQuery {
    rank: u16,
    #[serde(default)]
    from_seq: u64,
}

pub(crate) async fn applied(
    State(admin): State<Arc<Admin>>,
    query: Result<Query<AppliedQuery>, QueryRejection>,
) -> Answer<Vec<Applied>> {
    let Query(query) = query?;
    if !admin.mesh.config().trace_applies {
        return Err(Refusal::not_found(
            "this node does not trace applies (trace_applies = true does)",
        ));
    }
    let records = admin
        .mesh
        .applied(Rank(query.rank), Seq(query.from_seq), APPLIED_MAX)
        .await?;
    let records = records.into_iter().map(|record| Applied {
        rank: record.origin.rank.0,
        incarnation: record.origin.inc.0,
        first: record.first.0,
        last: record.last.0,
        at_ns: record.at.0,
    });
    Ok(Json(records.collect()))
}

pub(crate) async fn metrics(State(admin): State<Arc<Admin>>) -> Result<impl IntoResponse, Refusal> {
    let report = admin.mesh.report().await?;
    let sources = admin.mesh.sources();
    let text = metrics::encode(&report, sources)
        .map_err(|error| Refusal::unavailable(error.to_string()))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text))
}

pub(crate) async fn healthz(State(admin): State<Arc<Admin>>) -> Result<&'static str, Refusal> {
    admin.mesh.report().await?;
    Ok("ok\n")
}

pub(crate) async fn readyz(State(admin): State<Arc<Admin>>) -> Result<&'static str, Refusal> {
    if admin.mesh.report().await?.status.ready {
        Ok("ready\n")
    } else {
        Err(not_ready(&admin).await?)
    }
}

/// Says why this node takes no requests.
async fn not_ready(admin: &Admin) -> Result<Refusal, Refusal> {
    let status = admin.mesh.report().await?.status;
    let why = reasons::not_ready(&status, clock::now());
    let why = why.unwrap_or_else(|| "it has just become ready".to_owned());
    Ok(Refusal::unavailable(format!("not ready: {why}")))
}

pub(crate) async fn unknown() -> impl IntoResponse {
    let known = "/status /members /members/leave /members/RANK/forget /match /route /publish /evict /engine/run \
                 /sources/observed /applied /metrics /healthz /readyz";
    (
        StatusCode::NOT_FOUND,
        Refusal::not_found(format!("no such endpoint; there are {known}")),
    )
}

pub(crate) async fn wrong_method(method: Method, uri: Uri) -> Refusal {
    Refusal::wrong_method(format!(
        "{method} is not a method of {}; nothing was changed",
        uri.path()
    ))
}

/// Reads the tree at one instant: without a lock when the writer is quiet, else through the node.
async fn read(
    admin: &Admin,
    lookup: &mut Lookup,
    request: &PrefixRequest,
) -> Result<radix_core::id::Namespace, Refusal> {
    lookup.prompt(&request.tokens);
    let namespace = lookup.namespace(&request.namespace);
    if !lookup.read(namespace) {
        admin.mesh.read_exact(lookup, namespace).await?;
    }
    Ok(namespace)
}

fn holders(lookup: &Lookup) -> Vec<HolderMatch> {
    let members = lookup.members();
    let matched = lookup
        .matches()
        .iter()
        .filter(|(_, depth)| depth[Tier::Disk as usize] > 0);
    let holder = |(holder, depth): (radix_core::id::Holder, [u32; Tier::COUNT])| {
        let member = members.iter().find(|member| member.rank == holder.rank);
        HolderMatch {
            rank: holder.rank.0,
            source: holder.source.0,
            role: member
                .map(|member| member.role.to_string())
                .unwrap_or_default(),
            pages: depth[Tier::Disk as usize],
            device_pages: depth[Tier::Device as usize],
            host_pages: depth[Tier::Host as usize],
            routable: member.is_some_and(node::MemberView::routable),
        }
    };
    matched.map(holder).collect()
}

fn version(lookup: &Lookup) -> Vec<Position> {
    let position = |at: &radix_core::Position| Position {
        rank: at.rank.0,
        incarnation: at.inc.0,
        seq: at.seq.0,
    };
    lookup.version().iter().map(position).collect()
}

pub(super) fn page_count(pages: &[Fingerprint]) -> u32 {
    u32::try_from(pages.len()).unwrap_or(u32::MAX)
}

pub(super) fn fingerprints(
    admin: &Admin,
    namespace: &str,
    tokens: &[u32],
) -> (radix_core::id::Namespace, Vec<Fingerprint>) {
    let config = admin.mesh.config();
    let mut pages = Vec::with_capacity(tokens.len() / usize::from(config.page_size));
    config
        .fingerprint_key
        .pages(tokens, usize::from(config.page_size), &mut pages);
    (config.fingerprint_key.namespace(namespace), pages)
}

fn check_count(items: usize) -> Result<(), Refusal> {
    if (1..=ITEMS_MAX).contains(&items) {
        return Ok(());
    }
    Err(Refusal::bad_request(format!(
        "{items} items; a request has 1 to {ITEMS_MAX}; nothing was changed"
    )))
}

/// Turns every item into a publish before any is applied; an error names the item.
fn numbered<T>(
    items: Vec<T>,
    mut turn: impl FnMut(T) -> Result<Publish, PublishError>,
) -> Result<Vec<Publish>, Refusal> {
    let publish = |(number, item)| {
        let refuse =
            |error| Refusal::bad_request(format!("item {number}: {error}; nothing was changed"));
        turn(item).map_err(refuse)
    };
    items.into_iter().enumerate().map(publish).collect()
}

fn store(admin: &Admin, item: &PublishItem) -> Result<Publish, PublishError> {
    let (namespace, pages) = fingerprints(admin, &item.namespace, &item.tokens);
    node::check_path(&pages, item.from_page)?;
    let tier = match item.tier {
        TierName::Device => Tier::Device,
        TierName::Host => Tier::Host,
        TierName::Disk => Tier::Disk,
    };
    let source = SourceId(item.source);
    Ok(Publish::Store {
        source,
        namespace,
        tier,
        pages,
        from: item.from_page,
        renew: item.renew,
    })
}

fn dropped(admin: &Admin, item: EvictItem) -> Result<Publish, PublishError> {
    Ok(match item {
        EvictItem::Prefix {
            tokens,
            from_page,
            source,
            namespace,
        } => {
            let (namespace, pages) = fingerprints(admin, &namespace, &tokens);
            node::check_path(&pages, from_page)?;
            Publish::Evict {
                source: SourceId(source),
                namespace,
                pages,
                from: from_page,
            }
        }
        EvictItem::Copies(copies) => {
            let range = |range: super::api::Copies| CopyRange {
                seq: Seq(range.seq),
                idx: range.idx,
                len: range.len,
            };
            Publish::Drop {
                copies: copies.into_iter().map(range).collect(),
            }
        }
        EvictItem::Source(source) => Publish::Reset {
            source: SourceId(source),
        },
    })
}

fn receipts(admin: &Admin, (at, results): Published) -> Answer<PublishResponse> {
    let mut incarnation = 0;
    let mut receipts = Vec::with_capacity(results.len());
    for (number, result) in results.into_iter().enumerate() {
        let receipt = result.map_err(|error| {
            Refusal::bad_request(format!(
                "item {number}: {error}; the items before it are in the log"
            ))
        })?;
        incarnation = receipt.origin.inc.0;
        receipts.push(item_receipt(&receipt));
    }
    Ok(Json(PublishResponse {
        rank: admin.mesh.config().me.0,
        incarnation,
        published_at_ns: at.0,
        receipts,
    }))
}

fn item_receipt(receipt: &Receipt) -> ItemReceipt {
    let stored = receipt.stored.iter();
    ItemReceipt {
        stored: stored
            .map(|run| Stored {
                page: run.page,
                seq: run.seq.0,
                idx: run.idx,
                len: run.len,
            })
            .collect(),
        already_held: receipt.already_held,
        removed: receipt.removed,
        seq: receipt.seq.0,
    }
}
