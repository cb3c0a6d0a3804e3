//! Carries a schedule out on a running cluster, looks at its memory meanwhile, and waits until it has healed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context;
use radixmesh::admin::api::StatusResponse;
use radixmeshd::client::Client;
use radixmeshd::cluster::Cluster;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

use super::super::goal::Goal;
use super::super::process;
use super::super::report::{FaultReport, MemoryMb};
use super::super::sums::Sums;
use super::super::torn;
use super::super::traffic::Gate;
use super::kind::Kind;
use super::phases::Phases;
use super::proxies::Proxies;
use super::schedule::{Fault, How, Schedule};

/// Pause between two looks at the memory of the nodes.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Pause between two looks at nodes that heal.
const POLL: Duration = Duration::from_millis(10);
/// How long they may take.
const HEAL_MAX: Duration = Duration::from_secs(60);

/// What carrying out needs.
pub(crate) struct Drive<'a> {
    /// The nodes.
    pub(crate) cluster: &'a mut Cluster,
    /// Their links.
    pub(crate) proxies: &'a Proxies,
    /// What happens.
    pub(crate) schedule: &'a Schedule,
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
    /// From the end of the last fault until the nodes had healed, or what they lacked.
    pub(crate) healed: Result<Duration, String>,
    /// Resident memory of the largest node.
    pub(crate) memory: MemoryMb,
    /// What dead lives had counted.
    pub(crate) lives: Sums,
    /// Ranks whose process was stopped in this life: their longest wait of a publish says nothing.
    pub(crate) stopped: BTreeSet<u16>,
}

/// A moment of the schedule.
#[derive(Clone, Copy, Debug)]
enum Step {
    Begin(usize),
    Strike(u16),
    End(usize),
}

struct Run<'a> {
    drive: Drive<'a>,
    began: Instant,
    active: BTreeSet<usize>,
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
            outcome: Outcome {
                faults: Vec::new(),
                phases: Phases {
                    faults: (began, began),
                    halted: BTreeMap::new(),
                },
                healed: Ok(Duration::ZERO),
                memory: MemoryMb::default(),
                lives: Sums::default(),
                stopped: BTreeSet::new(),
            },
        };
        run.outcome.faults = schedule.faults.iter().map(planned).collect();
        for (at, step) in steps(schedule) {
            run.wait_until(began + at).await?;
            run.step(step).await?;
        }
        run.outcome.phases.faults.1 = Instant::now();
        run.outcome.healed = run.heal().await;
        run.wait_until(began + schedule.length).await?;
        run.outcome.memory.end = run.look();
        run.drive.gate.send_replace(Gate {
            over: true,
            ..Gate::OPEN
        });
        Ok(run.outcome)
    }
}

fn planned(fault: &Fault) -> FaultReport {
    FaultReport {
        kind: fault.kind,
        nodes: fault.nodes.clone(),
        begin_s: fault.begin.as_secs_f64(),
        end_s: fault.end.as_secs_f64(),
        how: fault.how(),
    }
}

/// Returns all moments in order; at equal times, in the order of the faults.
fn steps(schedule: &Schedule) -> Vec<(Duration, Step)> {
    let mut steps = Vec::new();
    for (number, fault) in schedule.faults.iter().enumerate() {
        steps.push((fault.begin, Step::Begin(number)));
        if let How::Strikes(strikes) = &fault.how {
            steps.extend(strikes.iter().map(|&(at, rank)| (at, Step::Strike(rank))));
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
            self.look();
            self.drive.cluster.check_alive()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            tokio::time::sleep(left.min(LOOK_EVERY)).await;
        }
    }

    /// Returns the resident memory of the largest node. Unit: MB.
    fn look(&mut self) -> f64 {
        let cluster = &self.drive.cluster;
        let pids = cluster.running().filter_map(|rank| cluster.pid(rank));
        let bytes = pids.filter_map(process::memory_now).max().unwrap_or(0);
        let megabytes = bytes as f64 / 1e6;
        self.outcome.memory.max = self.outcome.memory.max.max(megabytes);
        megabytes
    }

    async fn step(&mut self, step: Step) -> anyhow::Result<()> {
        match step {
            Step::Begin(number) => self.begin(number).await,
            Step::End(number) => self.end(number).await,
            Step::Strike(rank) => {
                self.kill(rank).await?;
                self.restart(rank).await
            }
        }
    }

    fn fault(&self, number: usize) -> &Fault {
        &self.drive.schedule.faults[number]
    }

    async fn begin(&mut self, number: usize) -> anyhow::Result<()> {
        if self.outcome.memory.start == 0.0 {
            self.outcome.memory.start = self.look();
            self.outcome.phases.faults.0 = Instant::now();
        }
        let seconds = self.began.elapsed().as_secs_f64();
        self.outcome.faults[number].begin_s = seconds;
        let fault = self.fault(number).clone();
        let (kind, nodes, how) = (fault.kind, &fault.nodes, fault.how());
        eprintln!("{seconds:7.2} s: {kind} of {nodes:?} begins {how}");
        self.active.insert(number);
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
                    self.halts(rank);
                }
            }
            Kind::Churn => {}
            Kind::Partition | Kind::OneWay | Kind::Slow | Kind::Flap => self.apply(),
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
            Kind::Partition | Kind::OneWay | Kind::Slow | Kind::Flap => self.apply(),
        }
        let seconds = self.began.elapsed().as_secs_f64();
        self.outcome.faults[number].end_s = seconds;
        eprintln!("{seconds:7.2} s: {} of {:?} ends", fault.kind, fault.nodes);
        Ok(())
    }

    fn apply(&self) {
        let active = self.active.iter().map(|&number| self.fault(number));
        self.drive.proxies.apply(&active.collect::<Vec<_>>());
    }

    fn halts(&mut self, rank: u16) {
        let now = Instant::now();
        let halted = self.outcome.phases.halted.entry(rank).or_default();
        halted.push((now, now + HEAL_MAX));
    }

    fn runs_again(&mut self, rank: u16) {
        let halted = self.outcome.phases.halted.get_mut(&rank);
        if let Some(last) = halted.and_then(|halted| halted.last_mut()) {
            last.1 = Instant::now();
        }
    }

    async fn kill(&mut self, rank: u16) -> anyhow::Result<()> {
        let cluster = &mut *self.drive.cluster;
        let mut status = cluster.client(rank).status().await?;
        if self.outcome.stopped.remove(&rank) {
            forget_waits(&mut status);
        }
        self.outcome.lives.add(&status, cluster.pid(rank));
        cluster.kill(rank).await;
        if torn::trim(&cluster.record(rank))? {
            eprintln!("the kill tore the last record of rank {rank}; it was cut off");
        }
        self.halts(rank);
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

    /// Waits until everybody sees everybody and has what anybody had when the last fault ended.
    async fn heal(&mut self) -> Result<Duration, String> {
        let since = self.outcome.phases.faults.1;
        let cluster = &self.drive.cluster;
        let ranks = cluster.running();
        let nodes: Vec<Client> = ranks.map(|rank| cluster.client(rank).clone()).collect();
        let goal = Goal::of(&nodes).await.map_err(|error| error.to_string())?;
        loop {
            let lack = lack(&nodes, &goal).await;
            let took = since.elapsed();
            let Some(lack) = lack else {
                eprintln!("healed {took:.1?} after the last fault");
                return Ok(took);
            };
            if took > HEAL_MAX {
                return Err(lack);
            }
            self.look();
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Returns what the first node that has not healed lacks.
async fn lack(nodes: &[Client], goal: &Goal) -> Option<String> {
    for node in nodes {
        let status = match node.status().await {
            Ok(status) => status,
            Err(error) => return Some(error.to_string()),
        };
        let rank = status.rank;
        let mut members = status.members.iter();
        if let Some(member) = members.find(|member| !(member.up && member.ready)) {
            return Some(format!(
                "rank {rank} does not see rank {} as up and ready",
                member.rank
            ));
        }
        if let Some(origin) = goal.missing(&status) {
            return Some(format!("rank {rank} lacks ops of rank {origin}"));
        }
    }
    None
}

/// Takes the longest wait of a publish out of what a node reports: its process was stopped.
pub(crate) fn forget_waits(status: &mut StatusResponse) {
    status.counters.remove("publish_wait_ns_max");
}
