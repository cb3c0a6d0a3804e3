//! `node`: starts one node, says so on stdout, and ends it in good order.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use radixmesh::Mesh;
use radixmesh::transport::Tcp;
use radixmesh::transport::tls::Credentials;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

use super::config::SourceArgs;
use super::output::{Exit, Failure};
use crate::config::ConfigErrors;
use crate::listening::Listening;

/// How long a node may take to end before the process ends anyway.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct NodeArgs {
    #[command(flatten)]
    sources: SourceArgs,
    /// End when stdin ends: whoever started the node holds the other side.
    #[arg(long, hide = true)]
    stop_on_stdin_eof: bool,
}

pub(super) async fn run(args: &NodeArgs) -> Result<(), Failure> {
    let loaded = args.sources.load()?;
    let config = loaded.node()?;
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Failed, error.to_string());
    let filter = EnvFilter::try_new(loaded.log()).map_err(|error| failed(&error))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let mut terminated = signal(SignalKind::terminate()).map_err(|error| failed(&error))?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(|error| failed(&error))?;

    let member = config.members[usize::from(config.me.0)].clone();
    if config.simulated_engine.is_some() {
        warn!("the engine of this node is simulated: it computes nothing");
    }
    let rank = config.me.0;
    let files = loaded
        .credential_files(usize::from(rank))
        .map_err(ConfigErrors::from)?;
    let transport = match files {
        None => Tcp::new(),
        Some(files) => {
            let refused = |error| Failure::new(Exit::Usage, format!("no TLS: {error}"));
            let credentials = Arc::new(config.credentials(files).map_err(refused)?);
            let hangup = signal(SignalKind::hangup()).map_err(|error| failed(&error))?;
            tokio::spawn(renew(Arc::clone(&credentials), loaded.reload(), hangup));
            Tcp::with_tls(credentials)
        }
    };
    if config.plaintext {
        warn!("links have no TLS: whoever reaches this node's port may claim to be any other node");
    }
    let running = Mesh::start(config, Arc::new(transport))
        .await
        .map_err(|error| {
            Failure::new(
                Exit::Failed,
                format!("rank {rank} ({}) did not start: {error}", member.address),
            )
        })?;
    let listening = Listening {
        rank,
        role: member.role.to_string(),
        mesh: running.mesh().local_address().to_owned(),
        admin: running.admin_address().map(|address| address.to_string()),
        pid: std::process::id(),
    };
    let line = serde_json::to_string(&listening).map_err(|error| failed(&error))?;
    // Nobody has to read it.
    let _ = writeln!(std::io::stdout(), "{line}");

    let reason = tokio::select! {
        biased;
        _ = terminated.recv() => "SIGTERM",
        _ = interrupted.recv() => "SIGINT",
        () = stdin_end(), if args.stop_on_stdin_eof => "the end of stdin",
    };
    info!("{reason}: shutting down");
    if tokio::time::timeout(SHUTDOWN_MAX, running.shutdown())
        .await
        .is_err()
    {
        let message = format!("the node did not end within {SHUTDOWN_MAX:?} and was abandoned");
        return Err(Failure::new(Exit::Failed, message));
    }
    Ok(())
}

/// Looks at the credentials now and then, and at once on SIGHUP.
async fn renew(credentials: Arc<Credentials>, every: Duration, mut hangup: Signal) {
    let mut ticks = tokio::time::interval(every);
    loop {
        tokio::select! {
            biased;
            _ = hangup.recv() => {}
            _ = ticks.tick() => {}
        }
        match credentials.reload() {
            Ok(false) => {}
            Ok(true) => {
                let not_after = credentials.status().not_after_s;
                info!(not_after, "changed credentials are used for new links");
            }
            Err(error) => error!(%error, "changed credentials are not used, the old ones are"),
        }
    }
}

async fn stdin_end() {
    let mut stdin = tokio::io::stdin();
    let mut buffer = [0; 64];
    while stdin.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {}
}
