//! TCP: the socket options that the latency rests on. Framing is in `connection`, encryption in `tls`.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

use crate::connection::Connection;
use crate::counters::Counters;
use crate::error::{ConnectError, HandshakeError, ListenError};
use crate::gate::{Gate, Source};
use crate::identity::{Local, Peer};
use crate::limits::Limits;
use crate::stream::Duplex;
use crate::tls::{self, Credentials};
use crate::transport::{Listener, Security, Transport};

/// TCP, bare or under TLS. Addresses are `host:port`; port 0 listens at a free one.
#[derive(Debug, Default)]
pub struct Tcp {
    counters: Arc<Counters>,
    credentials: Option<Arc<Credentials>>,
}

impl Tcp {
    /// Makes a transport without encryption, with counters at zero.
    #[must_use]
    pub fn new() -> Tcp {
        Tcp::default()
    }

    /// Makes a transport whose every connection is a TLS session that both ends prove themselves in.
    ///
    /// A connection uses the credentials that are current when it begins.
    #[must_use]
    pub fn with_tls(credentials: Arc<Credentials>) -> Tcp {
        Tcp {
            counters: Arc::default(),
            credentials: Some(credentials),
        }
    }
}

#[async_trait]
impl Transport for Tcp {
    fn name(&self) -> &'static str {
        match self.credentials {
            None => "tcp",
            Some(_) => "tcp+tls",
        }
    }

    fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    fn security(&self) -> Security {
        match &self.credentials {
            None => Security::Plaintext,
            Some(credentials) => Security::Tls(credentials.status()),
        }
    }

    async fn listen(
        &self,
        at: &str,
        local: Arc<dyn Local>,
        limits: Limits,
    ) -> Result<Box<dyn Listener>, ListenError> {
        limits.check()?;
        let failed = |source| ListenError::Io {
            address: at.to_owned(),
            source,
        };
        let listener = TcpListener::bind(at).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?.to_string();
        let source = TcpSource {
            listener,
            address,
            limits: limits.clone(),
            credentials: self.credentials.clone(),
        };
        Ok(Box::new(Gate::new(
            source,
            local,
            limits,
            Arc::clone(&self.counters),
        )))
    }

    async fn connect(
        &self,
        to: &str,
        local: Arc<dyn Local>,
        limits: Limits,
    ) -> Result<Connection, ConnectError> {
        limits.check()?;
        let open = self.open(to, &limits).await?;
        // Boxed: the state of a session that begins is large, and every dial would carry it.
        Connection::dial(Box::pin(open), to, &*local, &limits, &self.counters)
            .await
            .map_err(|source| handshake(to, source))
    }

    async fn introduce(
        &self,
        to: &str,
        local: Arc<dyn Local>,
        limits: Limits,
        request: &[u8],
    ) -> Result<(Peer, Vec<u8>), ConnectError> {
        limits.check_introduction(request)?;
        let open = Box::pin(self.open(to, &limits).await?);
        Connection::introduce(open, to, &*local, &limits, &self.counters, request)
            .await
            .map_err(|source| handshake(to, source))
    }
}

impl Tcp {
    /// Connects to an address. The second step makes a byte stream of it, within the time limit of the handshake.
    async fn open(
        &self,
        to: &str,
        limits: &Limits,
    ) -> Result<impl Future<Output = Result<Duplex, HandshakeError>> + use<>, ConnectError> {
        let address = || to.to_owned();
        let failed = |source| ConnectError::Io {
            address: address(),
            source,
        };
        let dial = tokio::time::timeout(limits.connect_timeout, TcpStream::connect(to));
        let stream = dial
            .await
            .map_err(|_| ConnectError::Timeout { address: address() })?
            .map_err(failed)?;
        tune(&stream, limits).map_err(failed)?;
        let (credentials, limits) = (self.credentials.clone(), limits.clone());
        Ok(async move {
            match credentials {
                None => Ok(duplex(stream)),
                Some(credentials) => tls::connect(stream, credentials, limits).await,
            }
        })
    }
}

fn handshake(to: &str, source: HandshakeError) -> ConnectError {
    ConnectError::Handshake {
        address: to.to_owned(),
        source,
    }
}

struct TcpSource {
    listener: TcpListener,
    address: String,
    limits: Limits,
    credentials: Option<Arc<Credentials>>,
}

impl Source for TcpSource {
    type Raw = TcpStream;

    fn local_address(&self) -> String {
        self.address.clone()
    }

    async fn next(&mut self) -> io::Result<(TcpStream, String)> {
        let (stream, from) = self.listener.accept().await?;
        // Most likely the peer is gone already; its handshake will say so, and is counted.
        if let Err(error) = tune(&stream, &self.limits) {
            tracing::debug!(%from, %error, "cannot set socket options");
        }
        Ok((stream, from.to_string()))
    }

    fn open(
        &self,
        raw: TcpStream,
    ) -> impl Future<Output = Result<Duplex, HandshakeError>> + Send + 'static {
        let (credentials, limits) = (self.credentials.clone(), self.limits.clone());
        async move {
            match credentials {
                None => Ok(duplex(raw)),
                Some(credentials) => Box::pin(tls::accept(raw, credentials, limits)).await,
            }
        }
    }
}

fn duplex(stream: TcpStream) -> Duplex {
    let (read, write) = stream.into_split();
    Duplex::new(read, write)
}

/// Sets the options of a fresh socket. Buffer sizes are left to the kernel: setting them ends its autotuning.
fn tune(stream: &TcpStream, limits: &Limits) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    let probe = (limits.silence_max / 3).max(Duration::from_secs(1));
    let keepalive = TcpKeepalive::new().with_time(probe).with_interval(probe);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    {
        let unsent = u32::try_from(limits.notsent_bytes_max).expect("limited to 1 GiB");
        socket.set_tcp_notsent_lowat(unsent)?;
        socket.set_tcp_user_timeout(Some(limits.silence_max))?;
    }
    Ok(())
}
