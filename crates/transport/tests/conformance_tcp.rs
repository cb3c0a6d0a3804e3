//! TCP keeps the transport's contract.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::net::TcpStream;
use transport::conformance::Rig;
use transport::{Duplex, NodeId, Tcp, Transport};

struct TcpRig;

#[async_trait]
impl Rig for TcpRig {
    fn transport(&self, _: NodeId) -> Arc<dyn Transport> {
        Arc::new(Tcp::new())
    }

    fn address(&self) -> String {
        "127.0.0.1:0".to_owned()
    }

    async fn dial_raw(&self, to: &str) -> io::Result<Duplex> {
        let (read, write) = TcpStream::connect(to).await?.into_split();
        Ok(Duplex::new(read, write))
    }
}

transport::conformance_tests!(TcpRig);
