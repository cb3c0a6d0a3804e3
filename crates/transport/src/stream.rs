//! A byte stream in two halves: what a transport brings, and what the framing runs over.

use std::fmt;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::tls::Proof;

/// Two ordered, reliable directions of bytes, not yet shaken hands over.
pub struct Duplex {
    pub(crate) read: Box<dyn AsyncRead + Send + Unpin>,
    pub(crate) write: Box<dyn AsyncWrite + Send + Unpin>,
    /// What the other end proved already.
    pub(crate) proof: Option<Proof>,
}

impl Duplex {
    /// Joins two halves.
    pub fn new(
        read: impl AsyncRead + Send + Unpin + 'static,
        write: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Duplex {
        Duplex {
            read: Box::new(read),
            write: Box::new(write),
            proof: None,
        }
    }

    /// Adds what the other end proved: its claims in the handshake must agree.
    pub(crate) fn proven_by(mut self, proof: Proof) -> Duplex {
        self.proof = Some(proof);
        self
    }
}

impl fmt::Debug for Duplex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Duplex").finish_non_exhaustive()
    }
}
