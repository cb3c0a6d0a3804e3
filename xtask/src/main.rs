//! Project tasks that need more than a shell: `cargo xtask <task>`. Each task is a module; [`program`] is what
//! some of them share.

mod bench;
mod fuzz;
mod layers;
mod models;
mod program;
mod sim;
mod test_cluster;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Project tasks")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure more than `cargo bench` can.
    Bench(bench::Options),
    /// Run the fuzz targets, each for a while.
    Fuzz(fuzz::Options),
    /// Check the dependencies between the crates against layers.toml.
    Layers,
    /// Search the models of the protocols, with all rules and without each of them.
    Models(models::Options),
    /// Run seeds of the simulator: whole clusters in virtual time, with faults and checkers.
    Sim(Box<sim::Options>),
    /// Run, drive, kill and check a cluster of real processes on this machine.
    TestCluster(test_cluster::Options),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Bench(options) => bench::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Layers => layers::run(),
        Task::Models(options) => models::run(&options),
        Task::Sim(options) => sim::run(&options),
        Task::TestCluster(options) => test_cluster::run(&options),
    }
}
