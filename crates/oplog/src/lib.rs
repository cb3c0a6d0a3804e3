//! Logs. See the crate's README.
pub mod op;
