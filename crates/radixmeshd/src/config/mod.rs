//! The configuration of a node: one table of keys, read from defaults, a TOML file, the environment and flags, in
//! that order. Every error names the key, the value, where it came from and why it will not do.

mod error;
mod explain;
mod keys;
mod kind;
mod load;
mod node;

pub use error::{ConfigError, ConfigErrors};
pub use explain::{default_toml, explain, list};
pub use keys::{Default, ENV_PREFIX, KEYS, Key};
pub use kind::{Admin, Kind, Parsed};
pub use load::{Loaded, Resolved, Sources};
