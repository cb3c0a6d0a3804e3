//! The demo: six processes on this machine, simulated engines, a replayed workload, and a table of what came of it.
//! Everything it says is measured in that run; the engines compute nothing.

mod progress;
mod report;
mod work;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use radixmesh::engines::Baselines;
use radixmesh::radix_core::FingerprintKey;
use radixmesh::radix_core::id::Namespace;
use radixmesh::topology::Role;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Exit, Failure, Format};
use crate::cluster::{Cluster, ClusterError, ClusterSpec};
use crate::drive::{self, Driver, Job};
use crate::probe::{ProbeError, Probes};

use progress::Progress;
use report::{Conversations, Report};

/// How the demo is run.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Requests to replay; of a trace, the first ones.
    #[arg(long, default_value_t = 600)]
    requests: usize,
    /// Replay this trace (Mooncake's JSON lines) instead of the built-in chats.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Requests in flight at one time.
    #[arg(long, default_value_t = 8)]
    in_flight: usize,
    /// Seed of the chats and of random routing, which the mesh is compared with.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Pool of each simulated engine, in pages of 16 tokens [default: 1000; with --trace 40000].
    #[arg(long)]
    pages_per_node: Option<usize>,
    /// Time of a simulated engine for one token, in microseconds [default: 100; with --trace 5].
    #[arg(long)]
    prefill_us_per_token: Option<u64>,
    /// Fan-out of broadcasts: 1 is the ring.
    #[arg(long, default_value_t = 4)]
    fanout: u16,
    /// Keep configuration and logs of the nodes in this directory.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Pause between two probes beside the requests.
const PROBE_PERIOD: Duration = Duration::from_millis(50);
/// Probes of the idle cluster, and the pause between two.
const IDLE_PROBES: usize = 200;
const IDLE_PROBE_PERIOD: Duration = Duration::from_millis(3);
/// How long the cluster may take to agree after the last request.
const CONVERGE_MAX: Duration = Duration::from_secs(10);

/// Runs the demo and prints its report.
///
/// Errors: a cluster that did not start or did not converge; requests that failed; an interruption. No process
/// is left behind in any case.
pub async fn run(options: &Options, format: Format) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(Exit::Failed, error.to_string());
    let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(failed)?;
    let interruption = || Failure::new(Exit::Failed, "interrupted; all processes were ended");
    // Dropping the run drops the cluster, which kills its processes.
    tokio::select! {
        biased;
        _ = terminated.recv() => Err(interruption()),
        _ = interrupted.recv() => Err(interruption()),
        result = show(options, format) => result,
    }
}

async fn show(options: &Options, format: Format) -> Result<(), Failure> {
    let began = Instant::now();
    let jobs = work::jobs(options.trace.as_deref(), options.requests, options.seed)?;
    let spec = spec(options)?;
    eprintln!(
        "starting {} processes; their engines are simulated: they keep books, they compute nothing",
        spec.prefill + spec.decode + spec.router
    );
    let mut cluster = Cluster::start(spec).await?;
    for rank in 0..cluster.len() {
        eprintln!(
            "  rank {rank} {:<8} mesh {:<16} admin {:<23} pid {}",
            cluster.role(rank),
            cluster.address(rank),
            cluster.client(rank).base(),
            cluster.pid(rank).unwrap_or_default()
        );
    }
    eprintln!(
        "all nodes see each other up and ready after {:.1} s",
        began.elapsed().as_secs_f64()
    );

    let mut report = Report::new(&cluster);
    report.baselines = baselines(&jobs, cluster.spec(), options.seed).into();
    let router = cluster.ranks(Role::Router).next().unwrap_or(0);
    let driver = Driver::of(&cluster, router);
    let mut probes = Probes::of(&cluster, options.seed);
    let mut progress = Progress::new("replaying requests", jobs.len());
    let mut conversations = Conversations::default();
    let mut by_prefill = BTreeMap::new();
    let mut first_failure = None;
    let replay_began = Instant::now();
    let done = Cell::new(false);
    let replaying = async {
        let totals = drive::replay(&driver, jobs, options.in_flight, |job, outcome| {
            progress.step();
            match outcome {
                Ok(served) => {
                    *by_prefill.entry(served.prefill.choice.rank).or_insert(0) += 1;
                    conversations.add(job, served);
                }
                Err(error) if first_failure.is_none() => first_failure = Some(error.to_string()),
                Err(_) => {}
            }
        });
        let totals = totals.await;
        done.set(true);
        totals
    };
    let probing = async {
        while !done.get() {
            probes.publish().await?;
            tokio::time::sleep(PROBE_PERIOD).await;
        }
        Ok::<(), ProbeError>(())
    };
    let (totals, probed) = tokio::join!(replaying, probing);
    progress.finish();
    report.totals = totals;
    report.requests_by_prefill = by_prefill;
    report.replay_ms = u64::try_from(replay_began.elapsed().as_millis()).unwrap_or(u64::MAX);
    probed?;

    let converging = Instant::now();
    let converged = cluster.wait_converged(CONVERGE_MAX).await;
    let converge_ms = u64::try_from(converging.elapsed().as_millis()).unwrap_or(u64::MAX);
    let disagreement = match converged {
        Ok(statuses) => {
            report.converged_ms = Some(converge_ms);
            report.count(&statuses);
            None
        }
        Err(error @ ClusterError::TimedOut { .. }) => {
            report.count(&cluster.statuses().await?);
            Some(error.to_string())
        }
        Err(error) => return Err(error.into()),
    };
    report.propagation = probes.measure(CONVERGE_MAX).await?;
    let mut probes = Probes::of(&cluster, options.seed.wrapping_add(1));
    for _ in 0..IDLE_PROBES {
        probes.publish().await?;
        tokio::time::sleep(IDLE_PROBE_PERIOD).await;
    }
    report.propagation_idle = probes.measure(CONVERGE_MAX).await?;
    report.conversation = conversations.longest();
    cluster.stop(CONVERGE_MAX).await?;
    report.total_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);

    crate::cli::print(format, &report, || report.text())?;
    match (disagreement, first_failure) {
        (Some(why), _) => Err(Failure::new(
            Exit::Failed,
            format!("the nodes do not agree: {why}"),
        )),
        (None, Some(why)) => {
            let message = format!("{} requests failed; the first: {why}", report.totals.failed);
            Err(Failure::new(Exit::Failed, message))
        }
        (None, None) => Ok(()),
    }
}

fn spec(options: &Options) -> Result<ClusterSpec, Failure> {
    let binary = std::env::current_exe().map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("the own program cannot be found: {error}"),
        )
    })?;
    let (pages, us_per_token) = if options.trace.is_some() {
        (40_000, 5)
    } else {
        (1_000, 100)
    };
    Ok(ClusterSpec {
        pages_per_node: options.pages_per_node.unwrap_or(pages),
        prefill_us_per_token: options.prefill_us_per_token.unwrap_or(us_per_token),
        fanout: options.fanout,
        trace_applies: true,
        dir: options.dir.clone(),
        ..ClusterSpec::new(binary)
    })
}

/// What simpler routing would have hit with the same engines.
fn baselines(jobs: &[Job], spec: &ClusterSpec, seed: u64) -> radixmesh::engines::Rates {
    let key = FingerprintKey::new(seed);
    let mut baselines = Baselines::new(spec.prefill, spec.pages_per_node, seed);
    let mut pages = Vec::new();
    for job in jobs {
        pages.clear();
        key.pages(&job.tokens, usize::from(spec.page_size), &mut pages);
        baselines.feed(Namespace::DEFAULT, &pages);
    }
    baselines.rates()
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Failure {
        Failure::new(Exit::Failed, error.to_string())
    }
}

impl From<ProbeError> for Failure {
    fn from(error: ProbeError) -> Failure {
        Failure::new(Exit::Failed, format!("a probe failed: {error}"))
    }
}
