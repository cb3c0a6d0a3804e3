//! From a socket to a stream whose other end proved who it is. Time limits are the caller's.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::credentials::Credentials;
use super::error::TlsError;
use super::proof::Proof;
use super::ration::{Rationed, UsedUp};
use crate::error::{HandshakeError, RejectReason};
use crate::frame::Kind;
use crate::handshake::explain;
use crate::limits::{Limits, TLS_HANDSHAKE_BYTES_MAX};
use crate::stream::Duplex;

/// The first byte of every TLS handshake.
const RECORD_HANDSHAKE: u8 = 0x16;
/// The first byte of every frame: none is as long as 16 MiB before the hands are shaken.
const FRAME_LENGTH_HIGH: u8 = 0;

/// Takes an accepted socket. A peer without TLS is told so in its own words.
// spec: TLS-1, TLS-4
pub(crate) async fn accept(
    stream: TcpStream,
    ours: Arc<Credentials>,
    limits: Limits,
) -> Result<Duplex, HandshakeError> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Err(HandshakeError::Closed);
    }
    if first[0] != RECORD_HANDSHAKE {
        return Err(turn_away(stream, first[0], &limits).await.into());
    }
    let acceptor = TlsAcceptor::from(Arc::clone(&ours.material().server));
    let stream = Rationed::new(stream, TLS_HANDSHAKE_BYTES_MAX);
    match acceptor.accept(stream).into_fallible().await {
        Ok(stream) => proven(stream.into(), ours),
        Err((error, stream)) => {
            let error = named(error);
            drain(stream, limits.linger).await;
            Err(error)
        }
    }
}

/// Takes a dialed socket.
// spec: TLS-1
pub(crate) async fn connect(
    stream: TcpStream,
    ours: Arc<Credentials>,
    limits: Limits,
) -> Result<Duplex, HandshakeError> {
    // Required by the library and sent to nobody: what counts is the name in the certificate.
    let nobody = ServerName::try_from("node.invalid").expect("a host name");
    let connector = TlsConnector::from(Arc::clone(&ours.material().client));
    let stream = Rationed::new(stream, TLS_HANDSHAKE_BYTES_MAX);
    match connector.connect(nobody, stream).into_fallible().await {
        Ok(stream) => proven(stream.into(), ours),
        Err((error, stream)) => {
            let error = named(error);
            drain(stream, limits.linger).await;
            Err(error)
        }
    }
}

/// Reads who the peer proved to be.
fn proven(
    mut stream: TlsStream<Rationed>,
    ours: Arc<Credentials>,
) -> Result<Duplex, HandshakeError> {
    stream.get_mut().0.lift();
    let certificate: Option<&CertificateDer<'_>> = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first());
    let certificate = certificate.ok_or(TlsError::NoCertificate)?;
    let proof = Proof::of(certificate, ours).map_err(|why| TlsError::BadCertificate { why })?;
    let (read, write) = tokio::io::split(Secured(stream));
    Ok(Duplex::new(read, write).proven_by(proof))
}

fn named(error: io::Error) -> HandshakeError {
    if error.get_ref().is_some_and(|inner| inner.is::<UsedUp>()) {
        let max = TLS_HANDSHAKE_BYTES_MAX;
        return TlsError::TooLong { max }.into();
    }
    error.into()
}

/// Answers a peer that speaks no TLS.
async fn turn_away(mut stream: TcpStream, first: u8, limits: &Limits) -> TlsError {
    if first == FRAME_LENGTH_HIGH {
        let reason = RejectReason::TlsRequired;
        let frame = explain(Kind::Reject, reason as u16, "this port speaks TLS only");
        // The refusal stands, whether or not the other end still hears of it.
        let _ = stream.write_all(&frame).await;
        drain(stream, limits.linger).await;
    }
    TlsError::PlaintextPeer { first }
}

/// Ends this direction and lets the peer end the other: closing over unread bytes would take back what was said last.
async fn drain(mut stream: impl AsyncRead + AsyncWrite + Unpin, linger: Duration) {
    let ended = async {
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        let mut left = TLS_HANDSHAKE_BYTES_MAX;
        while left > 0 {
            match stream.read(&mut rest).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        Ok::<_, io::Error>(())
    };
    // Either way the socket is closed next.
    let _ = tokio::time::timeout(linger, ended).await;
}

/// A session as a stream. A peer that dies does not say goodbye: that is an end here, for the framing knows by
/// itself whether it is one in the middle of a frame.
struct Secured(TlsStream<Rationed>);

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0)
            .poll_read(cx, into)
            .map(|read| match read {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
                other => other,
            })
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
