//! Clusters and commands for tests.

use std::future::Future;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use radixmesh::admin::api::{
    EngineRequest, EvictItem, EvictRequest, MatchResponse, PrefixRequest, PublishItem,
    PublishRequest, PublishResponse, StatusResponse,
};
use radixmeshd::client::Client;
use radixmeshd::cluster::{Cluster, ClusterSpec};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_radixmeshd");
/// Far more than anything here takes, so that a busy machine fails no test.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Nodes of a role each, pages of 4 tokens, routing without warm-up.
pub(crate) fn spec(prefill: usize, decode: usize, router: usize) -> ClusterSpec {
    let set = vec![("routing.warmup_requests".to_owned(), "0".to_owned())];
    ClusterSpec {
        prefill,
        decode,
        router,
        page_size: 4,
        set,
        start_max: LIMIT,
        ..ClusterSpec::new(BINARY)
    }
}

pub(crate) async fn cluster(spec: ClusterSpec) -> Cluster {
    Cluster::start(spec).await.expect("the cluster starts")
}

/// Tokens `first ..` that no other range shares.
pub(crate) fn tokens(first: u32, count: u32) -> Vec<u32> {
    (first..first + count).collect()
}

pub(crate) fn prefix(tokens: &[u32]) -> PrefixRequest {
    PrefixRequest {
        tokens: tokens.to_vec(),
        ..PrefixRequest::default()
    }
}

pub(crate) fn item(tokens: &[u32]) -> PublishItem {
    PublishItem {
        tokens: tokens.to_vec(),
        ..PublishItem::default()
    }
}

pub(crate) async fn publish(client: &Client, items: Vec<PublishItem>) -> PublishResponse {
    client
        .publish(&PublishRequest { items })
        .await
        .expect("the items are good")
}

pub(crate) async fn evict(client: &Client, item: EvictItem) -> PublishResponse {
    client
        .evict(&EvictRequest { items: vec![item] })
        .await
        .expect("the item is good")
}

pub(crate) async fn matches(client: &Client, tokens: &[u32]) -> MatchResponse {
    client
        .matches(&prefix(tokens))
        .await
        .expect("a match is answered")
}

pub(crate) fn engine(tokens: &[u32]) -> EngineRequest {
    EngineRequest {
        tokens: tokens.to_vec(),
        ..EngineRequest::default()
    }
}

/// Rank and pages of every holder.
pub(crate) fn held(answer: &MatchResponse) -> Vec<(u16, u32)> {
    answer
        .holders
        .iter()
        .map(|holder| (holder.rank, holder.pages))
        .collect()
}

/// Last op and live copies of one origin as a node has it.
pub(crate) fn origin(status: &StatusResponse, rank: u16) -> (u64, u64, u64) {
    let origin = status.origins.iter().find(|origin| origin.rank == rank);
    origin.map_or((0, 0, 0), |origin| {
        (origin.incarnation, origin.seq, origin.copies)
    })
}

/// Asks until the answer pleases; panics with the last one after the limit.
pub(crate) async fn eventually<T, F>(mut ask: impl FnMut() -> F, good: impl Fn(&T) -> bool) -> T
where
    T: std::fmt::Debug,
    F: Future<Output = T>,
{
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = ask().await;
        if good(&answer) {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "still not so after {LIMIT:?}: {answer:?}"
        );
        tokio::task::yield_now().await;
    }
}

/// Runs the program to its end, without any of our variables.
pub(crate) fn radixmeshd(arguments: &[&str]) -> Output {
    command(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RADIXMESH_") {
            command.env_remove(name);
        }
    }
    command
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Returns whether a process is there and not only waiting to be reaped.
pub(crate) fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .trim_start()
            .starts_with('Z')
    })
}
