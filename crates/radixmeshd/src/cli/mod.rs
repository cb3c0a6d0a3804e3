//! The command line. Data goes to stdout, all else to stderr; the exit code says how it went ([`Exit`]).

mod ask;
mod cert;
mod config;
mod engines;
mod members;
mod node;
mod output;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use output::{Exit, Failure, Format};
pub(crate) use output::{print, row, table};

use crate::demo;

/// A master-free, replicated radix tree of which KV prefix is cached where.
#[derive(Debug, Parser)]
#[command(name = "radixmeshd", version, about, propagate_version = true)]
struct Cli {
    /// How data is printed: for people or for programs.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one node until SIGTERM or SIGINT.
    Node(node::NodeArgs),
    /// Run one node that joins a running cluster, until SIGTERM or SIGINT.
    Join(node::JoinArgs),
    /// Let a node leave its cluster for good: it takes no new work, says goodbye and ends.
    Leave(members::LeaveArgs),
    /// Show the members of a node's cluster: what is believed of each, how it is reached, who is behind.
    Members(ask::AdminArgs),
    /// Forget a member that is down, and its copies, everywhere and now.
    Forget(members::ForgetArgs),
    /// Make the cluster's CA, and certificates that it signs for nodes.
    #[command(subcommand)]
    Cert(cert::CertCommand),
    /// Print, check or explain the configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Run a cluster of six processes with simulated engines and show what the mesh is good for.
    Demo(demo::Options),
    /// Show a node's members, logs and counters; exit code 4 when it is not ready.
    Status(ask::AdminArgs),
    /// Ask a node where a prompt should go, and why.
    Route {
        #[command(flatten)]
        admin: ask::AdminArgs,
        #[command(flatten)]
        prompt: ask::PromptArgs,
    },
    /// Ask a node who holds how much of a prompt.
    Match {
        #[command(flatten)]
        admin: ask::AdminArgs,
        #[command(flatten)]
        prompt: ask::PromptArgs,
    },
    /// Compare the logs of two nodes; exit code 1 when they differ.
    Diff {
        /// Admin address of one node.
        a: String,
        /// Admin address of another node.
        b: String,
        #[command(flatten)]
        token: ask::TokenArg,
    },
}

/// Runs the program with the arguments of this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // With stderr closed there is nobody to tell; the code still says it.
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("{failure}\n").as_bytes(),
            );
            failure.exit.into()
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let format = cli.output;
    if let Command::Config(command) = cli.command {
        return config::run(&command, format);
    }
    if let Command::Cert(command) = cli.command {
        return cert::run(&command, format);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, format!("no runtime: {error}")))?;
    let result = runtime.block_on(async {
        match cli.command {
            Command::Node(args) => node::run(&args).await,
            Command::Join(args) => node::join(&args).await,
            Command::Leave(args) => members::leave(&args, format).await,
            Command::Members(admin) => members::members(&admin, format).await,
            Command::Forget(args) => members::forget(&args, format).await,
            Command::Config(_) | Command::Cert(_) => Ok(()),
            Command::Demo(options) => demo::run(&options, format).await,
            Command::Status(admin) => ask::status(&admin, format).await,
            Command::Route { admin, prompt } => ask::route(&admin, &prompt, format).await,
            Command::Match { admin, prompt } => ask::matches(&admin, &prompt, format).await,
            Command::Diff { a, b, token } => ask::diff(&a, &b, &token, format).await,
        }
    });
    // A blocked read of stdin must not hold the end up.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
