//! A node with engines behind it, and what it told the mesh: its own log, folded.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use radixmesh::engines::source::Standing;
use radixmesh::oplog::State;
use radixmesh::radix_core::id::{Namespace, OpId, Rank, Seq, SourceId};
use radixmesh::radix_core::page::Fingerprint;
use radixmesh::radix_core::{Index, IndexConfig, SnapshotPlace};
use radixmesh::record::Reader;
use radixmesh::source::{Feed, SourceReport, SourceSettings, ZmqFeed};
use radixmesh::topology::Role;
use radixmesh::transport::mem::Network;
use radixmesh::{Config, Member, Mesh, Running};
use tempfile::TempDir;

use crate::double::KEY;
use crate::mesh::Held;

/// How long anything may take; only a failure waits so long.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A node of a cluster of its own.
pub(crate) struct Node {
    pub(crate) running: Running,
    record: PathBuf,
    /// Its directory; the next life takes it over.
    pub(crate) dir: Arc<TempDir>,
}

/// Settings of an engine whose sockets are known.
pub(crate) fn engine(endpoint: &str, replay: Option<&str>) -> SourceSettings {
    let feed = ZmqFeed {
        endpoint: endpoint.to_owned(),
        bind: false,
        replay: replay.map(str::to_owned),
        topic: String::new(),
    };
    SourceSettings::new("engine", SourceId(3), Feed::Zmq(feed))
}

/// Settings of one of two nodes: an engine's and a router.
fn pair(me: Rank, page_size: u16) -> Config {
    let member = |role, address: &str| Member {
        role,
        address: address.to_owned(),
    };
    let members = vec![
        member(Role::Prefill, "node"),
        member(Role::Router, "router"),
    ];
    let mut config = Config::new("sources", KEY, members, me);
    config.page_size = page_size;
    config.cold_start = Duration::ZERO;
    config
}

/// Starts the router of such a cluster.
pub(crate) async fn start_router(network: &Network, page_size: u16) -> Running {
    let transport = Arc::new(network.transport());
    Mesh::start(pair(Rank(1), page_size), transport)
        .await
        .unwrap()
}

impl Node {
    pub(crate) async fn start(page_size: u16, sources: Vec<SourceSettings>) -> Node {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        Node::start_in(dir, page_size, sources).await
    }

    /// Starts with what the life before kept.
    pub(crate) async fn start_in(
        dir: Arc<TempDir>,
        page_size: u16,
        sources: Vec<SourceSettings>,
    ) -> Node {
        let member = Member {
            role: Role::Prefill,
            address: "node".to_owned(),
        };
        let mut config = Config::new("sources", KEY, vec![member], Rank(0));
        let record = dir.path().join("record");
        let _ = std::fs::remove_file(&record);
        config.page_size = page_size;
        config.cold_start = Duration::ZERO;
        config.record_log = Some(record.clone());
        config.state_dir = Some(dir.path().to_owned());
        config.sources = sources;
        Node::of_config(dir, config, record, &Network::new()).await
    }

    /// Starts the node of an engine in a cluster that has a router, which may come later.
    pub(crate) async fn start_beside(
        network: &Network,
        page_size: u16,
        sources: Vec<SourceSettings>,
    ) -> Node {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let record = dir.path().join("record");
        let mut config = pair(Rank(0), page_size);
        config.record_log = Some(record.clone());
        config.sources = sources;
        Node::of_config(dir, config, record, network).await
    }

    async fn of_config(
        dir: Arc<TempDir>,
        config: Config,
        record: PathBuf,
        network: &Network,
    ) -> Node {
        let transport = Arc::new(network.transport());
        let running = Mesh::start(config, transport).await.unwrap();
        Node {
            running,
            record,
            dir,
        }
    }

    pub(crate) fn report(&self) -> Option<SourceReport> {
        self.running.mesh().sources().into_iter().next()
    }

    /// Waits until the engine's report is as wanted.
    pub(crate) async fn until(
        &self,
        what: &str,
        is_so: impl Fn(&SourceReport) -> bool,
    ) -> SourceReport {
        let began = Instant::now();
        loop {
            let report = self.report();
            if let Some(report) = report.clone().filter(&is_so) {
                return report;
            }
            assert!(began.elapsed() < LIMIT, "never {what}: {report:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the subscription is up and all that was asked for has come.
    pub(crate) async fn until_exact(&self) -> SourceReport {
        let is_so = |report: &SourceReport| report.connected && report.standing == Standing::Exact;
        self.until("exact", is_so).await
    }

    /// Waits until the mesh was told exactly this.
    pub(crate) async fn until_held(&self, truth: &Held) {
        let began = Instant::now();
        loop {
            let held = self.held();
            if held == *truth {
                return;
            }
            if began.elapsed() > LIMIT {
                let missing = truth.keys().filter(|path| !held.contains_key(path)).count();
                let surplus = held.keys().filter(|path| !truth.contains_key(path)).count();
                panic!(
                    "{missing} pages missing, {surplus} too many; {:#?}",
                    self.report()
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the node's own log comes to: every page by its whole path.
    pub(crate) fn held(&self) -> Held {
        let mut index = Index::new(IndexConfig::default());
        let mut reader = Reader::open(&self.record).unwrap();
        let mut next = Seq(1);
        while let Some(batch) = reader.next_batch().unwrap() {
            for op in batch.ops() {
                let (origin, seq) = (batch.origin, next);
                // An op without effect is one everywhere.
                let _ = index.apply(OpId { origin, seq }, &op.unwrap().0);
                next = seq.next();
            }
        }
        expand(&index)
    }
}

type Path = (Namespace, Vec<Fingerprint>);

fn expand(index: &Index) -> Held {
    let mut held = Held::new();
    let mut names: BTreeMap<(Seq, u16), Path> = BTreeMap::new();
    for run in index.snapshot(Rank(0)) {
        assert_eq!(run.source, SourceId(3));
        let (namespace, mut path) = match run.place {
            SnapshotPlace::Root(namespace) => (namespace, Vec::new()),
            SnapshotPlace::Path(namespace, pages) => (namespace, pages),
            SnapshotPlace::Copy { seq, idx } => names[&(seq, idx)].clone(),
        };
        for (idx, page) in (run.idx..).zip(run.pages) {
            path.push(page);
            let whole = (namespace, path.clone());
            names.insert((run.seq, idx), whole.clone());
            held.entry(whole).or_default().insert(run.tier);
        }
    }
    held
}
