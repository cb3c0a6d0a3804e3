//! A cluster's CA and certificates for tests, in a directory that goes away with it.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};
use transport::NodeId;
use transport::tls::{Credentials, Files, FilesError, Name};

pub(crate) const CLUSTER: &str = "test";

/// A certificate to be: by default good for a day from an hour ago.
pub(crate) struct Wish {
    pub(crate) uris: Vec<String>,
    pub(crate) begins: Duration,
    pub(crate) ends: Duration,
    pub(crate) usages: Vec<ExtendedKeyUsagePurpose>,
}

impl Wish {
    pub(crate) fn named(uris: &[&str]) -> Wish {
        Wish {
            uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
            begins: Duration::hours(-1),
            ends: Duration::days(1),
            usages: vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
        }
    }

    pub(crate) fn node(node: u64) -> Wish {
        Wish::named(&[&name(node).to_string()])
    }
}

pub(crate) fn name(node: u64) -> Name {
    Name::new(CLUSTER, "prefill", NodeId(node))
}

pub(crate) struct Ca {
    pub(crate) dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Ca {
    pub(crate) fn new() -> Ca {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Ca {
            dir: tempfile::tempdir().unwrap(),
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Writes a certificate and its key, or writes over them.
    pub(crate) fn issue(&self, file: &str, wish: &Wish) -> Files {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let now = OffsetDateTime::now_utc();
        params.not_before = now + wish.begins;
        params.not_after = now + wish.ends;
        params.extended_key_usages = wish.usages.clone();
        let uri = |uri: &String| SanType::URI(uri.as_str().try_into().unwrap());
        params.subject_alt_names = wish.uris.iter().map(uri).collect();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let files = Files {
            ca: self.path("ca.pem"),
            cert: self.path(&format!("{file}.pem")),
            key: self.path(&format!("{file}.key")),
        };
        std::fs::write(&files.ca, &self.pem).unwrap();
        std::fs::write(&files.cert, cert.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// Credentials of a node that all is well with.
    pub(crate) fn node(&self, node: u64) -> Arc<Credentials> {
        let files = self.issue(&format!("node-{node}"), &Wish::node(node));
        Arc::new(open(files, node).unwrap())
    }
}

pub(crate) fn open(files: Files, node: u64) -> Result<Credentials, FilesError> {
    let role = |_| Some("prefill".to_owned());
    Credentials::open(files, name(node), Box::new(role))
}
