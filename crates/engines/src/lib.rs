//! What stands behind a node in demos, tests and benchmarks. See the crate's README.
//!
//! Holds what the KV events of real engines mean ([`event`], [`source`], [`intake`]), the simulated engine, request streams
//! to feed it, and the pure policies that real routing is compared with. Holds no sockets, no clocks and no routing;
//! readers take any [`std::io::BufRead`] that they are handed.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod approximate;
pub mod baseline;
pub mod event;
pub mod intake;
pub mod limits;
mod pool;
pub mod sim_engine;
pub mod source;
pub mod trace;
pub mod workload;

pub use approximate::Approximate;
pub use baseline::{Baselines, Rates};
pub use intake::Intake;
pub use sim_engine::{Run, SimulatedEngine, SimulatedEngineConfig, StoredRun};
pub use trace::{TraceError, TraceReader, TraceRequest, expand_tokens};
pub use workload::{ChatRequest, Chats, ChatsConfig, chats};
