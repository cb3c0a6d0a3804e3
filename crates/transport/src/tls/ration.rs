//! A socket that gives only so many bytes until its owner is believed.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A socket under a TLS session.
pub(super) struct Rationed {
    stream: TcpStream,
    /// Bytes that may still be read; `None`: any number.
    left: Option<usize>,
}

/// The ration is used up.
#[derive(Debug, thiserror::Error)]
#[error("the peer sent more than a handshake takes")]
pub(super) struct UsedUp;

impl Rationed {
    pub(super) fn new(stream: TcpStream, bytes: usize) -> Rationed {
        Rationed {
            stream,
            left: Some(bytes),
        }
    }

    /// Ends the rationing.
    pub(super) fn lift(&mut self) {
        self.left = None;
    }
}

impl AsyncRead for Rationed {
    /// Reads once. What exceeds the ration is refused at the next read, so by one read's buffer more is taken at most.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == Some(0) {
            return Poll::Ready(Err(io::Error::other(UsedUp)));
        }
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(into.filled().len() - before);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rationed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
