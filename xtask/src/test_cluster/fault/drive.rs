//! Carries a schedule out on a running cluster, looks at its memory meanwhile, and waits until it has healed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context;
use radixmesh::admin::api::StatusResponse;
use radixmeshd::client::Client;
use radixmeshd::cluster::Cluster;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::super::checker::Event;
use super::super::daemon::Daemon;
use super::super::process;
use super::super::report::FaultReport;
use super::super::roster::Roster;
use super::super::stats::Distribution;
use super::super::sums::Sums;
use super::super::torn;
use super::super::traffic::Gate;
use super::heal::{HEAL_MAX, Healing, Patient};
use super::joiner_role;
use super::kind::Kind;
use super::links::Links;
use super::membership::Membership;
use super::memory::{Memory, Moment};
use super::phases::{Halt, Phases};
use super::schedule::{Fault, How, Schedule, Strike};

/// Pause between two looks at the memory of the nodes.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Pause between two looks at a node that joins.
const POLL: Duration = Duration::from_millis(10);
/// How long it may take to be ready.
const READY_MAX: Duration = Duration::from_secs(60);
/// How long a process may take to end after its node left.
const GONE_MAX: Duration = Duration::from_secs(10);
/// Later than the end of any run.
const NEVER: Duration = Duration::from_secs(1 << 30);

/// What carrying out needs.
pub(crate) struct Drive<'a> {
    /// The nodes.
    pub(crate) cluster: &'a mut Cluster,
    /// Their links.
    pub(crate) links: &'a Links,
    /// Where requests find them.
    pub(crate) roster: &'a Roster,
    /// The operator's hand.
    pub(crate) daemon: &'a Daemon,
    /// What happens.
    pub(crate) schedule: &'a Schedule,
    /// Tells the checker which logs may be dropped.
    pub(crate) events: &'a std::sync::mpsc::Sender<Event>,
    /// Ends the traffic.
    pub(crate) gate: &'a watch::Sender<Gate>,
}

/// What happened.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The faults, when they really began and ended.
    pub(crate) faults: Vec<FaultReport>,
    /// The same for the requests.
    pub(crate) phases: Phases,
    /// From the end of the last fault until the nodes had healed.
    pub(crate) healed: Duration,
    /// What nodes lacked that did not heal in time.
    pub(crate) sick: Vec<String>,
    /// Resident memory of the nodes.
    pub(crate) memory: Memory,
    /// Who came and went.
    pub(crate) membership: Membership,
    /// What dead lives had counted.
    pub(crate) lives: Sums,
    /// Ranks whose process was stopped in this life: their longest wait of a publish says nothing.
    pub(crate) stopped: BTreeSet<u16>,
}

/// A moment of the schedule.
#[derive(Clone, Copy, Debug)]
enum Step {
    Begin(usize),
    Strike(Strike),
    End(usize),
    Middle,
}

struct Run<'a> {
    drive: Drive<'a>,
    began: Instant,
    active: BTreeSet<usize>,
    /// Ranks that suffer something at the moment.
    suffering: watch::Sender<BTreeSet<u16>>,
    healing: JoinSet<(usize, Healing)>,
    /// Ranks that the churn at hand struck.
    struck: BTreeSet<u16>,
    /// Nodes that are on their way to be ready.
    joining: JoinSet<Result<Option<Duration>, String>>,
    /// Members that are on their way to be forgotten.
    forgetting: JoinSet<anyhow::Result<()>>,
    last_ended: Option<usize>,
    outcome: Outcome,
}

impl Drive<'_> {
    /// Lets everything happen and ends the traffic.
    ///
    /// Errors: a node ended by itself, did not start again, or a system call failed.
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let began = Instant::now();
        let schedule = self.schedule;
        let mut run = Run {
            drive: self,
            began,
            active: BTreeSet::new(),
            suffering: watch::Sender::new(BTreeSet::new()),
            healing: JoinSet::new(),
            struck: BTreeSet::new(),
            joining: JoinSet::new(),
            forgetting: JoinSet::new(),
            last_ended: None,
            outcome: Outcome {
                faults: schedule.faults.iter().map(planned).collect(),
                phases: Phases {
                    first: began + schedule.length,
                    crashes: Vec::new(),
                    others: Vec::new(),
                    halted: BTreeMap::new(),
                },
                healed: Duration::ZERO,
                sick: Vec::new(),
                memory: Memory::default(),
                membership: Membership::default(),
                lives: Sums::default(),
                stopped: BTreeSet::new(),
            },
        };
        for (at, step) in steps(schedule) {
            run.wait_until(began + at).await?;
            run.step(step).await?;
        }
        run.settled().await;
        run.healed().await;
        run.wait_until(began + schedule.length).await?;
        run.look(Some(Moment::End));
        run.outcome.memory.judge();
        run.drive.gate.send_replace(Gate {
            over: true,
            ..Gate::OPEN
        });
        Ok(run.outcome)
    }
}

impl Drive<'_> {
    /// Returns the rank behind those that the cluster began with.
    fn first_joiner(&self) -> u16 {
        let spec = self.cluster.spec();
        u16::try_from(spec.prefill + spec.decode + spec.router).expect("a rank is 16 bits wide")
    }
}

/// Waits until a node is ready; returns how long that took since then, or `None` when it is gone before.
async fn ready(rank: u16, roster: Roster, since: Instant) -> Result<Option<Duration>, String> {
    let address = |node: &Client| node.base().to_owned();
    let first = roster.get(rank).as_ref().map(address);
    loop {
        let node = roster.get(rank);
        // Another process may have taken the rank meanwhile.
        let Some(node) = node.filter(|node| Some(address(node)) == first) else {
            return Ok(None);
        };
        if node.ready().await.unwrap_or(false) {
            return Ok(Some(since.elapsed()));
        }
        if since.elapsed() > READY_MAX {
            return Err(format!("rank {rank} joined and did not become ready"));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn planned(fault: &Fault) -> FaultReport {
    FaultReport {
        kind: fault.kind,
        target: fault.nodes.clone(),
        start_s: fault.begin.as_secs_f64(),
        end_s: fault.end.as_secs_f64(),
        heal_ms: None,
        how: fault.how(),
    }
}

/// Returns all moments in order; at equal times, in the order of the faults.
fn steps(schedule: &Schedule) -> Vec<(Duration, Step)> {
    let mut steps = vec![(schedule.length / 2, Step::Middle)];
    for (number, fault) in schedule.faults.iter().enumerate() {
        steps.push((fault.begin, Step::Begin(number)));
        if let How::Strikes(strikes) = &fault.how {
            let strikes = strikes.iter();
            steps.extend(strikes.map(|&(at, strike)| (at, Step::Strike(strike))));
        }
        steps.push((fault.end, Step::End(number)));
    }
    steps.sort_by_key(|&(at, _)| at);
    steps
}

impl Run<'_> {
    /// Waits, and looks at the nodes from time to time.
    async fn wait_until(&mut self, until: Instant) -> anyhow::Result<()> {
        loop {
            self.look(None);
            self.drive.cluster.check_alive()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            tokio::time::sleep(left.min(LOOK_EVERY)).await;
        }
    }

    fn look(&mut self, at: Option<Moment>) {
        let cluster = &self.drive.cluster;
        let resident = |rank| Some((rank, process::memory_now(cluster.pid(rank)?)?));
        let nodes = cluster.running().filter_map(resident);
        self.outcome.memory.look(nodes, at);
    }

    async fn step(&mut self, step: Step) -> anyhow::Result<()> {
        match step {
            Step::Begin(number) => self.begin(number).await,
            Step::End(number) => self.end(number).await,
            Step::Strike(strike) => self.strike(strike).await,
            Step::Middle => {
                self.look(Some(Moment::Middle));
                Ok(())
            }
        }
    }

    fn fault(&self, number: usize) -> &Fault {
        &self.drive.schedule.faults[number]
    }

    fn tell_suffering(&self) {
        let active = self.active.iter();
        let nodes = active.flat_map(|&number| self.fault(number).nodes.iter());
        let nodes = nodes.chain(&self.struck).copied();
        self.suffering.send_replace(nodes.collect());
    }

    async fn strike(&mut self, strike: Strike) -> anyhow::Result<()> {
        let (Strike::Restart(rank)
        | Strike::Replace(rank)
        | Strike::Join(rank)
        | Strike::Leave(rank)
        | Strike::Forget(rank)) = strike;
        self.struck.insert(rank);
        self.tell_suffering();
        let seconds = self.began.elapsed().as_secs_f64();
        eprintln!("{seconds:7.2} s: {strike:?}");
        match strike {
            Strike::Restart(rank) => {
                self.kill(rank).await?;
                self.restart(rank).await
            }
            Strike::Replace(rank) => {
                self.kill(rank).await?;
                let began = Instant::now();
                let replaced = self.drive.cluster.replace(rank).await;
                replaced.with_context(|| format!("rank {rank} was not replaced"))?;
                self.runs_again(rank);
                self.outcome.membership.replaced += 1;
                self.has_come(rank, began)
            }
            Strike::Join(rank) => {
                let role = joiner_role(rank - self.drive.first_joiner());
                let began = Instant::now();
                let joined = self.drive.cluster.join(role).await;
                let joined = joined.with_context(|| format!("rank {rank} did not join"))?;
                anyhow::ensure!(joined == rank, "rank {joined} joined instead of {rank}");
                self.outcome.membership.joined += 1;
                self.has_come(rank, began)
            }
            Strike::Leave(rank) => self.leave(rank).await,
            Strike::Forget(rank) => {
                self.may_forget(rank);
                self.kill(rank).await?;
                self.drive.roster.remove(rank);
                self.outcome.membership.forgotten += 1;
                let (daemon, roster) = (self.drive.daemon.clone(), self.drive.roster.clone());
                self.forgetting
                    .spawn(async move { daemon.forget(rank, &roster).await });
                Ok(())
            }
        }
    }

    /// Lets requests and links find a node at a new address, and measures when it is ready.
    fn has_come(&mut self, rank: u16, began: Instant) -> anyhow::Result<()> {
        let cluster = &self.drive.cluster;
        self.drive.links.aim(cluster)?;
        let roster = self.drive.roster.clone();
        roster.set(rank, cluster.client(rank).clone());
        self.joining.spawn(ready(rank, roster, began));
        Ok(())
    }

    async fn leave(&mut self, rank: u16) -> anyhow::Result<()> {
        self.may_forget(rank);
        let cluster = &mut *self.drive.cluster;
        let client = cluster.client(rank).clone();
        let status = client.status().await?;
        self.outcome.lives.add(&status, cluster.pid(rank));
        let left = self.drive.daemon.leave(&client).await;
        left.with_context(|| format!("rank {rank} did not leave"))?;
        let gone = self.drive.cluster.wait_gone(rank, GONE_MAX).await;
        gone.with_context(|| format!("rank {rank} left and did not end"))?;
        self.halts(rank, true);
        self.drive.roster.remove(rank);
        self.outcome.membership.left += 1;
        Ok(())
    }

    fn may_forget(&self, rank: u16) {
        let told = self.drive.events.send(Event::MayForget { rank });
        told.expect("the checker outlives the traffic");
    }

    /// Waits until whoever joined is ready and whoever should be is forgotten.
    async fn settled(&mut self) {
        let mut took = Vec::new();
        while let Some(joined) = self.joining.join_next().await {
            match joined.expect("looking at a node does not panic") {
                Ok(ready) => took.extend(ready.map(|ready| ready.as_secs_f64() * 1e3)),
                Err(lack) => self.outcome.sick.push(lack),
            }
        }
        self.outcome.membership.join_ms = Distribution::of(&mut took);
        while let Some(forgotten) = self.forgetting.join_next().await {
            if let Err(error) = forgotten.expect("asking a node does not panic") {
                self.outcome.sick.push(format!("{error:#}"));
            }
        }
    }

    async fn begin(&mut self, number: usize) -> anyhow::Result<()> {
        let now = Instant::now();
        if now < self.outcome.phases.first {
            self.look(Some(Moment::Begin));
            self.outcome.phases.first = now;
        }
        let seconds = self.began.elapsed().as_secs_f64();
        self.outcome.faults[number].start_s = seconds;
        let fault = self.fault(number).clone();
        let (kind, nodes, how) = (fault.kind, &fault.nodes, fault.how());
        eprintln!("{seconds:7.2} s: {kind} of {nodes:?} begins {how}");
        self.active.insert(number);
        self.tell_suffering();
        match kind {
            Kind::Kill => {
                for &rank in nodes {
                    self.kill(rank).await?;
                }
            }
            Kind::Pause => {
                for &rank in nodes {
                    self.signal(rank, Signal::STOP)?;
                    self.outcome.stopped.insert(rank);
                    self.halts(rank, false);
                }
            }
            Kind::Churn => {}
            Kind::Partition | Kind::OneWay | Kind::Slow | Kind::Flap => self.apply().await?,
        }
        Ok(())
    }

    async fn end(&mut self, number: usize) -> anyhow::Result<()> {
        let fault = self.fault(number).clone();
        self.active.remove(&number);
        match fault.kind {
            Kind::Kill => {
                for &rank in &fault.nodes {
                    self.restart(rank).await?;
                }
            }
            Kind::Pause => {
                for &rank in &fault.nodes {
                    self.signal(rank, Signal::CONT)?;
                    self.runs_again(rank);
                }
            }
            Kind::Churn => {}
            Kind::Partition | Kind::OneWay | Kind::Slow | Kind::Flap => self.apply().await?,
        }
        let mut target: Vec<u16> = fault.nodes.clone();
        if fault.kind == Kind::Churn {
            target.extend(std::mem::take(&mut self.struck));
        }
        self.tell_suffering();
        let report = &mut self.outcome.faults[number];
        report.end_s = self.began.elapsed().as_secs_f64();
        let (start, end) = (report.start_s, report.end_s);
        if !matches!(fault.kind, Kind::Kill | Kind::Churn) {
            let at = |seconds| self.began + Duration::from_secs_f64(seconds);
            self.outcome.phases.others.push((at(start), at(end)));
        }
        eprintln!("{end:7.2} s: {} of {:?} ends", fault.kind, fault.nodes);
        let patient = Patient {
            nodes: self.drive.roster.clone(),
            target,
        };
        let suffering = self.suffering.subscribe();
        self.last_ended = Some(number);
        self.healing
            .spawn(async move { (number, patient.heal(suffering).await) });
        Ok(())
    }

    async fn apply(&self) -> anyhow::Result<()> {
        let active = self.active.iter().map(|&number| self.fault(number));
        self.drive.links.apply(&active.collect::<Vec<_>>()).await
    }

    fn halts(&mut self, rank: u16, dead: bool) {
        let now = Instant::now();
        let halted = self.outcome.phases.halted.entry(rank).or_default();
        halted.push(Halt {
            from: now,
            to: now + NEVER,
            dead,
        });
    }

    fn runs_again(&mut self, rank: u16) {
        let halted = self.outcome.phases.halted.get_mut(&rank);
        if let Some(last) = halted.and_then(|halted| halted.last_mut()) {
            last.to = Instant::now();
        }
    }

    async fn kill(&mut self, rank: u16) -> anyhow::Result<()> {
        let cluster = &mut *self.drive.cluster;
        let mut status = cluster.client(rank).status().await?;
        if self.outcome.stopped.remove(&rank) {
            forget_waits(&mut status);
        }
        self.outcome.lives.add(&status, cluster.pid(rank));
        self.outcome.phases.crashes.push(Instant::now());
        self.halts(rank, true);
        let cluster = &mut *self.drive.cluster;
        cluster.kill(rank).await;
        if torn::trim(&cluster.record(rank))? {
            eprintln!("the kill tore the last record of rank {rank}; it was cut off");
        }
        Ok(())
    }

    async fn restart(&mut self, rank: u16) -> anyhow::Result<()> {
        let restarted = self.drive.cluster.restart(rank).await;
        restarted.with_context(|| format!("rank {rank} did not start again"))?;
        self.runs_again(rank);
        Ok(())
    }

    fn signal(&self, rank: u16, signal: Signal) -> anyhow::Result<()> {
        let pid = self.drive.cluster.pid(rank);
        let pid = pid.and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let pid = pid.with_context(|| format!("rank {rank} does not run"))?;
        kill_process(pid, signal).with_context(|| format!("rank {rank} takes no signal"))
    }

    /// Waits until what came of every fault is known.
    async fn healed(&mut self) {
        while let Some(healed) = self.healing.join_next().await {
            let (number, healing) = healed.expect("looking at nodes does not panic");
            let (kind, nodes) = {
                let fault = self.fault(number);
                (fault.kind, fault.nodes.clone())
            };
            match healing {
                Healing::Healed(took) => {
                    self.outcome.faults[number].heal_ms = Some(took.as_secs_f64() * 1e3);
                    if self.last_ended == Some(number) {
                        eprintln!("healed {took:.1?} after the last fault");
                        self.outcome.healed = took;
                    }
                }
                Healing::Masked => {}
                Healing::Sick(lack) => {
                    let text = format!("{kind} of {nodes:?} did not heal: {lack}");
                    self.outcome.sick.push(text);
                    self.outcome.healed = HEAL_MAX;
                }
            }
            self.look(None);
        }
    }
}

/// Takes the longest wait of a publish out of what a node reports: its process was stopped.
pub(crate) fn forget_waits(status: &mut StatusResponse) {
    status.counters.remove("publish_wait_ns_max");
}
