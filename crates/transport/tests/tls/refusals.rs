//! Whatever is wrong with a peer, it is refused by its name, the name is counted, and the listener goes on.

use std::sync::Arc;
use std::time::Duration;

use rcgen::ExtendedKeyUsagePurpose;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use transport::tls::{Credentials, TlsError};
use transport::{
    AcceptError, ConnectError, Connection, Counters, Duplex, HandshakeError, Identity, Limits,
    Listener, Local, Newcomer, NodeId, RejectReason, Rejection, Tcp, Transport,
};

use crate::pki::{Ca, Wish};
use crate::raw;

fn identity(node: u64) -> Identity {
    Identity {
        cluster: 7,
        node: NodeId(node),
        epoch: 1,
        boot: node,
        config_hash: 1,
        protocol: (1, 1),
    }
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what)
        .await
        .expect("the test hangs")
}

/// A listening node 2.
struct Port {
    listener: Box<dyn Listener>,
    transport: Tcp,
    address: String,
}

impl Port {
    async fn open(transport: Tcp, limits: Limits) -> Port {
        let local = Arc::new(identity(2));
        let listener = transport
            .listen("127.0.0.1:0", local, limits)
            .await
            .unwrap();
        let address = listener.local_address();
        Port {
            listener,
            transport,
            address,
        }
    }

    async fn tls(ca: &Ca) -> Port {
        Port::open(Tcp::with_tls(ca.node(2)), Limits::default()).await
    }

    /// The next peer fails to get in: returns why.
    async fn refused(&mut self) -> HandshakeError {
        match within(self.listener.accept()).await {
            Err(AcceptError::Handshake { source, .. }) => source,
            other => panic!("{other:?} instead of a refusal"),
        }
    }

    fn count(&self, name: &str, label: &str) -> u64 {
        count(self.transport.counters(), name, label)
    }

    /// An honest node 1 still gets in.
    async fn is_open_to(&mut self, transport: Tcp) {
        let local = Arc::new(identity(1));
        let dial = transport.connect(&self.address, local, Limits::default());
        let (dialed, accepted) = within(async { tokio::join!(dial, self.listener.accept()) }).await;
        dialed.expect("dialed");
        accepted.expect("accepted");
    }
}

fn count(counters: &Counters, name: &str, label: &str) -> u64 {
    counters.get(name, label).expect("a counter of that name")
}

/// Dials as `node`, whatever the certificate says, and shakes hands as far as that goes.
async fn dial(
    address: &str,
    config: ClientConfig,
    node: u64,
) -> Result<Connection, HandshakeError> {
    let stream = TcpStream::connect(address).await?;
    let name = "node.invalid".try_into().unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    let (read, write) = tokio::io::split(stream);
    let counters = Arc::default();
    Connection::dial_over(
        Duplex::new(read, write),
        address,
        &identity(node),
        &Limits::default(),
        &counters,
    )
    .await
}

/// Certificates that are no good for any peer, by the name of the refusal.
fn bad_certificates(ca: &Ca, stranger: &Ca) -> Vec<(&'static str, transport::tls::Files)> {
    let expired = Wish {
        ends: time::Duration::seconds(-1),
        ..Wish::node(1)
    };
    let early = Wish {
        begins: time::Duration::hours(1),
        ..Wish::node(1)
    };
    let mail = Wish {
        usages: vec![ExtendedKeyUsagePurpose::EmailProtection],
        ..Wish::node(1)
    };
    vec![
        ("expired", ca.issue("expired", &expired)),
        ("not_yet_valid", ca.issue("early", &early)),
        ("unknown_ca", stranger.issue("stranger", &Wish::node(1))),
        ("bad_certificate", ca.issue("mail", &mail)),
    ]
}

#[tokio::test]
async fn a_dialer_whose_certificate_will_not_do_is_refused_by_name_and_hears_so() {
    let (ca, stranger) = (Ca::new(), Ca::new());
    let mut port = Port::tls(&ca).await;
    for (label, files) in bad_certificates(&ca, &stranger) {
        let address = port.address.clone();
        let dial = dial(&address, raw::client(&files), 1);
        let (dialed, refused) = within(async { tokio::join!(dial, port.refused()) }).await;
        let HandshakeError::Tls(error) = refused else {
            panic!("{label}: {refused:?}")
        };
        assert_eq!(error.label(), label);
        assert_eq!(port.count("tls_errors", label), 1);
        match dialed {
            Err(HandshakeError::Tls(TlsError::Refused { .. })) => {}
            other => panic!("{label}: the dialer got {other:?}"),
        }
    }
    port.is_open_to(Tcp::with_tls(ca.node(1))).await;
}

#[tokio::test]
async fn a_listener_whose_certificate_will_not_do_is_refused_by_name() {
    let (ca, stranger) = (Ca::new(), Ca::new());
    let tcp = Tcp::with_tls(ca.node(2));
    for (label, files) in bad_certificates(&ca, &stranger) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let acceptor = TlsAcceptor::from(Arc::new(raw::server(&files)));
        let serve = async {
            acceptor
                .accept(listener.accept().await.unwrap().0)
                .await
                .is_err()
        };
        let connect = tcp.connect(&address, Arc::new(identity(2)), Limits::default());
        let (dialed, failed) = within(async { tokio::join!(connect, serve) }).await;
        match dialed {
            Err(ConnectError::Handshake {
                source: HandshakeError::Tls(error),
                ..
            }) => assert_eq!(error.label(), label),
            other => panic!("{label}: {other:?}"),
        }
        assert!(failed, "{label}: the listener was told");
        assert_eq!(count(tcp.counters(), "tls_errors", label), 1);
    }
}

#[tokio::test]
async fn a_dialer_without_a_certificate_is_refused_by_name() {
    let ca = Ca::new();
    let mut port = Port::tls(&ca).await;
    let address = port.address.clone();
    let dial = dial(&address, raw::anonymous(), 1);
    let (dialed, refused) = within(async { tokio::join!(dial, port.refused()) }).await;
    assert_eq!(refused, TlsError::NoCertificate.into());
    assert!(matches!(
        dialed,
        Err(HandshakeError::Tls(TlsError::Refused { .. }))
    ));
    assert_eq!(port.count("tls_errors", "no_certificate"), 1);
}

#[tokio::test]
async fn a_certificate_of_somebody_else_is_refused_by_name_on_both_sides() {
    let ca = Ca::new();
    let mut port = Port::tls(&ca).await;
    let cases: [(RejectReason, &[&str]); 6] = [
        (RejectReason::CertCluster, &["radixmesh://other/prefill/1"]),
        (RejectReason::CertRank, &["radixmesh://test/prefill/3"]),
        (RejectReason::CertRank, &["radixmesh://test/prefill/01"]),
        (RejectReason::CertRole, &["radixmesh://test/router/1"]),
        (RejectReason::CertName, &["https://test/prefill/1"]),
        (
            RejectReason::CertName,
            &["radixmesh://test/prefill/1", "radixmesh://test/prefill/3"],
        ),
    ];
    for (reason, uris) in cases {
        let before = port.count("rejects_sent", reason.label());
        let files = ca.issue("other", &Wish::named(uris));
        let address = port.address.clone();
        let dial = dial(&address, raw::client(&files), 1);
        let (dialed, refused) = within(async { tokio::join!(dial, port.refused()) }).await;
        let (Err(HandshakeError::RejectedByPeer(told)), HandshakeError::RejectedPeer(said)) =
            (&dialed, &refused)
        else {
            panic!("{uris:?}: {dialed:?} and {refused:?}")
        };
        assert_eq!((told.reason, told), (reason, said), "{uris:?}");
        assert_eq!(port.count("rejects_sent", reason.label()), before + 1);
    }
    port.is_open_to(Tcp::with_tls(ca.node(1))).await;
}

/// The listener's claim is checked as the dialer's is.
#[tokio::test]
async fn a_listener_that_claims_to_be_another_node_is_refused_by_name() {
    let ca = Ca::new();
    // It proves to be node 3 and says that it is node 2.
    let mut port = Port::open(Tcp::with_tls(ca.node(3)), Limits::default()).await;
    let tcp = Tcp::with_tls(ca.node(1));
    let dial = tcp.connect(&port.address, Arc::new(identity(1)), Limits::default());
    let (dialed, accepted) = within(async { tokio::join!(dial, port.listener.accept()) }).await;
    match dialed {
        Err(ConnectError::Handshake {
            source: HandshakeError::RejectedPeer(why),
            ..
        }) => assert_eq!(why.reason, RejectReason::CertRank),
        other => panic!("{other:?}"),
    }
    assert_eq!(count(tcp.counters(), "rejects_sent", "cert_rank"), 1);
    accepted
        .expect("the listener has nothing against the dialer and hears of it on the connection");
}

#[tokio::test]
async fn a_peer_without_tls_is_refused_by_name_and_told_so() {
    let ca = Ca::new();
    let mut port = Port::tls(&ca).await;
    let tcp = Tcp::new();
    let address = port.address.clone();
    let dial = tcp.connect(&address, Arc::new(identity(1)), Limits::default());
    let (dialed, refused) = within(async { tokio::join!(dial, port.refused()) }).await;
    assert_eq!(refused, TlsError::PlaintextPeer { first: 0 }.into());
    match dialed {
        Err(ConnectError::Handshake {
            source: HandshakeError::RejectedByPeer(why),
            ..
        }) => assert_eq!(why.reason, RejectReason::TlsRequired),
        other => panic!("{other:?}"),
    }
    assert_eq!(count(tcp.counters(), "rejects_received", "tls_required"), 1);

    let mut stream = TcpStream::connect(&port.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(
        port.refused().await,
        TlsError::PlaintextPeer { first: b'G' }.into()
    );
    assert_eq!(port.count("tls_errors", "plaintext_peer"), 2);
    port.is_open_to(Tcp::with_tls(ca.node(1))).await;
}

#[tokio::test]
async fn a_peer_with_tls_at_a_port_without_is_refused_by_name() {
    let ca = Ca::new();
    let mut port = Port::open(Tcp::new(), Limits::default()).await;
    let tcp = Tcp::with_tls(ca.node(1));
    let address = port.address.clone();
    let dial = tcp.connect(&address, Arc::new(identity(1)), Limits::default());
    let (dialed, refused) = within(async { tokio::join!(dial, port.refused()) }).await;
    assert_eq!(refused, TlsError::TlsPeer.into());
    assert_eq!(port.count("tls_errors", "tls_peer"), 1);
    assert!(dialed.is_err());
    port.is_open_to(Tcp::new()).await;
}

#[tokio::test]
async fn rubbish_silence_and_endless_hellos_are_named_and_leave_the_port_open() {
    let ca = Ca::new();
    let limits = Limits {
        handshake_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let mut port = Port::open(Tcp::with_tls(ca.node(2)), limits).await;
    // A record that is none.
    let mut stream = TcpStream::connect(&port.address).await.unwrap();
    stream.write_all(&[0x16; 200]).await.unwrap();
    assert!(matches!(
        port.refused().await,
        HandshakeError::Tls(TlsError::Broken { .. })
    ));
    // A hello that announces 60,000 bytes, and goes on.
    let mut stream = TcpStream::connect(&port.address).await.unwrap();
    let mut hello = Vec::new();
    for record in 0..4u8 {
        hello.extend_from_slice(&[0x16, 3, 1, 0x40, 0]);
        let at = hello.len();
        hello.resize(at + 0x4000, 0);
        if record == 0 {
            hello[at..at + 4].copy_from_slice(&[1, 0, 0xea, 0x60]);
        }
    }
    stream.write_all(&hello).await.unwrap();
    assert_eq!(
        port.refused().await,
        TlsError::TooLong { max: 16 * 1024 }.into()
    );
    // Silence before the first byte, and inside TLS.
    let silent = TcpStream::connect(&port.address).await.unwrap();
    assert_eq!(port.refused().await, HandshakeError::Timeout);
    let files = ca.issue("silent", &Wish::node(1));
    let name = "node.invalid".try_into().unwrap();
    let session = TcpStream::connect(&port.address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(raw::client(&files)));
    let (session, refused) =
        within(async { tokio::join!(connector.connect(name, session), port.refused()) }).await;
    assert_eq!(refused, HandshakeError::Timeout);
    assert_eq!(port.count("handshakes_timed_out", ""), 2);
    drop((silent, session));
    port.is_open_to(Tcp::with_tls(ca.node(1))).await;
}

/// A hello of the link's handshake above its limit, inside a session that stands.
#[tokio::test]
async fn a_handshake_frame_above_its_limit_is_refused_inside_a_session_too() {
    let ca = Ca::new();
    let mut port = Port::tls(&ca).await;
    let files = ca.issue("node", &Wish::node(1));
    let name = "node.invalid".try_into().unwrap();
    let stream = TcpStream::connect(&port.address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(raw::client(&files)));
    let send = async {
        let mut stream = connector.connect(name, stream).await.unwrap();
        stream.write_all(&[0, 0, 0x10, 0x09]).await.unwrap();
        stream.flush().await.unwrap();
        // Until the listener hangs up.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    let ((), refused) = within(async { tokio::join!(send, port.refused()) }).await;
    assert!(matches!(refused, HandshakeError::Protocol(_)), "{refused}");
    assert_eq!(port.count("protocol_errors", "too_long"), 1);
}

/// A newcomer proves who it is before the layer above hears of it; what role it may have is that layer's to compare.
#[tokio::test]
async fn a_newcomer_has_to_prove_its_rank_and_its_role() {
    struct Open;
    impl Local for Open {
        fn identity(&self) -> Identity {
            identity(2)
        }
        fn introduce(&self, newcomer: &Newcomer, role: &[u8]) -> Result<Vec<u8>, Rejection> {
            newcomer.prove_role(std::str::from_utf8(role).unwrap())?;
            Ok(b"welcome".to_vec())
        }
    }
    let ca = Ca::new();
    let tcp = Tcp::with_tls(ca.node(2));
    let listening = tcp.listen("127.0.0.1:0", Arc::new(Open), Limits::default());
    let mut listener = listening.await.unwrap();
    let address = listener.local_address();
    // The listener knows node 1 as prefill: that a newcomer is something else now is for the layer above to judge.
    let files = ca.issue("decode", &Wish::named(&["radixmesh://test/decode/1"]));
    let name = transport::tls::Name::new("test", "decode", NodeId(1));
    let decode = Credentials::open(files, name, Box::new(|_| None)).unwrap();
    let newcomer = Tcp::with_tls(Arc::new(decode));
    let mut introduce = async |node, role: &str| {
        let request = role.as_bytes();
        let local = Arc::new(identity(node));
        let asked = newcomer.introduce(&address, local, Limits::default(), request);
        let refused = async {
            loop {
                let refused = listener.accept().await;
                assert!(refused.is_err(), "no connection comes of it");
            }
        };
        tokio::select! {
            biased;
            answer = asked => answer.map(|(_, answer)| answer),
            () = within(refused) => unreachable!("it never ends"),
        }
    };
    let refusal = |answer: Result<Vec<u8>, ConnectError>| {
        answer.map_err(|error| error.refusal().map(|refusal| refusal.reason))
    };
    assert_eq!(
        refusal(introduce(1, "decode").await),
        Ok(b"welcome".to_vec())
    );
    assert_eq!(
        refusal(introduce(1, "router").await),
        Err(Some(RejectReason::CertRole))
    );
    assert_eq!(
        refusal(introduce(3, "decode").await),
        Err(Some(RejectReason::CertRank))
    );
}
