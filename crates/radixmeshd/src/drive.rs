//! Drives requests through a cluster the way a gateway would: ask the router, prefill where it says, hand the KV to
//! the decode node. Counts what was hit. Engines are simulated ones, behind `POST /engine/run`; nothing is measured
//! here but their answers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use radixmesh::admin::api::{EngineRequest, EngineResponse, PrefixRequest, RouteChoice};
use serde::Serialize;
use thiserror::Error;
use tokio::task::JoinSet;

use crate::client::{Client, ClientError};
use crate::cluster::Cluster;

/// One request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Job {
    /// Requests of one conversation go one after the other; those without one never wait.
    pub conversation: Option<u32>,
    /// Which turn of it, counted from 0.
    pub turn: u32,
    /// The prompt.
    pub tokens: Vec<u32>,
}

/// What one node did for a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The node and why it was chosen.
    pub choice: RouteChoice,
    /// What its engine found and stored.
    pub run: EngineResponse,
}

/// A request that was served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Served {
    /// Whole pages of the prompt.
    pub pages: u32,
    /// Computing the prompt.
    pub prefill: Step,
    /// Taking the KV over; absent in a cluster without decode nodes.
    pub decode: Option<Step>,
    /// From asking the router to the decode node's answer.
    #[serde(skip)]
    pub took: Duration,
}

/// Why a request was not served.
///
/// State: what the steps before did stays done; the request may be driven again.
#[derive(Debug, Error)]
pub enum DriveError {
    /// The router knows no prefill node that may be routed to.
    ///
    /// State: nothing was done.
    #[error("the router names no prefill node")]
    NoPrefill,
    /// The router named a node without an engine known here.
    ///
    /// State: the steps before stay done.
    #[error("the router names rank {rank}, which has no engine here")]
    Unknown {
        /// As named.
        rank: u16,
    },
    /// A node did not answer as it should.
    ///
    /// State: the steps before stay done.
    #[error("{step}: {error}")]
    Step {
        /// `route`, `prefill` or `decode`.
        step: &'static str,
        /// What happened.
        #[source]
        error: ClientError,
    },
}

/// Sums over requests. Only served ones count, but for `failed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Requests that were served.
    pub served: u64,
    /// Requests that were not.
    pub failed: u64,
    /// Whole pages of all prompts.
    pub pages: u64,
    /// Pages that the chosen prefill engine had.
    pub hit_pages: u64,
    /// Pages that the router promised there.
    pub promised_pages: u64,
    /// Pages that the chosen decode engine had.
    pub decode_hit_pages: u64,
    /// Pages that prefill and decode engines stored anew.
    pub stored_pages: u64,
    /// Pages that had to go for them.
    pub evicted_pages: u64,
}

impl Totals {
    /// Adds one request.
    pub fn add(&mut self, served: &Served) {
        self.served += 1;
        self.pages += u64::from(served.pages);
        self.hit_pages += u64::from(served.prefill.run.hit_pages);
        self.promised_pages += u64::from(served.prefill.choice.matched_pages);
        for step in std::iter::once(&served.prefill).chain(&served.decode) {
            self.stored_pages += u64::from(step.run.stored_pages);
            self.evicted_pages += u64::from(step.run.evicted_pages);
        }
        if let Some(decode) = &served.decode {
            self.decode_hit_pages += u64::from(decode.run.hit_pages);
        }
    }

    /// Returns the share of prompt pages that prefill engines had: 0 to 1, and 0 before the first page.
    #[must_use]
    pub fn hit_rate(&self) -> f64 {
        rate(self.hit_pages, self.pages)
    }

    /// Returns the same for decode engines.
    #[must_use]
    pub fn decode_hit_rate(&self) -> f64 {
        rate(self.decode_hit_pages, self.pages)
    }
}

fn rate(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// Knows a router and the engines. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Driver {
    router: Client,
    engines: BTreeMap<u16, Client>,
}

impl Driver {
    /// Returns a driver that asks `router` and uses `engines` by rank.
    #[must_use]
    pub fn new(router: Client, engines: BTreeMap<u16, Client>) -> Driver {
        Driver { router, engines }
    }

    /// Returns a driver that asks node `router` of a local cluster. Any node routes, not only one of that role.
    #[must_use]
    pub fn of(cluster: &Cluster, router: u16) -> Driver {
        let engines = (0..cluster.len()).map(|rank| (rank, cluster.client(rank).clone()));
        Driver::new(cluster.client(router).clone(), engines.collect())
    }

    /// Serves one request: `/route`, then `/engine/run` at the prefill node, then at the decode node.
    ///
    /// Errors: [`DriveError`].
    pub async fn serve(&self, tokens: &[u32]) -> Result<Served, DriveError> {
        let began = Instant::now();
        let request = PrefixRequest {
            tokens: tokens.to_vec(),
            namespace: String::new(),
        };
        let route = self.router.route(&request).await;
        let route = route.map_err(|error| DriveError::Step {
            step: "route",
            error,
        })?;
        let prefill = self
            .step(
                "prefill",
                route.prefill.ok_or(DriveError::NoPrefill)?,
                tokens,
            )
            .await?;
        let decode = match route.decode {
            Some(choice) => Some(self.step("decode", choice, tokens).await?),
            None => None,
        };
        Ok(Served {
            pages: route.pages,
            prefill,
            decode,
            took: began.elapsed(),
        })
    }

    async fn step(
        &self,
        step: &'static str,
        choice: RouteChoice,
        tokens: &[u32],
    ) -> Result<Step, DriveError> {
        let engine = self
            .engines
            .get(&choice.rank)
            .ok_or(DriveError::Unknown { rank: choice.rank })?;
        let request = EngineRequest {
            tokens: tokens.to_vec(),
            namespace: String::new(),
            transferred: step == "decode",
        };
        let run = engine
            .engine_run(&request)
            .await
            .map_err(|error| DriveError::Step { step, error })?;
        Ok(Step { choice, run })
    }
}

/// Serves `jobs`, beginning in their order, with up to `in_flight` of them at one time; a job waits for the turn
/// before it. `each` sees every outcome as it comes.
///
/// Failures are counted, not repeated.
pub async fn replay(
    driver: &Driver,
    jobs: impl IntoIterator<Item = Job>,
    in_flight: usize,
    mut each: impl FnMut(&Job, &Result<Served, DriveError>),
) -> Totals {
    let mut totals = Totals::default();
    let mut busy: BTreeSet<u32> = BTreeSet::new();
    let mut running: JoinSet<(Job, Result<Served, DriveError>)> = JoinSet::new();
    let mut done = |(job, outcome): (Job, Result<Served, DriveError>), busy: &mut BTreeSet<u32>| {
        if let Some(conversation) = job.conversation {
            busy.remove(&conversation);
        }
        match &outcome {
            Ok(served) => totals.add(served),
            Err(_) => totals.failed += 1,
        }
        each(&job, &outcome);
    };
    for job in jobs {
        let waits = |busy: &BTreeSet<u32>, running: usize| {
            running >= in_flight.max(1) || job.conversation.is_some_and(|one| busy.contains(&one))
        };
        while waits(&busy, running.len()) {
            let Some(outcome) = running.join_next().await else {
                break;
            };
            done(
                outcome.expect("a request does not panic and is not cancelled"),
                &mut busy,
            );
        }
        busy.extend(job.conversation);
        let driver = driver.clone();
        running.spawn(async move {
            let outcome = driver.serve(&job.tokens).await;
            (job, outcome)
        });
    }
    while let Some(outcome) = running.join_next().await {
        done(
            outcome.expect("a request does not panic and is not cancelled"),
            &mut busy,
        );
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(rank: u16, promised: u32, hit: u32, stored: u32) -> Step {
        let choice = RouteChoice {
            rank,
            address: String::new(),
            matched_pages: promised,
            reason: "prefix".to_owned(),
        };
        let run = EngineResponse {
            pages: 10,
            hit_pages: hit,
            stored_pages: stored,
            evicted_pages: 1,
            prefill_us: 0,
        };
        Step { choice, run }
    }

    #[test]
    fn rates_are_of_the_pages_of_all_prompts() {
        let mut totals = Totals::default();
        assert_eq!((totals.hit_rate(), totals.decode_hit_rate()), (0.0, 0.0));
        let took = Duration::ZERO;
        let prefill = step(0, 6, 5, 5);
        totals.add(&Served {
            pages: 10,
            prefill: prefill.clone(),
            decode: Some(step(3, 2, 2, 8)),
            took,
        });
        totals.add(&Served {
            pages: 10,
            prefill,
            decode: None,
            took,
        });
        assert_eq!((totals.hit_rate(), totals.decode_hit_rate()), (0.5, 0.1));
        assert_eq!(
            (
                totals.promised_pages,
                totals.stored_pages,
                totals.evicted_pages
            ),
            (12, 18, 3)
        );
    }

    #[tokio::test]
    async fn a_request_that_nobody_serves_is_counted_as_failed() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let router = Client::new(&listener.local_addr().unwrap().to_string()).unwrap();
        drop(listener);
        let driver = Driver::new(router, BTreeMap::new());
        let mut seen = Vec::new();
        let jobs = (0..3).map(|turn| Job {
            conversation: Some(1),
            turn,
            tokens: vec![1],
        });
        let totals = replay(&driver, jobs, 2, |job, outcome| {
            seen.push((job.turn, outcome.is_err()))
        })
        .await;
        assert_eq!((totals.served, totals.failed), (0, 3));
        assert_eq!(seen, [(0, true), (1, true), (2, true)]);
    }
}
