//! One run from the first process to the report: starts the cluster, lets the parts work on it, puts together what
//! they found and says what of it is a failure.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Context;
use radix_core::FingerprintKey;
use radixmesh::admin::api::StatusResponse;
use radixmeshd::cluster::{Cluster, ClusterSpec};
use tokio::sync::watch;

use super::audit::audit;
use super::burst;
use super::checker::{self, Checker, Event, Tally};
use super::daemon::Daemon;
use super::fault::{
    Drive, JOINERS, Kind, Kinds, Links, Membership, Outcome, Phases, Proxies, Schedule,
    forget_waits, joiner_role,
};
use super::feed::RecordFeed;
use super::kill::{Kills, kill_in_turn};
use super::netns::Netns;
use super::options::{Burst, Options};
use super::pki::Pki;
use super::process;
use super::propagation;
use super::report::{HitRate, Recover, Report};
use super::requests::{Requests, SYNTHETIC_ENDLESS};
use super::roster::Roster;
use super::stats::{Distribution, Spread, nearest};
use super::sums::{Sums, digest};
use super::target::Target;
use super::traffic::{Gate, Promise, Totals, Traffic};

/// How long the nodes may take to agree after the last publish.
const CONVERGE_MAX: Duration = Duration::from_secs(60);
/// How long they may take to end.
const STOP_MAX: Duration = Duration::from_secs(10);
/// Pause between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// What the cluster is put to.
enum Work {
    Burst(Burst),
    Traffic(Requests),
}

/// Does what the options say.
///
/// Errors: the run could not be carried through. What it found out is in the report, failures too.
pub(crate) async fn run(options: &Options, binary: PathBuf) -> anyhow::Result<Report> {
    let key = 0x7261_6469_786d_6573 ^ options.seed;
    let mut spec = spec(options, binary, key)?;
    // Its files go when the run ends.
    let pki = match options.tls {
        true => {
            let pki = Pki::for_roles(&spec.binary, options.roles()).await?;
            for number in 0..joiners(options) {
                let (role, rank) = (joiner_role(number), options.nodes() + number);
                pki.node(&spec.binary, role, rank).await?;
            }
            Some(pki)
        }
        false => None,
    };
    spec.set.extend(pki.iter().flat_map(Pki::keys));
    let work = match options.burst {
        Some(burst) => Work::Burst(burst),
        None => Work::Traffic(Requests::open(options, FingerprintKey::new(key))?),
    };
    eprintln!("starting {} nodes", options.nodes());
    let (mut cluster, links) = start(options, spec).await?;
    let mut report = Report {
        nodes: options.nodes(),
        tls: options.tls,
        netns: match &links {
            Links::Netns(netns) => Some(netns.means().clone()),
            Links::Plain | Links::Proxies(_) => None,
        },
        command: process::command(),
        machine: process::machine(),
        seed: options.seed,
        ..Report::default()
    };
    match work {
        Work::Burst(burst) => run_burst(&mut cluster, options, burst, &mut report).await?,
        Work::Traffic(requests) => {
            run_traffic(&mut cluster, &links, options, requests, &mut report).await?
        }
    }
    if report.converged {
        report.propagation_us = propagation::measure(&mut cluster, options).await?;
    }
    finish(&mut cluster, options, &mut report).await?;
    hold(&mut report, options.strict);
    if let Err(error) = cluster.stop(STOP_MAX).await {
        report
            .failures
            .push(format!("a node did not end in good order: {error}"));
    }
    Ok(report)
}

/// Starts the nodes: in namespaces of their own if asked, else with a proxy in front of every link when there are to be
/// faults.
async fn start(options: &Options, mut spec: ClusterSpec) -> anyhow::Result<(Cluster, Links)> {
    let start_max = spec.start_max;
    let links = match (&options.fault, options.netns) {
        (_, true) => {
            let netns = Netns::make(options.nodes() + joiners(options)).await?;
            netns.place(&mut spec)?;
            Links::Netns(netns)
        }
        (Some(_), false) => {
            let nodes = options.nodes() + joiners(options);
            let proxies = Proxies::start(nodes, options.seed).await?;
            spec.via = proxies.via();
            Links::Proxies(proxies)
        }
        (None, false) => Links::Plain,
    };
    let mut cluster = Cluster::launch(spec).await?;
    links.aim(&cluster)?;
    cluster.wait_ready(start_max).await?;
    Ok((cluster, links))
}

/// Returns how many ranks may join at run time.
fn joiners(options: &Options) -> u16 {
    let churns = |kinds: &Kinds| kinds.0.contains(&Kind::Churn);
    match options.fault.as_ref().is_some_and(churns) {
        true => JOINERS,
        false => 0,
    }
}

fn spec(options: &Options, binary: PathBuf, key: u64) -> anyhow::Result<ClusterSpec> {
    if let Some(dir) = &options.keep {
        let is_empty = |dir: &Path| {
            std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none())
        };
        anyhow::ensure!(is_empty(dir), "{} is not empty", dir.display());
    }
    let traffic = options.burst.is_none();
    let [prefill, decode, router] = options.roles().map(usize::from);
    Ok(ClusterSpec {
        prefill,
        decode,
        router,
        page_size: options.page_size(),
        pages_per_node: if traffic { options.pages_per_node() } else { 0 },
        fanout: options.fanout,
        record_logs: traffic,
        trace_applies: !options.propagation_sizes().is_empty(),
        set: vec![("fingerprint_key".to_owned(), format!("\"{key:016x}\""))],
        dir: options.keep.clone(),
        ..ClusterSpec::new(binary)
    })
}

fn feeds(cluster: &Cluster) -> Vec<RecordFeed> {
    (0..cluster.len())
        .map(|rank| RecordFeed::new(cluster.record(rank)))
        .collect()
}

async fn run_traffic(
    cluster: &mut Cluster,
    links: &Links,
    options: &Options,
    mut requests: Requests,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (events, inbox) = mpsc::channel();
    let records: Vec<PathBuf> = (0..cluster.len() + joiners(options))
        .map(|rank| cluster.record(rank))
        .collect();
    let checker = std::thread::Builder::new()
        .name("checker".to_owned())
        .spawn(move || {
            let make_feeds = || records.iter().cloned().map(RecordFeed::new).collect();
            checker::run(Checker::new(make_feeds), &inbox)
        })?;
    let roster = Roster::of(cluster);
    let traffic = Arc::new(Traffic::new(options, roster.clone(), events.clone()));
    let total = requests.total;
    let began = Instant::now();

    let progress = tokio::spawn(tell_progress(traffic.done.subscribe(), total));
    let first = if options.kill > 0 {
        Gate {
            below: 0,
            ..Gate::OPEN
        }
    } else {
        Gate::OPEN
    };
    let gate = watch::Sender::new(first);
    let done = traffic.done.subscribe();
    let (totals, upset) = tokio::try_join!(
        async {
            Ok(Arc::clone(&traffic)
                .drive(&mut requests, gate.subscribe())
                .await)
        },
        upset(
            cluster,
            links,
            options,
            &roster,
            &events,
            (total, done),
            &gate
        ),
    )?;
    drop(events);
    progress.abort();
    let took = began.elapsed();
    drop(traffic);
    let total = match upset {
        Upset::Kills(_) => total,
        Upset::Faults(_) => totals.sent,
    };

    let mut statuses = converge(cluster, totals.last_publish.unwrap_or(began), report).await?;
    let lives = match &upset {
        Upset::Kills(kills) => kills.lives,
        Upset::Faults(outcome) => {
            let mut stopped = statuses
                .iter_mut()
                .filter(|status| outcome.stopped.contains(&status.rank));
            stopped.by_ref().for_each(forget_waits);
            outcome.lives
        }
    };
    let sums = sums(cluster, &statuses, lives);
    measured(report, options, &sums, began.elapsed());
    let rates = requests
        .thread
        .join()
        .expect("preparing requests does not panic")?;
    let tally = checker.join().expect("the checker does not panic");
    report.hit_rate = Some(HitRate {
        mesh: if totals.pages == 0 {
            0.0
        } else {
            totals.hit_pages as f64 / totals.pages as f64
        },
        random: rates.random,
        round_robin: rates.round_robin,
        ideal: rates.ideal,
    });
    report.requests_per_second = totals.served as f64 / took.as_secs_f64();
    let phases = match upset {
        Upset::Kills(kills) => report_recovery(report, kills),
        Upset::Faults(outcome) => report_faults(report, *outcome),
    };
    report.false_hit_rate = Some(phases.false_hit_rate(began, &totals.promises));
    let blocked = phases.blocked_max(&totals.runs);
    report.blocked_ms_max = Some(blocked.as_secs_f64() * 1e3);
    report_totals(report, totals, total);
    report_tally(report, tally);
    Ok(())
}

/// What happens to the cluster during the traffic, and what came of it.
enum Upset {
    Kills(Kills),
    Faults(Box<Outcome>),
}

async fn upset(
    cluster: &mut Cluster,
    links: &Links,
    options: &Options,
    roster: &Roster,
    events: &mpsc::Sender<Event>,
    (total, done): (u64, watch::Receiver<u64>),
    gate: &watch::Sender<Gate>,
) -> anyhow::Result<Upset> {
    let Some(schedule) = schedule(options, links)? else {
        let kills = kill_in_turn(cluster, options.kill, total, done, gate).await?;
        return Ok(Upset::Kills(kills));
    };
    let daemon = Daemon {
        binary: cluster.spec().binary.clone(),
        token: links.token(),
    };
    let drive = Drive {
        cluster,
        links,
        roster,
        daemon: &daemon,
        events,
        schedule: &schedule,
        gate,
    };
    Ok(Upset::Faults(Box::new(drive.run().await?)))
}

fn schedule(options: &Options, links: &Links) -> anyhow::Result<Option<Schedule>> {
    let (Some(kinds), Some(seconds)) = (&options.fault, options.seconds) else {
        return Ok(None);
    };
    let kinds = match links {
        Links::Netns(netns) => netns.means().possible(&kinds.0)?,
        Links::Plain | Links::Proxies(_) => kinds.0.clone(),
    };
    let length = Duration::from_secs(seconds);
    let schedule = Schedule::draw(options.seed, &kinds, options.nodes(), length);
    let count = schedule.faults.len();
    eprintln!("seed {} draws {count} faults in {length:?}", options.seed);
    Ok(Some(schedule))
}

async fn tell_progress(done: watch::Receiver<u64>, total: u64) {
    loop {
        tokio::time::sleep(PROGRESS_EVERY).await;
        let done = total.min(*done.borrow());
        if total < SYNTHETIC_ENDLESS as u64 {
            eprintln!("{done} of {total} requests");
        } else {
            eprintln!("{done} requests");
        }
    }
}

async fn run_burst(
    cluster: &mut Cluster,
    options: &Options,
    burst: Burst,
    report: &mut Report,
) -> anyhow::Result<()> {
    let Burst { count, tokens } = burst;
    eprintln!(
        "{} nodes publish {count} inserts of {tokens} tokens each",
        options.engines()
    );
    let cost = burst::publish_all(cluster, options, burst).await?;
    let statuses = converge(cluster, cost.published, report).await?;
    let took = cost.took();
    let sums = sums(cluster, &statuses, Sums::default());
    measured(report, options, &sums, took);
    let (node, router) = cost.cpu_ns_per_op(cluster, options, sums.ops);
    (report.cpu_ns_per_op, report.cpu_ns_per_op_router) = (Some(node), Some(router));
    let inserts = u64::from(count) * u64::from(options.engines());
    report.tokens = inserts * u64::from(tokens);
    let pages = inserts * u64::from(tokens / u32::from(options.page_size()));
    if report.inserts != pages {
        report.failures.push(format!(
            "{pages} pages were published, the nodes count {}",
            report.inserts
        ));
    }
    Ok(())
}

/// Waits until all nodes agree and says how long that took since the last publish.
async fn converge(
    cluster: &mut Cluster,
    since: Instant,
    report: &mut Report,
) -> anyhow::Result<Vec<StatusResponse>> {
    let converged = cluster.wait_converged(CONVERGE_MAX).await;
    report.converge_ms = since.elapsed().as_secs_f64() * 1e3;
    report.converged = converged.is_ok();
    match converged {
        Ok(statuses) => Ok(statuses),
        Err(error) => {
            report
                .failures
                .push(format!("the nodes did not agree: {error}"));
            statuses(cluster).await
        }
    }
}

async fn statuses(cluster: &Cluster) -> anyhow::Result<Vec<StatusResponse>> {
    let mut statuses = Vec::new();
    for rank in cluster.running() {
        let status = cluster.client(rank).status().await;
        statuses.push(status.with_context(|| format!("rank {rank} does not answer"))?);
    }
    Ok(statuses)
}

fn sums(cluster: &Cluster, statuses: &[StatusResponse], lives: Sums) -> Sums {
    let mut sums = lives;
    for status in statuses {
        sums.add(status, cluster.pid(status.rank));
    }
    sums
}

fn measured(report: &mut Report, options: &Options, sums: &Sums, took: Duration) {
    let others = u64::from(options.nodes()) - 1;
    let new_tokens = sums.inserts * u64::from(options.page_size());
    report.inserts = sums.inserts;
    report.removes = sums.removes;
    report.wire_bytes_per_token = sums.data_bytes as f64 / (new_tokens * others).max(1) as f64;
    report.ops = sums.ops;
    report.ops_per_second = sums.ops as f64 / took.as_secs_f64();
    report.publishes_blocked_ms_max = sums.publish_wait_ns_max as f64 / 1e6;
    report.memory_bytes_max = sums.memory_bytes_max;
    report.data_bytes = sums.data_bytes;
    report.snapshot_bytes = sums.snapshot_bytes;
    report.control_bytes = sums.control_bytes;
    report.sends_dropped = sums.sends_dropped;
    if sums.record_errors > 0 {
        report.failures.push(format!(
            "{} batches are missing in the records",
            sums.record_errors
        ));
    }
}

fn report_recovery(report: &mut Report, kills: Kills) -> Phases {
    let mut took = kills.recover_ms;
    took.sort_unstable_by(f64::total_cmp);
    if let (Some(p50), Some(&max)) = (nearest(&took, 50), took.last()) {
        report.recover_ms = Some(Recover { p50, max });
    }
    kills.phases
}

fn report_faults(report: &mut Report, outcome: Outcome) -> Phases {
    report.converge_ms = outcome.healed.as_secs_f64() * 1e3;
    report.faults_unhealed = outcome.sick.len();
    report.failures.extend(outcome.sick);
    report.memory_mb = Some(outcome.memory);
    let came = outcome.membership;
    report.membership = (came != Membership::default()).then_some(came);
    let healed = outcome.faults.iter().filter_map(|fault| fault.heal_ms);
    report.heal_ms = Distribution::of(&mut healed.collect::<Vec<_>>());
    report.faults = outcome.faults;
    outcome.phases
}

/// Says what the run is held against; everything else is in the report already. With `strict` a missed target is a failure.
fn hold(report: &mut Report, strict: bool) {
    let rate = report.false_hit_rate.clone().unwrap_or_default();
    let asked = report.hit_rate.is_some();
    let digests: BTreeSet<&String> = report.digests.values().collect();
    let others = digests.len().saturating_sub(1) as f64;
    let unhealed = report.faults_unhealed as f64;
    let growing = report
        .memory_mb
        .as_ref()
        .map(|memory| memory.growing as f64);
    report.targets = vec![
        Target::at_most("share of false hits without faults", 0.001, rate.before),
        Target::at_most(
            "share of false hits in the 5 s of a crash",
            0.02,
            rate.during,
        ),
        Target::at_most("share of false hits later", 0.001, rate.after),
        Target::at_most(
            "longest wait of a publish in ms",
            10.0,
            Some(report.publishes_blocked_ms_max),
        ),
        Target::at_most("digests beside the first in the end", 0.0, Some(others)),
        Target::at_most(
            "lookups against the fold",
            0.0,
            asked.then_some(report.lookups_wrong as f64),
        ),
        Target::at_most(
            "faults that did not heal",
            0.0,
            (!report.faults.is_empty()).then_some(unhealed),
        ),
        Target::at_most(
            "nodes that grew by more than a tenth and 4 MB",
            0.0,
            growing,
        ),
    ];
    if strict {
        let missed = report.targets.iter().filter(|target| target.is_missed());
        let missed: Vec<String> = missed.map(ToString::to_string).collect();
        report.failures.extend(missed);
    }
}

fn report_totals(report: &mut Report, totals: Totals, total: u64) {
    let mut route_us = totals.route_us;
    report.requests = totals.served;
    report.requests_lost = totals.lost;
    report.tokens = totals.tokens;
    let had_less = |promise: &&Promise| promise.found.is_some_and(|found| found < promise.promised);
    report.false_hits = totals.promises.iter().filter(had_less).count() as u64;
    report.lookups = totals.lookups;
    report.fallbacks = totals.fallbacks;
    report.retries = totals.retries;
    report.route_us = Spread::of(&mut route_us);
    report.failures.extend(totals.complaints);
    if totals.served + totals.lost != total {
        let sent = totals.served + totals.lost;
        report
            .failures
            .push(format!("{sent} requests were sent, not {total}"));
    }
}

fn report_tally(report: &mut Report, tally: Tally) {
    report.lookups_checked = tally.checked;
    report.lookups_wrong = tally.wrong;
    report.lookups_beyond_record = tally.beyond_record;
    report.failures.extend(tally.complaints);
    if tally.checked != report.lookups {
        report.failures.push(format!(
            "{} of {} lookups were checked",
            tally.checked, report.lookups
        ));
    }
}

/// The last look at the nodes: do they agree, also with the records?
async fn finish(
    cluster: &mut Cluster,
    options: &Options,
    report: &mut Report,
) -> anyhow::Result<()> {
    let statuses = match report.converged {
        true => cluster.wait_converged(CONVERGE_MAX).await?,
        false => statuses(cluster).await?,
    };
    report.digests = statuses
        .iter()
        .map(|status| (status.rank, format!("{:016x}", digest(status))))
        .collect();
    if options.keep.is_some() {
        for status in &statuses {
            let file = cluster.dir().join(format!("status-{}.json", status.rank));
            std::fs::write(file, serde_json::to_string_pretty(status)?)?;
        }
    }
    if report.converged && options.burst.is_none() {
        report.failures.extend(audit(feeds(cluster), &statuses));
    }
    Ok(())
}
