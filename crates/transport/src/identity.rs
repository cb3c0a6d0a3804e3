//! Who the two ends of a connection are, and who is let in. No bytes here: see `handshake`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{RejectReason, Rejection};
use crate::tls::Name;

/// The name of a node. Opaque here; unique in a cluster. Of two nodes the lower one dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What an end says of itself in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster. Ends of different clusters refuse each other.
    pub cluster: u128,
    /// The node.
    pub node: NodeId,
    /// The node's incarnation. It grows with every restart.
    pub epoch: u64,
    /// Random per process start. Tells two processes with the same epoch apart in a log.
    pub boot: u64,
    /// Hash of the settings that must be equal everywhere. Ends that differ refuse each other.
    pub config_hash: u64,
    /// Protocol versions of the layer above, lowest and highest understood. The highest common one is agreed.
    pub protocol: (u16, u16),
}

/// The other end of an established connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The node.
    pub node: NodeId,
    /// The node's incarnation when it connected.
    pub epoch: u64,
    /// The process behind the node, see [`Identity::boot`].
    pub boot: u64,
    /// The agreed protocol version.
    pub protocol: u16,
    /// Where it is: the dialed address, or the remote address of an accepted connection.
    pub address: String,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "node {} (epoch {}, {})",
            self.node, self.epoch, self.address
        )
    }
}

/// A node that introduces itself: nobody has to know it yet, and no connection comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newcomer {
    /// What it claims to be: of this cluster, with the same settings and a common protocol, and not this end.
    pub peer: Peer,
    /// What its certificate says; `None` where there is none. Cluster and rank in it fit.
    pub name: Option<Name>,
}

impl Newcomer {
    /// Checks that its certificate, where it has one, is of a node with that role.
    ///
    /// Errors: the rejection to answer with.
    pub fn prove_role(&self, role: &str) -> Result<(), Rejection> {
        match &self.name {
            Some(name) if !name.has_role(role) => Err(RejectReason::CertRole.because(format!(
                "the certificate is of {name}, the claim is the role {role}"
            ))),
            _ => Ok(()),
        }
    }
}

/// This end of the handshakes of one listener or dial: who it is now, and whom it lets in.
///
/// Asked once per handshake, so an answer may change at run time. [`Identity`] itself implements it and lets
/// every matching node in.
pub trait Local: Send + Sync + 'static {
    /// Returns what this end says of itself. Must not block.
    fn identity(&self) -> Identity;

    /// Decides on a peer whose cluster, settings and protocol fit. Must not block.
    ///
    /// Errors: the rejection is sent to the peer, counted on both sides, and the connection is not made.
    fn admit(&self, peer: &Peer) -> Result<(), Rejection> {
        let _ = peer;
        Ok(())
    }

    /// Answers a newcomer that introduces itself. `request` and the answer are the layer above's. Must not block.
    ///
    /// Errors: the rejection is sent to the newcomer and counted on both sides.
    fn introduce(&self, newcomer: &Newcomer, request: &[u8]) -> Result<Vec<u8>, Rejection> {
        let _ = (newcomer, request);
        Err(RejectReason::Introduction.because("this end takes no introductions"))
    }
}

impl Local for Identity {
    fn identity(&self) -> Identity {
        *self
    }
}
