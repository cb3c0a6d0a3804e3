//! The configuration of a node: one table of keys, read from defaults, a TOML file, the environment and flags, in
//! that order; and the `[[source]]` tables of the file, one for each engine behind the node. Every error names the key, the value, where it came from and why it will not do.

mod engine;
mod engine_keys;
mod error;
mod explain;
mod feed;
mod keys;
mod kind;
mod load;
mod node;

pub use engine::EngineTable;
pub use engine_keys::{SOURCE_KEYS, SOURCE_PREFIX};
pub use error::{ConfigError, ConfigErrors};
pub use explain::{default_toml, explain, list};
pub use keys::{Default, ENV_PREFIX, KEYS, Key};
pub use kind::{Admin, EngineKind, Kind, Parsed};
pub use load::{Loaded, Resolved, Sources};
