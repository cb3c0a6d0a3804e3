//! The tree: which token prefix is cached where. See the crate's README.

pub mod id;
pub mod page;
pub mod time;

pub use page::{Fingerprint, FingerprintKey};
