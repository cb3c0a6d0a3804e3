//! What a transport is: a way to listen and a way to dial. Everything else is shared.

use std::sync::Arc;

use async_trait::async_trait;

use crate::connection::Connection;
use crate::counters::Counters;
use crate::error::{AcceptError, ConnectError, ListenError};
use crate::identity::{Local, Peer};
use crate::limits::Limits;
use crate::tls::CertificateStatus;

/// A kind of network. One value per node: it owns the node's counters.
///
/// To implement the trait means to pass [`conformance`](crate::conformance).
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Returns the transport's name, for logs and status.
    fn name(&self) -> &'static str;

    /// Returns the counters of everything that this transport listens for and dials.
    fn counters(&self) -> &Arc<Counters>;

    /// Returns what protects the connections now.
    fn security(&self) -> Security;

    /// Listens at an address. `local` is asked anew for every peer that comes.
    ///
    /// Errors: [`ListenError`]; nothing is left open.
    async fn listen(
        &self,
        at: &str,
        local: Arc<dyn Local>,
        limits: Limits,
    ) -> Result<Box<dyn Listener>, ListenError>;

    /// Dials an address and shakes hands.
    ///
    /// Errors: [`ConnectError`]; nothing is left open. Dropping the future gives up.
    async fn connect(
        &self,
        to: &str,
        local: Arc<dyn Local>,
        limits: Limits,
    ) -> Result<Connection, ConnectError>;

    /// Dials an address, introduces this end to whoever listens there, and returns who that is and the answer. No
    /// connection comes of it.
    ///
    /// `request` may have what [`Limits::handshake_bytes_max`] leaves, the answer has at most
    /// [`Limits::introduction_bytes_max`] bytes. What they say is the layers' above.
    /// Errors: [`ConnectError`]; nothing is left open. Dropping the future gives up.
    async fn introduce(
        &self,
        to: &str,
        local: Arc<dyn Local>,
        limits: Limits,
        request: &[u8],
    ) -> Result<(Peer, Vec<u8>), ConnectError>;
}

/// What protects the connections of a transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// They do not leave the process.
    InProcess,
    /// Nothing: whoever reaches a port may claim to be anybody, and who is on the way reads along.
    Plaintext,
    /// TLS; both ends prove who they are. The certificate is this end's.
    Tls(CertificateStatus),
}

/// A place where peers arrive. Dropping it stops listening and drops whoever is still shaking hands.
#[async_trait]
pub trait Listener: Send {
    /// Returns the address to dial, with the real port where 0 was asked for.
    fn local_address(&self) -> String;

    /// Waits for the next peer that has shaken hands, or the next that failed to.
    ///
    /// Handshakes run concurrently, so a slow or silent peer holds up nobody. Dropping the future loses nothing.
    ///
    /// Errors: [`AcceptError`], counted; the listener stays usable.
    async fn accept(&mut self) -> Result<Connection, AcceptError>;
}
