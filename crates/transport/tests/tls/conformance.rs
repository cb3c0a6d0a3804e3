//! TCP under TLS keeps the transport's contract.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use transport::conformance::Rig;
use transport::tls::Credentials;
use transport::{Duplex, NodeId, Tcp, Transport};

use crate::pki::{Ca, Wish};
use crate::raw;

struct TlsRig {
    ca: Ca,
    nodes: Mutex<BTreeMap<NodeId, Arc<Credentials>>>,
}

impl TlsRig {
    fn new() -> TlsRig {
        TlsRig {
            ca: Ca::new(),
            nodes: Mutex::default(),
        }
    }
}

#[async_trait]
impl Rig for TlsRig {
    fn transport(&self, node: NodeId) -> Arc<dyn Transport> {
        let mut nodes = self.nodes.lock().unwrap();
        let credentials = nodes.entry(node).or_insert_with(|| self.ca.node(node.0));
        Arc::new(Tcp::with_tls(Arc::clone(credentials)))
    }

    fn address(&self) -> String {
        "127.0.0.1:0".to_owned()
    }

    /// The session is made by a task: the listener may not be accepting yet.
    async fn dial_raw(&self, to: &str) -> io::Result<Duplex> {
        let stream = TcpStream::connect(to).await?;
        let files = self.ca.issue("hostile", &Wish::node(1));
        let connector = TlsConnector::from(Arc::new(raw::client(&files)));
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        tokio::spawn(async move {
            let name = "node.invalid".try_into().unwrap();
            if let Ok(mut stream) = connector.connect(name, stream).await {
                // Ends when either side does.
                let _ = copy_bidirectional(&mut far, &mut stream).await;
            }
        });
        let (read, write) = tokio::io::split(near);
        Ok(Duplex::new(read, write))
    }
}

transport::conformance_tests!(TlsRig::new());
