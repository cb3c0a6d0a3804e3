//! `cargo xtask sim`: the simulator from the command line. It counts and prints; what a run is and what may not
//! happen in it is the business of the crate `sim`. One mode at a time, a module each.

mod mutations;
mod propagation;
mod search;
mod summary;

use clap::{Args, ValueEnum};

/// Nodes of each world of a search.
const NODES: u16 = 5;

/// Which mode, and how.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Show that every deliberate mistake is found out, instead of searching for others.
    #[arg(long, conflicts_with_all = ["propagation", "seed", "seconds"])]
    mutations: bool,
    /// Measure how long a publish takes to the last node, and what it costs each, instead of searching.
    #[arg(long, conflicts_with_all = ["seed", "seconds"])]
    propagation: bool,
    /// Nodes of each world, 1 to 1,024; several, separated by commas, for --propagation [default: 5, or 50,1000].
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=i64::from(sim::limits::NODES_MAX)))]
    nodes: Vec<u16>,
    /// Fan-out of the broadcast, 1 is the ring [default: drawn from the seed, or 1 and 4].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    fanout: Option<u16>,
    #[command(flatten)]
    search: search::Options,
    #[command(flatten)]
    measure: propagation::Options,
    /// How to print what was found.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Runs the mode that was asked for.
///
/// Ends the process with status 1 when a seed fails, a mistake is not found out or something is never reached.
/// Errors: those of the mode.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let json = options.output == Format::Json;
    let good = if options.mutations {
        mutations::run(json)?
    } else if options.propagation {
        propagation::run(&options.measure, &options.nodes, options.fanout, json)?
    } else {
        let nodes = match options.nodes[..] {
            [] => NODES,
            [nodes] => nodes,
            _ => anyhow::bail!("a search runs worlds of one size; give --nodes one number"),
        };
        search::run(&options.search, nodes, options.fanout, json)?
    };
    if !good {
        std::process::exit(1);
    }
    Ok(())
}
