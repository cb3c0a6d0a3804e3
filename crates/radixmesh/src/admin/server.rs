//! The listener, its thread and its routes.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tokio::sync::oneshot;

use super::guard::guard;
use super::handlers;
use super::members;
use super::refusal::Refusal;
use super::sources;
use crate::lookup::Lookup;
use crate::mesh::Mesh;

/// Largest request body: 32 MiB, a prompt of about four million tokens.
const BODY_BYTES_MAX: usize = 32 << 20;
/// Readers that the admin port keeps for itself; more requests at once wait for the node's own answer.
const LOOKUPS_MAX: usize = 8;

/// What the handlers share.
pub(crate) struct Admin {
    pub(crate) mesh: Mesh,
    lookups: Mutex<Vec<Lookup>>,
}

impl Admin {
    /// Lends a reader. One request has it at a time.
    pub(crate) fn lookup(&self) -> Result<Lookup, Refusal> {
        let spare = self
            .lookups
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .pop();
        match spare {
            Some(lookup) => Ok(lookup),
            None => self
                .mesh
                .lookup()
                .map_err(|error| Refusal::unavailable(error.to_string())),
        }
    }

    pub(crate) fn give_back(&self, lookup: Lookup) {
        let mut lookups = self
            .lookups
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if lookups.len() < LOOKUPS_MAX {
            lookups.push(lookup);
        }
    }
}

/// A running admin port.
pub(crate) struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Server {
    pub(crate) fn start(address: &str, mesh: Mesh) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let admin = Arc::new(Admin {
            mesh,
            lookups: Mutex::new(Vec::new()),
        });
        let thread = std::thread::Builder::new()
            .name("radixmesh-admin".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    let listener = match tokio::net::TcpListener::from_std(listener) {
                        Ok(listener) => listener,
                        Err(error) => {
                            return tracing::error!(%error, "the admin port could not be opened");
                        }
                    };
                    tokio::select! {
                        biased;
                        _ = stopped => {}
                        served = serve(listener, admin) => {
                            if let Err(error) = served {
                                tracing::error!(%error, "the admin port ended");
                            }
                        }
                    }
                });
            })?;
        Ok(Server {
            address,
            stop,
            thread,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn shutdown(self) {
        // The thread may have ended by itself.
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

async fn serve(listener: tokio::net::TcpListener, admin: Arc<Admin>) -> io::Result<()> {
    let routes = Router::new()
        .route("/status", get(handlers::status))
        .route("/members", get(members::members))
        .route("/members/leave", post(members::leave))
        .route("/members/{rank}/forget", post(members::forget))
        .route("/match", post(handlers::matches))
        .route("/route", post(handlers::route))
        .route("/publish", post(handlers::publish))
        .route("/evict", post(handlers::evict))
        .route("/engine/run", post(handlers::engine_run))
        .route("/sources/observed", post(sources::observed))
        .route("/applied", get(handlers::applied))
        .route("/metrics", get(handlers::metrics))
        .route("/healthz", get(handlers::healthz))
        .route("/readyz", get(handlers::readyz))
        .fallback(handlers::unknown)
        .method_not_allowed_fallback(handlers::wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(Arc::clone(&admin), guard))
        .with_state(admin);
    axum::serve(NoDelay(listener), routes).await
}

/// A listener whose connections answer at once.
struct NoDelay(tokio::net::TcpListener);

impl axum::serve::Listener for NoDelay {
    type Io = tokio::net::TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = axum::serve::Listener::accept(&mut self.0).await;
        // Without it an answer is late, not wrong.
        let _ = stream.set_nodelay(true);
        (stream, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}
