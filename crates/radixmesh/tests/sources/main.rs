//! Engines behind a node, over real sockets: what the node publishes is what the engine holds, whatever the way loses.
//! The engine is made up (the double of the crate `engines`) or a capture of a real one; the sockets are ZeroMQ's.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod bench;
#[path = "../../../engines/tests/kv/by_hand.rs"]
mod by_hand;
mod captures;
#[path = "../../../engines/tests/kv/double.rs"]
mod double;
mod lives;
mod loss;
#[path = "../../../engines/tests/kv/mesh.rs"]
#[expect(dead_code, reason = "shared with the tests of the crate it stands for")]
mod mesh;
mod publisher;
mod tree;
