//! The network in memory keeps the transport's contract.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use transport::conformance::Rig;
use transport::mem::Network;
use transport::{Duplex, NodeId, Transport};

struct MemRig(Network);

#[async_trait]
impl Rig for MemRig {
    fn transport(&self, _: NodeId) -> Arc<dyn Transport> {
        Arc::new(self.0.transport())
    }

    fn address(&self) -> String {
        String::new()
    }

    async fn dial_raw(&self, to: &str) -> io::Result<Duplex> {
        self.0.dial_raw(NodeId(999), to)
    }
}

transport::conformance_tests!(MemRig(Network::new()));
