//! Sends the requests: router, prefill node, decode node. Tells the checker of every lookup, and goes on while nodes
//! are killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use radixmesh::admin::api::{EngineResponse, RouteResponse};
use radixmeshd::client::{Client, ClientError};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::checker::Event;
use super::lookup::Lookup;
use super::options::{Options, Speed};
use super::requests::{Request, Requests};
use super::roster::Roster;

/// How long a request is tried before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause before a step is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(20);
/// How often the router's choice is tried before any other node of the role is.
const CHOICES_MAX: usize = 3;
/// Reasons of lost requests that are kept as text.
const COMPLAINTS_MAX: usize = 5;

/// What the traffic may do at the moment. Nodes are killed in the middle of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gate {
    /// Requests from this number on have to wait.
    pub(crate) below: u64,
    /// Shortest time between two requests.
    pub(crate) interval: Duration,
    /// No more requests are sent.
    pub(crate) over: bool,
}

impl Gate {
    /// No restriction.
    pub(crate) const OPEN: Gate = Gate {
        below: u64::MAX,
        interval: Duration::ZERO,
        over: false,
    };
}

/// Everything that a request needs on its way.
pub(crate) struct Traffic {
    nodes: Roster,
    prefill: u16,
    engines: u16,
    routers: std::ops::Range<u16>,
    in_flight: usize,
    speed: Speed,
    /// How long one step is waited for; absent: as long as the client waits.
    step_max: Option<Duration>,
    events: std::sync::mpsc::Sender<Event>,
    next_lookup: AtomicU64,
    /// How many requests are done.
    pub(crate) done: watch::Sender<u64>,
}

/// What a router said of an engine, and what that one had.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    /// When the engine was asked.
    pub(crate) at: Instant,
    /// Its node.
    pub(crate) rank: u16,
    /// Leading pages that the router promised.
    pub(crate) promised: u32,
    /// Those that the engine had; absent when it did not answer.
    pub(crate) found: Option<u32>,
}

/// One request to an engine, answered or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Its node.
    pub(crate) rank: u16,
    /// When it was asked.
    pub(crate) asked: Instant,
    /// How long it was waited for.
    pub(crate) took: Duration,
}

/// Sums over the requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    /// Requests that were sent.
    pub(crate) sent: u64,
    /// Requests that were served.
    pub(crate) served: u64,
    /// Those that were not.
    pub(crate) lost: u64,
    /// Why the first of them were not.
    pub(crate) complaints: Vec<String>,
    /// Tokens of all prompts.
    pub(crate) tokens: u64,
    /// Whole pages of all prompts.
    pub(crate) pages: u64,
    /// Pages that the chosen prefill engine had.
    pub(crate) hit_pages: u64,
    /// One for each request that went where a router sent it.
    pub(crate) promises: Vec<Promise>,
    /// Everything that was asked of engines.
    pub(crate) runs: Vec<Run>,
    /// Answers of routers.
    pub(crate) lookups: u64,
    /// Steps that another node had to do because the chosen one was gone.
    pub(crate) fallbacks: u64,
    /// Steps that were tried again.
    pub(crate) retries: u64,
    /// When the last engine answered.
    pub(crate) last_publish: Option<Instant>,
    /// Time from asking a router to its answer, over HTTP. Unit: microseconds.
    pub(crate) route_us: Vec<f64>,
}

/// What became of one request.
#[derive(Debug, Default)]
struct Trip {
    promises: Vec<Promise>,
    runs: Vec<Run>,
    run: Option<EngineResponse>,
    lookups: u64,
    fallbacks: u64,
    retries: u64,
    route_us: Vec<f64>,
    last_publish: Option<Instant>,
    lost: Option<String>,
}

impl Traffic {
    /// Returns the traffic of a cluster of these nodes.
    pub(crate) fn new(
        options: &Options,
        nodes: Roster,
        events: std::sync::mpsc::Sender<Event>,
    ) -> Self {
        Traffic {
            nodes,
            prefill: options.prefill(),
            engines: options.engines(),
            routers: options.routers(),
            in_flight: usize::from(options.in_flight()),
            speed: options.speed(),
            step_max: options.step_max(),
            events,
            next_lookup: AtomicU64::new(0),
            done: watch::Sender::new(0),
        }
    }

    /// Sends all requests, in order, until the gate says that it is over; waits for the last answer.
    pub(crate) async fn drive(
        self: Arc<Self>,
        requests: &mut Requests,
        mut gate: watch::Receiver<Gate>,
    ) -> Totals {
        let began = Instant::now();
        let mut totals = Totals::default();
        let mut active: Vec<Request> = Vec::new();
        let mut trips: JoinSet<(Request, Trip)> = JoinSet::new();
        while let Some(request) = requests.ready.recv().await {
            if let Speed::Times(times) = self.speed {
                let at = Duration::from_millis(request.at_ms).div_f64(times);
                tokio::time::sleep(at.saturating_sub(began.elapsed())).await;
            }
            // The other side goes when no more kills are to come.
            let opened = gate.wait_for(|gate| gate.over || request.number < gate.below);
            if let Ok(gate) = opened.await.map(|gate| *gate) {
                if gate.over {
                    break;
                }
                tokio::time::sleep(gate.interval).await;
            }
            while active.len() >= self.in_flight
                || active.iter().any(|other| request.continues(other))
            {
                let Some(trip) = trips.join_next().await else {
                    break;
                };
                finish(trip, &mut active, &mut totals);
            }
            totals.sent += 1;
            active.push(request.clone());
            let traffic = Arc::clone(&self);
            trips.spawn(async move {
                let trip = traffic.serve(&request).await;
                traffic.done.send_modify(|done| *done += 1);
                (request, trip)
            });
        }
        while let Some(trip) = trips.join_next().await {
            finish(trip, &mut active, &mut totals);
        }
        // Whoever prepares more requests stops.
        requests.ready.close();
        // Whoever waits for more requests than there were waits no longer.
        self.done.send_replace(u64::MAX);
        totals
    }

    async fn serve(&self, request: &Request) -> Trip {
        let mut trip = Trip::default();
        let deadline = Instant::now() + PATIENCE;
        for attempt in 0.. {
            if attempt > 0 {
                if Instant::now() > deadline {
                    trip.lost.get_or_insert_with(|| {
                        "no router named a prefill and a decode node".to_owned()
                    });
                    return trip;
                }
                trip.retries += 1;
                tokio::time::sleep(RETRY_AFTER).await;
            }
            let route = match self.lookup(request, attempt, &mut trip).await {
                Ok(route) => route,
                Err(error) => {
                    trip.lost = Some(format!("route: {error}"));
                    continue;
                }
            };
            // A router that has just started may not know its members yet.
            let (Some(prefill), Some(decode)) = (&route.prefill, &route.decode) else {
                continue;
            };
            let rank = match attempt {
                ..CHOICES_MAX => prefill.rank,
                _ => u16::try_from(attempt).unwrap_or(0) % self.prefill,
            };
            trip.fallbacks += u64::from(rank != prefill.rank);
            let at = Instant::now();
            let run = self.run(rank, request.body.to_string(), &mut trip).await;
            if rank == prefill.rank {
                trip.promises.push(Promise {
                    at,
                    rank,
                    promised: prefill.matched_pages,
                    found: run.as_ref().ok().map(|run| run.hit_pages),
                });
            }
            match run {
                Ok(run) => {
                    trip.run = Some(run);
                    trip.last_publish = Some(Instant::now());
                    trip.lost = None;
                    self.decode(request, decode.rank, deadline, &mut trip).await;
                    return trip;
                }
                Err(error) => trip.lost = Some(format!("prefill at rank {rank}: {error}")),
            }
        }
        trip
    }

    /// Hands the KV to the chosen decode node, or to the next one that answers.
    async fn decode(&self, request: &Request, chosen: u16, deadline: Instant, trip: &mut Trip) {
        let decodes = self.engines - self.prefill;
        let first = chosen.saturating_sub(self.prefill);
        for step in 0.. {
            let rank = match step {
                0 => chosen,
                _ => self.prefill + (first + step % decodes) % decodes,
            };
            match self.run(rank, request.transferred_body(), trip).await {
                Ok(_) => {
                    trip.fallbacks += u64::from(rank != chosen);
                    trip.last_publish = Some(Instant::now());
                    return;
                }
                Err(error) if Instant::now() > deadline => {
                    trip.lost = Some(format!("decode at rank {rank}: {error}"));
                    return;
                }
                Err(_) => {
                    trip.retries += 1;
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    /// Lets an engine run a prompt.
    async fn run(
        &self,
        rank: u16,
        body: String,
        trip: &mut Trip,
    ) -> Result<EngineResponse, ClientError> {
        let asked = Instant::now();
        let answer = self.post(rank, "/engine/run", body).await;
        let took = asked.elapsed();
        trip.runs.push(Run { rank, asked, took });
        answer
    }

    /// Asks a router and hands its answer to the checker.
    async fn lookup(
        &self,
        request: &Request,
        attempt: usize,
        trip: &mut Trip,
    ) -> Result<RouteResponse, ClientError> {
        let turn = usize::try_from(request.number)
            .unwrap_or(0)
            .wrapping_add(attempt)
            % self.routers.len();
        let router = self.routers.start + u16::try_from(turn).unwrap_or(0);
        // All requests run on one thread: numbers come to the checker in their order.
        let number = self.next_lookup.fetch_add(1, Ordering::Relaxed);
        self.tell(Event::Asked { router, number });
        let asked = Instant::now();
        let answer = self
            .post::<RouteResponse>(router, "/route", request.body.to_string())
            .await;
        match &answer {
            Ok(route) => {
                trip.route_us.push(asked.elapsed().as_secs_f64() * 1e6);
                trip.lookups += 1;
                let path = Arc::clone(&request.path);
                self.tell(Event::Answered(Lookup {
                    router,
                    number,
                    path,
                    answer: route.into(),
                }));
            }
            Err(_) => self.tell(Event::Failed { router, number }),
        }
        answer
    }

    fn tell(&self, event: Event) {
        self.events
            .send(event)
            .expect("the checker outlives the traffic");
    }

    async fn post<T: DeserializeOwned>(
        &self,
        rank: u16,
        path: &str,
        body: String,
    ) -> Result<T, ClientError> {
        let Some(client) = self.nodes.get(rank) else {
            return Err(ClientError::Unreachable {
                url: path.to_owned(),
                why: format!("rank {rank} is gone for good"),
            });
        };
        let Some(limit) = self.step_max else {
            return post(&client, path, body).await;
        };
        let answer = tokio::time::timeout(limit, post(&client, path, body)).await;
        answer.unwrap_or_else(|_| {
            Err(ClientError::Unreachable {
                url: format!("{}{path}", client.base()),
                why: format!("no answer in {limit:?}"),
            })
        })
    }
}

/// Posts a body that is JSON already.
///
/// Errors: [`ClientError`].
pub(crate) async fn post<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    body: String,
) -> Result<T, ClientError> {
    let (status, text) = client.raw(path, "application/json", body).await?;
    let url = format!("{}{path}", client.base());
    if status != 200 {
        return Err(ClientError::Refused {
            url,
            status,
            error: text,
        });
    }
    serde_json::from_str(&text).map_err(|error| ClientError::BadAnswer {
        url,
        why: error.to_string(),
    })
}

fn finish(
    trip: Result<(Request, Trip), tokio::task::JoinError>,
    active: &mut Vec<Request>,
    totals: &mut Totals,
) {
    let (request, trip) = trip.expect("a request does not panic and is not cancelled");
    active.retain(|other| other.number != request.number);
    totals.lookups += trip.lookups;
    totals.fallbacks += trip.fallbacks;
    totals.retries += trip.retries;
    totals.route_us.extend(trip.route_us);
    totals.last_publish = totals.last_publish.max(trip.last_publish);
    totals.tokens += u64::from(request.tokens);
    if let Some(run) = trip.run {
        totals.pages += u64::from(run.pages);
        totals.hit_pages += u64::from(run.hit_pages);
    }
    totals.promises.extend(trip.promises);
    totals.runs.extend(trip.runs);
    match trip.lost {
        None => totals.served += 1,
        Some(reason) => {
            totals.lost += 1;
            if totals.complaints.len() < COMPLAINTS_MAX {
                totals
                    .complaints
                    .push(format!("request {} was lost: {reason}", request.number));
            }
        }
    }
}
