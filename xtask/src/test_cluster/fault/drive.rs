//! Carries a schedule out on a running cluster, looks at its memory meanwhile, and waits until it has healed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context;
use radixmesh::admin::api::StatusResponse;
use radixmeshd::cluster::Cluster;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::super::process;
use super::super::report::FaultReport;
use super::super::sums::Sums;
use super::super::torn;
use super::super::traffic::Gate;
use super::heal::{HEAL_MAX, Healing, Patient};
use super::kind::Kind;
use super::links::Links;
use super::memory::{Memory, Moment};
use super::phases::{Halt, Phases};
use super::schedule::{Fault, How, Schedule};

/// Pause between two looks at the memory of the nodes.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What carrying out needs.
pub(crate) struct Drive<'a> {
    /// The nodes.
    pub(crate) cluster: &'a mut Cluster,
    /// Their links.
    pub(crate) links: &'a Links,
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
    /// From the end of the last fault until the nodes had healed.
    pub(crate) healed: Duration,
    /// What nodes lacked that did not heal in time.
    pub(crate) sick: Vec<String>,
    /// Resident memory of the nodes.
    pub(crate) memory: Memory,
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
    Middle,
}

struct Run<'a> {
    drive: Drive<'a>,
    began: Instant,
    active: BTreeSet<usize>,
    /// Ranks that suffer something at the moment.
    suffering: watch::Sender<BTreeSet<u16>>,
    healing: JoinSet<(usize, Healing)>,
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
                lives: Sums::default(),
                stopped: BTreeSet::new(),
            },
        };
        for (at, step) in steps(schedule) {
            run.wait_until(began + at).await?;
            run.step(step).await?;
        }
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
            Step::Strike(rank) => {
                self.kill(rank).await?;
                self.restart(rank).await
            }
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
        let nodes = active.flat_map(|&number| self.fault(number).nodes.iter().copied());
        self.suffering.send_replace(nodes.collect());
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
        self.tell_suffering();
        let report = &mut self.outcome.faults[number];
        report.end_s = self.began.elapsed().as_secs_f64();
        let (start, end) = (report.start_s, report.end_s);
        if !matches!(fault.kind, Kind::Kill | Kind::Churn) {
            let at = |seconds| self.began + Duration::from_secs_f64(seconds);
            self.outcome.phases.others.push((at(start), at(end)));
        }
        eprintln!("{end:7.2} s: {} of {:?} ends", fault.kind, fault.nodes);
        let cluster = &self.drive.cluster;
        let patient = Patient {
            nodes: (0..cluster.len())
                .map(|rank| cluster.client(rank).clone())
                .collect(),
            target: fault.nodes,
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
            to: now + HEAL_MAX,
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
