//! Project tasks that need more than a shell: `cargo xtask <task>`. Each task is a module.

mod layers;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Project tasks")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check the dependencies between the crates against layers.toml.
    Layers,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Layers => layers::run(),
    }
}
