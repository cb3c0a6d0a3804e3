//! A burst: every engine node publishes many distinct inserts as fast as it can. The harness holds one request body
//! of each at a time.

use std::time::{Duration, Instant};

use radixmeshd::client::{Client, ClientError};
use radixmeshd::cluster::Cluster;
use tokio::task::JoinSet;

use super::options::{Burst, Options};
use super::process;
use super::requests::push_list;

/// Items of one publish request at most.
const ITEMS_MAX: u32 = 1_024;
/// Tokens of one publish request at most, but for a single item: some 450 KB of JSON.
const REQUEST_TOKENS_MAX: u32 = 1 << 16;
/// Requests in flight to each node: one is parsed while the other is applied.
const IN_FLIGHT: u32 = 2;
/// Token ids are below this.
const VOCABULARY: u32 = 128_000;

/// What a burst cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// When the first publish left.
    pub(crate) began: Instant,
    /// When the last was answered.
    pub(crate) published: Instant,
    /// Processor time of each node when it began, to be subtracted.
    cpu_ns: u64,
    /// The same of the routers alone, which publish nothing.
    router_cpu_ns: u64,
}

/// Publishes everything.
///
/// Errors: the first publish that was refused or not answered.
pub(crate) async fn publish_all(
    cluster: &Cluster,
    options: &Options,
    burst: Burst,
) -> anyhow::Result<Cost> {
    let (cpu_ns, router_cpu_ns) = cpu_ns(cluster, options);
    let began = Instant::now();
    let mut streams = JoinSet::new();
    for rank in 0..options.engines() {
        for part in 0..IN_FLIGHT {
            let client = cluster.client(rank).clone();
            let seed = options.seed << 32 | u64::from(rank) << 8 | u64::from(part);
            let count = (burst.count + IN_FLIGHT - 1 - part) / IN_FLIGHT;
            streams.spawn(stream(
                client,
                fastrand::Rng::with_seed(seed),
                Burst { count, ..burst },
            ));
        }
    }
    while let Some(done) = streams.join_next().await {
        done.expect("a publisher does not panic and is not cancelled")?;
    }
    Ok(Cost {
        began,
        published: Instant::now(),
        cpu_ns,
        router_cpu_ns,
    })
}

async fn stream(client: Client, mut rng: fastrand::Rng, burst: Burst) -> Result<(), ClientError> {
    let per_request = (REQUEST_TOKENS_MAX / burst.tokens).clamp(1, ITEMS_MAX);
    let mut left = burst.count;
    while left > 0 {
        let items = left.min(per_request);
        left -= items;
        let mut body = String::from("{\"items\":[");
        for number in 0..items {
            if number > 0 {
                body.push(',');
            }
            item(&mut body, &mut rng, burst.tokens);
        }
        body.push_str("]}");
        let (status, error) = client.raw("/publish", "application/json", body).await?;
        if status != 200 {
            return Err(ClientError::Refused {
                url: format!("{}/publish", client.base()),
                status,
                error,
            });
        }
    }
    Ok(())
}

/// Appends a publish item of random tokens: nobody published them before.
pub(crate) fn item(body: &mut String, rng: &mut fastrand::Rng, tokens: u32) {
    let tokens: Vec<u32> = (0..tokens).map(|_| rng.u32(..VOCABULARY)).collect();
    body.push_str("{\"tokens\":");
    push_list(body, &tokens);
    body.push('}');
}

impl Cost {
    /// Returns the processor time since the burst began, per op and node: of all nodes, and of the routers alone.
    /// Unit: nanoseconds.
    pub(crate) fn cpu_ns_per_op(
        &self,
        cluster: &Cluster,
        options: &Options,
        ops: u64,
    ) -> (f64, f64) {
        let (all, routers) = cpu_ns(cluster, options);
        let per_op =
            |used: u64, nodes: u16| used as f64 / ops.max(1) as f64 / f64::from(nodes.max(1));
        (
            per_op(all.saturating_sub(self.cpu_ns), options.nodes()),
            per_op(
                routers.saturating_sub(self.router_cpu_ns),
                u16::try_from(options.routers().len()).unwrap_or(u16::MAX),
            ),
        )
    }

    /// Returns the time until now. The nodes agree now.
    pub(crate) fn took(&self) -> Duration {
        self.began.elapsed()
    }
}

fn cpu_ns(cluster: &Cluster, options: &Options) -> (u64, u64) {
    let of = |rank: u16| cluster.pid(rank).and_then(process::cpu_ns).unwrap_or(0);
    (
        cluster.running().map(of).sum(),
        options.routers().map(of).sum(),
    )
}

#[cfg(test)]
mod tests {
    use radixmesh::admin::api::PublishRequest;

    use super::*;

    #[test]
    fn items_are_the_json_of_the_admin_port_and_differ() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut body = String::from("{\"items\":[");
        item(&mut body, &mut rng, 16);
        body.push(',');
        item(&mut body, &mut rng, 16);
        body.push_str("]}");
        let request: PublishRequest = serde_json::from_str(&body).unwrap();
        assert_eq!(request.items[0].tokens.len(), 16);
        assert_ne!(request.items[0].tokens, request.items[1].tokens);
    }
}
