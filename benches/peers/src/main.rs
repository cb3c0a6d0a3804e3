//! The same work for RadixMesh's tree and for the indices of the field. See README.md.

mod cell;
mod clock;
mod compare;
mod heap;
mod lru;
mod metric;
mod model;
mod peer;
mod request;
mod setting;
mod stream;
mod watch;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "peers",
    about = "RadixMesh's tree beside the indices of the field"
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure all indices, each in processes of its own, and write the results.
    Compare(compare::Options),
    /// Measure one index in this process and print one line of JSON.
    Cell(cell::Options),
    /// Show one index paths with holes and print its answers as one line of JSON.
    Scenario {
        /// Which index.
        #[arg(value_enum)]
        index: peer::Name,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Compare(options) => compare::run(&options),
        Task::Cell(options) => cell::run(&options),
        Task::Scenario { index } => {
            cell::scenario(index);
            Ok(())
        }
    }
}
