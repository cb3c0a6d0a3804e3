//! The engines behind a node: their sockets, and what is kept of them over a restart. What events mean is decided in
//! `engines`; here bytes are moved.

mod settings;
mod status;

pub(crate) use settings::check;
pub use settings::{ENGINE_RANKS_MAX, ENGINES_MAX, Feed, SourceSettings, SourcesError, ZmqFeed};
pub use status::{SocketCounters, SourceReport};
