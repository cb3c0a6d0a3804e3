//! The admin port: HTTP and JSON for operators, engines without a native client, and tests.
//!
//! It runs on a thread of its own: parsing a long prompt never delays a frame. What it knows of the
//! tree it reads without a lock.

pub mod api;
mod guard;
mod handlers;
mod members;
mod members_api;
mod metrics;
mod reasons;
mod refusal;
mod server;
mod source_counters;
mod source_metrics;
mod sources;
mod sources_api;
mod token;

pub(crate) use server::Server;
pub use token::Token;
