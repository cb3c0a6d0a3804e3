//! What joining costs: a mesh that holds many pages, a node that joins, and what the others feel of it.
//!
//! [`fill`] makes the pages, [`round`] lets a node join and measures it, [`beats`] fills a limited link with a snapshot
//! and measures how long heartbeats take beside it. Nothing here checks lookups; see the parent module for that.

mod beats;
mod fill;
mod report;
mod round;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use radixmesh::topology::Role;
use radixmesh::transport::Tcp;
use radixmeshd::cluster::{Cluster, ClusterSpec};

use super::daemon::Daemon;
use super::options::Options;
use super::pki::Pki;
use super::process;
use super::target::Target;
pub(crate) use report::JoinReport;

/// How long the nodes may take to agree on all pages.
const AGREE_MAX: Duration = Duration::from_secs(300);
/// How long they may take to end.
const STOP_MAX: Duration = Duration::from_secs(10);
/// The longest that anything may hold up a heartbeat or a publish. Unit: ms.
const HELD_UP_MS_MAX: f64 = 10.0;

/// Does what the options say.
///
/// Errors: the run could not be carried through. What it found out is in the report, failures too.
pub(crate) async fn run(
    options: &Options,
    pages: u64,
    binary: PathBuf,
) -> anyhow::Result<JoinReport> {
    let [prefill, decode, router] = options.roles().map(usize::from);
    // Its files go when the run ends.
    let pki = match options.tls {
        true => {
            let pki = Pki::for_roles(&binary, options.roles()).await?;
            for number in 0..options.joins {
                pki.node(&binary, round::ROLE, options.nodes() + number)
                    .await?;
            }
            Some(pki)
        }
        false => None,
    };
    let daemon = Daemon {
        binary: binary.clone(),
        token: None,
    };
    let spec = ClusterSpec {
        prefill,
        decode,
        router,
        page_size: options.page_size(),
        fanout: options.fanout,
        dir: options.keep.clone(),
        set: pki.iter().flat_map(Pki::keys).collect(),
        ..ClusterSpec::new(binary)
    };
    let mut report = JoinReport {
        nodes: options.nodes(),
        page_size: options.page_size(),
        seed: options.seed,
        command: process::command(),
        machine: process::machine(),
        ..JoinReport::default()
    };
    eprintln!("starting {} nodes", options.nodes());
    let mut cluster = Cluster::start(spec).await?;
    let began = Instant::now();
    fill::fill(&cluster, options, pages).await?;
    let statuses = cluster.wait_converged(AGREE_MAX).await?;
    report.fill_s = began.elapsed().as_secs_f64();
    report.pages = statuses.iter().map(|status| status.index.pages).max();
    eprintln!("{:?} pages after {:.1} s", report.pages, report.fill_s);
    for number in 1..=options.joins {
        let round = round::run(&mut cluster, options, &daemon).await?;
        eprintln!("join {number}: {round}");
        report.joins.push(round);
    }
    let transport = match &pki {
        Some(pki) => pki.rightful(Role::Prefill, beats::ME)?,
        None => Tcp::new(),
    };
    report.beats = Some(beats::run(&mut cluster, options, &transport).await?);
    let statuses = cluster.wait_converged(AGREE_MAX).await?;
    let waits = statuses.iter().map(|status| {
        let wait = status.counters.get("publish_wait_ns_max");
        wait.copied().unwrap_or(0) as f64 / 1e6
    });
    report.publishes_blocked_ms_max = waits.fold(0.0, f64::max);
    report.memory_bytes_max = cluster
        .running()
        .filter_map(|rank| process::memory_peak(cluster.pid(rank)?))
        .max();
    hold(&mut report, options.strict);
    if let Err(error) = cluster.stop(STOP_MAX).await {
        let text = format!("a node did not end in good order: {error}");
        report.failures.push(text);
    }
    Ok(report)
}

fn hold(report: &mut JoinReport, strict: bool) {
    let beats = report.beats.as_ref();
    let filled = beats.and_then(|beats| beats.filled_ms);
    let during = report
        .joins
        .iter()
        .filter_map(|join| join.publish_ms_during);
    let publish_p99 = during.map(|spread| spread.p99).reduce(f64::max);
    report.targets = vec![
        Target::at_most(
            "heartbeat round trip beside a snapshot in ms, p99",
            HELD_UP_MS_MAX,
            filled.map(|filled| filled.p99),
        ),
        Target::at_most(
            "publish of others during a join in ms, p99",
            HELD_UP_MS_MAX,
            publish_p99,
        ),
        Target::at_most(
            "longest wait of a publish in ms",
            HELD_UP_MS_MAX,
            Some(report.publishes_blocked_ms_max),
        ),
    ];
    let failed = report.joins.iter().filter_map(|join| join.failed.clone());
    report.failures.extend(failed);
    if strict {
        let missed = report.targets.iter().filter(|target| target.is_missed());
        let missed: Vec<String> = missed.map(ToString::to_string).collect();
        report.failures.extend(missed);
    }
}
