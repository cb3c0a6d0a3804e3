//! `node` and `join`: start one node, say so on stdout, and end it in good order.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use radixmesh::transport::Tcp;
use radixmesh::transport::tls::Credentials;
use radixmesh::{Ended, Mesh};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

use super::config::SourceArgs;
use super::output::{Exit, Failure};
use crate::config::{ConfigErrors, Loaded};
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

#[derive(Debug, Args)]
pub(super) struct JoinArgs {
    /// The rank to take: one that is free, or whose holder is down (key `rank`).
    #[arg(long, value_name = "N")]
    rank: Option<u16>,
    /// What the node does: prefill, decode or router (key `role`).
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Where the node listens and its peers reach it (key `local`).
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Mesh addresses of members, any of which is asked (key `join`).
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    via: Vec<String>,
    #[command(flatten)]
    node: NodeArgs,
}

pub(super) async fn run(args: &NodeArgs) -> Result<(), Failure> {
    live(args.sources.load()?, args.stop_on_stdin_eof).await
}

/// Starts a node that joins. Without `--via` and the key `join`, the members that are configured are asked.
pub(super) async fn join(args: &JoinArgs) -> Result<(), Failure> {
    let mut flags = Vec::new();
    if let Some(rank) = args.rank {
        flags.push(("--rank", "rank", rank.to_string()));
    }
    if let Some(role) = &args.role {
        flags.push(("--role", "role", role.clone()));
    }
    if let Some(listen) = &args.listen {
        flags.push(("--listen", "local", listen.clone()));
    }
    if !args.via.is_empty() {
        flags.push(("--via", "join", args.via.join(",")));
    }
    let mut loaded = args.node.sources.load_with(&flags)?;
    if !loaded.joins() {
        let members = loaded.members().map_err(ConfigErrors::from)?;
        let all: Vec<String> = members.into_iter().map(|member| member.address).collect();
        flags.push(("--via (the configured members)", "join", all.join(",")));
        loaded = args.node.sources.load_with(&flags)?;
    }
    live(loaded, args.node.stop_on_stdin_eof).await
}

async fn live(loaded: Loaded, stop_on_stdin_eof: bool) -> Result<(), Failure> {
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

    let member = config.own().clone();
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
    let start = Mesh::start(config, Arc::new(transport));
    let started = tokio::select! {
        biased;
        _ = terminated.recv() => return Ok(()),
        _ = interrupted.recv() => return Ok(()),
        () = stdin_end(), if stop_on_stdin_eof => return Ok(()),
        started = start => started,
    };
    let mut running = started.map_err(|error| {
        let text = format!("rank {rank} ({}) did not start: {error}", member.address);
        Failure::new(Exit::Failed, text)
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
        () = stdin_end(), if stop_on_stdin_eof => "the end of stdin",
        ended = running.ended() => {
            running.shutdown().await;
            info!("the node has ended: {ended}");
            return match ended {
                Ended::Left | Ended::Stopped => Ok(()),
                Ended::RankTaken { .. } | Ended::Failed => {
                    let text = format!("rank {rank} ({}) has ended: {ended}", member.address);
                    Err(Failure::new(Exit::Failed, text))
                }
            };
        }
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
