//! A cluster under attack: publishes go on, one node is the victim, and what an attack changed there is found out.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use radixmeshd::client::Client;
use radixmeshd::cluster::{Cluster, ClusterSpec};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::super::options::Options;
use super::super::process;
use super::super::publishing::Publishing;
use super::report::{Attack, HostileReport};

/// The member in whose place attackers are: its process does not run. It dials all others.
pub(super) const ME: u16 = 0;
/// Who is attacked.
pub(super) const VICTIM: u16 = 1;
/// Tokens of each publish meanwhile.
const PUBLISH_TOKENS: u32 = 16;
/// Pause between two looks at the victim's memory.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Pause between two looks at counters that are awaited.
const POLL: Duration = Duration::from_millis(20);
/// How long the victim may take to count everything: handshakes end after 5 s.
const COUNTED_MAX: Duration = Duration::from_secs(20);
/// How long the mesh may take to be whole afterwards.
const WHOLE_MAX: Duration = Duration::from_secs(60);
/// How long the nodes may take to end.
const STOP_MAX: Duration = Duration::from_secs(10);
/// Counters that tell of a refusal, by the beginnings of their names.
const REFUSALS: [&str; 11] = [
    "frames_bad",
    "log_undecodable",
    "log_refused",
    "log_stale",
    "log_reorder_overflows",
    "log_snapshots_rejected",
    "link_protocol_errors_",
    "link_rejects_sent_",
    "link_tls_errors_",
    "link_handshakes_",
    "link_accepts_failed",
];

/// See the module.
pub(super) struct Ground {
    cluster: Cluster,
    links: &'static str,
    seed: u64,
    attacks: Vec<Attack>,
    failures: Vec<String>,
}

/// An attack that is going on.
pub(super) struct Battle {
    name: String,
    before: BTreeMap<String, u64>,
    began: Instant,
    publishing: Publishing,
    memory_before: f64,
    peak: watch::Receiver<f64>,
    looker: JoinHandle<()>,
}

/// What an attacker did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    /// How often.
    pub(super) tries: u64,
    /// How many of them must be refused and counted.
    pub(super) expected: u64,
    /// How long a rightful peer needed meanwhile.
    pub(super) honest: Option<Duration>,
}

impl Ground {
    /// Starts a cluster and takes away the process of [`ME`].
    ///
    /// Errors: it does not start.
    pub(super) async fn start(
        spec: ClusterSpec,
        options: &Options,
        links: &'static str,
    ) -> anyhow::Result<Ground> {
        let mut cluster = Cluster::start(spec).await?;
        cluster.kill(ME).await;
        Ok(Ground {
            cluster,
            links,
            seed: options.seed,
            attacks: Vec::new(),
            failures: Vec::new(),
        })
    }

    /// Returns where the victim is reached.
    pub(super) fn address(&self) -> String {
        self.cluster.address(VICTIM).to_owned()
    }

    /// Returns how many nodes there are, running or not.
    pub(super) fn nodes(&self) -> u16 {
        self.cluster.len()
    }

    /// Returns what chance is drawn from.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    fn admins(&self) -> Vec<String> {
        let running = self.cluster.running();
        let admin = |rank| self.cluster.client(rank).base().to_owned();
        running.map(admin).collect()
    }

    /// Begins an attack: what the victim counts from now on is its.
    ///
    /// Errors: the victim does not answer.
    pub(super) async fn begin(&mut self, name: &str) -> anyhow::Result<Battle> {
        let before = refusals(self.cluster.client(VICTIM)).await?;
        let pid = self.cluster.pid(VICTIM).unwrap_or(0);
        let resident = move || process::memory_now(pid).unwrap_or(0) as f64 / 1e6;
        let memory_before = resident();
        let (sender, peak) = watch::channel(memory_before);
        let looker = tokio::spawn(async move {
            loop {
                let now = resident();
                sender.send_modify(|peak| *peak = peak.max(now));
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        Ok(Battle {
            name: name.to_owned(),
            before,
            began: Instant::now(),
            publishing: Publishing::start(self.admins(), PUBLISH_TOKENS, self.seed)?,
            memory_before,
            peak,
            looker,
        })
    }

    /// Ends an attack: waits until the victim has counted what it must, and until the mesh is whole.
    ///
    /// Errors: a node does not answer, or ended.
    pub(super) async fn end_of(&mut self, battle: Battle, done: Done) -> anyhow::Result<()> {
        let until = Instant::now();
        let victim = self.cluster.client(VICTIM).clone();
        let (counted, refused_as) = loop {
            let now = refusals(&victim).await?;
            let grown = now.into_iter().map(|(name, value)| {
                let before = battle.before.get(&name).copied().unwrap_or(0);
                (name, value - before)
            });
            let grown: BTreeMap<String, u64> = grown.filter(|&(_, grown)| grown > 0).collect();
            let counted = grown.values().sum();
            if counted >= done.expected || until.elapsed() > COUNTED_MAX {
                break (counted, grown);
            }
            tokio::time::sleep(POLL).await;
        };
        let published = battle.publishing.stop();
        battle.looker.abort();
        let attack = Attack {
            links: self.links,
            name: battle.name,
            tries: done.tries,
            expected: done.expected,
            counted,
            refused_as,
            honest_ms: done.honest.map(|took| took.as_secs_f64() * 1e3),
            memory_mb_before: battle.memory_before,
            memory_mb_peak: *battle.peak.borrow(),
            publish_ms: published.within(battle.began, Instant::now()),
        };
        eprintln!("{attack}");
        let name = attack.name.clone();
        self.attacks.push(attack);
        if let Some(failed) = published.failed {
            let text = format!("{name}: a publish failed: {failed}");
            self.failures.push(text);
        }
        self.cluster.check_alive()?;
        let whole = match self.cluster.wait_ready(WHOLE_MAX).await {
            Ok(()) => self.cluster.wait_converged(WHOLE_MAX).await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = whole {
            let text = format!("{name}: the mesh is not whole afterwards: {error}");
            self.failures.push(text);
        }
        Ok(())
    }

    /// Brings back the missing process, sees whether the whole mesh agrees, and ends it.
    ///
    /// Errors: it does not come back, or a node does not answer.
    pub(super) async fn end(mut self, report: &mut HostileReport) -> anyhow::Result<()> {
        for status in self.cluster.statuses().await? {
            let wait = status.counters.get("publish_wait_ns_max").copied();
            let wait = wait.unwrap_or(0) as f64 / 1e6;
            report.publishes_blocked_ms_max = report.publishes_blocked_ms_max.max(wait);
        }
        self.cluster.restart(ME).await?;
        let whole = match self.cluster.wait_ready(WHOLE_MAX).await {
            Ok(()) => self.cluster.wait_converged(WHOLE_MAX).await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = whole {
            let text = format!("{}: the mesh is not whole in the end: {error}", self.links);
            self.failures.push(text);
        }
        report.attacks.append(&mut self.attacks);
        report.failures.append(&mut self.failures);
        if let Err(error) = self.cluster.stop(STOP_MAX).await {
            let text = format!("a node did not end in good order: {error}");
            report.failures.push(text);
        }
        Ok(())
    }
}

async fn refusals(client: &Client) -> anyhow::Result<BTreeMap<String, u64>> {
    let status = client.status().await?;
    let is_refusal = |name: &str| REFUSALS.iter().any(|refusal| name.starts_with(refusal));
    let counters = status.counters.into_iter();
    Ok(counters.filter(|(name, _)| is_refusal(name)).collect())
}
