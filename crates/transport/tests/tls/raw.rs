//! Ends of TLS that check nothing and show anything: what a hostile peer would use.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme};
use transport::tls::Files;

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A client that shows this certificate, whatever is wrong with it.
pub(crate) fn client(files: &Files) -> ClientConfig {
    let (chain, key) = read(files);
    builder().with_client_auth_cert(chain, key).unwrap()
}

/// A client without a certificate.
pub(crate) fn anonymous() -> ClientConfig {
    builder().with_no_client_auth()
}

/// A listener that shows this certificate, whatever is wrong with it, and asks for none.
pub(crate) fn server(files: &Files) -> ServerConfig {
    let (chain, key) = read(files);
    ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}

fn read(files: &Files) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain: Result<_, _> = CertificateDer::pem_file_iter(&files.cert)
        .unwrap()
        .collect();
    (
        chain.unwrap(),
        PrivateKeyDer::from_pem_file(&files.key).unwrap(),
    )
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
}
