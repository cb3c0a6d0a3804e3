//! Hosts a *simulated* engine behind a node: what it stores and drops is published like a real
//! engine's. For demos and tests; it computes nothing.

use std::sync::Arc;

use engines::{SimulatedEngine, SimulatedEngineConfig};
use node::Publish;
use radix_core::id::{Namespace, SourceId, Tier};
use radix_core::page::Fingerprint;
use thiserror::Error;
use tokio::sync::Mutex;

use crate::config::SimulatedEngine as Settings;
use crate::mesh::{Mesh, ShutDown};

/// The engine and the lock that keeps its requests in order, as a real scheduler would.
pub struct EngineHost {
    engine: Arc<Mutex<SimulatedEngine>>,
}

/// What one request did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineRun {
    /// Leading pages found in the cache.
    pub hit_pages: u32,
    /// Pages that are cached now and were not before.
    pub stored_pages: u32,
    /// Pages that had to go.
    pub evicted_pages: u32,
    /// Simulated time of the prefill. Unit: nanoseconds.
    pub prefill_ns: u64,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EngineError {
    /// The node is gone.
    ///
    /// State: the engine ran, nothing was published.
    #[error(transparent)]
    ShutDown(#[from] ShutDown),
    /// The node refused what the engine said.
    ///
    /// State: the engine holds the pages, the mesh does not know.
    #[error("the node refused to publish: {0}")]
    Publish(#[from] node::PublishError),
}

const SOURCE: SourceId = SourceId(0);

impl EngineHost {
    pub(crate) fn new(settings: Settings, page_size: u16) -> Self {
        let engine = SimulatedEngine::new(SimulatedEngineConfig {
            source: SOURCE,
            capacity_pages: settings.capacity_pages,
            prefill_ns_per_token: settings.prefill_ns_per_token,
            page_size: usize::from(page_size),
        });
        EngineHost {
            engine: Arc::new(Mutex::new(engine)),
        }
    }

    /// Serves one prompt: looks it up, makes room, stores what is new and publishes both.
    ///
    /// The simulated prefill time is waited for after publishing, outside the lock; `transferred` pages cost none.
    /// A caller that gives up waiting does not stop the request: half of it would leave copies in the mesh that no
    /// eviction can name. Must be called within a tokio runtime.
    ///
    /// Errors: [`EngineError`].
    pub async fn run(
        &self,
        mesh: &Mesh,
        namespace: Namespace,
        pages: Vec<Fingerprint>,
        transferred: bool,
    ) -> Result<EngineRun, EngineError> {
        let (engine, mesh) = (Arc::clone(&self.engine), mesh.clone());
        let request = async move { serve(&engine, &mesh, namespace, pages, transferred).await };
        let run = tokio::spawn(request).await.map_err(|_| ShutDown)??;
        if run.prefill_ns > 0 {
            tokio::time::sleep(std::time::Duration::from_nanos(run.prefill_ns)).await;
        }
        Ok(run)
    }
}

/// What one request does to the engine and to the node's log: whole, or not begun.
async fn serve(
    engine: &Mutex<SimulatedEngine>,
    mesh: &Mesh,
    namespace: Namespace,
    pages: Vec<Fingerprint>,
    transferred: bool,
) -> Result<EngineRun, EngineError> {
    let mut engine = engine.lock().await;
    let mut run = if transferred {
        engine.receive(namespace, &pages)
    } else {
        engine.run(namespace, &pages)
    };
    let evicted_pages = run.evicted.iter().map(|range| u32::from(range.len)).sum();
    let mut publishes = Vec::with_capacity(2);
    if !run.evicted.is_empty() {
        publishes.push(Publish::Drop {
            copies: std::mem::take(&mut run.evicted),
        });
    }
    if run.stored_len > 0 {
        let mut path = pages;
        path.truncate((run.stored_from + run.stored_len) as usize);
        publishes.push(Publish::Store {
            source: SOURCE,
            namespace,
            tier: Tier::Device,
            pages: path,
            from: run.stored_from,
            renew: false,
        });
    }
    let (_, results) = mesh.publish(publishes).await?;
    let mut gone = Vec::new();
    for result in results {
        let names = result?.stored.into_iter().map(|stored| engines::StoredRun {
            page: stored.page,
            len: stored.len,
            seq: stored.seq,
            idx: stored.idx,
        });
        gone.extend(engine.stored(&run, names));
    }
    if !gone.is_empty() {
        mesh.publish(vec![Publish::Drop { copies: gone }]).await?;
    }
    Ok(EngineRun {
        hit_pages: run.hit_pages,
        stored_pages: run.stored_len,
        evicted_pages,
        prefill_ns: run.prefill_ns,
    })
}
