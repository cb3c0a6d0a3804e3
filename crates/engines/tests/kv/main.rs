//! KV events of real engines: every release's encoding, captures of real servers, and random streams with every fault
//! against a literal model.
//!
//! `RADIXMESH_KV_CASES=20000 cargo test --release -p engines --test kv` runs long.

mod by_hand;
mod captures;
mod claims;
mod double;
mod golden;
mod hostile;
mod mesh;
mod streams;
