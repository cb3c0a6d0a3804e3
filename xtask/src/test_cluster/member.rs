//! This process in the place of a member whose own process does not run: it shakes hands by the rules, and then says
//! what it is made to say.

use std::sync::Arc;

use anyhow::{Context, bail};
use radixmesh::clock;
use radixmesh::transport::{
    ConnectError, Connection, Handler, HandshakeError, Identity, Lane, Limits, NodeId,
    RejectReason, Rejection, Transport,
};

/// Dials a node as somebody.
///
/// Errors: [`ConnectError`], with the node's refusal if it refused.
pub(crate) async fn dial(
    transport: &dyn Transport,
    address: &str,
    who: Identity,
) -> Result<Connection, ConnectError> {
    transport
        .connect(address, Arc::new(who), Limits::default())
        .await
}

/// Dials a node as somebody who should be refused.
///
/// Errors: it was not refused, or not by the other end.
pub(crate) async fn refused(
    transport: &dyn Transport,
    address: &str,
    who: Identity,
) -> anyhow::Result<Rejection> {
    match dial(transport, address, who).await {
        Ok(_) => bail!("{address} let in {who:?}"),
        Err(ConnectError::Handshake {
            source: HandshakeError::RejectedByPeer(rejection),
            ..
        }) => Ok(rejection),
        Err(error) => Err(error).context("neither let in nor refused"),
    }
}

/// Learns from a node's refusals what a member of its cluster must say of itself, and returns that for `node`, in a life
/// later than all before.
///
/// Errors: the node refuses otherwise than is known here.
pub(crate) async fn identity(
    transport: &dyn Transport,
    address: &str,
    node: u16,
) -> anyhow::Result<Identity> {
    let mut who = Identity {
        cluster: 0,
        node: NodeId(u64::from(node)),
        epoch: clock::unix_millis(),
        boot: fastrand::u64(..),
        config_hash: 0,
        protocol: (0, u16::MAX),
    };
    let last_word = |rejection: &Rejection, reason: RejectReason| {
        anyhow::ensure!(rejection.reason == reason, "refused otherwise: {rejection}");
        let word = rejection.text.rsplit(' ').next().unwrap_or_default();
        u128::from_str_radix(word, 16).with_context(|| format!("no number in {rejection}"))
    };
    let rejection = refused(transport, address, who).await?;
    who.cluster = last_word(&rejection, RejectReason::Cluster)?;
    let rejection = refused(transport, address, who).await?;
    who.config_hash = u64::try_from(last_word(&rejection, RejectReason::Config)?)?;
    Ok(who)
}

/// A connection that says anything.
pub(crate) struct Member(Connection);

impl Member {
    /// Starts a connection whose frames go to `handler`.
    pub(crate) fn start(connection: Connection, handler: Arc<dyn Handler>) -> Member {
        connection.start(handler);
        Member(connection)
    }

    /// Sends bytes as one frame. Returns whether there was room.
    pub(crate) fn send(&self, lane: Lane, bytes: &[u8]) -> bool {
        let sent = self
            .0
            .try_send_with(lane, bytes.len(), |out| out.copy_from_slice(bytes));
        sent.is_ok()
    }

    /// Returns whether either end closed it.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Ends it in good order.
    pub(crate) async fn leave(self) {
        self.0.close("that was all");
        self.0.closed().await;
    }
}
