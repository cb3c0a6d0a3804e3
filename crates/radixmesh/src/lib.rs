//! RadixMesh: every node of an LLM fleet holds the same radix tree of which KV prefix is cached where.
//!
//! This crate is the facade: it runs one [`node::Node`] on tokio, moves frames between it and its
//! peers, and offers publishing, lookups and the admin port. It decides nothing; the parts do.

#![cfg_attr(doctest, doc = include_str!("../README.md"))]

pub mod admin;
pub mod clock;
pub mod config;
mod core;
mod driver;
mod ended;
pub mod engine;
mod host;
mod inbound;
mod incarnation;
mod join;
pub mod lookup;
mod loopback;
pub mod mesh;
pub mod record;
mod rejoin;
mod roles;
mod roster;
pub mod source;

pub use config::{Config, ConfigError, Join, Member, SimulatedEngine};
pub use driver::Report;
pub use ended::Ended;
pub use lookup::Lookup;
pub use loopback::is_loopback;
pub use mesh::{Mesh, ObserveError, Running, ShutDown, StartError};

pub use {engines, node, oplog, radix_core, routing, topology, transport};
