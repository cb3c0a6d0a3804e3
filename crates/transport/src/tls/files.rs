//! The three files of a node's credentials, and what is made of them. When they are read again: `credentials`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::name::Name;
use super::proof;
use super::verify::ChainVerifier;
use crate::limits::CREDENTIAL_FILE_BYTES_MAX;

/// Where a node's credentials lie. All three are PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificates that are trusted to sign nodes: the cluster's CA; two of them while one replaces the other.
    pub ca: PathBuf,
    /// The node's certificate, and behind it those between it and the CA.
    pub cert: PathBuf,
    /// The private key of the node's certificate.
    pub key: PathBuf,
}

/// Why credentials will not do.
///
/// State: those that were in use before, if any, still are. Caller: correct the file that is named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    /// A file cannot be read.
    #[error("cannot read {}: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// A file holds something else.
    #[error("{} holds no {what}: {why}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What should be there.
        what: &'static str,
        /// What the parser said.
        why: String,
    },
    /// The key is not that of the certificate, or cannot sign.
    #[error("{} and {} do not fit together: {why}", cert.display(), key.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Peers would not believe the certificate: it is over, of the future, of another CA, or for another use.
    #[error("peers would refuse {}: {why}", cert.display())]
    Refused {
        /// The certificate's file.
        cert: PathBuf,
        /// Why they would.
        why: String,
    },
    /// The certificate is of somebody else.
    #[error("{} is the certificate of {got}, this node is {want}", cert.display())]
    OtherNode {
        /// The certificate's file.
        cert: PathBuf,
        /// The name in it.
        got: String,
        /// The name that this node has.
        want: String,
    },
}

/// The bytes of the three files: what tells whether anything changed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Contents {
    ca: Vec<u8>,
    cert: Vec<u8>,
    key: Vec<u8>,
}

/// What is made of the files: both ends of sessions.
pub(super) struct Material {
    pub(super) server: Arc<ServerConfig>,
    pub(super) client: Arc<ClientConfig>,
    /// Unit: seconds since 1970.
    pub(super) not_before_s: i64,
    /// Unit: seconds since 1970.
    pub(super) not_after_s: i64,
}

impl Files {
    pub(super) fn read(&self) -> Result<Contents, FilesError> {
        Ok(Contents {
            ca: read(&self.ca)?,
            cert: read(&self.cert)?,
            key: read(&self.key)?,
        })
    }

    /// Makes both ends of sessions, after a look at the certificate through the eyes of a peer.
    pub(super) fn build(&self, contents: &Contents, me: &Name) -> Result<Material, FilesError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = self.roots(contents)?;
        let chain = certificates(&self.cert, &contents.cert)?;
        let key =
            PrivateKeyDer::from_pem_slice(&contents.key).map_err(|error| FilesError::Content {
                path: self.key.clone(),
                what: "private key",
                why: error.to_string(),
            })?;
        let refused = |why: String| FilesError::Refused {
            cert: self.cert.clone(),
            why,
        };
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
                .build()
                .map_err(|error| refused(error.to_string()))?;
        let listeners = Arc::new(ChainVerifier::new(roots, Arc::clone(&provider)));
        self.look(&chain, &*clients, &listeners).map_err(refused)?;
        let seen = proof::read(&chain[0]).map_err(refused)?;
        if seen.name.as_ref() != Some(me) {
            return Err(FilesError::OtherNode {
                cert: self.cert.clone(),
                got: seen
                    .name
                    .map_or_else(|| "no node at all".to_owned(), |name| name.to_string()),
                want: me.to_string(),
            });
        }
        let mismatch = |error: rustls::Error| FilesError::Mismatch {
            cert: self.cert.clone(),
            key: self.key.clone(),
            why: error.to_string(),
        };
        let only_13 = "the provider has ciphers of TLS 1.3";
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .expect(only_13)
            .with_client_cert_verifier(clients)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(mismatch)?;
        // Each connection proves itself anew: a session that is taken up again would outlive its certificate.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .expect(only_13)
            .dangerous()
            .with_custom_certificate_verifier(listeners)
            .with_client_auth_cert(chain, key)
            .map_err(mismatch)?;
        client.resumption = Resumption::disabled();
        client.enable_sni = false;
        Ok(Material {
            server: Arc::new(server),
            client: Arc::new(client),
            not_before_s: seen.not_before_s,
            not_after_s: seen.not_after_s,
        })
    }

    fn roots(&self, contents: &Contents) -> Result<Arc<RootCertStore>, FilesError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca, &contents.ca)? {
            roots
                .add(certificate)
                .map_err(|error| FilesError::Content {
                    path: self.ca.clone(),
                    what: "CA certificate",
                    why: error.to_string(),
                })?;
        }
        Ok(Arc::new(roots))
    }

    /// Judges the own certificate as both kinds of peers would.
    fn look(
        &self,
        chain: &[CertificateDer<'static>],
        clients: &dyn ClientCertVerifier,
        listeners: &Arc<ChainVerifier>,
    ) -> Result<(), String> {
        let now = UnixTime::now();
        let nobody = ServerName::try_from("node.invalid").expect("a host name");
        let (own, between) = chain.split_first().expect("certificates() returns one");
        clients
            .verify_client_cert(own, between, now)
            .map_err(|error| error.to_string())?;
        listeners
            .verify_server_cert(own, between, &nobody, &[], now)
            .map_err(|error| error.to_string())?;
        Ok(())
    }
}

/// Returns the certificates of a file: one at least.
fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, FilesError> {
    let content = |why: String| FilesError::Content {
        path: path.to_owned(),
        what: "certificate",
        why,
    };
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| content(error.to_string()))?;
    if all.is_empty() {
        return Err(content("no PEM section of that kind".to_owned()));
    }
    Ok(all)
}

fn read(path: &Path) -> Result<Vec<u8>, FilesError> {
    let unreadable = |error: io::Error| FilesError::Unreadable {
        path: path.to_owned(),
        why: error.to_string(),
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    let most = CREDENTIAL_FILE_BYTES_MAX as u64 + 1;
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() > CREDENTIAL_FILE_BYTES_MAX {
        let why = format!("larger than {CREDENTIAL_FILE_BYTES_MAX} bytes");
        return Err(unreadable(io::Error::other(why)));
    }
    Ok(bytes)
}
