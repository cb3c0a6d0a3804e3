//! A seeded cluster of real [`node::Node`]s in virtual time, with faults and checkers.
//!
//! The nodes, their logs, trees and every byte between them are the real ones; time, links, engines and
//! misfortune are made from one seed. What happens is compared with a naive account of what should
//! be: a run either ends with a [`Report`] or with the first [`Failure`], which names the command that
//! runs it again. Equal configurations give equal runs, event by event.
//!
//! Not in here: sockets, threads and clocks. `cargo xtask sim` runs many seeds at once.

#![cfg_attr(doctest, doc = include_str!("../README.md"))]

pub mod limits;
pub mod mutants;
pub mod propagation;

mod config;
mod peaks;
mod report;
mod violation;
mod world;

mod act;
mod agree;
mod calm;
mod check;
mod lives;
mod membership;
mod publish;
mod upheaval;
mod wiring;

mod clock;
mod engine;
mod event;
mod fault;
mod hash;
mod join;
mod links;
mod meter;
mod misery;
mod narrow;
mod profile;
mod queue;
mod slot;
mod truth;
mod visits;

pub use config::SimConfig;
pub use links::Hop;
pub use peaks::Peaks;
pub use report::{Kind, Reached, Report};
pub use violation::{Failure, Violation};
pub use world::{Misdeed, Passage, Passing, Tamper, World};

/// Runs one seed to its end.
///
/// Errors: [`Failure`], the first promise that was broken.
/// Panics: when `config.nodes` is 0 or above [`limits::NODES_MAX`].
pub fn run(config: SimConfig) -> Result<Report, Box<Failure>> {
    World::new(config).run()
}
