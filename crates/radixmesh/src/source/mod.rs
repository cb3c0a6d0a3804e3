//! The engines behind a node: their sockets, and what is kept of them over a restart. What events mean is decided in
//! `engines`; here bytes are moved.

mod discover;
mod drain;
mod follow;
mod heard;
mod host;
mod line;
mod publish;
mod settings;
mod sockets;
mod status;
mod store;

pub(crate) use heard::{News, Reporter};
pub(crate) use host::Sources;
pub use host::SourcesStartError;
pub(crate) use settings::check;
pub use settings::{ENGINE_RANKS_MAX, ENGINES_MAX, Feed, SourceSettings, SourcesError, ZmqFeed};
pub use status::{SocketCounters, SourceReport};
pub use store::StoreError;
